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
	dir, err := x.rootDir(s.Source)
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
	x.cut = s.HostPropagation&unix.MS_SHARED == 0 && s.HostPropagation&unix.MS_REC != 0
	attach := x.bindRoot
	if x.host.Root != nil {
		attach = x.lentRoot
	}
	t, err := attach(dir, s.Source)
	if err != nil {
		t.Close()
		return err
	}
	x.root.FD, x.attached = t.Take(), true
	return nil
}

// bindRoot binds the root onto itself. Where mounts may still be shared, that would appear on the host, and pivot_root(2) would
// refuse it.
func (x *Executor) bindRoot(dir int, name string) (*tree.Tree, error) {
	if !x.cut {
		if err := privateParent(dir); err != nil {
			return nil, err
		}
	}
	t, err := tree.Clone(dir, "", name, true, false)
	if err != nil {
		return nil, err
	}
	return t, t.Attach(dir, func() (int, error) { return linux.Open(name, unix.O_PATH|unix.O_DIRECTORY) })
}

// lentRoot attaches the root that the host lent. It may be a tree that lies nowhere yet, so it goes over the present root, from
// where pivot_root(2) takes it as well.
func (x *Executor) lentRoot(dir int, name string) (*tree.Tree, error) {
	slash, err := linux.Open("/", unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	defer linux.Close(slash)
	t, err := x.lent(dir, name, true)
	if err != nil {
		return nil, err
	}
	if t.FD < 0 {
		return t, errs.Cannot("open_tree", name, "a root that is given as a descriptor needs open_tree(2) and move_mount(2), Linux 5.2")
	}
	if !x.cut {
		if err := privateParent(slash); err != nil {
			return t, err
		}
		if err := t.Change(tree.Attr{Propagation: unix.MS_PRIVATE}); err != nil {
			return t, foreign(err, false)
		}
	}
	return t, foreign(t.Attach(slash, nil), false)
}

// rootDir opens the root, or duplicates the host's descriptor of it.
func (x *Executor) rootDir(path string) (int, error) {
	if x.host.Root == nil {
		return OpenRootDir(path)
	}
	dir, err := unix.FcntlInt(uintptr(*x.host.Root), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return -1, errs.Sys("fcntl", linux.FD(*x.host.Root), err)
	}
	return dir, mustBeRoot(dir, path)
}

// OpenRootDir opens a root file system (O_PATH) after making sure that it can be one. The caller closes it.
func OpenRootDir(path string) (int, error) {
	dir, err := linux.Open(path, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return -1, err
	}
	return dir, mustBeRoot(dir, path)
}

// mustBeRoot closes dir where it gives an error.
func mustBeRoot(dir int, path string) error {
	slash, err := linux.Lstatat(unix.AT_FDCWD, "/")
	if err == nil {
		var st unix.Stat_t
		st, err = linux.Fstat(dir)
		switch {
		case err != nil:
		case st.Mode&unix.S_IFMT != unix.S_IFDIR:
			err = errs.Sys("fstat", path, unix.ENOTDIR)
		case st.Dev == slash.Dev && st.Ino == slash.Ino:
			err = &errs.Error{Code: errs.Invalid, Op: "config", Detail: path + " is the host's own root"}
		}
	}
	if err != nil {
		linux.Close(dir)
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
