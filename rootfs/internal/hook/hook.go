// Package hook runs the programs that a config names: hooks and the commands around mounts.
package hook

import (
	"errors"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/librootfs/librootfs/rootfs/internal/errs"
	"github.com/librootfs/librootfs/rootfs/internal/linux"
)

// Program is what to run.
type Program struct {
	Path    string
	Argv    []string // with argv[0]
	Env     []string
	Dir     string // "" for the caller's
	Stdin   []byte
	Timeout time.Duration // 0 for none
}

// maxOutput is how much of a failed program's output an error repeats.
const maxOutput = 1024

// Run runs a program to its end, on the calling thread, in the caller's namespaces. It fails where the program cannot be
// started, does not exit with 0, or is not done in time (it is killed then). Standard input and output are anonymous
// files, so that a program that does not read, or writes a lot, cannot block the caller.
func Run(p Program) error {
	in, err := memfd("stdin", p.Stdin)
	if err != nil {
		return err
	}
	defer linux.Close(in)
	out, err := memfd("output", nil)
	if err != nil {
		return err
	}
	defer linux.Close(out)
	defer childSignal()()
	pidfd := -1
	pid, err := syscall.ForkExec(p.Path, p.Argv, &syscall.ProcAttr{
		Dir: p.Dir, Env: p.Env, Files: []uintptr{uintptr(in), uintptr(out), uintptr(out)},
		Sys: &syscall.SysProcAttr{PidFD: &pidfd, Pdeathsig: syscall.SIGKILL},
	})
	if err != nil {
		e := &errs.Error{Code: errs.Hook, Op: "execve", Args: p.Path}
		errors.As(err, &e.Errno)
		return e
	}
	defer linux.Close(pidfd)
	late, err := wait(pid, pidfd, p.Timeout)
	if err != nil || late {
		_ = unix.Kill(pid, unix.SIGKILL)
	}
	var status unix.WaitStatus
	if waitErr := reap(pid, &status); err == nil {
		err = waitErr
	}
	e := &errs.Error{Code: errs.Hook, Op: "run", Args: p.Path}
	switch {
	case err != nil:
		errors.As(err, &e.Errno)
		e.Detail = "its exit status was lost: does a thread of the host wait for all children?"
	case late:
		e.Errno, e.Detail = unix.ETIMEDOUT, "killed after "+p.Timeout.String()
	case status.Signaled():
		e.Detail = "killed by signal " + strconv.Itoa(int(status.Signal()))
	case status.ExitStatus() != 0:
		e.Detail = "exit status " + strconv.Itoa(status.ExitStatus())
	default:
		return nil
	}
	if said := output(out); said != "" {
		e.Detail += ": " + said
	}
	return e
}

func memfd(name string, content []byte) (int, error) {
	fd, err := unix.MemfdCreate("rootfs-"+name, unix.MFD_CLOEXEC)
	if err != nil {
		return -1, errs.Sys("memfd_create", name, err)
	}
	for done := 0; done < len(content); {
		n, err := unix.Pwrite(fd, content[done:], int64(done))
		if err != nil && err != unix.EINTR {
			linux.Close(fd)
			return -1, errs.Sys("pwrite", name, err)
		}
		done += max(n, 0)
	}
	return fd, nil
}

// shortStep is how often a kernel without pidfds (before 5.4) is asked.
const shortStep = 5 * time.Millisecond

// wait waits until the process has ended, or the timeout has passed. It does not reap.
func wait(pid, pidfd int, timeout time.Duration) (late bool, err error) {
	if timeout == 0 {
		return false, nil // reap blocks for as long as it takes
	}
	end := time.Now().Add(timeout)
	for left := timeout; left > 0; left = time.Until(end) {
		if pidfd < 0 {
			var info unix.Siginfo
			err := unix.Waitid(unix.P_PID, pid, &info, unix.WEXITED|unix.WNOWAIT|unix.WNOHANG, nil)
			if err != nil && err != unix.EINTR {
				return false, nil // reap says why
			}
			if info.Signo != 0 {
				return false, nil
			}
			linux.Sleep(min(left, shortStep))
			continue
		}
		fds := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, int(left.Milliseconds())+1)
		if n > 0 {
			return false, nil
		}
		if err != nil && err != unix.EINTR {
			return false, errs.Sys("poll", linux.FD(pidfd), err)
		}
	}
	return true, nil
}

func reap(pid int, status *unix.WaitStatus) error {
	for {
		_, err := unix.Wait4(pid, status, 0, nil)
		if err != unix.EINTR {
			return err
		}
	}
}

func output(fd int) string {
	buf := make([]byte, maxOutput)
	n, err := unix.Pread(fd, buf, 0)
	if err != nil || n <= 0 {
		return ""
	}
	return strings.TrimSpace(strings.ToValidUTF8(string(buf[:n]), "?"))
}
