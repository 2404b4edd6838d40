package apply

import (
	"golang.org/x/sys/unix"

	"github.com/librootfs/librootfs/rootfs/internal/errs"
	"github.com/librootfs/librootfs/rootfs/internal/linux"
	"github.com/librootfs/librootfs/rootfs/internal/plan"
	"github.com/librootfs/librootfs/rootfs/internal/tree"
)

// openRoot takes hold of the root file system and makes a mount of it. Nothing is changed before it is known to be one.
func (x *Executor) openRoot(s *plan.OpenRoot) error {
	if x.host.Root != nil {
		if err := notOwnRoot(*x.host.Root, s.Source); err != nil {
			return err
		}
	}
	dir, err := OpenRootDir(s.Source)
	if err != nil {
		return err
	}
	if !s.HasMountNS {
		x.root.FD = dir
		return nil
	}
	defer linux.Close(dir)
	if err := linux.Mount("", "/", "", s.HostPropagation, ""); err != nil {
		return err
	}
	switch p := s.HostPropagation &^ unix.MS_REC; {
	case p != unix.MS_SHARED:
		x.outside = []uint64{p}
	case s.UserNS:
		x.outside = []uint64{unix.MS_SLAVE, p}
	}
	// Where mounts may still be shared, the bind of the root would appear on the host, and pivot_root(2) would refuse it.
	x.cut = s.HostPropagation&unix.MS_SHARED == 0 && s.HostPropagation&unix.MS_REC != 0
	if !x.cut {
		if err := privateParent(dir); err != nil {
			return err
		}
	}
	t, err := x.rootTree(dir, s.Source)
	if err != nil {
		return err
	}
	again := func() (int, error) { return linux.Open(s.Source, unix.O_PATH|unix.O_DIRECTORY) }
	old := t.FD < 0
	err = aimed(t.Attach(dir, again), t, dir, s.Source)
	if x.host.Root != nil {
		err = foreign(err, old)
	}
	if err != nil {
		t.Close()
		return err
	}
	x.root.FD, x.attached = t.Take(), true
	return nil
}

// rootTree is what is attached over the root's directory: that itself, or the tree that the host lent.
func (x *Executor) rootTree(dir int, name string) (*tree.Tree, error) {
	if x.host.Root == nil {
		return tree.Clone(dir, "", name, true, false)
	}
	t, err := x.lent(*x.host.Root, name, true)
	if err != nil {
		return nil, err
	}
	if x.cut {
		return t, nil
	}
	if err := t.Change(tree.Attr{Propagation: unix.MS_PRIVATE}); err != nil {
		t.Close()
		return nil, foreign(err, false)
	}
	return t, nil
}

// OpenRootDir opens a root file system (O_PATH) after making sure that it can be one. The caller closes it.
func OpenRootDir(path string) (int, error) {
	dir, err := linux.Open(path, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return -1, err
	}
	if err := notOwnRoot(dir, path); err != nil {
		linux.Close(dir)
		return -1, err
	}
	return dir, nil
}

func notOwnRoot(dir int, path string) error {
	slash, err := linux.Lstatat(unix.AT_FDCWD, "/")
	if err != nil {
		return err
	}
	st, err := linux.Fstat(dir)
	if err == nil && st.Dev == slash.Dev && st.Ino == slash.Ino {
		err = &errs.Error{Code: errs.Invalid, Op: "config", Detail: path + " is the host's own root"}
	}
	return err
}

// privateParent makes the mount that dir lies on private, by walking up to its root: the host's mount table is not read,
// so that its size and its changes do not matter.
func privateParent(dir int) error {
	fd, err := linux.Openat(dir, ".", unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	for range unix.PathMax {
		t := tree.At(fd, "parent of the root")
		err := t.Change(tree.Attr{Propagation: unix.MS_PRIVATE})
		if !errs.Is(err, unix.EINVAL) {
			linux.Close(fd)
			return err
		}
		up, err := linux.Openat(fd, "..", unix.O_PATH|unix.O_DIRECTORY, 0)
		linux.Close(fd)
		if err != nil {
			return err
		}
		fd = up
	}
	linux.Close(fd)
	return errs.Refuse("mount_setattr", "parent of the root", "no mount found above it")
}

// coverRoot makes a mount that was just attached over the whole root the root of what follows: a look-up from the old one would
// go on below it.
func (x *Executor) coverRoot(fd int) error {
	top, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return errs.Sys("fcntl", "/", err)
	}
	x.below = append(x.below, x.root.FD)
	x.root.FD = top
	return nil
}

// undo takes the root's mount away again, with all that was mounted below it.
func (x *Executor) undo() {
	back, err := linux.Open(".", unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return
	}
	defer linux.Close(back)
	bottom := x.root.FD
	if len(x.below) > 0 {
		bottom = x.below[0]
	}
	if linux.Fchdir(bottom) == nil {
		for range len(x.below) + 1 {
			_ = linux.Unmount(".", unix.MNT_DETACH) // the topmost of what is mounted there
		}
		_ = linux.Fchdir(back)
	}
}
