package linux

import (
	"golang.org/x/sys/unix"

	"github.com/librootfs/librootfs/rootfs/internal/errs"
)

// Call is a kernel call that may be missing.
type Call struct {
	Name  string
	since string // kernel release, for messages only
	nr    uintptr
	args  [6]uintptr // arguments that the call refuses before it does anything
}

const bad = ^uintptr(0)

// The calls that have a fall-back, or whose absence is an error that names them.
var (
	CallOpenat2      = Call{"openat2", "5.6", unix.SYS_OPENAT2, [6]uintptr{bad, 0, 0, 0}}
	CallOpenTree     = Call{"open_tree", "5.2", unix.SYS_OPEN_TREE, [6]uintptr{bad, 0, 0x7fffffff}}
	CallMoveMount    = Call{"move_mount", "5.2", unix.SYS_MOVE_MOUNT, [6]uintptr{bad, 0, bad, 0, 0x7fffffff}}
	CallFsopen       = Call{"fsopen", "5.2", unix.SYS_FSOPEN, [6]uintptr{0, 0x7fffffff}}
	CallFsconfig     = Call{"fsconfig", "5.2", unix.SYS_FSCONFIG, [6]uintptr{bad, 0x7fffffff}}
	CallFspick       = Call{"fspick", "5.2", unix.SYS_FSPICK, [6]uintptr{bad, 0, 0x7fffffff}}
	CallFsmount      = Call{"fsmount", "5.2", unix.SYS_FSMOUNT, [6]uintptr{bad, 0x7fffffff}}
	CallMountSetattr = Call{"mount_setattr", "5.12", unix.SYS_MOUNT_SETATTR, [6]uintptr{bad, 0, 0x7fffffff, 0, 0}}
	CallOpenTreeAttr = Call{"open_tree_attr", "6.15", 467, [6]uintptr{bad, 0, 0x7fffffff, 0, 0}}
	CallStatmount    = Call{"statmount", "6.8", unix.SYS_STATMOUNT, [6]uintptr{0, 0, 0, 0x7fffffff}}
	CallListmount    = Call{"listmount", "6.8", unix.SYS_LISTMOUNT, [6]uintptr{0, 0, 0, 0x7fffffff}}
	CallFchmodat2    = Call{"fchmodat2", "6.6", unix.SYS_FCHMODAT2, [6]uintptr{bad, 0, 0, 0x7fffffff}}
)

// Calls lists them all, for the features document.
var Calls = []Call{CallOpenat2, CallOpenTree, CallMoveMount, CallFsopen, CallFsconfig, CallFspick, CallFsmount, CallMountSetattr,
	CallOpenTreeAttr, CallStatmount, CallListmount, CallFchmodat2}

// Since is the kernel release that brought the call.
func (c Call) Since() string { return c.since }

// Probe calls with arguments that cannot succeed, and gives the errno: ENOSYS, or the EPERM with which filters answer,
// comes before arguments are looked at. (EPERM is also what an ordinary user gets from some of the calls.)
func (c Call) Probe() unix.Errno {
	_, _, errno := unix.Syscall6(c.nr, c.args[0], c.args[1], c.args[2], c.args[3], c.args[4], c.args[5])
	return errno
}

// Missing tells whether the kernel, or a seccomp filter in front of it, has no such call for us.
func (c Call) Missing() bool {
	errno := c.Probe()
	return errno == unix.ENOSYS || errno == unix.EPERM
}

// Refused tells whether err, the error of this call, means that the call is missing rather than that it failed. Probing
// happens only then: the usual path never pays for it.
func (c Call) Refused(err error) bool {
	if errs.Is(err, unix.ENOSYS) {
		return true
	}
	return errs.Is(err, unix.EPERM) && c.Missing()
}
