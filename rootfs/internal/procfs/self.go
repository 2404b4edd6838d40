package procfs

import (
	"sync"

	"golang.org/x/sys/unix"

	"github.com/librootfs/librootfs/rootfs/internal/linux"
)

// The safe way to a thread's directory in /proc costs ten system calls, and sixty where no procfs can be made apart. Without the
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
			*fd, err = threadSelf()
		}
		return *fd, func() {}, err
	}
	dir, err = threadSelf()
	return dir, func() { linux.Close(dir) }, err
}

// belowSelf opens a file below such a directory.
func belowSelf(dir int, file string, flags int) (int, error) {
	fd, err := below(dir, file, flags)
	return fd, wrap("thread-self/"+file, err)
}

// readAt reads a whole file below such a directory.
func readAt(dir int, file string) ([]byte, error) {
	fd, err := belowSelf(dir, file, unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer linux.Close(fd)
	return readAll(fd, file)
}
