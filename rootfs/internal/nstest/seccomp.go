package nstest

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Denial makes system calls fail with an errno, as an old kernel (ENOSYS) or the seccomp filter of a container in which
// a runtime runs (EPERM) does.
type Denial struct {
	Errno syscall.Errno
	Calls []string // names in NewCalls
}

// NewCalls are the system calls that a kernel may lack and for which the library therefore has another way, by name.
var NewCalls = map[string]uint32{
	"openat2":        unix.SYS_OPENAT2,
	"open_tree":      unix.SYS_OPEN_TREE,
	"move_mount":     unix.SYS_MOVE_MOUNT,
	"fsopen":         unix.SYS_FSOPEN,
	"fsconfig":       unix.SYS_FSCONFIG,
	"fsmount":        unix.SYS_FSMOUNT,
	"mount_setattr":  unix.SYS_MOUNT_SETATTR,
	"open_tree_attr": unix.SYS_OPEN_TREE_ATTR,
	"statmount":      unix.SYS_STATMOUNT,
	"listmount":      unix.SYS_LISTMOUNT,
	"fchmodat2":      unix.SYS_FCHMODAT2,
	"statx":          unix.SYS_STATX,

	// Older than any kernel that is served, but filters deny it: not among those that Deny means without names.
	"name_to_handle_at": unix.SYS_NAME_TO_HANDLE_AT,
}

// NewCallNames are the names in NewCalls in the order of the kernels that brought them.
var NewCallNames = []string{"statx", "open_tree", "move_mount", "fsopen", "fsconfig", "fsmount", "openat2", "mount_setattr",
	"fchmodat2", "statmount", "listmount", "open_tree_attr"}

// Deny is a Denial of these calls, of all in NewCallNames where none is named.
func Deny(errno syscall.Errno, calls ...string) Denial {
	if len(calls) == 0 {
		calls = NewCallNames
	}
	return Denial{Errno: errno, Calls: calls}
}

// denialsOfEnvironment reads ROOTFS_TEST_DENY: "ENOSYS:openat2,statx EPERM:fsopen", "ENOSYS:all". With it a whole test
// suite runs as on an older kernel (tests/kernels).
func denialsOfEnvironment(t testing.TB) []Denial {
	t.Helper()
	var list []Denial
	for _, part := range strings.Fields(os.Getenv("ROOTFS_TEST_DENY")) {
		name, calls, _ := strings.Cut(part, ":")
		errno := map[string]syscall.Errno{"ENOSYS": unix.ENOSYS, "EPERM": unix.EPERM}[name]
		if errno == 0 {
			t.Fatalf("ROOTFS_TEST_DENY: %q", part)
		}
		if calls == "all" {
			list = append(list, Deny(errno))
		} else {
			list = append(list, Deny(errno, strings.Split(calls, ",")...))
		}
	}
	return list
}

// Denied tells whether ROOTFS_TEST_DENY denies a call.
func Denied(t testing.TB, call string) bool {
	t.Helper()
	for _, d := range denialsOfEnvironment(t) {
		if slices.Contains(d.Calls, call) {
			return true
		}
	}
	return false
}

// DenyHere puts the denial in force for every thread of this process, and its children, for good.
func DenyHere(d Denial) error {
	const (
		load   = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		equal  = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		ret    = unix.BPF_RET | unix.BPF_K
		allow  = 0x7fff0000 // SECCOMP_RET_ALLOW
		errnum = 0x00050000 // SECCOMP_RET_ERRNO
	)
	arch := map[string]uint32{"amd64": unix.AUDIT_ARCH_X86_64, "arm64": unix.AUDIT_ARCH_AARCH64}[runtime.GOARCH]
	if arch == 0 {
		return fmt.Errorf("seccomp: no filter for %s", runtime.GOARCH)
	}
	filter := []unix.SockFilter{
		{Code: load, K: 4}, // seccomp_data.arch
		{Code: equal, K: arch, Jt: 1},
		{Code: ret, K: allow},
		{Code: load, K: 0}, // seccomp_data.nr
	}
	for _, name := range d.Calls {
		nr, known := NewCalls[name]
		if !known {
			return fmt.Errorf("seccomp: %q is not in NewCalls", name)
		}
		filter = append(filter,
			unix.SockFilter{Code: equal, K: nr, Jf: 1},
			unix.SockFilter{Code: ret, K: errnum | uint32(d.Errno)})
	}
	filter = append(filter, unix.SockFilter{Code: ret, K: allow})
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if os.Geteuid() != 0 {
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			return fmt.Errorf("no_new_privs: %w", err)
		}
	}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC,
		uintptr(unsafe.Pointer(&prog)))
	runtime.KeepAlive(filter)
	if errno != 0 {
		return fmt.Errorf("seccomp: %w", errno)
	}
	return nil
}
