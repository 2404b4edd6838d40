package procfs

import (
	"errors"
	"sync"

	"github.com/cyphar/filepath-securejoin/pathrs-lite/procfs"
	"golang.org/x/sys/unix"

	"github.com/librootfs/librootfs/rootfs/internal/errs"
	"github.com/librootfs/librootfs/rootfs/internal/linux"
)

// The safe way to a thread's directory in /proc costs some fifteen system calls, and sixty where openat2(2) is missing. Without the
// mount API each mount goes that way several times.

// held are the threads' directories that Hold keeps: a pointer to a descriptor, -1 before it is needed, by thread id.
var held sync.Map

// Hold keeps the calling thread's directory in /proc from where it is first needed until release is called, on the same thread.
// It stays of use although the root is switched or /proc taken away meanwhile.
func Hold() (release func()) {
	tid := unix.Gettid()
	fd := -1
	if _, already := held.LoadOrStore(tid, &fd); already {
		return func() {}
	}
	return func() {
		held.Delete(tid)
		linux.Close(fd)
	}
}

// self is the calling thread's directory (O_PATH), until done is called.
func self() (dir int, done func(), err error) {
	if kept, ok := held.Load(unix.Gettid()); ok {
		fd := kept.(*int)
		if *fd < 0 {
			*fd, err = ThreadSelf()
		}
		return *fd, func() {}, err
	}
	dir, err = ThreadSelf()
	return dir, func() { linux.Close(dir) }, err
}

// ThreadSelf opens the calling thread's own directory (O_PATH). The caller closes it.
func ThreadSelf() (int, error) {
	proc, err := procfs.OpenUnsafeProcRoot()
	if err != nil {
		return -1, wrap("thread-self", err)
	}
	defer proc.Close()
	dir, done, err := proc.OpenThreadSelf(".")
	if err != nil {
		return -1, wrap("thread-self", err)
	}
	defer done()
	defer dir.Close()
	return linux.Openat(int(dir.Fd()), ".", unix.O_PATH|unix.O_DIRECTORY, 0)
}

// ReadAt reads a whole file below such a directory.
func ReadAt(dir int, file string) ([]byte, error) {
	fd, err := below(dir, file, unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer linux.Close(fd)
	return readAll(fd, file)
}

// below opens a file below such a directory, and never what somebody mounted over it.
func below(dir int, file string, flags int) (int, error) {
	fd, err := linux.Openat2(dir, file, uint64(flags), unix.RESOLVE_NO_XDEV|unix.RESOLVE_NO_SYMLINKS)
	if err == nil {
		return fd, nil
	}
	if linux.CallOpenat2.Refused(err) {
		if fd, err = linux.Openat(dir, file, flags|unix.O_NOFOLLOW, 0); err == nil {
			err = isProc(fd)
		}
	}
	if err != nil {
		linux.Close(fd)
		return -1, errs.Sys("procfs", "/proc/thread-self/"+file, errors.Unwrap(err))
	}
	return fd, nil
}

func isProc(fd int) error {
	st, err := linux.Fstatfs(fd)
	if err == nil && st.Type != unix.PROC_SUPER_MAGIC {
		err = errs.Sys("fstatfs", "", unix.EXDEV)
	}
	return err
}
