package copyup

import (
	"bytes"
	"errors"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/librootfs/librootfs/rootfs/internal/errs"
	"github.com/librootfs/librootfs/rootfs/internal/linux"
)

// contents copies what a file has, and leaves its holes holes: an image's sparse file must not fill the memory.
func (c *copier) contents(in, out int, path string, size int64) error {
	if err := unix.Ftruncate(out, size); err != nil {
		return errs.Sys("ftruncate", path, err)
	}
	flushed := false
	for at := int64(0); at < size; {
		data, err := unix.Seek(in, at, unix.SEEK_DATA)
		if (err == unix.ENXIO || err == nil && data > at) && !flushed {
			flush(in)
			flushed = true
			continue
		}
		if err == unix.ENXIO {
			return nil // nothing but a hole is left
		}
		end := size
		if err == nil {
			end, err = unix.Seek(in, data, unix.SEEK_HOLE)
		} else if err == unix.EINVAL {
			data, err = at, nil // a file system that knows of no holes
		}
		if err != nil {
			return errs.Sys("lseek", path, err)
		}
		if err := c.extent(in, out, path, data, end); err != nil {
			return err
		}
		at = end
	}
	return nil
}

// flush has what was written to a file lately put on the disk, where that can be had: until then SEEK_DATA of the ext4 driver
// passes over it in a file without extents, on a disk with the format of ext2 or ext3 (Linux 6.12 and 6.18; not 6.1). fsync(2)
// does not reach the lower layers of an overlay; FIEMAP does, with this flag, and one byte of the file is enough to ask for.
func flush(in int) {
	const fsIocFiemap, fiemapFlagSync = 0xc020660b, 1
	ask := struct {
		start, length           uint64
		flags, mapped, count, _ uint32
	}{length: 1, flags: fiemapFlagSync}
	unix.Syscall(unix.SYS_IOCTL, uintptr(in), fsIocFiemap, uintptr(unsafe.Pointer(&ask)))
}

// extent copies the bytes from at to end, or to where the file by now ends.
func (c *copier) extent(in, out int, path string, at, end int64) error {
	for at < end {
		n, err := unix.Pread(in, c.buf[:min(int64(len(c.buf)), end-at)], at)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return errs.Sys("read", path, err)
		}
		if n == 0 {
			return nil
		}
		for part := c.buf[:n]; len(part) > 0; {
			w, err := unix.Pwrite(out, part, at)
			if err == unix.EINTR {
				continue
			}
			if err != nil {
				return errs.Sys("write", path, err)
			}
			part, at = part[w:], at+int64(w)
		}
	}
	return nil
}

// attributes gives an open copy the owner, mode, extended attributes and times of the original. The owner comes first:
// chown(2) clears set-id bits and capabilities.
func (c *copier) attributes(in, out int, st *unix.Stat_t, path string) error {
	if err := unix.Fchown(out, int(st.Uid), int(st.Gid)); err != nil {
		return owner("fchown", path, err)
	}
	if err := unix.Fchmod(out, st.Mode&0o7777); err != nil {
		return errs.Sys("fchmod", path, err)
	}
	reach := xattrs{
		list: func(dst []byte) (int, error) { return unix.Flistxattr(in, dst) },
		get:  func(name string, dst []byte) (int, error) { return unix.Fgetxattr(in, name, dst) },
		set:  func(name string, value []byte) error { return unix.Fsetxattr(out, name, value, 0) },
	}
	if err := c.xattrs(reach, path); err != nil {
		return err
	}
	times := [2]unix.Timespec{st.Atim, st.Mtim}
	_, _, errno := unix.Syscall6(unix.SYS_UTIMENSAT, uintptr(out), 0, uintptr(unsafe.Pointer(&times)), 0, 0, 0)
	if errno != 0 {
		return errs.Sys("utimensat", path, errno)
	}
	return nil
}

// nodeAttributes is attributes for what cannot be opened: symlinks and special files. in is an O_PATH descriptor, dst that
// of the directory in which the copy has its name; the copy is in a file system that nobody else can reach yet.
func (c *copier) nodeAttributes(in, dst int, name string, st *unix.Stat_t, path string) error {
	if err := unix.Fchownat(dst, name, int(st.Uid), int(st.Gid), unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return owner("fchownat", path, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFLNK {
		if err := unix.Fchmodat(dst, name, st.Mode&0o7777, 0); err != nil {
			return errs.Sys("fchmodat", path, err)
		}
	}
	// The magic link of a descriptor leads to the file itself, also where that is a symlink.
	from, to := linux.ProcFD(in), linux.ProcFD(dst)+"/"+name
	err := c.xattrs(xattrs{
		list: func(dst []byte) (int, error) { return unix.Listxattr(from, dst) },
		get:  func(name string, dst []byte) (int, error) { return unix.Getxattr(from, name, dst) },
		set:  func(name string, value []byte) error { return unix.Lsetxattr(to, name, value, 0) },
	}, path)
	if err != nil {
		return err
	}
	times := []unix.Timespec{st.Atim, st.Mtim}
	return errs.Sys("utimensat", path, unix.UtimesNanoAt(dst, name, times, unix.AT_SYMLINK_NOFOLLOW))
}

func owner(op, path string, err error) error {
	e := &errs.Error{Code: errs.System, Op: op, Args: path}
	if errors.As(err, &e.Errno); e.Errno == unix.EINVAL {
		e.Detail = "its owner or group in the image has no id in the container's user namespace"
	}
	return e
}

// xattrs are the calls that reach the attributes of the original and of the copy.
type xattrs struct {
	list func(dst []byte) (int, error)
	get  func(name string, dst []byte) (int, error)
	set  func(name string, value []byte) error
}

// xattrs copies the extended attributes that the copy can hold; SELinux labels come from the mount.
func (c *copier) xattrs(x xattrs, path string) error {
	n, err := x.list(c.names)
	if err != nil {
		if errs.Is(err, unix.EOPNOTSUPP) {
			return nil
		}
		return errs.Sys("listxattr", path, err)
	}
	for name := range bytes.SplitSeq(c.names[:n], []byte{0}) {
		key := string(name)
		if key == "" || key == "security.selinux" || strings.HasPrefix(key, "trusted.overlay.") {
			continue
		}
		v, err := x.get(key, c.buf)
		if err == unix.EOVERFLOW && key == "security.capability" {
			continue // it is valid in another user namespace alone: here it does not count
		}
		if err != nil {
			return errs.Sys("getxattr", path+", "+key, err)
		}
		err = x.set(key, c.buf[:v])
		if err != nil && !errs.Is(err, unix.EOPNOTSUPP) {
			return errs.Sys("setxattr", path+", "+key, err)
		}
	}
	return nil
}
