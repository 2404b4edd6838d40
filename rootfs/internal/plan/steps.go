// Package plan turns a checked configuration and a few facts about the host into the list of steps that sets up the
// root. It has no effects and reads nothing: a plan can be printed, compared and tested without a privilege.
package plan

import (
	"slices"

	"golang.org/x/sys/unix"
)

// Plan is what Prepare and Finalize do, in order.
type Plan struct {
	Prepare  []Step
	Finalize []Step
}

// Step is one thing to do. Op is its kind, as progress and rootfs_plan show it; Pointer is the JSON pointer of the field
// that asked for it ("" where it is the library's own); Target is the path inside the container it is about.
type Step interface {
	Op() string
	Pointer() string
	Target() string
}

// Base is what every step has.
type Base struct {
	Ptr  string
	Path string // path inside the container
}

// Pointer is the JSON pointer of the field that asked for the step.
func (b *Base) Pointer() string { return b.Ptr }

// Target is the path inside the container that the step is about.
func (b *Base) Target() string { return b.Path }

// OpenRoot opens the root file system, cuts or sets the propagation of the host's "/" (HostPropagation, MS_* with MS_REC),
// and binds the root onto itself, privately, so that pivot_root(2) takes it. Prepare's first step; fails before it has
// changed anything where Source is missing, not a directory, or "/".
type OpenRoot struct {
	Base
	Source          string // the host's path
	HostPropagation uint64
	UserNS          bool // what comes from the host is its peer no more (mount_namespaces(7), on less privileged namespaces)
	HasMountNS      bool // false: the mount namespace is shared with the host, nothing of it but the root is touched
}

// Command runs a command of the host options, before or after a mount, in the namespace of the caller.
type Command struct {
	Base
	When string // "before", "after"
	Argv []string
	Env  []string
	Dir  string
}

// Mount makes one mount.
type Mount struct {
	Base
	Index  int    // in the config's mounts, or -1 for one that the library adds
	Type   string // file system type; "bind" for a bind
	Source string // host path for a bind, fs source otherwise

	Recursive bool // a bind takes the mounts below its source along

	// Remount: nothing is mounted; the mount that is at the target gets Attr, and unless Type is "bind" its superblock
	// gets Super and Data ("remount").
	Remount bool

	// OwnFS: the file system is the container's own, so that a remount may change it. What the host has mounted as well would
	// become read-only there too (mount(2), "Remounting an existing mount").
	OwnFS bool

	// ExactAttr: the mount has exactly Attr at the end. Otherwise (a bind that asks for nothing) its source's are kept.
	// Clear names what the config turned off by name, for the error where it is locked.
	ExactAttr   bool
	Attr, Clear uint64
	// Late: it asks for read-only, and gets it from a RemountReadonly.
	Late bool

	Super []string // fsconfig flags: "ro", "sync", ...
	Data  []string // fsconfig strings: "mode=755"

	RecAttr, RecClear uint64
	Propagation       []uint64

	// TargetMode: the mount's root takes the mode of an existing target directory (tmpfs without mode=).
	TargetMode bool
	// PlainTarget: no component of the target may be a symlink (proc, sysfs; dest-nofollow).
	PlainTarget bool
	// PlainSource: the source may not be a symlink (src-nofollow).
	PlainSource bool
	CopyUp      bool

	IDMap *IDMap

	Label   string // SELinux mount label (context=) for file systems that take one
	Relabel byte   // 'z', 'Z' for the source of a bind

	// FileLabel is set on the mount's root after mounting (mqueue cannot take context=).
	FileLabel string

	// Fallback is tried instead where the mount fails with one of FallbackOn (cgroup2 in a user namespace).
	Fallback   *Mount
	FallbackOn []string // errno names: "EPERM", "EBUSY", "ENOENT"
}

// Unbindable tells that the mount is not in the copy that a read-only path makes of the directories around it.
func (m *Mount) Unbindable() bool {
	return slices.ContainsFunc(m.Propagation, func(p uint64) bool { return p&unix.MS_UNBINDABLE != 0 })
}

// IDMap is the mapping of an idmapped mount.
type IDMap struct {
	Recursive bool
	// UserNS "container" uses the calling process's own user namespace; otherwise one with these maps is made.
	OfContainer bool
	UID, GID    []Range
}

// Range is one line of an id map.
type Range struct {
	Container, Host, Size uint32
}

// Device makes a device node or fifo.
type Device struct {
	Base
	Type         byte // 'c', 'b', 'p'
	Major, Minor uint32
	Mode         uint32
	UID, GID     uint32
	Bind         bool // a bind of the host's node at the same path, since mknod(2) cannot work in a user namespace
}

// Symlink makes a symbolic link. Replace: what is there already is removed first (ptmx); otherwise it is left as it is.
type Symlink struct {
	Base
	To      string
	Replace bool
}

// MountsReady calls the host back.
type MountsReady struct{ Base }

// Hook runs a createContainer hook.
type Hook struct {
	Base
	Command string
	Args    []string
	Env     []string
	Timeout int // seconds, 0 for none
}

// SwitchRoot makes the root the process's root. Method: "pivot_root", "move" (MS_MOVE and chroot, noPivotRoot) or "chroot".
type SwitchRoot struct {
	Base
	Method string
}

// Propagation sets the propagation of the mount at the target after the switch ("/" for rootfsPropagation).
type Propagation struct {
	Base
	Flags uint64
}

// Stdio puts the container's /dev/null where descriptors 0 to 2 are the host's.
type Stdio struct{ Base }

// Chdir makes the directory where it is missing and changes into it. Again: only changes into it, once more, since what
// lies there may have been covered meanwhile.
type Chdir struct {
	Base
	Again bool
}

// RemountReadonly makes a mount that had to be writable during prepare read-only (ro on a tmpfs or on /dev). Where a
// later mount covers it, it comes in Prepare, right before that mount: afterwards the path would lead to the other.
type RemountReadonly struct{ Base }

// ReadonlyRoot makes the root mount read-only.
type ReadonlyRoot struct{ Base }

// Umask sets the process's umask.
type Umask struct {
	Base
	Mask uint32
}

// Sysctl writes a kernel parameter; File is its path below /proc/sys, "net/ipv4/ip_forward".
type Sysctl struct {
	Base
	File, Value string
}

// ReadonlyPath binds a path onto itself, read-only. A missing path is skipped.
type ReadonlyPath struct{ Base }

// MaskPath covers a path: a file with the null device, a directory with an empty read-only tmpfs. A missing path is skipped.
type MaskPath struct {
	Base
	Label string
}

// Op is the kind of the step.
func (*OpenRoot) Op() string        { return "root" }
func (*Command) Op() string         { return "command" }
func (*Mount) Op() string           { return "mount" }
func (*Device) Op() string          { return "device" }
func (*Symlink) Op() string         { return "symlink" }
func (*MountsReady) Op() string     { return "mounts-ready" }
func (*Hook) Op() string            { return "hook" }
func (*SwitchRoot) Op() string      { return "switch-root" }
func (*Propagation) Op() string     { return "propagation" }
func (*Stdio) Op() string           { return "stdio" }
func (*Chdir) Op() string           { return "chdir" }
func (*RemountReadonly) Op() string { return "remount-readonly" }
func (*ReadonlyRoot) Op() string    { return "readonly-root" }
func (*Umask) Op() string           { return "umask" }
func (*Sysctl) Op() string          { return "sysctl" }
func (*ReadonlyPath) Op() string    { return "readonly-path" }
func (*MaskPath) Op() string        { return "mask-path" }
