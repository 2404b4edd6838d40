package inroot

import (
	"strings"

	"golang.org/x/sys/unix"

	"github.com/librootfs/librootfs/rootfs/internal/errs"
	"github.com/librootfs/librootfs/rootfs/internal/linux"
)

// Modes of what is made where a mount's target is missing.
const (
	dirMode  = 0o755
	fileMode = 0o644
)

// Dir opens a directory below the root (O_PATH), making what is missing of it. A dangling symlink is followed inside the
// root: what it names is made. made tells whether the last component is new.
func (r Root) Dir(path string, links Links) (fd int, made bool, err error) {
	fd, err = r.Open(orDot(path), unix.O_PATH, links)
	if !errs.Is(err, unix.ENOENT) {
		return fd, false, err
	}
	return r.MakeDir(path, links)
}

// MakeDir is Dir for a path that is known to be missing.
func (r Root) MakeDir(path string, links Links) (fd int, made bool, err error) {
	m := maker{root: r, path: path, links: links}
	return m.make(Split(path), makeDir)
}

// NewDir makes a directory in another one, which must not have it yet, and opens it.
func NewDir(dir int, name string) (fd int, err error) {
	if err := makeDir.make(dir, name); err != nil {
		return -1, err
	}
	return makeDir.open(dir, name, name)
}

// MakeFile is MakeDir for an empty regular file. It is made by mknodat(2), so nothing that may lie there is opened or
// truncated.
func (r Root) MakeFile(path string, links Links) (fd int, made bool, err error) {
	m := maker{root: r, path: path, links: links}
	return m.make(Split(path), makeFile)
}

// Parent opens the directory that path lies in, making it where it is missing.
func (r Root) Parent(path string, links Links) (dir int, err error) {
	dir, _, err = r.Dir(Dirname(path), links)
	return dir, err
}

// Dirname and Basename are the two parts of a clean absolute path.
func Dirname(path string) string  { return path[:max(strings.LastIndexByte(path, '/'), 0)] }
func Basename(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }

// Within tells whether a path is dir, or lies below it, as far as names tell.
func Within(path, dir string) bool {
	return path == dir || dir == "/" || strings.HasPrefix(path, dir+"/")
}

// maker makes the missing part of one path.
type maker struct {
	root     Root
	path     string
	links    Links
	followed int
}

// kind is how to make and to open the last component.
type kind struct {
	make func(dir int, name string) error
	open func(dir int, name, path string) (int, error)
}

var (
	makeDir = kind{
		func(dir int, name string) error { return linux.Mkdirat(dir, name, dirMode) },
		func(dir int, name, _ string) (int, error) {
			return linux.Openat(dir, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
		},
	}
	makeFile = kind{
		func(dir int, name string) error { return linux.Mknodat(dir, name, unix.S_IFREG|fileMode, 0) },
		openName,
	}
)

// make makes the last of parts below a descriptor of its parent, which it makes first where that is missing too. Each
// prefix is resolved from the root: RESOLVE_IN_ROOT is relative to the directory that it starts from.
func (m *maker) make(parts []string, last kind) (fd int, made bool, err error) {
	if len(parts) == 0 {
		return -1, false, errs.Sys("open in root", m.path, unix.EEXIST)
	}
	name, above := parts[len(parts)-1], parts[:len(parts)-1]
	if name == ".." {
		// The target of a dangling symlink may go up from what does not exist. Made below a descriptor, ".." would have no
		// root to stop at; for the kernel there is nothing to go up from.
		return -1, false, errs.Sys("open in root", m.path, unix.ENOENT)
	}
	dir, err := m.root.Open(orDot(strings.Join(above, "/")), unix.O_PATH|unix.O_DIRECTORY, m.links)
	if errs.Is(err, unix.ENOENT) {
		dir, _, err = m.make(above, makeDir)
	}
	if err != nil {
		return -1, false, err
	}
	defer linux.Close(dir)
	err = last.make(dir, name)
	if errs.Is(err, unix.EEXIST) {
		return m.exists(dir, parts, last)
	}
	if err != nil {
		return -1, false, err
	}
	fd, err = last.open(dir, name, m.path)
	return fd, true, err
}

// exists deals with a name that is there although resolving it found nothing: a dangling symlink, whose target is then
// made in its stead, or something that somebody else has made meanwhile.
func (m *maker) exists(dir int, parts []string, last kind) (fd int, made bool, err error) {
	name, above := parts[len(parts)-1], parts[:len(parts)-1]
	to, err := linux.Readlinkat(dir, name)
	if err != nil {
		fd, err = last.open(dir, name, m.path)
		return fd, false, err
	}
	if m.followed++; m.followed > maxLinks || m.links == Plain {
		return -1, false, errs.Sys("open in root", m.path, unix.ELOOP)
	}
	next := Split(to)
	if !strings.HasPrefix(to, "/") {
		next = append(above[:len(above):len(above)], next...)
	}
	fd, err = m.root.Open(orDot(strings.Join(next, "/")), unix.O_PATH, m.links)
	if errs.Is(err, unix.ENOENT) {
		return m.make(next, last)
	}
	return fd, false, err
}

// orDot names the root itself where the path is empty.
func orDot(path string) string {
	if path == "" {
		return "."
	}
	return path
}
