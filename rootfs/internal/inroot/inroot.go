// Package inroot resolves paths of the container below a descriptor of its root. What it gives out is a descriptor, to be
// used as it is: nothing that it resolved is looked up a second time.
package inroot

import (
	"errors"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/librootfs/librootfs/rootfs/internal/errs"
	"github.com/librootfs/librootfs/rootfs/internal/linux"
)

// Root is the root directory of a container.
type Root struct {
	FD int
}

// Links says what symlinks mean on the way to a path. Magic links are refused always.
type Links bool

const (
	Follow Links = true  // resolved as if Root were "/"
	Plain  Links = false // refused with ELOOP, wherever in the path they stand
)

// unsettled bounds how often a look-up that the kernel gave up because of a concurrent rename is done again.
const unsettled = 256

// maxLinks is the kernel's own MAXSYMLINKS.
const maxLinks = 40

// Open opens a path below the root. flags are of open(2), O_PATH always among them: what somebody may swap is not to be opened for
// use before it is looked at, and then by its descriptor (procfs.Reopen). The caller closes the descriptor.
func (r Root) Open(path string, flags int, links Links) (int, error) {
	resolve := uint64(unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS)
	if links == Plain {
		resolve |= unix.RESOLVE_NO_SYMLINKS
	}
	for range unsettled {
		fd, err := linux.Openat2(r.FD, path, uint64(flags), resolve)
		switch {
		case err == nil:
			return fd, nil
		case errs.Is(err, unix.EAGAIN):
			continue
		case linux.CallOpenat2.Refused(err):
			fd, err := r.walk(path, flags, links)
			var e *errs.Error
			if errors.As(err, &e) && e.Op == "openat" {
				e.Args = path // rather than the name and directory at which the walk got stuck
			}
			return fd, err
		}
		return -1, err
	}
	return -1, errs.Refuse("openat2", path, "its directories are renamed faster than it can be resolved")
}

// openName opens one name of a directory, ELOOP where it is a symlink.
func openName(dir int, name, path string) (int, error) {
	fd, err := linux.Openat(dir, name, unix.O_PATH|unix.O_NOFOLLOW, 0)
	if err != nil {
		return -1, err
	}
	st, err := linux.Fstat(fd)
	if err == nil && st.Mode&unix.S_IFMT == unix.S_IFLNK {
		err = errs.Sys("open in root", path, unix.ELOOP)
	}
	if err != nil {
		linux.Close(fd)
		return -1, err
	}
	return fd, nil
}

// Split gives the components of a path, without empty ones and dots.
func Split(path string) []string {
	parts := strings.Split(path, "/")
	out := parts[:0]
	for _, p := range parts {
		if p != "" && p != "." {
			out = append(out, p)
		}
	}
	return out
}
