package linux

import (
	"golang.org/x/sys/unix"

	"github.com/librootfs/librootfs/rootfs/internal/errs"
)

// MountID is the identity of the mount that fd lies on, and whether fd is the root of that mount. The id is the unique
// one where the kernel has it (6.8), else the one of mountinfo, else 0 (before 5.8).
func MountID(fd int) (id uint64, root bool, err error) {
	var st unix.Statx_t
	err = retry(func() error {
		return unix.Statx(fd, "", unix.AT_EMPTY_PATH|unix.AT_STATX_DONT_SYNC, unix.STATX_MNT_ID_UNIQUE, &st)
	})
	if err == nil && st.Mask&unix.STATX_MNT_ID_UNIQUE == 0 {
		err = retry(func() error {
			return unix.Statx(fd, "", unix.AT_EMPTY_PATH|unix.AT_STATX_DONT_SYNC, unix.STATX_MNT_ID, &st)
		})
	}
	if err == unix.ENOSYS || err == unix.EPERM {
		return 0, true, nil
	}
	if err != nil {
		return 0, false, errs.Sys("statx", FD(fd), err)
	}
	if st.Attributes_mask&unix.STATX_ATTR_MOUNT_ROOT == 0 {
		return st.Mnt_id, true, nil
	}
	return st.Mnt_id, st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0, nil
}

// TableID is the id under which the mount table shows the mount that fd lies on; 0 where the kernel does not tell (before 5.8).
func TableID(fd int) int {
	var st unix.Statx_t
	err := retry(func() error {
		return unix.Statx(fd, "", unix.AT_EMPTY_PATH|unix.AT_STATX_DONT_SYNC, unix.STATX_MNT_ID, &st)
	})
	if err != nil || st.Mask&unix.STATX_MNT_ID == 0 {
		return 0
	}
	return int(st.Mnt_id)
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
