package hook

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// sigaction is the kernel's struct, of which only the handler's place at the beginning is the same everywhere.
type sigaction [16]uintptr

const (
	sigsetSize = 8 // bytes of the kernel's sigset_t
	sigIgn     = 1
)

// childSignal gives SIGCHLD its default action until restore is called. A host that ignores the signal has its children
// reaped by the kernel, and one with a handler that waits for all of them would take a hook's exit status away.
func childSignal() (restore func()) {
	var old, none sigaction
	if swap(&none, &old) != 0 {
		return func() {}
	}
	return func() {
		swap(&old, nil)
		if old[0] > sigIgn {
			// Whatever ended meanwhile, the handler has not been told of.
			_ = unix.Kill(unix.Getpid(), unix.SIGCHLD)
		}
	}
}

func swap(new, old *sigaction) unix.Errno {
	_, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(unix.SIGCHLD), uintptr(unsafe.Pointer(new)),
		uintptr(unsafe.Pointer(old)), sigsetSize, 0, 0)
	return errno
}
