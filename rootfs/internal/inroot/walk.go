package inroot

import (
	"strings"

	"golang.org/x/sys/unix"

	"github.com/librootfs/librootfs/rootfs/internal/errs"
	"github.com/librootfs/librootfs/rootfs/internal/linux"
)

// walk is Open for kernels without openat2(2). It opens one name after the other, following nothing, and undoes symlinks
// itself. The directories that it came through stay open: ".." goes back to one of them and is never left to the kernel,
// so that a directory which is moved out of the root meanwhile cannot lead there.
//
// (pathrs-lite has such a walk too, but it needs a /proc in the root that is looked at, and keeps a descriptor.)
type walk struct {
	root     int
	path     string
	links    Links
	followed int
	came     []int // O_PATH descriptors from below the root down to where the walk is
}

func (r Root) walk(path string, flags int, links Links) (int, error) {
	w := walk{root: r.FD, path: path, links: links}
	defer w.back(0)
	parts := Split(path)
	for len(parts) > 0 {
		name := parts[0]
		parts = parts[1:]
		if name == ".." {
			w.back(max(len(w.came)-1, 0))
			continue
		}
		if len(parts) == 0 && flags&unix.O_NOFOLLOW != 0 {
			return w.last(name, flags)
		}
		to, err := w.enter(name)
		if err != nil {
			return -1, err
		}
		if to != "" {
			if strings.HasPrefix(to, "/") {
				w.back(0)
			}
			parts = append(Split(to), parts...)
		}
	}
	if flags&unix.O_DIRECTORY != 0 {
		if st, err := linux.Fstat(w.here()); err != nil || st.Mode&unix.S_IFMT != unix.S_IFDIR {
			if err == nil {
				err = errs.Sys("open in root", path, unix.ENOTDIR)
			}
			return -1, err
		}
	}
	// Not by ".", which only who may search the directory can open.
	fd, err := unix.FcntlInt(uintptr(w.here()), unix.F_DUPFD_CLOEXEC, 0)
	return fd, errs.Sys("fcntl", path, err)
}

func (w *walk) here() int {
	if len(w.came) == 0 {
		return w.root
	}
	return w.came[len(w.came)-1]
}

// back forgets all but the first n directories.
func (w *walk) back(n int) {
	for _, fd := range w.came[n:] {
		linux.Close(fd)
	}
	w.came = w.came[:n]
}

// enter goes to a name, or tells where it leads to if it is a symlink.
func (w *walk) enter(name string) (to string, err error) {
	fd, err := linux.Openat(w.here(), name, unix.O_PATH|unix.O_NOFOLLOW, 0)
	if err != nil {
		return "", err
	}
	st, err := linux.Fstat(fd)
	if err != nil {
		linux.Close(fd)
		return "", err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFLNK {
		w.came = append(w.came, fd)
		return "", nil
	}
	defer linux.Close(fd)
	if w.followed++; w.links == Plain || w.followed > maxLinks {
		return "", errs.Sys("open in root", w.path, unix.ELOOP)
	}
	if err := w.notMagic(fd); err != nil {
		return "", err
	}
	return linux.Readlinkat(fd, "")
}

// procRootInode is the inode of every procfs's root (include/linux/proc_fs.h, PROC_ROOT_INO).
const procRootInode = 1

// notMagic refuses the links of procfs that lead somewhere by themselves, whatever their text says: all but those that
// lie in its root ("self", "mounts", "net").
func (w *walk) notMagic(link int) error {
	fs, err := linux.Fstatfs(link)
	if err != nil || fs.Type != unix.PROC_SUPER_MAGIC {
		return err
	}
	dir, err := linux.Fstat(w.here())
	if err == nil && dir.Ino != procRootInode {
		err = errs.Sys("open in root", w.path, unix.ELOOP)
	}
	return err
}

// last opens the last name as open(2) with O_NOFOLLOW would.
func (w *walk) last(name string, flags int) (int, error) {
	fd, err := linux.Openat(w.here(), name, flags|unix.O_NOFOLLOW, 0)
	if err != nil || w.links != Plain {
		return fd, err
	}
	st, err := linux.Fstat(fd)
	if err == nil && st.Mode&unix.S_IFMT == unix.S_IFLNK {
		err = errs.Sys("open in root", w.path, unix.ELOOP)
	}
	if err != nil {
		linux.Close(fd)
		return -1, err
	}
	return fd, nil
}
