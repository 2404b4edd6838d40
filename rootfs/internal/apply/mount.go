package apply

import (
	"errors"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/librootfs/librootfs/rootfs/internal/errs"
	"github.com/librootfs/librootfs/rootfs/internal/inroot"
	"github.com/librootfs/librootfs/rootfs/internal/linux"
	"github.com/librootfs/librootfs/rootfs/internal/plan"
	"github.com/librootfs/librootfs/rootfs/internal/tree"
)

// mount makes one mount, or where that fails in a way that the plan foresees, what stands in for it.
func (x *Executor) mount(m *plan.Mount) error {
	err := x.mountOne(m)
	for err != nil && m.Fallback != nil && isOneOf(err, m.FallbackOn) {
		m = m.Fallback
		err = x.mountOne(m)
	}
	return err
}

// mountOne builds the tree, resolves the target once, and joins the two.
func (x *Executor) mountOne(m *plan.Mount) error {
	switch {
	case m.Remount:
		return x.remount(m)
	case m.Type == "bind":
		return x.bind(m)
	}
	target, made, err := x.target(m, true)
	if err != nil {
		return err
	}
	defer linux.Close(target.fd)
	if err := x.mayCover(target, m.Type == "proc"); err != nil {
		return err
	}
	t, err := newTree(m, target, made)
	if err != nil {
		return err
	}
	defer t.Close()
	return x.fill(m, t, target)
}

// newTree makes the file system of a mount.
func newTree(m *plan.Mount, target target, made bool) (*tree.Tree, error) {
	fs := tree.FS{Type: m.Type, Source: m.Source, Super: m.Super, Data: m.Data, Attr: m.Attr}
	if m.TargetMode && !made {
		st, err := linux.Fstat(target.fd)
		if err != nil {
			return nil, err
		}
		fs.Data = append(fs.Data[:len(fs.Data):len(fs.Data)], "mode="+strconv.FormatUint(uint64(st.Mode&0o7777), 8))
	}
	if m.Label != "" {
		data, err := withLabel(fs.Data, m.Label)
		if err != nil {
			return nil, err
		}
		fs.Data = data
	}
	return tree.New(fs)
}

// fill attaches a new file system, with what is to be in it from the beginning.
func (x *Executor) fill(m *plan.Mount, t *tree.Tree, target target) error {
	// What mount(2) makes can be filled only once it is there; the target's descriptor still shows what it covers.
	attached := t.FD < 0
	if m.CopyUp && !attached {
		if err := copyUp(m, target.fd, t); err != nil {
			return err
		}
	}
	if err := x.finish(m, t, target); err != nil {
		return err
	}
	if m.CopyUp && attached {
		if err := copyUp(m, target.fd, t); err != nil {
			return err
		}
	}
	if m.FileLabel != "" {
		return setFileLabel(t.FD, m.FileLabel)
	}
	if m.Type == "tmpfs" && target.links == inroot.Plain {
		x.keepDir(m.Path, t)
	}
	return nil
}

func (x *Executor) bind(m *plan.Mount) error {
	t, lent, err := x.source(m)
	if err != nil {
		return err
	}
	defer t.Close()
	return x.bindTree(m, t, lent)
}

func (x *Executor) bindTree(m *plan.Mount, t *tree.Tree, lent bool) error {
	if m.Relabel != 0 {
		if err := relabel(m.Source, m.Label, m.Relabel); err != nil {
			return err
		}
	}
	if m.IDMap != nil && !lent {
		if err := idmap(t, m.IDMap); err != nil {
			return err
		}
	}
	target, _, err := x.targetLike(m, t)
	if err != nil {
		return err
	}
	defer linux.Close(target.fd)
	isProc := false
	if target.resolved == "/proc" {
		st, err := t.Statfs()
		if err != nil {
			return err
		}
		isProc = st.Type == unix.PROC_SUPER_MAGIC
	}
	if err := x.mayCover(target, isProc); err != nil {
		return err
	}
	old := t.FD < 0
	if given := t.Given(); m.ExactAttr && given.Set|given.Clear == 0 {
		if err := t.Exactly(m.Attr, m.Clear); err != nil {
			return err
		}
	}
	err = x.finish(m, t, target)
	if lent {
		err = foreign(err, old)
	}
	return err
}

// source is the tree to bind: cloned from the host's path, or from the descriptor that the host lent. What is lent for an
// idmapped mount is mapped already.
func (x *Executor) source(m *plan.Mount) (t *tree.Tree, lent bool, err error) {
	fd, lent := x.host.Sources[m.Index]
	if !lent {
		if t = tree.CloneWith(m.Source, m.Recursive, x.atOnce(m)); t != nil {
			return t, false, nil
		}
		t, err = tree.Clone(unix.AT_FDCWD, m.Source, m.Source, m.Recursive, m.PlainSource)
		return t, false, err
	}
	t, err = x.lent(fd, m.Source, m.Recursive)
	return t, true, err
}

// lent is the tree that a descriptor of the host's stands for, which stays the host's.
func (x *Executor) lent(fd int, name string, recursive bool) (*tree.Tree, error) {
	t, err := tree.Clone(fd, "", name, recursive, false)
	if errs.Is(err, unix.EINVAL) {
		// A tree that another mount namespace detached cannot be cloned, only attached: what the host lent is then used up.
		dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			return nil, errs.Sys("fcntl", name, err)
		}
		t = tree.Detached(dup, name)
	} else if err != nil {
		return nil, err
	}
	// It was detached where the host's mounts may be shared: as its peer, it would show the host what is mounted in it.
	for _, p := range x.outside {
		if err := t.Change(tree.Attr{Propagation: p, Recursive: true}); err != nil {
			t.Close()
			return nil, foreign(err, false)
		}
	}
	return t, nil
}

// atOnce is what of a bind is of the same mounts as its clone is: all, or the one.
func (x *Executor) atOnce(m *plan.Mount) (a tree.Attr) {
	if m.IDMap != nil || m.PlainSource {
		return a
	}
	if m.ExactAttr && !m.Recursive {
		a = tree.ExactAttr(m.Attr, m.Clear)
	}
	// Where it is attached below a shared mount, only what is set afterwards counts.
	if unshared := x.cut && !x.shares; unshared && len(m.Propagation) == 1 && (!m.Recursive || m.Propagation[0]&unix.MS_REC != 0) {
		a.Propagation = m.Propagation[0] &^ unix.MS_REC
	}
	return a
}

// foreign says what EINVAL most often means for a descriptor that the host lent. old: mount(2) has to do it.
func foreign(err error, old bool) error {
	if e, ok := errors.AsType[*errs.Error](err); ok && e.Errno == unix.EINVAL && (old || e.Detail == "") {
		if old {
			e.Code, e.Detail = errs.Unsupported, "a source descriptor of another mount namespace needs open_tree(2) and move_mount(2), Linux 5.2"
			return err
		}
		e.Detail = "the source descriptor is of no file or directory that this mount namespace has; one of another namespace " +
			"has to be a detached tree, from open_tree(2) with OPEN_TREE_CLONE there"
	}
	return err
}

// finish sets what a mount of either kind has, attaches it, and remembers it where Finalize comes back to it.
func (x *Executor) finish(m *plan.Mount, t *tree.Tree, target target) error {
	if err := t.Change(tree.Attr{Set: m.RecAttr, Clear: m.RecClear, Recursive: true}); err != nil {
		return err
	}
	again := func() (int, error) { return x.root.Open(m.Path, unix.O_PATH, target.links) }
	if target.resolved == "/" {
		again = func() (int, error) { return linux.Open(x.host.Rootfs, unix.O_PATH|unix.O_DIRECTORY) }
	}
	if target.links == inroot.Follow {
		x.trace()
	}
	late := x.lateMounts()
	err := aimed(t.Attach(target.fd, again), t, target.fd, m.Path)
	if lateErr := x.settle(late); err == nil {
		err = lateErr
	}
	if err != nil {
		return err
	}
	if target.resolved == "/" {
		if err := x.coverRoot(t.FD); err != nil {
			return err
		}
	}
	if err := x.propagate(m, t); err != nil {
		return err
	}
	if err := x.owned(m, t.FD); err != nil {
		return err
	}
	x.note(m, t.FD)
	return x.remember(m, t.FD)
}

// propagate sets the propagation, in the order of the options, unless the clone had it from the beginning. Not before the mount is
// attached: below a shared mount, attaching makes it shared.
func (x *Executor) propagate(m *plan.Mount, t *tree.Tree) error {
	for _, p := range m.Propagation {
		x.shares = x.shares || p&unix.MS_SHARED != 0
		if t.Given().Propagation != 0 {
			continue
		}
		if err := t.Change(tree.Attr{Propagation: p &^ unix.MS_REC, Recursive: p&unix.MS_REC != 0}); err != nil {
			return err
		}
	}
	return nil
}

// target is a resolved mount target.
type target struct {
	fd    int
	links inroot.Links
	// resolved is its path in the container with all symlinks undone.
	resolved string
}

// target resolves a mount's target, and makes it where it is missing.
func (x *Executor) target(m *plan.Mount, dir bool) (target, bool, error) {
	return x.resolve(m, func() (bool, error) { return dir, nil })
}

// targetLike is target for a bind: what is made is of the kind of the source, which is looked at only then.
func (x *Executor) targetLike(m *plan.Mount, t *tree.Tree) (target, bool, error) {
	return x.resolve(m, t.IsDir)
}

func (x *Executor) resolve(m *plan.Mount, isDir func() (bool, error)) (target, bool, error) {
	if x.ownDir && inroot.Dirname(m.Path) == x.dirname {
		if dir, err := isDir(); err == nil && dir {
			if fd, err := inroot.NewDir(x.dir, inroot.Basename(m.Path)); err == nil {
				return target{fd, inroot.Plain, m.Path}, true, nil
			}
		}
	}
	// Most targets have no symlink on their way; then the path is known to be what it says.
	fd, err := x.root.Open(m.Path, unix.O_PATH, inroot.Plain)
	links, made := inroot.Plain, false
	switch {
	case err == nil:
		return target{fd, links, m.Path}, false, nil
	case errs.Is(err, unix.ENOENT):
		// What exists of the path is free of symlinks, and what is made now is so too.
	case errs.Is(err, unix.ELOOP) && !m.PlainTarget:
		links = inroot.Follow
	case errs.Is(err, unix.ELOOP):
		return target{}, false, &errs.Error{Code: errs.Unsafe, Errno: unix.ELOOP, Op: "openat2", Args: m.Path,
			Detail: m.Type + " must be mounted on an ordinary directory, without a symlink on the way"}
	default:
		return target{}, false, err
	}
	// A symlink on the way may also lead to something that is there.
	if links == inroot.Follow {
		fd, err = x.root.Open(m.Path, unix.O_PATH, links)
	}
	if errs.Is(err, unix.ENOENT) {
		var dir bool
		if dir, err = isDir(); err != nil {
			return target{}, false, err
		}
		if dir {
			fd, made, err = x.root.MakeDir(m.Path, links)
		} else {
			fd, made, err = x.root.MakeFile(m.Path, links)
		}
	}
	if err != nil {
		return target{}, false, err
	}
	resolved := m.Path
	if links == inroot.Follow {
		if resolved, err = x.pathOf(fd); err != nil {
			linux.Close(fd)
			return target{}, false, err
		}
	}
	return target{fd, links, resolved}, made, nil
}

// aimed makes an error of attaching say from where to where, and why if that can be told.
func aimed(err error, t *tree.Tree, target int, to string) error {
	e, ok := errors.AsType[*errs.Error](err)
	if !ok {
		return err
	}
	e.Args = t.Name() + " -> " + to
	if e.Errno != unix.EINVAL && e.Errno != unix.ENOTDIR {
		return err
	}
	what, whatErr := t.IsDir()
	st, whereErr := linux.Fstat(target)
	if where := st.Mode&unix.S_IFMT == unix.S_IFDIR; whatErr == nil && whereErr == nil && what != where {
		e.Errno, e.Detail = unix.ENOTDIR, "one of the two is a directory and the other is not"
	}
	return err
}

// isOneOf tells whether the error's errno is among those named.
func isOneOf(err error, names []string) bool {
	for _, n := range names {
		if errno, ok := errnoByName[n]; ok && errors.Is(err, errno) {
			return true
		}
	}
	return false
}

var errnoByName = map[string]unix.Errno{"EPERM": unix.EPERM, "EBUSY": unix.EBUSY, "ENOENT": unix.ENOENT}
