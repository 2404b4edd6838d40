package tree

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/librootfs/librootfs/rootfs/internal/nstest"
	"github.com/librootfs/librootfs/rootfs/internal/procfs"
)

// The id of a mount that has gone is soon another's; that of one that is still there is not taken for it.
func TestStays(t *testing.T) {
	nstest.NeedRoot(t)
	dir := t.TempDir()
	err := nstest.Thread(func() error {
		open := func(path string) (fd, id int) {
			fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
			if err != nil {
				t.Error(err)
			}
			if id, err = procfs.MountID(fd); err != nil {
				t.Error(err)
			}
			return fd, id
		}
		target, below := open(dir)
		defer unix.Close(target)
		if err := unix.Mount("tmpfs", dir, "tmpfs", 0, ""); err != nil {
			return err
		}
		fd, id := open(dir)
		defer unix.Close(fd)
		table, err := mounts()
		if err != nil {
			return err
		}
		real := table[id]
		if real.parent != below || real.dev == "" {
			t.Errorf("%+v, on %d", real, below)
		}
		for _, c := range []struct {
			was  place
			want bool
		}{
			{real, true},
			{place{real.parent, "0:0"}, false},           // another file system had the id
			{place{real.parent + 1000, real.dev}, false}, // the same had it elsewhere
		} {
			if got, err := stays(id, c.was, target); got != c.want || err != nil {
				t.Errorf("%+v: %v, %v", c.was, got, err)
			}
		}
		// A mount that does not lie on the target's is not ours, whatever has become of the one below it.
		if got, err := stays(id, place{real.parent + 1000, real.dev}, fd); !got || err != nil {
			t.Errorf("beside the target: %v, %v", got, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
