package inroot

import (
	"errors"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/librootfs/librootfs/rootfs/internal/errs"
	"github.com/librootfs/librootfs/rootfs/internal/linux"
)

// Modes of what is made where a mount's target is missing, as behaviour.md has them.
const (
	dirMode  = 0o755
	fileMode = 0o644
)

// Dir opens a directory below the root (O_PATH), making what is missing of it. A dangling symlink is followed inside the
// root: what it names is made. made tells whether the last component is new.
func (r Root) Dir(path string, links Links) (fd int, made bool, err error) {
	return r.make(path, links, func(dir int, name string) error { return linux.Mkdirat(dir, name, dirMode) })
}

// File is Dir for an empty regular file. It is made by mknodat(2), so nothing that may lie there is opened or truncated.
func (r Root) File(path string, links Links) (fd int, made bool, err error) {
	return r.make(path, links, func(dir int, name string) error {
		return linux.Mknodat(dir, name, unix.S_IFREG|fileMode, 0)
	})
}

// Parent opens the directory that path lies in, making it where it is missing, and gives the last component's name.
func (r Root) Parent(path string, links Links) (dir int, name string, err error) {
	parts := Split(path)
	if len(parts) == 0 {
		return -1, "", errs.Refuse("open in root", path, "the root itself has no parent")
	}
	name = parts[len(parts)-1]
	dir, _, err = r.Dir(strings.Join(parts[:len(parts)-1], "/"), links)
	return dir, name, err
}

// make finds the deepest part of path that exists, and makes the rest one name at a time, each below a descriptor of its
// parent. The last name is made by last.
func (r Root) make(path string, links Links, last func(dir int, name string) error) (int, bool, error) {
	fd, err := r.openDot(path, links)
	if err == nil || !errors.Is(err, unix.ENOENT) {
		return fd, false, err
	}
	parts, followed, made := Split(path), 0, false
	dir, err := r.openDot("", links)
	if err != nil {
		return -1, false, err
	}
	defer func() { linux.Close(dir) }()
	for i := 0; i < len(parts); i++ {
		// The whole prefix is resolved anew each time: RESOLVE_IN_ROOT is relative to the root, not to dir.
		next, err := r.openDot(strings.Join(parts[:i+1], "/"), links)
		made = false
		if errors.Is(err, unix.ENOENT) {
			name := parts[i]
			if i == len(parts)-1 {
				err = last(dir, name)
			} else {
				err = linux.Mkdirat(dir, name, dirMode)
			}
			made = err == nil
			switch {
			case made:
				next, err = openName(dir, name, path)
			case errors.Is(err, unix.EEXIST):
				// A dangling symlink, or somebody was faster.
				to, linkErr := linux.Readlinkat(dir, name)
				if linkErr != nil {
					next, err = openName(dir, name, path)
					break
				}
				if followed++; followed > maxLinks || links == Plain {
					return -1, false, errs.Sys("open in root", path, unix.ELOOP)
				}
				rest := append(Split(to), parts[i+1:]...)
				if strings.HasPrefix(to, "/") {
					parts = rest
				} else {
					parts = append(parts[:i:i], rest...)
				}
				linux.Close(dir)
				if dir, err = r.openDot("", links); err != nil {
					return -1, false, err
				}
				i = -1
				continue
			}
		}
		if err != nil {
			return -1, false, err
		}
		linux.Close(dir)
		dir = next
	}
	out := dir
	dir = -1
	return out, made, nil
}

// openDot is Open with O_PATH, where "" is the root itself.
func (r Root) openDot(path string, links Links) (int, error) {
	if path == "" {
		path = "."
	}
	return r.Open(path, unix.O_PATH, links)
}
