package linux

import (
	"golang.org/x/sys/unix"

	"github.com/librootfs/librootfs/rootfs/internal/errs"
)

// Answer is what a kernel says that may not know.
type Answer int8

// The answers.
const (
	Unknown Answer = iota
	No
	Yes
)

// MountID is the identity of the mount that fd lies on, and whether fd is the root of that mount, which is told since Linux 5.8.
// The id is the unique one where the kernel has it (6.8), else the one of mountinfo; 0 where neither statx(2) nor
// name_to_handle_at(2) tells it.
func MountID(fd int) (id uint64, root Answer, err error) {
	st, err := statx(fd, unix.STATX_MNT_ID_UNIQUE)
	if err == nil && st.Mask&unix.STATX_MNT_ID_UNIQUE == 0 {
		st, err = statx(fd, unix.STATX_MNT_ID)
	}
	if err == unix.ENOSYS || err == unix.EPERM {
		return uint64(handleID(fd)), Unknown, nil
	}
	if err != nil {
		return 0, Unknown, errs.Sys("statx", FD(fd), err)
	}
	if id = st.Mnt_id; id == 0 {
		id = uint64(handleID(fd))
	}
	switch {
	case st.Attributes_mask&unix.STATX_ATTR_MOUNT_ROOT == 0:
	case st.Attributes&unix.STATX_ATTR_MOUNT_ROOT == 0:
		root = No
	default:
		root = Yes
	}
	return id, root, nil
}

// TableID is the id under which the mount table shows the mount that fd lies on; 0 where neither of the two calls tells it.
func TableID(fd int) int {
	st, err := statx(fd, unix.STATX_MNT_ID)
	if err != nil || st.Mask&unix.STATX_MNT_ID == 0 {
		return handleID(fd)
	}
	return int(st.Mnt_id)
}

func statx(fd, mask int) (st unix.Statx_t, err error) {
	err = retry(func() error { return unix.Statx(fd, "", unix.AT_EMPTY_PATH|unix.AT_STATX_DONT_SYNC, mask, &st) })
	return st, err
}

// handleID is TableID by name_to_handle_at(2), which is older than statx(2), but knows only file systems that can be exported.
func handleID(fd int) (id int) {
	err := retry(func() (err error) {
		_, id, err = unix.NameToHandleAt(fd, "", unix.AT_EMPTY_PATH)
		return err
	})
	if err != nil {
		return 0
	}
	return id
}

// Same tells whether two descriptors stand for the same inode.
func Same(a, b int) (bool, error) {
	sa, err := Fstat(a)
	if err != nil {
		return false, err
	}
	sb, err := Fstat(b)
	return err == nil && sa.Dev == sb.Dev && sa.Ino == sb.Ino, err
}
