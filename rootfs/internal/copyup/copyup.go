// Package copyup copies what an image has in a directory into a file system that is about to cover it (tmpcopyup).
package copyup

import (
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
// descriptor of its directory and never followed, so that nothing outside of from can be read. The directory to itself
// becomes like from as well, but for what keep says.
func Copy(from, to int, keep Keep) error {
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
	c := copier{links: map[inode]string{}, top: dst, buf: make([]byte, bufferSize), names: make([]byte, bufferSize)}
	st, err := linux.Fstat(src)
	if err != nil {
		return err
	}
	has, err := linux.Fstat(dst)
	if err != nil {
		return err
	}
	if err := c.dir(src, dst, "", 0); err != nil {
		return err
	}
	if keep.UID {
		st.Uid = has.Uid
	}
	if keep.GID {
		st.Gid = has.Gid
	}
	if err := c.attributes(src, dst, &st, "."); err != nil || !keep.Mode {
		return err
	}
	return errs.Sys("fchmod", ".", unix.Fchmod(dst, has.Mode&0o7777))
}

// Keep names what the target directory has already as it is to be: the options of its mount said so.
type Keep struct{ UID, GID, Mode bool }

type inode struct{ dev, ino uint64 }

type copier struct {
	links map[inode]string // first copy of each file with several links, as a path below top
	top   int
	buf   []byte // for contents and the values of attributes, which are never needed at the same time
	names []byte // for the names of attributes
}

// bufferSize holds the longest value and the longest list of extended attributes that the kernel gives (XATTR_SIZE_MAX).
const bufferSize = 64 << 10

// dir copies the entries of one directory.
func (c *copier) dir(src, dst int, path string, depth int) error {
	if depth > maxDepth {
		return &errs.Error{Code: errs.System, Op: "tmpcopyup", Args: path[:min(len(path), 64)] + "...", Errno: unix.ELOOP,
			Detail: "the image has directories more than 256 deep there"}
	}
	names, err := linux.Names(src)
	if err != nil {
		return err
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
		return c.nodeAttributes(fd, dst, name, &st, path)
	}
	if err := linux.Mknodat(dst, name, st.Mode, st.Rdev); err != nil {
		return noDevice(err, path)
	}
	return c.nodeAttributes(fd, dst, name, &st, path)
}

func noDevice(err error, path string) error {
	var e *errs.Error
	if errors.As(err, &e) && e.Errno == unix.EPERM {
		e.Args, e.Detail = path, "the image has a device there, and a user namespace can make none"
	}
	return err
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
	if err := c.contents(in, out, path, now.Size); err != nil {
		return err
	}
	return c.attributes(in, out, st, path)
}
