package rootfs_test

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

func TestDevices(t *testing.T) {
	b := newBox(t).mount("/dev", "tmpfs", "tmpfs", "nosuid", "strictatime", "mode=755", "size=64k")
	b.set("devices", []any{
		map[string]any{"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 0o640, "uid": 5, "gid": 6},
		map[string]any{"path": "/dev/sub/blk", "type": "b", "major": 7, "minor": 200, "fileMode": 0o600},
		map[string]any{"path": "/dev/pipe", "type": "p", "fileMode": 0o622},
		map[string]any{"path": "/dev/null", "type": "c", "major": 1, "minor": 3, "fileMode": 0o640},
		map[string]any{"path": "/elsewhere/zero", "type": "u", "major": 1, "minor": 5},
		map[string]any{"path": "/dev/ptmx", "type": "c", "major": 5, "minor": 2},
	}, "linux")
	r := b.look("/dev/fuse", "/dev/sub/blk", "/dev/pipe", "/dev/null", "/elsewhere/zero", "/dev/ptmx", "/dev/tty", "/dev/full",
		"/dev/random", "/dev/urandom", "/dev/stdin", "/dev/stdout", "/dev/stderr", "/dev/core").run()
	n := r.Nodes
	if d := n["/dev/fuse"]; !d.Device(10, 229) || d.Mode&0o7777 != 0o640 || d.UID != 5 || d.GID != 6 {
		t.Errorf("fuse: %+v", d)
	}
	if d := n["/dev/sub/blk"]; d.Mode != unix.S_IFBLK|0o600 || d.Rdev != unix.Mkdev(7, 200) {
		t.Errorf("blk: %+v", d)
	}
	if d := n["/dev/pipe"]; d.Mode != unix.S_IFIFO|0o622 {
		t.Errorf("pipe: %+v", d)
	}
	if d := n["/dev/null"]; !d.Device(1, 3) || d.Mode&0o7777 != 0o640 {
		t.Errorf("null, replaced by the config: %+v", d)
	}
	if d := n["/elsewhere/zero"]; !d.Device(1, 5) || d.Mode&0o7777 != 0o666 {
		t.Errorf("zero: %+v", d)
	}
	for path, want := range map[string]string{"/dev/ptmx": "pts/ptmx", "/dev/stdin": "/proc/self/fd/0", "/dev/stdout": "/proc/self/fd/1",
		"/dev/stderr": "/proc/self/fd/2"} {
		if n[path].Link != want {
			t.Errorf("%s: %+v", path, n[path])
		}
	}
	_, err := os.Stat("/proc/kcore")
	if have := err == nil; (n["/dev/core"].Link == "/proc/kcore") != have {
		t.Errorf("/dev/core: %+v, and /proc/kcore exists: %v", n["/dev/core"], have)
	}
}

func TestDeviceThatTheImageReplaced(t *testing.T) {
	b := newBox(t)
	write(t, b.rootfs+"/dev/null", "", 0o666)
	b.refused("", "is not the device c 1:3")

	b = newBox(t) // the right node with the wrong mode is mended
	if err := os.Mkdir(b.rootfs+"/dev", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mknod(b.rootfs+"/dev/zero", unix.S_IFCHR|0o600, int(unix.Mkdev(1, 5))); err != nil {
		t.Fatal(err)
	}
	if r := b.look("/dev/zero").run(); r.Nodes["/dev/zero"].Mode&0o7777 != 0o666 {
		t.Errorf("%+v", r.Nodes)
	}

	b = newBox(t) // the number of null, but a block device
	if err := os.Mkdir(b.rootfs+"/dev", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mknod(b.rootfs+"/dev/null", unix.S_IFBLK|0o666, int(unix.Mkdev(1, 3))); err != nil {
		t.Fatal(err)
	}
	b.refused("", "is not the device c 1:3")
}

func TestDevAsBindIsLeftAlone(t *testing.T) {
	src := shared(t)
	write(t, src+"/mine", "kept", 0o600)
	b := newBox(t).mount("/dev", "bind", src, "bind", "ro").look("/dev/mine", "/dev/null", "/dev/ptmx").write("/dev")
	r := b.run()
	if r.Nodes["/dev/mine"].Text != "kept" || !r.Nodes["/dev/null"].Missing || !r.Nodes["/dev/ptmx"].Missing || r.Writes["/dev"] == "" {
		t.Errorf("%+v %v", r.Nodes, r.Writes)
	}
	left, err := os.ReadDir(src)
	if err != nil || len(left) != 1 {
		t.Errorf("the bound directory has %v, %v", left, err)
	}
}

func TestDevReadonly(t *testing.T) {
	b := newBox(t).mount("/dev", "tmpfs", "tmpfs", "ro", "mode=755").mount("/dev/shm", "tmpfs", "tmpfs", "mode=1777")
	r := b.look("/dev/null").write("/dev", "/dev/shm", "/dev/null").run()
	if !r.Nodes["/dev/null"].Device(1, 3) || r.Writes["/dev"] == "" || r.Writes["/dev/shm"] != "" || r.Writes["/dev/null"] != "" {
		t.Errorf("%+v %v", r.Nodes, r.Writes)
	}
}

func TestConsole(t *testing.T) {
	b := newBox(t).mount("/dev", "tmpfs", "tmpfs", "mode=755")
	b.mount("/dev/pts", "devpts", "devpts", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5")
	b.req.Console = true
	r := b.look("/dev/console").run()
	console, m := r.Nodes["/dev/console"], r.At("/dev/console")
	if console.Mode&unix.S_IFMT != unix.S_IFCHR || unix.Major(console.Rdev) != 136 || m == nil || m.Type != "devpts" {
		t.Errorf("%+v %+v", console, m)
	}
	b = newBox(t)
	b.req.Console = true
	b.refused("", "/dev/pts/ptmx")
}

func TestConsoleNotThroughSymlink(t *testing.T) {
	b := newBox(t).mount("/dev/pts", "devpts", "devpts", "newinstance", "ptmxmode=0666")
	outside := shared(t) + "/console"
	if err := os.Mkdir(b.rootfs+"/dev", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, b.rootfs+"/dev/console"); err != nil {
		t.Fatal(err)
	}
	b.req.Console = true
	b.refused("", "symlink")
	if _, err := os.Lstat(outside); err == nil {
		t.Error("a file was made outside")
	}
}
