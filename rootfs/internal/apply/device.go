package apply

import (
	"errors"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/librootfs/librootfs/rootfs/internal/errs"
	"github.com/librootfs/librootfs/rootfs/internal/inroot"
	"github.com/librootfs/librootfs/rootfs/internal/linux"
	"github.com/librootfs/librootfs/rootfs/internal/plan"
	"github.com/librootfs/librootfs/rootfs/internal/tree"
)

var formatOf = map[byte]uint32{'c': unix.S_IFCHR, 'b': unix.S_IFBLK, 'p': unix.S_IFIFO}

// device makes a node below a descriptor of its directory, and then holds what is there against what was asked for: an
// image may have put something else in its place.
func (x *Executor) device(d *plan.Device) error {
	dir, name, err := x.root.Parent(d.Path, inroot.Follow)
	if err != nil {
		return err
	}
	defer linux.Close(dir)
	if d.Bind && d.Type != 'p' {
		return x.bindDevice(d, dir, name)
	}
	err = linux.Mknodat(dir, name, formatOf[d.Type]|d.Mode, unix.Mkdev(d.Major, d.Minor))
	if errors.Is(err, unix.EPERM) && d.Type != 'p' {
		return x.bindDevice(d, dir, name)
	}
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return err
	}
	fd, st, err := openDevice(dir, name, d)
	if err != nil {
		return err
	}
	defer linux.Close(fd)
	if st.Uid != d.UID || st.Gid != d.GID {
		if err := linux.Fchown(fd, d.UID, d.GID); err != nil {
			return err
		}
		st.Mode = 0 // chown(2) may have cleared bits of it
	}
	if st.Mode&0o7777 != d.Mode {
		return linux.Fchmod(fd, d.Mode)
	}
	return nil
}

// openDevice opens a node (O_PATH) without following anything, and makes sure of its type and number.
func openDevice(dir int, name string, d *plan.Device) (int, unix.Stat_t, error) {
	fd, err := linux.Openat(dir, name, unix.O_PATH|unix.O_NOFOLLOW, 0)
	if err != nil {
		return -1, unix.Stat_t{}, err
	}
	st, err := linux.Fstat(fd)
	if err == nil && !isDevice(&st, d.Type, d.Major, d.Minor) {
		err = errs.Refuse("fstat", d.Path, "is there already and is not the device "+deviceName(d))
	}
	if err != nil {
		linux.Close(fd)
		return -1, st, err
	}
	return fd, st, nil
}

// isDevice compares the file type as well as the number: a regular file has the number 0:0, and a block device may share
// its number with a character device.
func isDevice(st *unix.Stat_t, kind byte, major, minor uint32) bool {
	if st.Mode&unix.S_IFMT != formatOf[kind] {
		return false
	}
	return kind == 'p' || st.Rdev == unix.Mkdev(major, minor)
}

func deviceName(d *plan.Device) string {
	return string(d.Type) + " " + strconv.FormatUint(uint64(d.Major), 10) + ":" + strconv.FormatUint(uint64(d.Minor), 10)
}

// bindDevice puts the host's node of the same path there, since mknod(2) of a device is refused in a user namespace.
func (x *Executor) bindDevice(d *plan.Device, dir int, name string) error {
	host, err := linux.Open(d.Path, unix.O_PATH|unix.O_NOFOLLOW)
	if err != nil {
		return err
	}
	defer linux.Close(host)
	st, err := linux.Fstat(host)
	if err != nil {
		return err
	}
	if !isDevice(&st, d.Type, d.Major, d.Minor) {
		return errs.Refuse("fstat", d.Path, "the host's node, to be bound, is not the device "+deviceName(d))
	}
	return bindFile(host, d.Path, dir, name)
}

// bindFile binds what host stands for over a file in dir, made where it is missing. A symlink is never followed.
func bindFile(host int, path string, dir int, name string) error {
	err := linux.Mknodat(dir, name, unix.S_IFREG, 0)
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return err
	}
	open := func() (int, error) {
		fd, err := linux.Openat(dir, name, unix.O_PATH|unix.O_NOFOLLOW, 0)
		if err != nil {
			return -1, err
		}
		st, err := linux.Fstat(fd)
		if err == nil && st.Mode&unix.S_IFMT == unix.S_IFLNK {
			err = errs.Refuse("fstat", path, "is a symlink, where a device is to be bound")
		}
		if err != nil {
			linux.Close(fd)
			return -1, err
		}
		return fd, nil
	}
	target, err := open()
	if err != nil {
		return err
	}
	defer linux.Close(target)
	t, err := tree.Clone(host, "", path, false, false)
	if err != nil {
		return err
	}
	defer t.Close()
	return aimed(t.Attach(target, open), path, path)
}

// symlink makes a link below a descriptor of its directory. One that is there already is left alone, whatever it is:
// nothing is done through it.
func (x *Executor) symlink(s *plan.Symlink) error {
	dir, name, err := x.root.Parent(s.Path, inroot.Follow)
	if err != nil {
		return err
	}
	defer linux.Close(dir)
	if s.Replace {
		if err := linux.Unlinkat(dir, name, 0); err != nil && !errors.Is(err, unix.ENOENT) {
			return err
		}
	}
	err = linux.Symlinkat(s.To, dir, name)
	if errors.Is(err, unix.EEXIST) && !s.Replace {
		return nil
	}
	return err
}
