// Package inroot resolves paths of the container below a descriptor of its root. What it gives out is a descriptor, to be
// used as it is: nothing that it resolved is looked up a second time.
package inroot

import (
	"errors"
	"os"
	"strings"

	pathrs "github.com/cyphar/filepath-securejoin/pathrs-lite"
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

// Open opens a path below the root. flags are of open(2), most often O_PATH; the caller closes the descriptor.
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
		case errors.Is(err, unix.EAGAIN):
			continue
		case linux.CallOpenat2.Refused(err):
			return r.walk(path, flags, links)
		}
		return -1, err
	}
	return -1, errs.Refuse("openat2", path, "its directories are renamed faster than it can be resolved")
}

// walk is Open for kernels without openat2(2).
func (r Root) walk(path string, flags int, links Links) (int, error) {
	if links == Plain {
		return r.walkPlain(path, flags)
	}
	// os.NewFile takes ownership, so it gets a descriptor of its own.
	dup, err := linux.Openat(r.FD, ".", unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return -1, err
	}
	root := os.NewFile(uintptr(dup), "root")
	defer root.Close()
	handle, err := pathrs.OpenatInRoot(root, path)
	if err != nil {
		return -1, errs.Sys("open in root", path, err)
	}
	defer handle.Close()
	return reopen(int(handle.Fd()), path, flags)
}

// walkPlain opens each component without following it, so that no symlink can be on the way; path has no "..".
func (r Root) walkPlain(path string, flags int) (int, error) {
	cur, err := linux.Openat(r.FD, ".", unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return -1, err
	}
	for _, name := range Split(path) {
		if name == ".." {
			linux.Close(cur)
			return -1, errs.Sys("open in root", path, unix.ELOOP)
		}
		next, err := openName(cur, name, path)
		linux.Close(cur)
		if err != nil {
			return -1, err
		}
		cur = next
	}
	defer linux.Close(cur)
	return reopen(cur, path, flags)
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

// reopen turns an O_PATH descriptor into one opened with flags.
func reopen(fd int, path string, flags int) (int, error) {
	st, err := linux.Fstat(fd)
	if err != nil {
		return -1, err
	}
	if flags&unix.O_DIRECTORY != 0 && st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return -1, errs.Sys("open in root", path, unix.ENOTDIR)
	}
	flags &^= unix.O_NOFOLLOW
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return linux.Openat(fd, ".", flags, 0)
	}
	if flags&unix.O_PATH != 0 {
		dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		return dup, errs.Sys("fcntl", path, err)
	}
	return linux.Openat(unix.AT_FDCWD, linux.ProcFD(fd), flags, 0)
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
