package label

import (
	"os"
	"strings"
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
	// Where SELinux is enabled every file has a label, and reading gives it with the byte that ends it.
	labelOf := func(path string) string {
		buf := make([]byte, 200)
		n, err := unix.Lgetxattr(dir+path, name, buf)
		if err != nil && err != unix.ENODATA {
			t.Error(path, err)
		}
		return strings.TrimSuffix(string(buf[:max(n, 0)]), "\x00")
	}
	untouched := labelOf("/elsewhere")
	if untouched == label {
		t.Fatal("a new file has the label that the walk is to give")
	}
	before, err := nstest.Descriptors()
	if err != nil {
		t.Fatal(err)
	}
	if err := below(dir+"/tree", label); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{"/tree/a": label, "/tree/a/b": label, "/tree/a/b/file": label, "/tree/link": label,
		"/tree/fifo": label, "/tree/dir": label, "/outside": "other", "/elsewhere": untouched, "/elsewhere/file": untouched} {
		if got := labelOf(path); got != want {
			t.Errorf("%s is labelled %q, want %q", path, got, want)
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
	if got := labelOf("/elsewhere/file"); got != untouched {
		t.Errorf("what a symlink leads to was labelled: %q", got)
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
