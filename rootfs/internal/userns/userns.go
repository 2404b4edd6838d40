// Package userns gives descriptors of user namespaces, for idmapped mounts.
package userns

import (
	"errors"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/librootfs/librootfs/rootfs/internal/errs"
	"github.com/librootfs/librootfs/rootfs/internal/linux"
	"github.com/librootfs/librootfs/rootfs/internal/procfs"
)

// Range is one line of an id map.
type Range struct{ Container, Host, Size uint32 }

// Own opens the user namespace of the calling process. The caller closes it.
func Own() (int, error) { return linux.Open("/proc/self/ns/user", unix.O_RDONLY) }

// New makes a user namespace with the given maps, and opens it. A namespace lives through a process: one is forked for
// the purpose, stopped before it runs anything (ptrace(2), PTRACE_TRACEME stops at execve), and ended. The caller closes
// the descriptor.
func New(uids, gids []Range) (int, error) {
	pidfd := -1
	pid, err := syscall.ForkExec("/proc/self/exe", []string{"rootfs-userns"}, &syscall.ProcAttr{
		Sys: &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER, Ptrace: true, Pdeathsig: syscall.SIGKILL, PidFD: &pidfd},
	})
	if err != nil {
		return -1, errs.Sys("clone", "CLONE_NEWUSER, for an idmapped mount", err)
	}
	defer linux.Close(pidfd)
	// The child is stopped at its execve, or about to be: its namespace is there from the first.
	defer end(pid)
	dir, err := procfs.ProcessDir(pidfd)
	if err != nil {
		return -1, err
	}
	defer linux.Close(dir)
	// syscall's own UidMappings would write to the process that has the child's pid in the /proc of another pid namespace.
	if err := write(dir, "uid_map", uids); err != nil {
		return -1, err
	}
	if err := write(dir, "gid_map", gids); err != nil {
		return -1, err
	}
	ns, err := linux.Openat(dir, "ns/user", unix.O_RDONLY, 0)
	return ns, errs.Sys("open", "user namespace", err)
}

// write writes a map, which the kernel takes in one piece alone.
func write(dir int, file string, ranges []Range) error {
	fd, err := linux.Openat(dir, file, unix.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer linux.Close(fd)
	var text strings.Builder
	for _, r := range ranges {
		for _, n := range [...]uint32{r.Container, r.Host, r.Size} {
			text.WriteString(strconv.FormatUint(uint64(n), 10) + " ")
		}
		text.WriteString("\n")
	}
	if _, err := unix.Write(fd, []byte(text.String())); err != nil {
		e := &errs.Error{Code: errs.System, Op: "write", Args: file + " of an idmapped mount"}
		if errors.As(err, &e.Errno); e.Errno == unix.EPERM {
			e.Detail = "the ids have to be mapped in this user namespace, and this process privileged in it"
		}
		return e
	}
	return nil
}

func end(pid int) {
	_ = unix.Kill(pid, unix.SIGKILL)
	var status unix.WaitStatus
	for {
		if _, err := unix.Wait4(pid, &status, unix.WALL, nil); err != nil && err != unix.EINTR {
			return
		}
		if status.Exited() || status.Signaled() {
			return
		}
	}
}
