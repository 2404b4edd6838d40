package tree

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/librootfs/librootfs/rootfs/internal/errs"
	"github.com/librootfs/librootfs/rootfs/internal/linux"
	"github.com/librootfs/librootfs/rootfs/internal/procfs"
)

// legacy is a tree that mount(2) will make when it is attached, for kernels without detached trees. It is as safe: the
// target is named through the library's own descriptor directory in /proc, and the new mount is recognised by the
// identity of its root before anything more is done to it.
type legacy struct {
	fs        *FS // a new file system; nil for a bind
	source    int // O_PATH descriptor of a bind's source, or -1
	recursive bool
}

// change is one change of attributes that waits for the mount to exist.
type change struct {
	Attr
	exactly bool
}

func newLegacy(fs FS) (*Tree, error) {
	return &Tree{FD: -1, name: fs.Type, legacy: &legacy{fs: &fs, source: -1}}, nil
}

func cloneLegacy(dirfd int, path, name string, recursive, noFollow bool) (*Tree, error) {
	flags := unix.O_PATH
	if noFollow {
		flags |= unix.O_NOFOLLOW
	}
	var fd int
	var err error
	if path == "" {
		fd, err = unix.FcntlInt(uintptr(dirfd), unix.F_DUPFD_CLOEXEC, 0)
		err = errs.Sys("fcntl", name, err)
	} else {
		fd, err = linux.Openat(dirfd, path, flags, 0)
	}
	if err != nil {
		return nil, renamed(err, name)
	}
	t := &Tree{FD: -1, name: name, legacy: &legacy{source: fd, recursive: recursive}}
	if st, err := linux.Fstat(fd); err != nil || st.Mode&unix.S_IFMT == unix.S_IFLNK {
		t.Close()
		if err == nil {
			err = errs.Sys("open", name, unix.ELOOP)
		}
		return nil, err
	}
	return t, nil
}

func (t *Tree) attachLegacy(target int, again func() (int, error)) error {
	before, err := mounts()
	if err != nil {
		return noProcfs(err)
	}
	if err := t.legacy.mount(target, t.name); err != nil {
		return err
	}
	fd, err := again()
	if errs.Is(err, unix.ENOENT) || errs.Is(err, unix.ENOTDIR) {
		return errs.Cannot("mount", t.name, "it covers the way that leads to it, and without one of fsopen(2), fsconfig(2), fsmount(2), "+
			"open_tree(2) and move_mount(2), Linux 5.2, it is not found again: "+err.Error())
	}
	if err != nil {
		return err
	}
	if err := t.legacy.recognise(fd, target, before, t.name); err != nil {
		linux.Close(fd)
		return err
	}
	t.FD, t.attached = fd, true
	return t.applyChanges()
}

// place is what never changes of a mount while it stays where it is: the one below it, and the device of its file system.
type place struct {
	parent int
	dev    string
}

// mounts are the mounts of the namespace by their ids. This is the one place that reads the mount table to make a mount: a kernel
// without the mount API has no other way to tell a new mount from one that was there.
func mounts() (map[int]place, error) {
	table, err := procfs.Read("self/mountinfo")
	if err != nil {
		return nil, err
	}
	list := map[int]place{}
	for line := range strings.Lines(string(table)) {
		fields := strings.SplitN(line, " ", 4) // id, parent's id, device, ...
		if len(fields) < 4 {
			return nil, errs.Sys("mountinfo", line, unix.EINVAL)
		}
		id, err := strconv.Atoi(fields[0])
		if err != nil {
			return nil, errs.Sys("mountinfo", line, err)
		}
		parent, err := strconv.Atoi(fields[1])
		if err != nil {
			return nil, errs.Sys("mountinfo", line, err)
		}
		list[id] = place{parent, fields[2]}
	}
	return list, nil
}

// applyChanges does what had to wait.
func (t *Tree) applyChanges() error {
	waited := t.changes
	t.changes = nil
	for _, c := range waited {
		// Not by mount(2) at once: it may be another call than mount_setattr(2) that is missing.
		err := error(nil)
		if c.exactly {
			err = t.Exactly(c.Set, c.Clear)
		} else {
			err = t.Change(c.Attr)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// mount makes the mount, which nothing tells us how to reach yet.
func (l *legacy) mount(target int, name string) error {
	if l.fs == nil {
		return byPath(func(path []string) error {
			flags := uint64(unix.MS_BIND)
			if l.recursive {
				flags |= unix.MS_REC
			}
			return unbindable(renamed(linux.Mount(path[1], path[0], "", flags, ""), name), l.recursive)
		}, target, l.source)
	}
	fs := *l.fs
	flags, data := fs.legacy()
	fds := []int{target}
	if fs.Type == "overlay" && len(data) >= unix.Getpagesize() {
		short, layers, err := fs.shortened()
		if err != nil {
			return err
		}
		defer closeAll(layers)
		fds = append(fds, layers...)
		flags, data = short.legacy()
	}
	return byPath(func(path []string) error {
		if len(data) >= unix.Getpagesize() {
			return errs.Cannot("mount", name, "the options are longer than the page that mount(2) takes; "+
				"fsopen(2), fsconfig(2), fsmount(2) and move_mount(2), Linux 5.2, know no such bound")
		}
		return why(&fs, renamed(linux.Mount(fs.Source, path[0], fs.Type, flags, data), name))
	}, fds...)
}

// legacy is what mount(2) is given for the file system.
func (fs *FS) legacy() (flags uint64, text string) {
	flags = msOf(fs.Attr)
	for _, s := range fs.Super {
		flags |= superMS[s]
	}
	data := make([]string, len(fs.Data))
	for i, opt := range fs.Data {
		data[i] = quoted(opt)
	}
	return flags, strings.Join(data, ",")
}

// quoted puts the label of SELinux in quotes, whose categories are separated by commas as options are.
func quoted(opt string) string {
	key, value, _ := strings.Cut(opt, "=")
	if strings.HasSuffix(key, "context") && strings.Contains(value, ",") {
		return key + `="` + value + `"`
	}
	return opt
}

// recognise makes sure that fd, found by resolving the target's path again, is the root of the mount just made: only this
// process mounts here, so a mount that was not there before and has the right root can be nothing else. An attacker who
// swaps directories can lead the path to another mount, even one of the same source; that one was there before.
func (l *legacy) recognise(fd, target int, before map[int]place, name string) error {
	id, err := procfs.MountID(fd)
	if err != nil {
		return err
	}
	was, known := before[id]
	if known {
		if known, err = stays(id, was, target); err != nil {
			return err
		}
	}
	same := true
	if l.source >= 0 {
		if same, err = linux.Same(fd, l.source); err != nil {
			return err
		}
	}
	if known || !same {
		return errs.Refuse("mount", name, "its target was exchanged while it was mounted")
	}
	return nil
}

// stays tells whether an id is of the mount that had it before. The kernel gives the id of a mount that has gone to the next one,
// and where the host's mounts come and go, that is often ours. Ours lies on the target's mount.
func stays(id int, was place, target int) (bool, error) {
	now, err := mounts()
	if err != nil {
		return false, err
	}
	on, err := procfs.MountID(target)
	is, there := now[id]
	return !there || is.dev == was.dev && (is.parent == was.parent || is.parent != on), err
}

// changeLegacy changes an attached mount with mount(2).
func (t *Tree) changeLegacy(c change) error {
	fd, name := t.FD, t.name
	if c.Recursive && (c.Set|c.Clear) != 0 {
		return errs.Cannot("mount_setattr", name, "recursive mount attributes need mount_setattr(2), Linux 5.12")
	}
	return byPath(func(path []string) error {
		self := path[0]
		if c.Propagation != 0 {
			flags := c.Propagation
			if c.Recursive {
				flags |= unix.MS_REC
			}
			if err := linux.Mount("", self, "", flags, ""); err != nil {
				return renamed(err, name)
			}
		}
		if !c.exactly && c.Set|c.Clear == 0 {
			return nil
		}
		st, err := linux.Fstatfs(fd)
		if err != nil {
			return err
		}
		has := attrOf(uint64(st.Flags))
		want := has&^c.Clear | c.Set
		if c.exactly {
			want = c.Set
		}
		flags := uint64(unix.MS_REMOUNT | unix.MS_BIND)
		if (c.Set|c.Clear)&atime != 0 {
			// A remount that has none of these flags keeps the access time. This one stands for it where others are cleared, and
			// gives way to those that are set.
			flags |= unix.MS_RELATIME
		}
		err = linux.Mount("", self, "", flags|msOf(want), "")
		if c.exactly && errs.Is(err, unix.EPERM) {
			locked, lockErr := t.lockedBy(c.Set, c.Clear)
			if lockErr != nil {
				return lockErr
			}
			err = linux.Mount("", self, "", flags|msOf(want|locked), "")
		}
		return renamed(err, name)
	}, fd)
}

// byPath calls do with paths of descriptors, for calls that take nothing else: from within /proc/thread-self/fd of a procfs
// of the library's own, where a bare number names a descriptor. Where there is no procfs to be had (after the switch to
// a root without one, on a kernel that cannot make one apart), "." names a directory, if all descriptors are of that one.
func byPath(do func(path []string) error, fds ...int) error {
	paths := make([]string, len(fds))
	dir, err := procfs.FDDir()
	if err == nil {
		defer linux.Close(dir)
		for i, fd := range fds {
			paths[i] = strconv.Itoa(fd)
		}
	} else {
		if !oneDir(fds) {
			return noProcfs(err)
		}
		dir = fds[0]
		for i := range paths {
			paths[i] = "."
		}
	}
	back, err := linux.Open(".", unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer linux.Close(back)
	if err := linux.Fchdir(dir); err != nil {
		return err
	}
	err = do(paths)
	if backErr := linux.Fchdir(back); err == nil {
		err = backErr
	}
	return err
}

func noProcfs(err error) error {
	return procfs.None("mount", "", "mount(2) alone is not safe without a procfs", err)
}

// oneDir tells whether all descriptors stand for the same directory of the same mount.
func oneDir(fds []int) bool {
	st, err := linux.Fstat(fds[0])
	if err != nil || st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return false
	}
	id, _, err := linux.MountID(fds[0])
	if err != nil {
		return false
	}
	for _, fd := range fds[1:] {
		same, err := linux.Same(fds[0], fd)
		other, _, idErr := linux.MountID(fd)
		if err != nil || idErr != nil || !same || other != id {
			return false
		}
	}
	return true
}
