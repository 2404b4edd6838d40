package apply

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/librootfs/librootfs/rootfs/internal/errs"
	"github.com/librootfs/librootfs/rootfs/internal/inroot"
	"github.com/librootfs/librootfs/rootfs/internal/linux"
	"github.com/librootfs/librootfs/rootfs/internal/plan"
	"github.com/librootfs/librootfs/rootfs/internal/procfs"
)

// switchRoot makes the container's root the root of the process; the working directory is "/" afterwards.
func (x *Executor) switchRoot(s *plan.SwitchRoot) error {
	var err error
	switch s.Method {
	case "pivot_root":
		err = x.pivot()
	case "move":
		err = x.move()
	default:
		err = x.chroot()
	}
	x.switched = err == nil
	return err
}

// pivot stacks the old root on the new one and takes it off again, so that the image needs no directory for it
// (pivot_root(2), NOTES: pivot_root(".", ".")).
func (x *Executor) pivot() error {
	old := -1
	if !x.cut {
		var err error
		if old, err = linux.Open("/", unix.O_PATH|unix.O_DIRECTORY); err != nil {
			return err
		}
		defer linux.Close(old)
	}
	if err := linux.Fchdir(x.root.FD); err != nil {
		return err
	}
	if err := linux.PivotRoot(".", "."); err != nil {
		return err
	}
	x.switched = true
	// The unmount below must not reach the host: what is still shared with it becomes a slave first.
	if !x.cut {
		if err := linux.Fchdir(old); err != nil {
			return err
		}
		if err := linux.Mount("", ".", "", unix.MS_SLAVE|unix.MS_REC, ""); err != nil {
			return err
		}
		if err := linux.Fchdir(x.root.FD); err != nil {
			return err
		}
	}
	return linux.Unmount(".", unix.MNT_DETACH) // of what is stacked there, the top
}

// move is for a host whose root is a ramfs, which pivot_root(2) refuses. The host's mounts stay in the namespace, below
// the new root. A full procfs or sysfs among them would let the container mount its own without the masks that the
// kernel otherwise insists on (mount_namespaces(7)), so those are taken away or covered.
func (x *Executor) move() error {
	if err := x.hideFull(); err != nil {
		return err
	}
	if err := linux.Fchdir(x.root.FD); err != nil {
		return err
	}
	slash, err := linux.Open("/", unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer linux.Close(slash)
	err = linux.MoveMount(x.root.FD, slash)
	if err != nil && linux.CallMoveMount.Refused(err) {
		err = linux.Mount(".", "/", "", unix.MS_MOVE, "")
	}
	if err != nil {
		return err
	}
	return x.chroot()
}

func (x *Executor) chroot() error {
	if err := linux.Fchdir(x.root.FD); err != nil {
		return err
	}
	if err := linux.Chroot("."); err != nil {
		return err
	}
	return linux.Fchdir(x.root.FD)
}

// stdio puts the container's null device where the process came with the host's: a descriptor of the host's file would
// otherwise stay reachable. Anything that is not the null device is left alone. The root is not switched yet: the host's /proc is
// at hand.
func (x *Executor) stdio() error {
	null := -1
	defer func() { linux.Close(null) }()
	for fd := range 3 {
		st, err := linux.Fstat(fd)
		if errs.Is(err, unix.EBADF) {
			continue
		}
		if err != nil {
			return err
		}
		if !isDevice(&st, 'c', 1, 3) {
			continue
		}
		if null < 0 {
			if null, err = x.readWriteNull(); err != nil {
				return err
			}
		}
		if err := unix.Dup3(null, fd, 0); err != nil {
			return errs.Sys("dup3", linux.FD(fd), err)
		}
	}
	return nil
}

// openNull opens the container's null device (O_PATH), and makes sure that it is one.
func (x *Executor) openNull() (int, error) {
	fd, err := x.root.Open("/dev/null", unix.O_PATH|unix.O_NOFOLLOW, inroot.Follow)
	if err != nil {
		return -1, err
	}
	if err := mustBeNull(fd); err != nil {
		linux.Close(fd)
		return -1, err
	}
	return fd, nil
}

// readWriteNull opens it for use. To open a device can have effects, so the very one that was looked at is opened, and its path
// is not looked up again.
func (x *Executor) readWriteNull() (int, error) {
	path, err := x.openNull()
	if err != nil {
		return -1, err
	}
	defer linux.Close(path)
	fd := -1
	if x.attached {
		fd, err = linux.Open(linux.ProcFD(path), unix.O_RDWR)
	}
	// Where the mount namespace is shared, nobody knows what lies on its /proc; and a host may have none.
	if !x.attached || errs.Is(err, unix.ENOENT) {
		fd, err = procfs.Reopen(path, unix.O_RDWR)
	}
	err = procfs.IfNone("openat", "/dev/null", "a device is not safely opened without a procfs", err)
	var e *errs.Error
	if errors.As(err, &e) {
		e.Args = "/dev/null"
	}
	return fd, err
}

func mustBeNull(fd int) error {
	st, err := linux.Fstat(fd)
	if err == nil && !isDevice(&st, 'c', 1, 3) {
		err = errs.Refuse("fstat", "/dev/null", "is not the character device 1:3")
	}
	return err
}

// chdir enters the working directory by descriptor: no magic link can lead out to a directory of the host whose
// descriptor is open (CVE-2024-21626).
func (x *Executor) chdir(s *plan.Chdir) error {
	if s.Again {
		fd, err := x.root.Open(s.Path, unix.O_PATH|unix.O_DIRECTORY, inroot.Follow)
		if err != nil {
			return err
		}
		defer linux.Close(fd)
		return linux.Fchdir(fd)
	}
	if s.Path == "/" { // where switchRoot ends
		return nil
	}
	fd, _, err := x.root.Dir(s.Path, inroot.Follow)
	if err != nil {
		return err
	}
	defer linux.Close(fd)
	return linux.Fchdir(fd)
}
