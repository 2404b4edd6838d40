package rootfs_test

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/librootfs/librootfs/rootfs"
	"github.com/librootfs/librootfs/rootfs/internal/nstest"
)

// A mount over "/" becomes the root: what comes after it is in it, what came before is covered.
func TestMountOverRoot(t *testing.T) {
	src := shared(t)
	write(t, src+"/new", "the new root", 0o644)
	for name, deny := range map[string][]nstest.Denial{"detached": nil, "mount(2)": {nstest.Deny(unix.ENOSYS)}} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t).mount("/early", "tmpfs", "tmpfs", "ro").mount("/", "bind", src, "rbind").mount("/proc", "proc", "proc")
			b.mount("/late", "tmpfs", "tmpfs").mount("/dev", "tmpfs", "tmpfs", "mode=755", "ro")
			b.config.Object("process")["cwd"] = "/late/cwd"
			b.spec.Deny = deny
			r := b.look("/new", "/early", "/dev/null", "/proc/1").write("/late", "/dev").run()
			n := r.Nodes
			if n["/new"].Text != "the new root" || !n["/early"].Missing || !n["/dev/null"].Device(1, 3) || n["/proc/1"].Missing ||
				r.Cwd != "/late/cwd" || r.Writes["/late"] != "" || r.Writes["/dev"] == "" || r.At("/early") != nil {
				t.Errorf("%+v in %s, %v", n, r.Cwd, r.Writes)
			}
		})
	}
	b := newBox(t).mount("/", "tmpfs", "tmpfs", "mode=755").mount("/", "tmpfs", "tmpfs", "mode=711", "ro").withProc().look("/")
	r := b.write("/").run()
	if r.Nodes["/"].Mode&0o7777 != 0o711 || r.Writes["/"] == "" {
		t.Errorf("%+v %v", r.Nodes, r.Writes)
	}
	b = newBox(t).mount("/", "tmpfs", "tmpfs").withProc()
	b.config.Object("root")["readonly"] = true
	if r := b.write("/").run(); r.Writes["/"] == "" {
		t.Error("a covered root that is to be read-only can be written")
	}
	b = newBox(t).mount("/", "tmpfs", "tmpfs").withProc().options(map[string]any{"noPivotRoot": true})
	b.run()
	write(t, src+"/file", "", 0o644)
	e := newBox(t).mount("/", "bind", src+"/file", "bind").refused("/mounts/0", "one of the two is a directory")
	if !errors.Is(e, unix.ENOTDIR) {
		t.Errorf("%+v", e)
	}
	if err := os.Symlink("..", src+"/link"); err != nil { // so that verify finds it where statx(2) is denied, too
		t.Fatal(err)
	}
	linked := newBox(t)
	if err := os.Symlink("../..", linked.rootfs+"/link"); err != nil {
		t.Fatal(err)
	}
	linked.mount("/link", "bind", src, "bind").withProc().look("/new")
	if r := linked.run(); r.Nodes["/new"].Text != "the new root" {
		t.Errorf("%+v", r.Nodes)
	}
}

// With an error nothing is left of a root that was covered.
func TestMountOverRootUndone(t *testing.T) {
	r := newBox(t)
	r.config.Object("linux")["namespaces"] = []any{map[string]any{"type": "mount", "path": "/proc/1/ns/mnt"}}
	r.mount("/", "tmpfs", "tmpfs").mount("/", "tmpfs", "tmpfs").mount("/x", "tmpfs", "tmpfs", "size=nonsense")
	ns, table := other(t)
	r.spec = nstest.Spec{Files: []*os.File{ns}}
	r.req.Config = r.config.JSON()
	before := table()
	_, err := joining.Run(t, r.spec, joinRequest{r.req, false})
	if after := table(); err == nil || len(after) != len(before) {
		t.Errorf("%v: %d mounts before, %d after", err, len(before), len(after))
	}
}

func TestPathsOfTheRootItself(t *testing.T) {
	for _, key := range []string{"maskedPaths", "readonlyPaths"} {
		for _, path := range []string{"/", "/x/..", "//."} {
			c := newBox(t).set(key, []any{"/proc/kcore", path}, "linux").config
			_, err := rootfs.Parse(c.JSON(), nil)
			var e *rootfs.Error
			if !errors.As(err, &e) || e.Pointer != "/linux/"+key+"/1" {
				t.Errorf("%s: %v", path, err)
			}
		}
	}
}

// Destinations are cleaned lexically, as runtimes do; ".." leads no further up than the root.
func TestDestinationsAreCleaned(t *testing.T) {
	src := shared(t)
	write(t, src+"/file", "text", 0o644)
	b := newBox(t).withProc()
	b.mount("/a/", "bind", src, "bind").mount("//b//c//", "bind", src, "bind").mount("/d/../e", "bind", src, "bind")
	b.mount("/../../../f", "bind", src, "bind").mount("g/h", "bind", src, "bind").mount("/./i/.", "bind", src+"/./file", "bind")
	r := b.look("/d", "/i").run()
	for _, path := range []string{"/a", "/b/c", "/e", "/f", "/g/h", "/i"} {
		if r.At(path) == nil {
			t.Errorf("nothing is mounted at %s: %+v", path, r.Mounts)
		}
	}
	if !r.Nodes["/d"].Missing || r.Nodes["/i"].Text != "text" {
		t.Errorf("%+v", r.Nodes)
	}
}

// Mounts are made in the order of the config: a later one covers an earlier one, and lies in one that came before.
func TestMountsOnOneAnother(t *testing.T) {
	src, other := shared(t), shared(t)
	write(t, src+"/from", "first", 0o644)
	write(t, other+"/from", "second", 0o644)
	b := newBox(t).withProc()
	b.mount("/same", "bind", src, "bind").mount("/same", "bind", other, "bind", "ro")
	b.mount("/outer/inner", "tmpfs", "tmpfs", "size=1m").mount("/outer", "tmpfs", "tmpfs", "size=2m") // covers it
	b.mount("/nest", "tmpfs", "tmpfs").mount("/nest/a", "tmpfs", "tmpfs").mount("/nest/a/b", "bind", src, "bind").
		mount("/nest/a/b2/c", "tmpfs", "tmpfs")
	r := b.look("/same/from", "/outer/inner", "/nest/a/b/from", "/nest/a/b2/c").write("/same", "/nest/a/b2/c").run()
	if r.Nodes["/same/from"].Text != "second" || r.Writes["/same"] == "" || !r.Nodes["/outer/inner"].Missing ||
		r.Nodes["/nest/a/b/from"].Text != "first" || r.Writes["/nest/a/b2/c"] != "" {
		t.Errorf("%+v %v", r.Nodes, r.Writes)
	}
	count := 0
	for _, m := range r.Mounts {
		if m.Point == "/same" {
			count++
		}
	}
	if count != 2 {
		t.Errorf("%d mounts at /same", count)
	}
	newBox(t).mount("/x", "bind", src, "bind", "ro").mount("/x/missing", "tmpfs", "tmpfs").refused("/mounts/1", "read-only file system")
}

// The one that asks to be read-only becomes so, and no other that lies at the same path: also where a link leads there.
func TestReadonlyOnOneAnother(t *testing.T) {
	tmpfs := func(destination string, options ...string) []string { return append([]string{destination}, options...) }
	for name, c := range map[string]struct {
		mounts [][]string
		want   []string // of the mounts at /dir, the lowest first
	}{
		"the second":              {[][]string{tmpfs("/link"), tmpfs("/link", "ro")}, []string{"rw", "ro"}},
		"the first":               {[][]string{tmpfs("/link", "ro"), tmpfs("/link")}, []string{"ro", "rw"}},
		"the second of three":     {[][]string{tmpfs("/link"), tmpfs("/dir", "ro"), tmpfs("/link")}, []string{"rw", "ro", "rw"}},
		"the second, remounted":   {[][]string{tmpfs("/link"), tmpfs("/link"), tmpfs("/link", "remount", "ro")}, []string{"rw", "ro"}},
		"remounted, then covered": {[][]string{tmpfs("/link"), tmpfs("/link", "remount", "ro"), tmpfs("/dir")}, []string{"ro", "rw"}},
		"remounted, then by link": {[][]string{tmpfs("/dir"), tmpfs("/dir", "remount", "ro"), tmpfs("/link")}, []string{"ro", "rw"}},
		"first and last":          {[][]string{tmpfs("/dir", "ro"), tmpfs("/link"), tmpfs("/dir", "remount", "ro", "nosuid")}, []string{"ro", "ro"}},
		"not any more":            {[][]string{tmpfs("/dir", "ro"), tmpfs("/dir", "remount", "nosuid"), tmpfs("/link")}, []string{"rw", "rw"}},
	} {
		for _, links := range []bool{true, false} {
			for _, deny := range [][]nstest.Denial{nil, {nstest.Deny(unix.ENOSYS)}} {
				b := newBox(t)
				b.spec.Deny = deny
				if err := os.Mkdir(b.rootfs+"/dir", 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.Symlink("dir", b.rootfs+"/link"); err != nil {
					t.Fatal(err)
				}
				for _, m := range c.mounts {
					if !links {
						m[0] = "/dir"
					}
					b.mount(m[0], "tmpfs", "tmpfs", m[1:]...)
				}
				var got []string
				for _, m := range b.run().Mounts {
					if m.Point == "/dir" {
						got = append(got, strings.Split(m.Options, ",")[0])
					}
				}
				if !slices.Equal(got, c.want) {
					t.Errorf("%s, links %v, without new calls %v: %v, want %v", name, links, deny != nil, got, c.want)
				}
			}
		}
	}
}
