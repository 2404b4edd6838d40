package facts

import (
	"bytes"
	"encoding/binary"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"github.com/librootfs/librootfs/rootfs/internal/errs"
	"github.com/librootfs/librootfs/rootfs/internal/linux"
)

// magicOf is the type of the file system at a path.
func magicOf(path string) (int64, error) {
	var st unix.Statfs_t
	for {
		if err := unix.Statfs(path, &st); err != unix.EINTR {
			return int64(st.Type), errs.Sys("statfs", path, err)
		}
	}
}

// readAll reads a file of /proc.
func readAll(path string) (string, error) {
	fd, err := linux.Open(path, unix.O_RDONLY)
	if err != nil {
		return "", err
	}
	defer linux.Close(fd)
	var text bytes.Buffer
	text.Grow(4096)
	for {
		text.Grow(1024)
		n, err := unix.Read(fd, text.AvailableBuffer()[:text.Available()])
		switch {
		case err == unix.EINTR:
		case err != nil:
			return "", errs.Sys("read", path, err)
		case n == 0:
			return text.String(), nil
		default:
			text.Write(text.AvailableBuffer()[:n])
		}
	}
}

// readNames lists a directory.
func readNames(path string) ([]string, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer linux.Close(fd)
	var names []string
	buf := make([]byte, 4096)
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

// mountRoot is which directory of its file system the mount at path shows, as this process sees it ("/../x" where that
// lies outside of its cgroup namespace): from that mount alone (6.8), or else from the mount table.
func (p *places) mountRoot(path string) (string, error) {
	root, _, err := statmountRoot(path)
	if err == nil {
		return root, nil
	}
	if !linux.CallStatmount.Refused(err) {
		return "", err
	}
	text, err := readAll(p.mounts)
	if err != nil {
		return "", err
	}
	table, err := mountinfo.GetMountsFromReader(strings.NewReader(text), func(m *mountinfo.Info) (skip, stop bool) {
		return m.Mountpoint != path, false
	})
	if err != nil {
		return "", errs.Sys("parse", p.mounts, err)
	}
	if len(table) == 0 {
		return "", errs.Refuse("parse", p.mounts, "does not have the mount at "+path)
	}
	return table[len(table)-1].Root, nil // the last one covers the others
}

// statmount(2), of which x/sys has the number alone.
const (
	statmountMntRoot = 0x8
	reqSize          = 24  // struct mnt_id_req, first version
	rootOffset       = 104 // mnt_root in struct statmount: where its string begins, from stringsAt on
	stringsAt        = 512
)

// statmountRoot tells the root of the mount at path, and the inode that path shows.
func statmountRoot(path string) (root string, ino uint64, err error) {
	var st unix.Statx_t
	err = unix.Statx(unix.AT_FDCWD, path, unix.AT_STATX_DONT_SYNC, unix.STATX_INO|unix.STATX_MNT_ID_UNIQUE, &st)
	if err == unix.EPERM || err == nil && st.Mask&unix.STATX_MNT_ID_UNIQUE == 0 {
		err = unix.ENOSYS // as filters and older kernels say that they have no such call, or no such id
	}
	if err != nil {
		return "", 0, errs.Sys("statx", path, err)
	}
	var req [reqSize]byte
	binary.NativeEndian.PutUint32(req[0:], reqSize)
	binary.NativeEndian.PutUint64(req[8:], st.Mnt_id)
	binary.NativeEndian.PutUint64(req[16:], statmountMntRoot)
	buf := make([]byte, stringsAt+unix.PathMax)
	if err := statmount(&req, buf); err != nil {
		return "", 0, errs.Sys("statmount", path, err)
	}
	text := buf[stringsAt:]
	at := binary.NativeEndian.Uint32(buf[rootOffset:])
	if uint64(at) >= uint64(len(text)) {
		return "", 0, errs.Refuse("statmount", path, "the kernel's answer has no root")
	}
	text = text[at:]
	if end := bytes.IndexByte(text, 0); end >= 0 {
		text = text[:end]
	}
	return string(text), st.Ino, nil
}
