package rootfs_test

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/librootfs/librootfs/rootfs/internal/e2e"
	"github.com/librootfs/librootfs/rootfs/internal/nstest"
)

// withImage puts a few files of all kinds at /data of the image; package copyup has the test of every attribute.
func withImage(b *box) *box {
	b.t.Helper()
	data := b.rootfs + "/data"
	write(b.t, data+"/file", "text", 0o640)
	write(b.t, data+"/sub/tool", "#!", 0o755)
	for _, err := range []error{
		os.Symlink("file", data+"/link"), os.Link(data+"/file", data+"/sub/too"), unix.Mkfifo(data+"/fifo", 0o600),
		os.Symlink("/data/../../../etc", data+"/out"), unix.Chmod(data+"/sub", 0o555), unix.Chmod(data, 0o1751),
	} {
		if err != nil {
			b.t.Fatal(err)
		}
	}
	return b.look("/data", "/data/file", "/data/link", "/data/sub", "/data/sub/tool", "/data/sub/too", "/data/fifo", "/data/out")
}

func checkImage(t *testing.T, r e2e.Result) {
	t.Helper()
	n := r.Nodes
	if n["/data/file"].Text != "text" || n["/data/file"].Mode&0o7777 != 0o640 || n["/data/sub/too"].Text != "text" ||
		n["/data/link"].Link != "file" || n["/data/sub"].Mode&0o7777 != 0o555 || n["/data/fifo"].Mode != unix.S_IFIFO|0o600 ||
		n["/data/out"].Link != "/data/../../../etc" || n["/data/sub/tool"].Mode&0o7777 != 0o755 {
		t.Errorf("%+v", n)
	}
}

func TestCopyUp(t *testing.T) {
	b := withImage(newBox(t)).mount("/data", "tmpfs", "tmpfs", "tmpcopyup", "nosuid").mount("/new", "tmpfs", "tmpfs", "tmpcopyup")
	if err := unix.Chmod(b.rootfs+"/data/sub/tool", 0o4755); err != nil {
		t.Fatal(err)
	}
	b.mount("/data/inner", "tmpfs", "tmpfs") // made in the copy, not in the image
	r := b.write("/data/file", "/new").look("/new").run()
	if n := r.Nodes["/data/sub/tool"]; n.Mode&0o7777 != 0o4755 {
		t.Errorf("a set-id bit is gone: %+v", n)
	}
	if r.Nodes["/data"].Mode&0o7777 != 0o1751 || r.Writes["/data/file"] != "" || r.Writes["/new"] != "" || r.At("/data").Type != "tmpfs" {
		t.Errorf("%+v %v", r.Nodes, r.Writes)
	}
	if text, err := os.ReadFile(b.rootfs + "/data/file"); err != nil || string(text) != "text" {
		t.Errorf("the image was written: %q, %v", text, err)
	}
	if _, err := os.Lstat(b.rootfs + "/data/inner"); err == nil {
		t.Error("a mount point was made in the image")
	}
}

func TestCopyUpReadonly(t *testing.T) {
	b := withImage(newBox(t)).mount("/data", "tmpfs", "tmpfs", "ro", "tmpcopyup", "mode=0711", "uid=5", "gid=6")
	r := b.write("/data", "/data/file").run()
	checkImage(t, r)
	if n := r.Nodes["/data"]; n.Mode&0o7777 != 0o711 || n.UID != 5 || n.GID != 6 {
		t.Errorf("what the options say is not what is there: %+v", n)
	}
	if r.Writes["/data"] == "" || r.Writes["/data/file"] == "" {
		t.Errorf("%v", r.Writes)
	}
}

func TestCopyUpInUserNamespace(t *testing.T) {
	b := withImage(newBox(t)).userns().withProc().mount("/data", "tmpfs", "tmpfs", "tmpcopyup", "ro")
	r := b.write("/data/file").run()
	checkImage(t, r)
	if r.Nodes["/data/file"].UID != 0 || r.Nodes["/data"].Mode&0o7777 != 0o1751 || r.Writes["/data/file"] == "" {
		t.Errorf("%+v %v", r.Nodes, r.Writes)
	}
	// What the image has of others cannot be owned by them in there.
	b = withImage(newBox(t)).userns().mount("/data", "tmpfs", "tmpfs", "tmpcopyup")
	b.spec.UIDMap, b.spec.GIDMap = one(firstID), one(firstID)
	if err := os.Lchown(b.rootfs+"/data/fifo", 77, 77); err != nil {
		t.Fatal(err)
	}
	b.refused("/mounts/0", "no id in the container's user namespace")
}

func TestCopyUpThatDoesNotFit(t *testing.T) {
	b := withImage(newBox(t)).mount("/data", "tmpfs", "tmpfs", "tmpcopyup", "size=16k")
	write(t, b.rootfs+"/data/big", string(make([]byte, 64<<10))+"x", 0o600)
	if e := b.refused("/mounts/0", "write(big)"); !errors.Is(e, unix.ENOSPC) {
		t.Errorf("%+v", e)
	}
}

// A symlink of the image at the destination leads the copy elsewhere in the image, never out of it.
func TestCopyUpThroughSymlink(t *testing.T) {
	b := withImage(newBox(t))
	if err := os.Symlink("../../../../data", b.rootfs+"/linked"); err != nil {
		t.Fatal(err)
	}
	r := b.mount("/linked", "tmpfs", "tmpfs", "tmpcopyup").run()
	checkImage(t, r)
	if r.At("/data") == nil || r.At("/linked") != nil {
		t.Errorf("%+v", r.Mounts)
	}
	b = withImage(newBox(t))
	if err := os.Symlink("/etc", b.rootfs+"/linked"); err != nil {
		t.Fatal(err)
	}
	r = b.mount("/linked", "tmpfs", "tmpfs", "tmpcopyup").look("/etc/passwd", "/etc/hostname").run()
	if !r.Nodes["/etc/passwd"].Missing || !r.Nodes["/etc/hostname"].Missing {
		t.Errorf("files of the host: %+v", r.Nodes)
	}
}

// On a kernel without detached mounts the copy is made once the mount is there.
func TestCopyUpWithoutDetachedMounts(t *testing.T) {
	for _, option := range []string{"rw", "ro"} {
		b := withImage(newBox(t)).mount("/proc", "proc", "proc").mount("/data", "tmpfs", "tmpfs", "tmpcopyup", option)
		b.spec.Deny = []nstest.Denial{nstest.Deny(unix.ENOSYS)}
		r := b.write("/data/file").run()
		checkImage(t, r)
		if (r.Writes["/data/file"] == "") != (option == "rw") || r.Nodes["/data"].Mode&0o7777 != 0o1751 {
			t.Errorf("%v %+v", r.Writes, r.Nodes["/data"])
		}
	}
}
