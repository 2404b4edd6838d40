package apply

import (
	"golang.org/x/sys/unix"

	"github.com/librootfs/librootfs/rootfs/internal/errs"
	"github.com/librootfs/librootfs/rootfs/internal/inroot"
	"github.com/librootfs/librootfs/rootfs/internal/linux"
	"github.com/librootfs/librootfs/rootfs/internal/plan"
	"github.com/librootfs/librootfs/rootfs/internal/procfs"
	"github.com/librootfs/librootfs/rootfs/internal/tree"
)

// remount changes the mount that is at the target already (the option "remount").
func (x *Executor) remount(m *plan.Mount) error {
	open := x.openTracing
	if m.PlainTarget {
		open = func(path string) (int, error) { return x.root.Open(path, unix.O_PATH, inroot.Plain) }
	}
	fd, err := open(m.Path)
	if err != nil {
		return err
	}
	t := tree.At(fd, m.Path)
	defer t.Close()
	if _, root, err := linux.MountID(fd); err != nil || root == linux.No {
		if err == nil {
			err = errs.Sys("remount", m.Path, unix.EINVAL)
		}
		return err
	}
	if changesFilesystem(m) {
		if err := x.mayChange(m, fd); err != nil {
			return err
		}
		if err := t.Reconfigure(tree.FS{Type: m.Type, Super: m.Super, Data: m.Data, Attr: m.Attr}); err != nil {
			return err
		}
	}
	if m.ExactAttr {
		if err := t.Exactly(m.Attr, m.Clear); err != nil {
			return err
		}
	}
	if err := t.Change(tree.Attr{Set: m.RecAttr, Clear: m.RecClear, Recursive: true}); err != nil {
		return err
	}
	if err := x.propagate(m, t); err != nil {
		return err
	}
	x.note(m, fd)
	return x.remember(m, fd)
}

// changesFilesystem tells whether a remount changes the file system, not only the mount.
func changesFilesystem(m *plan.Mount) bool { return m.Remount && m.Type != "" && m.Type != "bind" }

// owned remembers a mount whose file system a later remount may change. Not by its path: a symlink of the image's can lead the
// remount to another.
func (x *Executor) owned(m *plan.Mount, fd int) error {
	if x.own == nil || !m.OwnFS {
		return nil
	}
	id, _, err := identity(m.Path, fd)
	if err == nil {
		x.own[id] = true
	}
	return err
}

// mayChange refuses to change a file system that the host may have mounted as well: that of a bind, of the root, of a kernel
// interface that has one for all.
func (x *Executor) mayChange(m *plan.Mount, fd int) error {
	id, _, err := identity(m.Path, fd)
	if err == nil && !x.own[id] {
		err = errs.Refuse("remount", m.Path, `the host may use the file system that is there, and would have it changed; with "bind" only the mount is`)
	}
	return err
}

// identity is procfs.Mount for what is not safe where nothing tells.
func identity(path string, fd int) (id uint64, root linux.Answer, err error) {
	id, root, err = procfs.Mount(fd)
	return id, root, procfs.IfNone("statx", path, "without statx(2) and name_to_handle_at(2) only a procfs tells one mount from another", err)
}
