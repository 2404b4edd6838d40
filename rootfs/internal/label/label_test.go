package label

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/librootfs/librootfs/rootfs/internal/nstest"
)

func TestMain(m *testing.M) { nstest.Main(m) }

// The attribute can be set also where nothing reads it, so the walk is shown without SELinux; what it means is not.
func TestBelow(t *testing.T) {
	nstest.NeedRoot(t)
	const label = "system_u:object_r:container_file_t:s0"
	dir, err := os.MkdirTemp("/var/tmp", "librootfs-label")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	for _, err := range []error{
		os.MkdirAll(dir+"/tree/a/b", 0o755), os.WriteFile(dir+"/tree/a/b/file", nil, 0), os.WriteFile(dir+"/outside", nil, 0o644),
		os.Symlink("../outside", dir+"/tree/link"), unix.Mkfifo(dir+"/tree/fifo", 0o600), os.Mkdir(dir+"/elsewhere", 0o755),
		os.Symlink("../elsewhere", dir+"/tree/dir"), os.WriteFile(dir+"/elsewhere/file", nil, 0o644),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Setxattr(dir+"/outside", name, []byte(label), 0); err != nil {
		t.Skipf("no security attributes here: %v", err)
	}
	if err := unix.Setxattr(dir+"/outside", name, []byte("other"), 0); err != nil {
		t.Fatal(err)
	}
	before, err := nstest.Descriptors()
	if err != nil {
		t.Fatal(err)
	}
	if err := below(dir+"/tree", label); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{"/tree/a": label, "/tree/a/b": label, "/tree/a/b/file": label, "/tree/link": label,
		"/tree/fifo": label, "/tree/dir": label, "/outside": "other", "/elsewhere": "", "/elsewhere/file": ""} {
		buf := make([]byte, 200)
		n, err := unix.Lgetxattr(dir+path, name, buf)
		if got := string(buf[:max(n, 0)]); got != want {
			t.Errorf("%s is labelled %q, want %q (%v)", path, got, want, err)
		}
	}
	after, err := nstest.Descriptors()
	if err != nil || len(after) != len(before) {
		t.Errorf("descriptors were %v and are %v, %v", before, after, err)
	}
	if err := below(dir+"/outside", label); err != nil {
		t.Errorf("a file: %v", err)
	}
	if err := below(dir+"/tree/dir", label); err != nil {
		t.Errorf("a symlink: %v", err)
	}
	if n, err := unix.Lgetxattr(dir+"/elsewhere/file", name, make([]byte, 200)); err != unix.ENODATA {
		t.Errorf("what a symlink leads to was labelled: %d, %v", n, err)
	}
}

func TestShared(t *testing.T) {
	got, err := forMount("system_u:object_r:container_file_t:s0:c1,c2", 'z')
	if err != nil || got != "system_u:object_r:container_file_t:s0" {
		t.Errorf("z: %q, %v", got, err)
	}
	got, err = forMount("system_u:object_r:container_file_t:s0:c1,c2", 'Z')
	if err != nil || got != "system_u:object_r:container_file_t:s0:c1,c2" {
		t.Errorf("Z: %q, %v", got, err)
	}
}

const name = "security.selinux"
