// Package copyup copies what an image has in a directory into a file system that is about to cover it (tmpcopyup).
package copyup

import (
	"bytes"
	"errors"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/librootfs/librootfs/rootfs/internal/errs"
	"github.com/librootfs/librootfs/rootfs/internal/linux"
)

// maxDepth bounds the descent: each level holds two descriptors.
const maxDepth = 256

// Copy copies the contents of the directory from (an O_PATH descriptor) into the directory to: contents, modes, owners,
// times, extended attributes, hard links, symlinks and special files. Every entry is opened by its name below a
// descriptor of its directory and never followed, so that nothing outside of from can be read.
func Copy(from, to int) error {
	src, err := linux.Openat(from, ".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer linux.Close(src)
	dst, err := linux.Openat(to, ".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer linux.Close(dst)
	c := copier{links: map[inode]string{}, top: dst}
	st, err := linux.Fstat(src)
	if err != nil {
		return err
	}
	if err := c.dir(src, dst, "", 0); err != nil {
		return err
	}
	return c.attributes(src, dst, &st, ".")
}

type inode struct{ dev, ino uint64 }

type copier struct {
	links map[inode]string // first copy of each file with several links, as a path below top
	top   int
}

// dir copies the entries of one directory.
func (c *copier) dir(src, dst int, path string, depth int) error {
	if depth > maxDepth {
		return errs.Sys("tmpcopyup", path, unix.ELOOP)
	}
	names, err := list(src)
	if err != nil {
		return errs.Sys("getdents64", path, err)
	}
	for _, name := range names {
		if err := c.entry(src, dst, name, strings.TrimPrefix(path+"/"+name, "/"), depth); err != nil {
			return err
		}
	}
	return nil
}

func (c *copier) entry(src, dst int, name, path string, depth int) error {
	fd, err := linux.Openat(src, name, unix.O_PATH|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer linux.Close(fd)
	st, err := linux.Fstat(fd)
	if err != nil {
		return err
	}
	kind := st.Mode & unix.S_IFMT
	if kind != unix.S_IFDIR && st.Nlink > 1 {
		id := inode{st.Dev, st.Ino}
		if first, seen := c.links[id]; seen {
			return errs.Sys("linkat", path, unix.Linkat(c.top, first, dst, name, 0))
		}
		c.links[id] = path
	}
	switch kind {
	case unix.S_IFDIR:
		return c.subdir(src, dst, name, path, &st, depth)
	case unix.S_IFREG:
		return c.file(src, dst, name, path, &st)
	case unix.S_IFLNK:
		to, err := linux.Readlinkat(fd, "")
		if err != nil {
			return err
		}
		if err := linux.Symlinkat(to, dst, name); err != nil {
			return err
		}
		return c.nodeAttributes(dst, name, &st, path)
	}
	if err := linux.Mknodat(dst, name, st.Mode, st.Rdev); err != nil {
		return err
	}
	return c.nodeAttributes(dst, name, &st, path)
}

func (c *copier) subdir(src, dst int, name, path string, st *unix.Stat_t, depth int) error {
	in, err := linux.Openat(src, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer linux.Close(in)
	if err := linux.Mkdirat(dst, name, 0o700); err != nil {
		return err
	}
	out, err := linux.Openat(dst, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer linux.Close(out)
	if err := c.dir(in, out, path, depth+1); err != nil {
		return err
	}
	return c.attributes(in, out, st, path)
}

func (c *copier) file(src, dst int, name, path string, st *unix.Stat_t) error {
	// O_NONBLOCK: should the entry have become a fifo since it was looked at, this does not wait for a writer.
	in, err := linux.Openat(src, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer linux.Close(in)
	now, err := linux.Fstat(in)
	if err != nil {
		return err
	}
	if now.Dev != st.Dev || now.Ino != st.Ino {
		return errs.Refuse("tmpcopyup", path, "was exchanged while it was copied")
	}
	out, err := linux.Openat(dst, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	defer linux.Close(out)
	buf := make([]byte, 64<<10)
	for {
		n, err := unix.Read(in, buf)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return errs.Sys("read", path, err)
		}
		if n == 0 {
			return c.attributes(in, out, st, path)
		}
		for part := buf[:n]; len(part) > 0; {
			w, err := unix.Write(out, part)
			if err == unix.EINTR {
				continue
			}
			if err != nil {
				return errs.Sys("write", path, err)
			}
			part = part[w:]
		}
	}
}

// attributes gives an open copy the owner, mode, extended attributes and times of the original. The owner comes first:
// chown(2) clears set-id bits and capabilities.
func (c *copier) attributes(in, out int, st *unix.Stat_t, path string) error {
	if err := unix.Fchown(out, int(st.Uid), int(st.Gid)); err != nil {
		return errs.Sys("fchown", path, err)
	}
	if err := unix.Fchmod(out, st.Mode&0o7777); err != nil {
		return errs.Sys("fchmod", path, err)
	}
	if err := xattrs(in, out, path); err != nil {
		return err
	}
	return errs.Sys("utimensat", path, unix.UtimesNanoAt(unix.AT_FDCWD, linux.ProcFD(out), []unix.Timespec{st.Atim, st.Mtim}, 0))
}

// nodeAttributes is attributes for what cannot be opened: symlinks and special files.
func (c *copier) nodeAttributes(dst int, name string, st *unix.Stat_t, path string) error {
	if err := unix.Fchownat(dst, name, int(st.Uid), int(st.Gid), unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return errs.Sys("fchownat", path, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFLNK {
		if err := unix.Fchmodat(dst, name, st.Mode&0o7777, 0); err != nil {
			return errs.Sys("fchmodat", path, err)
		}
	}
	times := []unix.Timespec{st.Atim, st.Mtim}
	return errs.Sys("utimensat", path, unix.UtimesNanoAt(dst, name, times, unix.AT_SYMLINK_NOFOLLOW))
}

// xattrs copies the extended attributes that the target can hold; SELinux labels come from the mount.
func xattrs(in, out int, path string) error {
	names := make([]byte, 64<<10)
	n, err := unix.Flistxattr(in, names)
	if err != nil {
		if errors.Is(err, unix.EOPNOTSUPP) {
			return nil
		}
		return errs.Sys("flistxattr", path, err)
	}
	value := make([]byte, 64<<10)
	for name := range bytes.SplitSeq(names[:n], []byte{0}) {
		key := string(name)
		if key == "" || key == "security.selinux" || strings.HasPrefix(key, "trusted.overlay.") {
			continue
		}
		v, err := unix.Fgetxattr(in, key, value)
		if err != nil {
			return errs.Sys("fgetxattr", path+", "+key, err)
		}
		err = unix.Fsetxattr(out, key, value[:v], 0)
		if err != nil && !errors.Is(err, unix.EOPNOTSUPP) {
			return errs.Sys("fsetxattr", path+", "+key, err)
		}
	}
	return nil
}

func list(fd int) (names []string, err error) {
	buf := make([]byte, 32<<10)
	for {
		n, err := unix.ReadDirent(fd, buf)
		if err == unix.EINTR {
			continue
		}
		if err != nil || n == 0 {
			return names, err
		}
		_, _, names = unix.ParseDirent(buf[:n], -1, names)
	}
}
