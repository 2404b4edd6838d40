package rootfs_test

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/librootfs/librootfs/rootfs/internal/option"
)

// shownAs is how the mount table shows an option that sets a per-mount flag.
var shownAs = map[string]string{"ro": "ro", "nosuid": "nosuid", "nodev": "nodev", "noexec": "noexec", "nosymfollow": "nosymfollow",
	"noatime": "noatime", "nodiratime": "nodiratime", "relatime": "relatime", "strictatime": "!relatime"}

// Every option of the table, on a bind and on a tmpfs, on the real kernel. Verify compares what came of each.
func TestEveryOption(t *testing.T) {
	src := hostMount(t, unix.MS_NOATIME|unix.MS_NOSUID)
	binds, tmpfs := newBox(t).withProc(), newBox(t).withProc()
	for _, o := range option.Table() {
		base := "rbind"
		switch {
		case o.Name == "bind" || o.Name == "rbind":
			base = "ro"
		case o.Name == "remount":
			continue // the mounts of TestRemount
		}
		switch o.Name {
		case "idmap", "ridmap":
			binds.bindMapped("/"+o.Name, src, 7000, base, o.Name)
		case "tmpcopyup":
		default:
			binds.mount("/"+o.Name, "bind", src, base, o.Name)
		}
		if o.Class == option.IDMapping || o.Bits&unix.MS_BIND != 0 && o.Class == option.Flag || o.Name == "z" || o.Name == "Z" || o.Name == "src-nofollow" {
			continue
		}
		tmpfs.mount("/"+o.Name, "tmpfs", "tmpfs", o.Name)
	}
	for name, b := range map[string]*box{"bind": binds, "tmpfs": tmpfs} {
		r := b.run()
		for _, o := range option.Table() {
			m := r.At("/" + o.Name)
			if m == nil {
				continue
			}
			want := shownAs[o.Name]
			if o.Class == option.Recursive || o.Class == option.RecursiveAtime {
				want = shownAs[o.Name[1:]]
			}
			if want != "" && !o.Off {
				hasOptions(t, m, want)
			}
			if o.Class == option.Flag && o.Off && o.Bits == unix.MS_NOSUID || o.Name == "rsuid" {
				hasOptions(t, m, "!nosuid")
			}
		}
		if len(r.Mounts) < len(option.Table())-10 {
			t.Errorf("%s: only %d mounts of %d options", name, len(r.Mounts), len(option.Table()))
		}
	}
}

// A type that the library knows nothing of gets its data as it is.
func TestOtherTypes(t *testing.T) {
	b := newBox(t).mount("/ramfs", "ramfs", "some source", "mode=0711", "nosuid")
	b.mount("/huge", "hugetlbfs", "hugetlbfs", "mode=0700,uid=3", "gid=4").mount("/trace", "tracefs", "tracefs", "ro")
	for _, m := range []struct{ kind, at string }{{"hugetlbfs", "/huge"}, {"tracefs", "/trace"}} {
		dir := shared(t)
		if err := unix.Mount(m.kind, dir, m.kind, 0, ""); err != nil {
			t.Logf("this kernel has no %s: %v", m.kind, err)
			b.config.DropMount(m.at)
			continue
		}
		unix.Unmount(dir, unix.MNT_DETACH)
	}
	r := b.look("/ramfs", "/huge").run()
	if n := r.Nodes["/ramfs"]; n.Mode&0o7777 != 0o711 || r.At("/ramfs").Source != "some source" {
		t.Errorf("%+v", n)
	}
	if n := r.Nodes["/huge"]; r.At("/huge") != nil && (n.Mode&0o7777 != 0o700 || n.UID != 3 || n.GID != 4) {
		t.Errorf("%+v", n)
	}
}
