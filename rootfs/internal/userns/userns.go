// Package userns gives descriptors of user namespaces, for idmapped mounts.
package userns

import (
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/librootfs/librootfs/rootfs/internal/errs"
	"github.com/librootfs/librootfs/rootfs/internal/linux"
)

// Range is one line of an id map.
type Range struct{ Container, Host, Size uint32 }

// Own opens the user namespace of the calling process. The caller closes it.
func Own() (int, error) { return linux.Open("/proc/self/ns/user", unix.O_RDONLY) }

// New makes a user namespace with the given maps, and opens it. A namespace lives through a process: one is forked for
// the purpose, stopped before it runs anything (ptrace(2), PTRACE_TRACEME stops at execve), and ended. The caller closes
// the descriptor.
func New(uids, gids []Range) (int, error) {
	pid, err := syscall.ForkExec("/proc/self/exe", []string{"rootfs-userns"}, &syscall.ProcAttr{
		Sys: &syscall.SysProcAttr{
			Cloneflags: unix.CLONE_NEWUSER, Ptrace: true, Pdeathsig: syscall.SIGKILL,
			UidMappings: maps(uids), GidMappings: maps(gids), GidMappingsEnableSetgroups: true,
		},
	})
	if err != nil {
		return -1, errs.Sys("clone", "CLONE_NEWUSER, for an idmapped mount", err)
	}
	// The child is stopped at its execve, or about to be: its namespace is there from the first.
	fd, err := linux.Open("/proc/"+strconv.Itoa(pid)+"/ns/user", unix.O_RDONLY)
	_ = unix.Kill(pid, unix.SIGKILL)
	var status unix.WaitStatus
	for {
		if _, waitErr := unix.Wait4(pid, &status, unix.WALL, nil); waitErr != nil && waitErr != unix.EINTR {
			break
		}
		if status.Exited() || status.Signaled() {
			break
		}
	}
	return fd, err
}

func maps(in []Range) []syscall.SysProcIDMap {
	out := make([]syscall.SysProcIDMap, len(in))
	for i, r := range in {
		out[i] = syscall.SysProcIDMap{ContainerID: int(r.Container), HostID: int(r.Host), Size: int(r.Size)}
	}
	return out
}
