// Package tree builds mounts before they are part of the namespace: a detached tree gets its attributes first and is then
// attached to a target that is held by descriptor. Where the kernel (or a seccomp filter) lacks the calls for that, the
// same Tree is carried out with mount(2), in legacy.go.
package tree

import (
	"errors"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/librootfs/librootfs/rootfs/internal/errs"
	"github.com/librootfs/librootfs/rootfs/internal/linux"
	"github.com/librootfs/librootfs/rootfs/internal/option"
)

// Tree is a mount, with what may be mounted below it. FD is its root; it is -1 while a legacy tree waits to be attached.
type Tree struct {
	FD       int
	name     string // for errors: "tmpfs", "/srv/data"
	attached bool
	legacy   *legacy  // how mount(2) makes it, where there are no detached trees
	changes  []change // what must wait until it is attached, where there is no mount_setattr(2)
	given    Attr     // what it has had from the beginning (CloneWith)
}

// At is the mount that is attached already and whose root fd is; Close closes fd.
func At(fd int, name string) *Tree { return &Tree{FD: fd, name: name, attached: true} }

// detachable: the kernel can build trees that are not yet attached. All of the new calls are of no use without the one
// that attaches, so it alone is asked for, once.
var detachable = sync.OnceValue(func() bool { return !linux.CallMoveMount.Missing() })

// Attr is a change of mount attributes (MOUNT_ATTR_*).
type Attr struct {
	Set, Clear  uint64
	Recursive   bool
	Propagation uint64 // MS_SHARED, ... or 0
}

// exact are the attributes that a bind's remount sets or clears as a whole; those of the access time only go together.
const (
	exact = unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC | unix.MOUNT_ATTR_NOSYMFOLLOW
	atime = unix.MOUNT_ATTR__ATIME | unix.MOUNT_ATTR_NODIRATIME
)

// Clone copies the mount at path (below dirfd; "" for dirfd itself), with those below it where recursive is set. name is
// for messages. noFollow refuses a path whose last component is a symlink.
func Clone(dirfd int, path, name string, recursive, noFollow bool) (*Tree, error) {
	flags := uint(unix.OPEN_TREE_CLONE)
	if path == "" {
		flags |= unix.AT_EMPTY_PATH
	}
	if recursive {
		flags |= unix.AT_RECURSIVE
	}
	if noFollow {
		flags |= unix.AT_SYMLINK_NOFOLLOW
	}
	if !detachable() {
		return cloneLegacy(dirfd, path, name, recursive, noFollow)
	}
	fd, err := linux.OpenTree(dirfd, path, flags)
	if err != nil {
		if linux.CallOpenTree.Refused(err) {
			return cloneLegacy(dirfd, path, name, recursive, noFollow)
		}
		return nil, unbindable(renamed(err, name), recursive)
	}
	t := &Tree{FD: fd, name: name}
	if noFollow {
		if st, err := linux.Fstat(fd); err != nil || st.Mode&unix.S_IFMT == unix.S_IFLNK {
			t.Close()
			if err == nil {
				err = errs.Sys("open_tree", name, unix.ELOOP)
			}
			return nil, err
		}
	}
	return t, nil
}

// attributable: a tree can be cloned with attributes, by one call.
var attributable = sync.OnceValue(func() bool { return detachable() && !linux.CallOpenTreeAttr.Missing() })

// CloneWith is Clone of a host path, of a tree that has attributes from the beginning: all of its mounts, where it is recursive.
// It gives nil where that does not go in one call, whatever the reason: Clone, Exactly and Change do it in steps, and know what
// to say of an error.
func CloneWith(path string, recursive bool, a Attr) *Tree {
	if a == (Attr{}) || !attributable() {
		return nil
	}
	flags := uint(unix.OPEN_TREE_CLONE)
	if recursive {
		flags |= unix.AT_RECURSIVE
	}
	fd, err := linux.OpenTreeAttr(path, flags, &unix.MountAttr{Attr_set: a.Set, Attr_clr: a.Clear, Propagation: a.Propagation})
	if err != nil {
		return nil
	}
	return &Tree{FD: fd, name: path, given: a}
}

// Given is what CloneWith gave it.
func (t *Tree) Given() Attr { return t.given }

// unbindable says what EINVAL means for a source that cannot be bound.
func unbindable(err error, recursive bool) error {
	if e, ok := errors.AsType[*errs.Error](err); ok && e.Errno == unix.EINVAL {
		e.Detail = "the source is unbindable, or lies in another mount namespace"
		if !recursive {
			e.Detail += ", or has mounts below it that its user namespace locked (rbind takes them along)"
		}
	}
	return err
}

// Name is what the tree is of, for messages.
func (t *Tree) Name() string { return t.name }

// IsDir tells whether the tree's root is a directory.
func (t *Tree) IsDir() (bool, error) {
	st, err := linux.Fstat(t.source())
	return st.Mode&unix.S_IFMT == unix.S_IFDIR, err
}

// Statfs is statfs(2) of the tree: for a bind that of its source.
func (t *Tree) Statfs() (unix.Statfs_t, error) { return linux.Fstatfs(t.source()) }

func (t *Tree) source() int {
	if t.FD < 0 {
		return t.legacy.source
	}
	return t.FD
}

// Change sets and clears attributes and leaves the others as they are.
func (t *Tree) Change(a Attr) error {
	if a == (Attr{Recursive: a.Recursive}) {
		return nil
	}
	return lockedIn(t.setattr(change{Attr: a}, a.Set, a.Clear), a)
}

// lockedIn says what EPERM most often means where flags are cleared: which mount of a tree it was, the kernel does not say.
func lockedIn(err error, a Attr) error {
	if e, ok := errors.AsType[*errs.Error](err); ok && e.Errno == unix.EPERM && a.Clear != 0 && e.Detail == "" {
		e.Detail = "a flag that the mount had when its user namespace got it is locked there and cannot be cleared: " +
			option.AttrNames(a.Clear)
	}
	return err
}

// Exactly gives the mount just these attributes, as mount(2) with MS_REMOUNT|MS_BIND does. Those that a user namespace
// locks are kept, unless named says that the config turned one of them off: then the error names it.
func (t *Tree) Exactly(set, named uint64) error {
	c := change{Attr: Attr{Set: set, Clear: named}, exactly: true}
	clear := clearFor(set, named)
	err := t.setattr(c, set, clear)
	if !errs.Is(err, unix.EPERM) || t.FD < 0 {
		return err
	}
	locked, lockErr := t.lockedBy(set, named)
	if lockErr != nil {
		return lockErr
	}
	clear &^= locked
	if locked&atime != 0 {
		clear &^= atime
		set &^= atime
	}
	return t.setattr(c, set, clear)
}

// setattr is mount_setattr(2), now or, where mount(2) has to do it, once the mount is attached.
func (t *Tree) setattr(c change, set, clear uint64) error {
	if t.FD >= 0 {
		err := linux.MountSetattr(t.FD, c.Recursive, &unix.MountAttr{Attr_set: set, Attr_clr: clear, Propagation: c.Propagation})
		if err == nil || !linux.CallMountSetattr.Refused(err) {
			return t.explain(err, set, clear)
		}
		if t.attached {
			return t.changeLegacy(c)
		}
	}
	t.changes = append(t.changes, c)
	return nil
}

// ExactAttr is what Exactly asks for.
func ExactAttr(set, named uint64) Attr { return Attr{Set: set, Clear: clearFor(set, named)} }

// clearFor is what to clear so that set is all there is. The kernel leaves the access time alone in a remount that says
// nothing of it; so does this.
func clearFor(set, named uint64) uint64 {
	clear := exact &^ set
	if (set|named)&atime != 0 {
		clear |= unix.MOUNT_ATTR__ATIME | unix.MOUNT_ATTR_NODIRATIME&^set
	}
	return clear
}

// lockedBy tells which attributes the mount has beyond set: those are what a user namespace may have locked
// (mount_namespaces(7), "Restrictions on mount namespaces"). It is an error where the config named one of them. The access
// time is locked as a whole, and whatever it is: of that, what the config adds is as impossible as what it takes away.
func (t *Tree) lockedBy(set, named uint64) (uint64, error) {
	st, err := t.Statfs()
	if err != nil {
		return 0, err
	}
	has := attrOf(uint64(st.Flags))
	locked := has &^ set
	refused := option.AttrNames(locked & named & exact)
	const value, dirs = unix.MOUNT_ATTR__ATIME, unix.MOUNT_ATTR_NODIRATIME
	if named&value == value && has&value != set&value || set&dirs&^has != 0 || named&has&dirs != 0 {
		access := option.AttrNames(has & atime)
		if has&value == 0 {
			access = strings.TrimPrefix(access+",relatime", ",")
		}
		refused = strings.TrimPrefix(refused+","+access, ",")
	}
	if refused != "" {
		return 0, &errs.Error{Code: errs.System, Errno: unix.EPERM, Op: "mount_setattr", Args: t.name,
			Detail: "the source's flag is locked by its user namespace and cannot be cleared here: " + refused}
	}
	return locked, nil
}

// IDMap maps the ids of the tree by a user namespace (mount_setattr(2), MOUNT_ATTR_IDMAP).
func (t *Tree) IDMap(userns int, recursive bool) error {
	if t.FD < 0 {
		return errs.Cannot("mount_setattr", t.name, "an idmapped mount needs open_tree(2), move_mount(2) and mount_setattr(2), Linux 5.12")
	}
	err := linux.MountSetattr(t.FD, recursive, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_IDMAP, Userns_fd: uint64(userns)})
	if e, ok := errors.AsType[*errs.Error](err); ok {
		e.Args = t.name + ", idmap"
		switch {
		case linux.CallMountSetattr.Refused(err):
			e.Code, e.Detail = errs.Unsupported, "an idmapped mount needs Linux 5.12"
		case e.Errno == unix.EINVAL:
			e.Detail = "the file system may not support idmapped mounts"
		case e.Errno == unix.EPERM:
			e.Detail = "the mount is idmapped already, or this process has no privileges in the user namespace that mounted the " +
				"file system (its source can be opened by its parent, which has them)"
		}
	}
	return err
}

// Attach puts the tree over target. again resolves the target once more: the legacy way needs it to get hold of the mount
// that it made, and checks that it did.
func (t *Tree) Attach(target int, again func() (int, error)) error {
	if t.FD < 0 {
		return t.attachLegacy(target, again)
	}
	if err := linux.MoveMount(t.FD, target); err != nil {
		return renamed(err, t.name)
	}
	t.attached = true
	return t.applyChanges()
}

// Take gives the descriptor of an attached tree away, and lets everything else go.
func (t *Tree) Take() int {
	fd := t.FD
	t.FD = -1
	t.Close()
	return fd
}

// Close lets the descriptors go. A tree that was not attached is dissolved by the kernel.
func (t *Tree) Close() {
	if t == nil {
		return
	}
	linux.Close(t.FD)
	t.FD = -1
	if t.legacy != nil {
		linux.Close(t.legacy.source)
		t.legacy.source = -1
	}
}

// explain adds to the error of an attribute change what it was about.
func (t *Tree) explain(err error, set, clear uint64) error {
	if e, ok := errors.AsType[*errs.Error](err); ok {
		args := []string{t.name}
		if set != 0 {
			args = append(args, "set "+option.AttrNames(set))
		}
		if clear != 0 {
			args = append(args, "clear "+option.AttrNames(clear))
		}
		e.Args = strings.Join(args, ", ")
	}
	return err
}

// renamed makes the error speak of the path that the config has.
func renamed(err error, name string) error {
	if e, ok := errors.AsType[*errs.Error](err); ok {
		e.Args = name
	}
	return err
}

// Detached is a tree that somebody else detached; it takes fd over.
func Detached(fd int, name string) *Tree { return &Tree{FD: fd, name: name} }
