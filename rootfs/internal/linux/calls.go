package linux

import (
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/librootfs/librootfs/rootfs/internal/errs"
)

// interrupted bounds how often a call that answers EINTR is repeated: a file system that always does so (or a fault
// injected by a test) must not hang the init child.
const interrupted = 100

// about is what a call was about, put into words only when it failed.
type about struct {
	dirfd int
	path  string
	to    string
}

// of is a path below a descriptor; an empty path is the descriptor itself.
func of(dirfd int, path string) about { return about{dirfd: dirfd, path: path} }

// named is a name or path that no descriptor belongs to.
func named(name string) about { return about{dirfd: unix.AT_FDCWD, path: name} }

func (a about) String() string {
	s := at(a.dirfd, a.path)
	if a.to != "" {
		s += " -> " + a.to
	}
	return s
}

// sys is errs.Sys for a call that most often succeeds.
func sys(op string, what about, err error) error {
	if err == nil {
		return nil
	}
	return errs.Sys(op, what.String(), err)
}

func retry(call func() error) error {
	err := call()
	for i := 0; err == unix.EINTR && i < interrupted; i++ {
		err = call()
	}
	return err
}

// FD prints a descriptor for an error message.
func FD(fd int) string {
	if fd == unix.AT_FDCWD {
		return "."
	}
	return "fd " + strconv.Itoa(fd)
}

func at(dirfd int, path string) string {
	switch {
	case dirfd == unix.AT_FDCWD:
		return path
	case path == "":
		return FD(dirfd)
	}
	return FD(dirfd) + "/" + path
}

// Open opens path for the host's own use: symlinks are followed as for any host path. O_CLOEXEC is added.
func Open(path string, flags int) (int, error) {
	return Openat(unix.AT_FDCWD, path, flags, 0)
}

// Openat is openat(2) with O_CLOEXEC added.
func Openat(dirfd int, path string, flags int, mode uint32) (fd int, err error) {
	err = retry(func() error {
		fd, err = unix.Openat(dirfd, path, flags|unix.O_CLOEXEC, mode)
		return err
	})
	return fd, sys("openat", of(dirfd, path), err)
}

// Openat2 is openat2(2) with O_CLOEXEC added; callers go through package inroot.
func Openat2(dirfd int, path string, flags, resolve uint64) (fd int, err error) {
	how := unix.OpenHow{Flags: flags | unix.O_CLOEXEC, Resolve: resolve}
	err = retry(func() error {
		fd, err = unix.Openat2(dirfd, path, &how)
		return err
	})
	return fd, sys("openat2", named(path), err)
}

// Close closes a descriptor; close(2) on Linux has no error that a caller of this library could act on.
func Close(fd int) {
	if fd >= 0 {
		_ = unix.Close(fd)
	}
}

// Mkdirat is mkdirat(2).
func Mkdirat(dirfd int, path string, mode uint32) error {
	return sys("mkdirat", of(dirfd, path), retry(func() error { return unix.Mkdirat(dirfd, path, mode) }))
}

// Mknodat is mknodat(2).
func Mknodat(dirfd int, path string, mode uint32, dev uint64) error {
	return sys("mknodat", of(dirfd, path), retry(func() error { return unix.Mknodat(dirfd, path, mode, int(dev)) }))
}

// Symlinkat is symlinkat(2).
func Symlinkat(to string, dirfd int, path string) error {
	return sys("symlinkat", of(dirfd, path), retry(func() error { return unix.Symlinkat(to, dirfd, path) }))
}

// Unlinkat is unlinkat(2).
func Unlinkat(dirfd int, path string, flags int) error {
	return sys("unlinkat", of(dirfd, path), retry(func() error { return unix.Unlinkat(dirfd, path, flags) }))
}

// Readlinkat is readlinkat(2); a longer target than PATH_MAX cannot exist.
func Readlinkat(dirfd int, path string) (string, error) {
	buf := make([]byte, unix.PathMax)
	var n int
	err := retry(func() (err error) {
		n, err = unix.Readlinkat(dirfd, path, buf)
		return err
	})
	if err != nil {
		return "", sys("readlinkat", of(dirfd, path), err)
	}
	return string(buf[:n]), nil
}

// Fstat is fstat(2); it works on O_PATH descriptors too.
func Fstat(fd int) (st unix.Stat_t, err error) {
	err = retry(func() error { return unix.Fstat(fd, &st) })
	return st, sys("fstat", of(fd, ""), err)
}

// Lstatat is fstatat(2) that follows no symlink.
func Lstatat(dirfd int, path string) (st unix.Stat_t, err error) {
	err = retry(func() error { return unix.Fstatat(dirfd, path, &st, unix.AT_SYMLINK_NOFOLLOW) })
	return st, sys("fstatat", of(dirfd, path), err)
}

// Fstatfs is fstatfs(2); it works on O_PATH descriptors too.
func Fstatfs(fd int) (st unix.Statfs_t, err error) {
	err = retry(func() error { return unix.Fstatfs(fd, &st) })
	return st, sys("fstatfs", of(fd, ""), err)
}

// Fchown changes the owner of what an O_PATH descriptor stands for.
func Fchown(fd int, uid, gid uint32) error {
	return sys("fchownat", of(fd, ""), retry(func() error {
		return unix.Fchownat(fd, "", int(uid), int(gid), unix.AT_EMPTY_PATH)
	}))
}

// Fchdir is fchdir(2).
func Fchdir(fd int) error {
	return sys("fchdir", of(fd, ""), retry(func() error { return unix.Fchdir(fd) }))
}

// Fsopen is fsopen(2).
func Fsopen(fstype string) (fd int, err error) {
	err = retry(func() error {
		fd, err = unix.Fsopen(fstype, unix.FSOPEN_CLOEXEC)
		return err
	})
	return fd, sys("fsopen", named(fstype), err)
}

// Fspick is fspick(2) of the file system of the mount whose root fd is.
func Fspick(fd int) (fsfd int, err error) {
	err = retry(func() error {
		fsfd, err = unix.Fspick(fd, "", unix.FSPICK_CLOEXEC|unix.FSPICK_EMPTY_PATH)
		return err
	})
	return fsfd, sys("fspick", of(fd, ""), err)
}

// Fsmount is fsmount(2): a detached mount of a configured file system, with its attributes.
func Fsmount(fsfd int, attr uint64) (fd int, err error) {
	err = retry(func() error {
		fd, err = unix.Fsmount(fsfd, unix.FSMOUNT_CLOEXEC, int(attr))
		return err
	})
	return fd, sys("fsmount", of(fsfd, ""), err)
}

// OpenTree is open_tree(2).
func OpenTree(dirfd int, path string, flags uint) (fd int, err error) {
	err = retry(func() error {
		fd, err = unix.OpenTree(dirfd, path, flags|unix.OPEN_TREE_CLOEXEC)
		return err
	})
	return fd, sys("open_tree", of(dirfd, path), err)
}

// OpenTreeAttr is open_tree_attr(2), which gives the tree that it clones its attributes: all of its mounts where flags have
// AT_RECURSIVE.
func OpenTreeAttr(path string, flags uint, attr *unix.MountAttr) (fd int, err error) {
	name, err := unix.BytePtrFromString(path)
	if err != nil {
		return -1, sys("open_tree_attr", named(path), err)
	}
	at := unix.AT_FDCWD
	err = retry(func() error {
		n, _, errno := unix.Syscall6(unix.SYS_OPEN_TREE_ATTR, uintptr(at), uintptr(unsafe.Pointer(name)), uintptr(flags|unix.OPEN_TREE_CLOEXEC),
			uintptr(unsafe.Pointer(attr)), unsafe.Sizeof(*attr), 0)
		fd = int(n)
		return result(0, 0, errno)
	})
	return fd, sys("open_tree_attr", named(path), err)
}

// MoveMount attaches the tree of one descriptor to the place of another: no path is looked up.
func MoveMount(tree, target int) error {
	return sys("move_mount", of(tree, ""), retry(func() error {
		return result(unix.Syscall6(unix.SYS_MOVE_MOUNT, uintptr(tree), uintptr(unsafe.Pointer(&empty)), uintptr(target),
			uintptr(unsafe.Pointer(&empty)), unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH, 0))
	}))
}

// MountSetattr is mount_setattr(2) on the mount whose root fd is.
func MountSetattr(fd int, recursive bool, attr *unix.MountAttr) error {
	flags := uintptr(unix.AT_EMPTY_PATH)
	if recursive {
		flags |= unix.AT_RECURSIVE
	}
	return sys("mount_setattr", of(fd, ""), retry(func() error {
		return result(unix.Syscall6(unix.SYS_MOUNT_SETATTR, uintptr(fd), uintptr(unsafe.Pointer(&empty)), flags,
			uintptr(unsafe.Pointer(attr)), unsafe.Sizeof(*attr), 0))
	}))
}

// Mount is mount(2) by path: for the host's own "/" and for kernels without the calls above.
func Mount(source, target, fstype string, flags uint64, data string) error {
	return sys("mount", about{unix.AT_FDCWD, source, target}, retry(func() error {
		return unix.Mount(source, target, fstype, uintptr(flags), data)
	}))
}

// Unmount is umount2(2).
func Unmount(target string, flags int) error {
	return sys("umount2", named(target), retry(func() error { return unix.Unmount(target, flags) }))
}

// PivotRoot is pivot_root(2).
func PivotRoot(newroot, putold string) error {
	return sys("pivot_root", named(newroot+", "+putold), retry(func() error { return unix.PivotRoot(newroot, putold) }))
}

// Chroot is chroot(2).
func Chroot(path string) error {
	return sys("chroot", named(path), retry(func() error { return unix.Chroot(path) }))
}

// Fchmod changes the mode of what fd, which may be an O_PATH descriptor, stands for. name(dirfd) is where it lies, for
// kernels without fchmodat2(2): fchmodat(2) there follows a symlink, so the caller checks the result.
func Fchmod(fd int, mode uint32) error {
	err := retry(func() error {
		return result(unix.Syscall6(unix.SYS_FCHMODAT2, uintptr(fd), uintptr(unsafe.Pointer(&empty)), uintptr(mode), unix.AT_EMPTY_PATH, 0, 0))
	})
	if err == unix.ENOSYS || err == unix.EPERM || err == unix.EOPNOTSUPP {
		// The magic link of a descriptor of our own names exactly what the descriptor is.
		err = retry(func() error { return unix.Chmod(ProcFD(fd), mode) })
	}
	return sys("fchmodat2", of(fd, ""), err)
}

// empty is the path of a call that is about a descriptor; x/sys would copy one each time.
var empty byte

// result is what a call of that kind says, of which only the error is wanted.
func result(_, _ uintptr, errno unix.Errno) error {
	if errno != 0 {
		return errno
	}
	return nil
}

// ProcFD is the path of a descriptor's magic link below the host's /proc. It is safe only where /proc is known to be
// procfs: before the root is switched, or through package procfs.
func ProcFD(fd int) string { return "/proc/thread-self/fd/" + strconv.Itoa(fd) }
