package tree

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/librootfs/librootfs/rootfs/internal/nstest"
)

// A kernel that takes any key of overlay's is told from one that has no "lowerdir+".
func TestTakesAnyKey(t *testing.T) {
	nstest.NeedRoot(t)
	for fstype, want := range map[string]bool{"tmpfs": false, "ramfs": true, "overlay": nstest.KernelBefore(6, 5), "no such type": false} {
		if got := takesAnyKey(fstype); got != want {
			t.Errorf("%s: %v", fstype, got)
		}
	}
}

func TestLongPaths(t *testing.T) {
	long := strings.Repeat("/d", 200)
	for _, c := range []struct {
		fs   FS
		want bool
	}{
		{FS{Type: "overlay", Data: []string{"xino=on", "lowerdir=" + long}}, true},
		{FS{Type: "overlay", Data: []string{"lowerdir=/a", "other=" + long}}, false},
		{FS{Type: "tmpfs", Data: []string{"lowerdir=" + long}}, false},
	} {
		if got := c.fs.longPaths(); got != c.want {
			t.Errorf("%+v: %v", c.fs, got)
		}
	}
}

func TestShortened(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a", "b:c", "d", "e", "upper"} {
		if err := os.Mkdir(dir+"/"+name, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	fs := FS{Type: "overlay", Data: []string{"xino=on", "lowerdir=" + dir + "/a:" + dir + `/b\:c::` + dir + "/d::" + dir + "/e", "upperdir=" + dir + "/upper"}}
	short, fds, err := fs.shortened()
	if err != nil || len(fds) != 5 {
		t.Fatal(fds, err)
	}
	defer closeAll(fds)
	want := fmt.Sprintf("xino=on,lowerdir=%d:%d::%d::%d,upperdir=%d", fds[0], fds[1], fds[2], fds[3], fds[4])
	if got := strings.Join(short.Data, ","); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if strings.Contains(strings.Join(fs.Data, ","), fmt.Sprint("=", fds[0], ":")) {
		t.Error("the options that were given have changed")
	}
	for i, name := range []string{"a", "b:c", "d", "e", "upper"} {
		var at, named unix.Stat_t
		if unix.Fstat(fds[i], &at) != nil || unix.Stat(dir+"/"+name, &named) != nil || at.Ino != named.Ino {
			t.Errorf("descriptor %d is not %s", fds[i], name)
		}
	}
	fs.Data = append(fs.Data, "workdir="+dir+"/none")
	if _, fds, err := fs.shortened(); err == nil || fds != nil {
		t.Error(fds, err)
	}
}
