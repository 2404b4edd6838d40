package apply

import (
	"golang.org/x/sys/unix"

	"github.com/librootfs/librootfs/rootfs/internal/inroot"
	"github.com/librootfs/librootfs/rootfs/internal/linux"
	"github.com/librootfs/librootfs/rootfs/internal/plan"
	"github.com/librootfs/librootfs/rootfs/internal/procfs"
	"github.com/librootfs/librootfs/rootfs/internal/tree"
)

// A mount that is to be read-only in the end is found again by its path. The plan sees to it that none is covered before, as far
// as paths tell; where a symlink leads, only the root file system tells.

// lateMount is a mount that is still to become read-only.
type lateMount struct {
	path string
	id   uint64
	fd   int
}

// remember keeps the number of a mount that is to become read-only. Of several at one path only some may have asked for that,
// and one that was remounted does no more.
func (x *Executor) remember(m *plan.Mount, fd int) error {
	if !m.Late {
		if m.Remount {
			delete(x.ids, m.Path)
		}
		return nil
	}
	id, _, err := procfs.Mount(fd)
	if err == nil {
		x.ids[m.Path] = id
	}
	return err
}

// lateMounts opens those that a mount could cover without the plan's knowledge: none where no symlink is about (trace.go).
func (x *Executor) lateMounts() (late []lateMount) {
	if x.made == nil {
		return nil
	}
	for path, id := range x.ids {
		fd, err := x.root.Open(path, unix.O_PATH, inroot.Follow)
		if err != nil {
			continue
		}
		if is, _, err := procfs.Mount(fd); err != nil || is != id {
			linux.Close(fd)
			continue
		}
		late = append(late, lateMount{path, id, fd})
	}
	return late
}

// settle makes those read-only that their path no longer leads to, and lets go of all.
func (x *Executor) settle(late []lateMount) (err error) {
	for _, l := range late {
		t := tree.At(l.fd, l.path)
		if err == nil && !x.leadsTo(l.path, l.id) {
			if err = readonly(t); err == nil {
				x.ids[l.path] = settled
			}
		}
		t.Close()
	}
	return err
}

// settled stands for the id of a mount that is read-only already, and covered.
const settled = ^uint64(0)

func (x *Executor) leadsTo(path string, id uint64) bool {
	fd, err := x.root.Open(path, unix.O_PATH, inroot.Follow)
	if err != nil {
		return false
	}
	defer linux.Close(fd)
	is, _, err := procfs.Mount(fd)
	return err == nil && is == id
}
