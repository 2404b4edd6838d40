package apply

import (
	"errors"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/librootfs/librootfs/rootfs/internal/errs"
	"github.com/librootfs/librootfs/rootfs/internal/inroot"
	"github.com/librootfs/librootfs/rootfs/internal/linux"
	"github.com/librootfs/librootfs/rootfs/internal/plan"
	"github.com/librootfs/librootfs/rootfs/internal/procfs"
	"github.com/librootfs/librootfs/rootfs/internal/tree"
)

var formatOf = map[byte]uint32{'c': unix.S_IFCHR, 'b': unix.S_IFBLK, 'p': unix.S_IFIFO}

// device makes a node below a descriptor of its directory, and then holds what is there against what was asked for: an
// image may have put something else in its place.
func (x *Executor) device(d *plan.Device) error {
	dir, err := x.dirOf(d.Path)
	if err != nil {
		return err
	}
	name := inroot.Basename(d.Path)
	if d.Bind && d.Type != 'p' {
		return x.bindDevice(d, dir, name)
	}
	err = linux.Mknodat(dir, name, formatOf[d.Type]|d.Mode, unix.Mkdev(d.Major, d.Minor))
	if errs.Is(err, unix.EPERM) && d.Type != 'p' {
		return x.bindDevice(d, dir, name)
	}
	if err != nil && !errs.Is(err, unix.EEXIST) {
		return err
	}
	made := err == nil
	st, err := linux.Lstatat(dir, name)
	if err != nil {
		return err
	}
	if !isDevice(&st, d.Type, d.Major, d.Minor) {
		return notDevice(d)
	}
	if st.Uid == d.UID && st.Gid == d.GID && st.Mode&0o7777 == d.Mode {
		return nil
	}
	return adjust(d, dir, name, made)
}

// adjust gives a node its owner and mode, by a descriptor that is known to be of the node.
func adjust(d *plan.Device, dir int, name string, made bool) error {
	fd, err := linux.Openat(dir, name, unix.O_PATH|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer linux.Close(fd)
	st, err := linux.Fstat(fd)
	if err != nil {
		return err
	}
	if !isDevice(&st, d.Type, d.Major, d.Minor) {
		return notDevice(d)
	}
	// A mount of the config put it there: it is the host's own node, which a container may use but not change.
	if !made {
		if mounted, err := isMounted(fd, dir); err != nil || mounted {
			return err
		}
	}
	// The owner first: chown(2) may clear bits of the mode.
	if err := linux.Fchown(fd, d.UID, d.GID); err != nil {
		var e *errs.Error
		if errs.Is(err, unix.EINVAL) && errors.As(err, &e) {
			e.Detail = "its uid or gid has no id in the container's user namespace"
		}
		return err
	}
	return linux.Fchmod(fd, d.Mode)
}

// isMounted tells whether a node is a mount of its own. Before Linux 5.8 the kernel does not say; then one that lies on another
// mount than its directory is.
func isMounted(fd, dir int) (bool, error) {
	_, root, err := linux.MountID(fd)
	if err != nil || root != linux.Unknown {
		return root == linux.Yes, err
	}
	node, err := procfs.MountID(fd)
	if err != nil {
		return false, err
	}
	in, err := procfs.MountID(dir)
	return node != in, err
}

func notDevice(d *plan.Device) error {
	return errs.Refuse("fstat", d.Path, "is there already and is not the device "+deviceName(d))
}

// dirOf is the directory that a device or symlink goes to. Most go to /dev one after the other, so the last one is kept
// until a step of another kind comes.
func (x *Executor) dirOf(path string) (int, error) {
	dirname := inroot.Dirname(path)
	if x.dir >= 0 && x.dirname == dirname {
		return x.dir, nil
	}
	x.forgetDir()
	fd, err := x.root.Parent(path, inroot.Follow)
	if err != nil {
		return -1, err
	}
	x.dir, x.dirname = fd, dirname
	return fd, nil
}

// keepDir takes the descriptor of a tmpfs that was just mounted: what follows often goes into it, first of all into /dev. No path
// leads there more safely.
func (x *Executor) keepDir(path string, t *tree.Tree) {
	if x.dir < 0 {
		x.dir, x.dirname, x.ownDir = t.Take(), path, true
	}
}

func (x *Executor) forgetDir() {
	linux.Close(x.dir)
	x.dir, x.ownDir = -1, false
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
	if err := x.mayMount(d.Path); err != nil {
		return err
	}
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

// mayMount refuses a mount that the config did not ask for where it would be one of the host's own.
func (x *Executor) mayMount(path string) error {
	for _, s := range x.plan.Prepare {
		if root, ok := s.(*plan.OpenRoot); ok && !root.HasMountNS {
			return errs.Cannot("mount", path, "it can only be bound here, and without a mount namespace that would be a mount of the host's")
		}
	}
	return nil
}

// bindFile binds what host stands for over a file in dir, made where it is missing. A symlink is never followed.
func bindFile(host int, path string, dir int, name string) error {
	err := linux.Mknodat(dir, name, unix.S_IFREG, 0)
	if err != nil && !errs.Is(err, unix.EEXIST) {
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
	return aimed(t.Attach(target, open), t, target, path)
}

// symlink makes a link below a descriptor of its directory. One that is there already is left alone, whatever it is:
// nothing is done through it.
func (x *Executor) symlink(s *plan.Symlink) error {
	dir, err := x.dirOf(s.Path)
	if err != nil {
		return err
	}
	name := inroot.Basename(s.Path)
	err = linux.Symlinkat(s.To, dir, name)
	if !errs.Is(err, unix.EEXIST) {
		return err
	}
	if !s.Replace {
		return nil
	}
	if err := linux.Unlinkat(dir, name, 0); err != nil && !errs.Is(err, unix.ENOENT) {
		return err
	}
	return linux.Symlinkat(s.To, dir, name)
}
