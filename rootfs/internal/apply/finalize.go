package apply

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"

	"github.com/librootfs/librootfs/rootfs/internal/errs"
	"github.com/librootfs/librootfs/rootfs/internal/inroot"
	"github.com/librootfs/librootfs/rootfs/internal/linux"
	"github.com/librootfs/librootfs/rootfs/internal/plan"
	"github.com/librootfs/librootfs/rootfs/internal/procfs"
	"github.com/librootfs/librootfs/rootfs/internal/tree"
)

// remountReadonly makes read-only what had to be writable until now. The mount is known by its id: where another stands at
// its path by now, something moved the directories about.
func (x *Executor) remountReadonly(s *plan.RemountReadonly) error {
	if x.ids[s.Path] == settled {
		return nil
	}
	fd, err := x.root.Open(s.Path, unix.O_PATH, inroot.Follow)
	if err != nil {
		return err
	}
	t := tree.At(fd, s.Path)
	defer t.Close()
	id, root, err := identity(s.Path, fd)
	if err != nil {
		return err
	}
	if root == linux.No || id != x.ids[s.Path] {
		return errs.Refuse("statx", s.Path, "is not the mount that was made there")
	}
	return readonly(t)
}

func (x *Executor) readonlyRoot() error { return readonly(tree.At(x.root.FD, "/")) }

// A mount that has a file open for writing cannot become read-only; who has it open may be about to close it.
const (
	busyRetries = 5
	busyWait    = 100 * time.Millisecond
)

func readonly(t *tree.Tree) error {
	for i := 1; ; i++ {
		err := t.Change(tree.Attr{Set: unix.MOUNT_ATTR_RDONLY})
		if !errs.Is(err, unix.EBUSY) || i == busyRetries {
			return err
		}
		linux.Sleep(busyWait)
	}
}

func (x *Executor) sysctl(s *plan.Sysctl) error {
	err := procfs.Write("sys/"+s.File, s.Value)
	var e *errs.Error
	if errs.Is(err, unix.EACCES) && errors.As(err, &e) && e.Detail == "" {
		e.Detail = "the kernel lets no user namespace's root write it, though it is of a namespace of the container's own"
	}
	return err
}

// readonlyPath binds what a path stands for onto itself, read-only. One descriptor serves for source and target.
func (x *Executor) readonlyPath(s *plan.ReadonlyPath) error {
	fd, err := x.openTracing(s.Path)
	if absent(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer linux.Close(fd)
	t, err := tree.Clone(fd, "", s.Path, true, false)
	if err != nil {
		return err
	}
	defer t.Close()
	if err := t.Change(tree.Attr{Set: unix.MOUNT_ATTR_RDONLY}); err != nil {
		return err
	}
	again := func() (int, error) { return x.root.Open(s.Path, unix.O_PATH, inroot.Follow) }
	return aimed(t.Attach(fd, again), t, fd, s.Path)
}

// absent: there is nothing at the path that could be masked or made read-only.
func absent(err error) bool {
	return errs.Is(err, unix.ENOENT) || errs.Is(err, unix.ENOTDIR)
}

// maskSources are what covers masked paths, made at the first use.
type maskSources struct {
	null int // the container's null device, plus one; 0 for not yet opened
	dir  *tree.Tree
}

func (m *maskSources) close() {
	if m.null > 0 {
		linux.Close(m.null - 1)
	}
	m.dir.Close()
	*m = maskSources{}
}

// maskPath covers a file with the null device and a directory with an empty tmpfs. All directories share one tmpfs: each
// superblock costs the kernel memory, and some configs mask thousands.
func (x *Executor) maskPath(s *plan.MaskPath) error {
	target, err := x.openTracing(s.Path)
	if absent(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer linux.Close(target)
	again := func() (int, error) { return x.root.Open(s.Path, unix.O_PATH, inroot.Follow) }
	st, err := linux.Fstat(target)
	if err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return x.maskDir(s, target, again)
	}
	if x.masks.null == 0 {
		fd, err := x.openNull()
		if err != nil {
			return err
		}
		x.masks.null = fd + 1
	}
	return x.coverWith(s, x.masks.null-1, "/dev/null", target, again)
}

// coverWith attaches a clone of what covers the other paths too.
func (x *Executor) coverWith(s *plan.MaskPath, fd int, name string, target int, again func() (int, error)) error {
	t, err := tree.Clone(fd, "", name, false, false)
	if err != nil {
		return err
	}
	defer t.Close()
	return x.cover(s, t, target, again)
}

// cover attaches one mask.
func (x *Executor) cover(s *plan.MaskPath, t *tree.Tree, target int, again func() (int, error)) error {
	if err := t.Attach(target, again); err != nil {
		return aimed(err, t, target, s.Path)
	}
	x.note(s, t.FD)
	return nil
}

func (x *Executor) maskDir(s *plan.MaskPath, target int, again func() (int, error)) error {
	if x.masks.dir != nil {
		return x.coverWith(s, x.masks.dir.FD, "tmpfs", target, again)
	}
	fs := tree.FS{Type: "tmpfs", Source: "tmpfs", Super: []string{"ro"}, Data: []string{"nr_blocks=1", "nr_inodes=1"},
		Attr: unix.MOUNT_ATTR_RDONLY}
	if s.Label != "" {
		data, err := withLabel(fs.Data, s.Label)
		if err != nil {
			return err
		}
		fs.Data = data
	}
	t, err := tree.New(fs)
	if err != nil {
		return err
	}
	x.masks.dir = t // which closes it
	if err := x.cover(s, t, target, again); err != nil {
		return err
	}
	// The others are copied from it. Below a shared mount it is shared itself by now, and they would be its peers.
	return t.Change(tree.Attr{Propagation: unix.MS_PRIVATE})
}
