package procfs

import (
	"github.com/cyphar/filepath-securejoin/pathrs-lite/procfs"
	"golang.org/x/sys/unix"

	"github.com/librootfs/librootfs/rootfs/internal/errs"
	"github.com/librootfs/librootfs/rootfs/internal/linux"
)

// private makes a procfs of the library's own: attached nowhere, so that nothing can be mounted on it.
func private() (int, error) {
	fs, err := linux.Fsopen("proc")
	if err != nil {
		return -1, err
	}
	defer linux.Close(fs)
	if err := linux.FsconfigCreate(fs); err != nil {
		return -1, err
	}
	return linux.Fsmount(fs, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOEXEC)
}

// open opens a file below /proc.
func open(file string, flags int) (int, error) {
	if root, err := private(); err == nil {
		defer linux.Close(root)
		return below(root, file, flags)
	}
	// A user namespace may not have a procfs of its own, and an old kernel has none that is not attached.
	proc, err := procfs.OpenUnsafeProcRoot()
	if err != nil {
		return -1, None("open", "/proc/"+file, "there is no safe way to it without a procfs", err)
	}
	defer proc.Close()
	handle, err := proc.OpenRoot(file)
	if err != nil {
		return -1, err
	}
	defer handle.Close()
	if flags&unix.O_PATH != 0 {
		return linux.Openat(int(handle.Fd()), ".", flags, 0)
	}
	return Reopen(int(handle.Fd()), flags)
}

// threadSelf opens the calling thread's own directory (O_PATH). The caller closes it.
func threadSelf() (int, error) {
	if root, err := private(); err == nil {
		defer linux.Close(root)
		dir, err := linux.Openat(root, "thread-self", unix.O_PATH|unix.O_DIRECTORY, 0)
		return dir, wrap("thread-self", err)
	}
	proc, err := procfs.OpenUnsafeProcRoot()
	if err != nil {
		return -1, wrap("thread-self", err)
	}
	defer proc.Close()
	// "thread-self" is a link, and a container's /proc may be mounted to follow none.
	link, err := proc.OpenRoot("thread-self")
	if err != nil {
		return -1, wrap("thread-self", err)
	}
	defer link.Close()
	to, err := linux.Readlinkat(int(link.Fd()), "")
	if err != nil {
		return -1, wrap("thread-self", err)
	}
	dir, err := proc.OpenRoot(to)
	if err != nil {
		return -1, wrap(to, err)
	}
	defer dir.Close()
	return linux.Openat(int(dir.Fd()), ".", unix.O_PATH|unix.O_DIRECTORY, 0)
}

// below opens a file below a directory of a procfs, and never what somebody mounted over it, nor through a link.
func below(dir int, file string, flags int) (int, error) {
	fd, err := linux.Openat2(dir, file, uint64(flags), unix.RESOLVE_NO_XDEV|unix.RESOLVE_NO_SYMLINKS)
	if err == nil || !linux.CallOpenat2.Refused(err) {
		return fd, err
	}
	if fd, err = linux.Openat(dir, file, flags|unix.O_NOFOLLOW, 0); err != nil {
		return -1, err
	}
	st, err := linux.Fstatfs(fd)
	if err == nil && st.Type != unix.PROC_SUPER_MAGIC {
		err = errs.Sys("openat", file, unix.EXDEV)
	}
	if err != nil {
		linux.Close(fd)
		return -1, err
	}
	return fd, nil
}
