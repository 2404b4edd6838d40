package faults

import (
	"fmt"
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The system calls of one thread are handed to a supervisor in the test process (seccomp_unotify(2)), which lets each go
// on, or makes one fail.

// watched are the calls that the library makes itself. What the Go runtime does meanwhile (memory, signals, futexes) is
// none of its business, and no error of those can be handled by a program.
var watched = map[uint32]string{
	unix.SYS_OPENAT: "openat", unix.SYS_OPENAT2: "openat2", unix.SYS_FSTAT: "fstat", unix.SYS_NEWFSTATAT: "newfstatat",
	unix.SYS_STATX: "statx", unix.SYS_FSTATFS: "fstatfs", unix.SYS_STATFS: "statfs", unix.SYS_READLINKAT: "readlinkat",
	unix.SYS_MKDIRAT: "mkdirat", unix.SYS_MKNODAT: "mknodat", unix.SYS_SYMLINKAT: "symlinkat", unix.SYS_UNLINKAT: "unlinkat",
	unix.SYS_LINKAT: "linkat", unix.SYS_FCHOWNAT: "fchownat", unix.SYS_FCHMODAT: "fchmodat", unix.SYS_FCHMODAT2: "fchmodat2",
	unix.SYS_FCHMOD: "fchmod", unix.SYS_FCHOWN: "fchown", unix.SYS_UTIMENSAT: "utimensat", unix.SYS_FCHDIR: "fchdir", unix.SYS_CHDIR: "chdir",
	unix.SYS_FSOPEN: "fsopen", unix.SYS_FSCONFIG: "fsconfig", unix.SYS_FSMOUNT: "fsmount", unix.SYS_FSPICK: "fspick",
	unix.SYS_OPEN_TREE: "open_tree", unix.SYS_MOVE_MOUNT: "move_mount", unix.SYS_MOUNT_SETATTR: "mount_setattr",
	unix.SYS_OPEN_TREE_ATTR: "open_tree_attr", unix.SYS_STATMOUNT: "statmount", unix.SYS_LISTMOUNT: "listmount",
	unix.SYS_MOUNT: "mount", unix.SYS_UMOUNT2: "umount2", unix.SYS_PIVOT_ROOT: "pivot_root", unix.SYS_CHROOT: "chroot",
	unix.SYS_DUP3: "dup3", unix.SYS_FCNTL: "fcntl", unix.SYS_IOCTL: "ioctl", unix.SYS_READ: "read", unix.SYS_WRITE: "write",
	unix.SYS_GETDENTS64: "getdents64", unix.SYS_PIPE2: "pipe2", unix.SYS_CLONE: "clone", unix.SYS_CLONE3: "clone3",
	unix.SYS_WAITID: "waitid", unix.SYS_WAIT4: "wait4", unix.SYS_PIDFD_OPEN: "pidfd_open", unix.SYS_PIDFD_SEND_SIGNAL: "pidfd_send_signal",
	unix.SYS_LSETXATTR: "lsetxattr", unix.SYS_FSETXATTR: "fsetxattr", unix.SYS_FLISTXATTR: "flistxattr", unix.SYS_LLISTXATTR: "llistxattr",
	unix.SYS_FGETXATTR: "fgetxattr", unix.SYS_LGETXATTR: "lgetxattr", unix.SYS_UNSHARE: "unshare", unix.SYS_SETNS: "setns",
	unix.SYS_PPOLL: "ppoll", unix.SYS_FACCESSAT: "faccessat", unix.SYS_FACCESSAT2: "faccessat2",
	unix.SYS_GETCWD: "getcwd", unix.SYS_SENDFILE: "sendfile", unix.SYS_COPY_FILE_RANGE: "copy_file_range",
	marker: "marker",
}

// marker is a call that nothing else makes: with it the thread says that set-up begins and ends.
const marker = unix.SYS_GETPGID

// What the marking call says by its argument.
const (
	begins = 1
	ends   = 2
)

func mark(what uintptr) { unix.RawSyscall(marker, what, 0, 0) }

const (
	notifyRecv = 0xc0502100 // SECCOMP_IOCTL_NOTIF_RECV
	notifySend = 0xc0182101 // SECCOMP_IOCTL_NOTIF_SEND
	goesOn     = 1          // SECCOMP_USER_NOTIF_FLAG_CONTINUE
)

// watchThread puts the filter on the calling thread, and sends the supervisor's descriptor through a socket.
func watchThread(socket int) error {
	const load, equal, ret = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, unix.BPF_RET | unix.BPF_K
	filter := []unix.SockFilter{{Code: load, K: 0}}
	for nr := range watched {
		filter = append(filter, unix.SockFilter{Code: equal, K: nr, Jf: 1}, unix.SockFilter{Code: ret, K: 0x7fc00000}) // USER_NOTIF
	}
	filter = append(filter, unix.SockFilter{Code: ret, K: 0x7fff0000})
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0); err != nil && err != unix.EINVAL {
		return err
	}
	rights := unix.UnixRights(0) // room for one; the number comes below
	fd, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_NEW_LISTENER,
		uintptr(unsafe.Pointer(&prog)))
	runtime.KeepAlive(filter)
	if errno != 0 {
		return fmt.Errorf("seccomp: %w", errno)
	}
	*(*int32)(unsafe.Pointer(&rights[unix.CmsgLen(0)])) = int32(fd)
	if err := unix.Sendmsg(socket, []byte{0}, rights, nil, 0); err != nil {
		return fmt.Errorf("sendmsg: %w", err)
	}
	unix.Close(int(fd))
	return nil
}

// receiveFD takes the descriptor that watchThread sent.
func receiveFD(socket int) (int, error) {
	data, rights := make([]byte, 1), make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(socket, data, rights, unix.MSG_CMSG_CLOEXEC)
	if err != nil || n == 0 {
		return -1, fmt.Errorf("no descriptor came: %v", err)
	}
	messages, err := unix.ParseSocketControlMessage(rights[:n])
	if err != nil {
		return -1, err
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return -1, err
	}
	return fds[0], nil
}

// notification is struct seccomp_notif.
type notification struct {
	id    uint64
	pid   uint32
	flags uint32
	nr    int32
	arch  uint32
	ip    uint64
	args  [6]uint64
}

// response is struct seccomp_notif_resp.
type response struct {
	id    uint64
	val   int64
	error int32
	flags uint32
}

// plot is what is to happen to the calls between the two markers.
type plot struct {
	at    int           // the number of the call, from 0; -1 for none
	errno syscall.Errno // what it returns; 0: the process is killed there
}

// supervise answers until the process is gone, and gives the names of the calls that the thread made between the markers.
func supervise(socket int, p plot) (calls []string, err error) {
	fd, err := receiveFD(socket)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	inside, main := false, uint32(0)
	for {
		poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		if _, err := unix.Poll(poll, -1); err == unix.EINTR {
			continue
		} else if err != nil {
			return calls, err
		}
		if poll[0].Revents&unix.POLLIN == 0 {
			return calls, nil // all that had the filter are gone
		}
		var n notification
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), notifyRecv, uintptr(unsafe.Pointer(&n))); errno != 0 {
			if errno == unix.EINTR || errno == unix.ENOENT {
				continue // the caller was killed or interrupted meanwhile
			}
			return calls, errno
		}
		// A signal, such as Go's own, may interrupt a call that waits here: then it comes once more.
		answer, before := response{id: n.id, flags: goesOn}, len(calls)
		switch {
		case n.nr == marker && (main == 0 || n.pid == main):
			main, inside = n.pid, n.args[0] == begins
		case inside && n.pid == main: // a hook's calls are its own
			if len(calls) == p.at {
				if p.errno == 0 {
					if err := unix.Kill(int(n.pid), unix.SIGKILL); err != nil {
						return calls, err
					}
				} else {
					answer.flags, answer.error = 0, -int32(p.errno)
				}
			}
			calls = append(calls, watched[uint32(n.nr)])
		}
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), notifySend, uintptr(unsafe.Pointer(&answer)))
		switch errno {
		case 0, unix.EINPROGRESS:
		case unix.ENOENT:
			if p.errno != 0 { // else it may be gone since it was killed
				calls = calls[:before]
			}
		default:
			return calls, errno
		}
	}
}

// pair is a socket pair; the second goes to the new process.
func pair() (int, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, nil, err
	}
	return fds[0], os.NewFile(uintptr(fds[1]), "socket"), nil
}
