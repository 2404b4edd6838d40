package rootfs_test

import (
	"os"
	"testing"
)

// Where a link leads, a later mount may cover one that no path tells it covers. Verify, which run asks, knows.
func TestVerifyThroughLinks(t *testing.T) {
	link := func(b *box, name, to string) {
		t.Helper()
		if err := os.Symlink(to, b.rootfs+name); err != nil {
			t.Fatal(err)
		}
	}
	src := shared(t)
	write(t, src+"/file", "text", 0o644)
	for name, add := range map[string]func(b *box){
		"the link's target is covered": func(b *box) {
			link(b, "/link", "dir/sub")
			b.mount("/dir/sub", "tmpfs", "tmpfs").mount("/link", "bind", src, "bind")
		},
		"a directory above it is": func(b *box) {
			link(b, "/link", "dir/sub")
			b.mount("/link/inner", "tmpfs", "tmpfs").mount("/dir", "tmpfs", "tmpfs")
		},
		"the link is in what was mounted": func(b *box) {
			link(b, "/link", "dir")
			b.mount("/dir/sub", "tmpfs", "tmpfs").mount("/up", "bind", src, "bind").mount("/link", "tmpfs", "tmpfs")
		},
		"a mount covers its own way": func(b *box) {
			link(b, "/dir/link", "/dir")
			b.mount("/dir/link", "bind", src, "bind")
		},
		"it is masked": func(b *box) {
			link(b, "/link", "dir/sub")
			b.mount("/dir/sub", "bind", src, "bind", "nosuid").set("maskedPaths", []any{"/link"}, "linux").
				mount("/dev", "tmpfs", "tmpfs", "mode=755")
		},
		"a read-only tmpfs below a link is covered": func(b *box) {
			link(b, "/link", "dir")
			b.mount("/dir/sub", "tmpfs", "tmpfs", "ro").mount("/link", "tmpfs", "tmpfs", "mode=700").
				mount("/dir/new", "bind", src, "bind")
		},
		"a read-only tmpfs at a link is covered": func(b *box) {
			link(b, "/link", "dir")
			b.mount("/link", "tmpfs", "tmpfs", "ro").mount("/dir", "tmpfs", "tmpfs", "ro", "nosuid").mount("/link", "bind", src, "bind")
		},
		"it is read-only": func(b *box) {
			link(b, "/link", "dir")
			b.mount("/dir/sub", "bind", src, "bind", "rw").set("readonlyPaths", []any{"/link/sub"}, "linux")
		},
		"it is read-only before a link is met": func(b *box) {
			link(b, "/link", "dir")
			b.mount("/dir/sub", "bind", src, "bind", "rw").set("readonlyPaths", []any{"/dir/sub", "/link/nothing"}, "linux")
		},
		"it is read-only, and masked by way of a link": func(b *box) {
			link(b, "/dir/link", "../dir/sub")
			b.mount("/dir/sub/file", "bind", src+"/file", "bind").mount("/dev", "tmpfs", "tmpfs", "mode=755").
				set("maskedPaths", []any{"/dir/link"}, "linux").set("readonlyPaths", []any{"/dir/sub/file"}, "linux")
		},
		"what is masked by way of a link lies in a copy": func(b *box) {
			link(b, "/link", "dir/sub")
			b.mount("/dir/sub/new", "bind", src, "bind").mount("/dev", "tmpfs", "tmpfs", "mode=755").
				set("maskedPaths", []any{"/link"}, "linux").set("readonlyPaths", []any{"/dir"}, "linux")
		},
		"what covers it is copied": func(b *box) {
			link(b, "/link", "dir/sub")
			b.mount("/link", "tmpfs", "tmpfs", "nodiratime").mount("/dir/sub", "bind", src, "bind").
				set("readonlyPaths", []any{"/dir"}, "linux")
		},
		"what a later mount put there by way of a link is copied": func(b *box) {
			link(b, "/link", "dir/sub")
			write(t, src+"/sub/deep/file", "", 0o644)
			b.mount("/dir", "bind", src, "rbind", "rnoexec").mount("/link/deep", "tmpfs", "tmpfs").
				set("readonlyPaths", []any{"/link"}, "linux")
		},
		"what covers its link is copied": func(b *box) {
			link(b, "/dir/sub/link", "../../up")
			link(b, "/alias", "dir/sub")
			b.mount("/alias/link/deep", "tmpfs", "tmpfs", "nosuid").mount("/dir/sub", "bind", src, "bind").
				set("readonlyPaths", []any{"/dir"}, "linux")
		},
		"the copy lies on a shared mount": func(b *box) {
			b.mount("/outer", "tmpfs", "tmpfs", "shared").mount("/outer/sub", "bind", src, "bind", "private").
				set("readonlyPaths", []any{"/outer"}, "linux")
		},
		"it lies below one that is not in the copy": func(b *box) {
			b.mount("/dir/sub", "tmpfs", "tmpfs", "unbindable").mount("/dir/sub/deep", "bind", src, "bind").
				set("readonlyPaths", []any{"/dir"}, "linux")
		},
		"a read-only path is there only in the copy": func(b *box) {
			write(t, b.rootfs+"/dir/sub/deep/file", "", 0o644)
			b.mount("/dir/sub", "tmpfs", "tmpfs", "unbindable").set("readonlyPaths", []any{"/dir/sub/deep", "/dir"}, "linux")
		},
		"it is not in the copy that is read-only": func(b *box) {
			b.mount("/dir/sub", "tmpfs", "tmpfs", "unbindable").set("readonlyPaths", []any{"/dir"}, "linux")
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t)
			if err := os.MkdirAll(b.rootfs+"/dir/sub", 0o755); err != nil {
				t.Fatal(err)
			}
			add(b)
			b.run()
		})
	}
}

// Of the access time there is one value, which a recursive attribute replaces.
func TestVerifyAccessTime(t *testing.T) {
	b := newBox(t)
	for path, options := range map[string][]string{"/a": {"noatime", "rstrictatime"}, "/b": {"strictatime", "rrelatime"}, "/c": {"strictatime", "rnoatime"}} {
		b.mount(path, "bind", shared(t), append(options, "rbind")...)
	}
	b.mount("/d", "bind", shared(t), "bind", "runbindable", "slave")
	r := b.run()
	hasOptions(t, r.At("/b"), "relatime")
	hasOptions(t, r.At("/c"), "noatime")
}

// What is recursive of a remount reaches the mounts below, which then are not what their own entries say.
func TestVerifyBelowARecursiveRemount(t *testing.T) {
	for _, option := range []string{"rshared", "rro", "rnoexec"} {
		b := newBox(t).mount("/up", "tmpfs", "tmpfs").mount("/up/below", "tmpfs", "tmpfs", "private", "exec", "rw")
		r := b.mount("/up", "bind", "", "remount", "bind", option).run()
		m := r.At("/up/below")
		if shared := m != nil && m.Optional != ""; shared != (option == "rshared") {
			t.Errorf("%s: %+v", option, m)
		}
	}
}
