package nstest

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"

	"golang.org/x/sys/unix"
)

// Thread runs f on a new thread that has a mount namespace, root, working directory and umask of its own, with propagation
// cut, and which ends with it. It costs far less than a process, for tests that do the same thing thousands of times; but
// descriptors, /proc/self and the user are those of the process. A panic of f is returned as an error.
func Thread(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the runtime then ends the thread, and its namespace with it
		var err error
		defer func() {
			if v := recover(); v != nil {
				err = fmt.Errorf("panic: %v\n%s", v, debug.Stack())
			}
			done <- err
		}()
		if err = unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
			return
		}
		if err = unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			return
		}
		err = f()
	}()
	return <-done
}

// Rounds runs f n times on one thread, each time in a mount namespace of its own with propagation cut, and with the root and
// working directory of the process. It is Thread for many rounds: no thread has to be made, and none has to wait for its
// turn. It ends early where f says stop or returns an error.
func Rounds(n int, f func(round int) (stop bool, err error)) error {
	return Thread(func() error {
		home, err := unix.Open("/proc/thread-self/ns/mnt", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(home)
		for round := range n {
			if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
				return err
			}
			stop, err := f(round)
			if back := unix.Setns(home, unix.CLONE_NEWNS); back != nil {
				return errors.Join(err, back)
			}
			if err != nil || stop {
				return err
			}
		}
		return nil
	})
}
