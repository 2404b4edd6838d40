// Package console makes the container's terminal.
package console

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/librootfs/librootfs/rootfs/internal/errs"
	"github.com/librootfs/librootfs/rootfs/internal/inroot"
	"github.com/librootfs/librootfs/rootfs/internal/linux"
	"github.com/librootfs/librootfs/rootfs/internal/procfs"
)

// Terminal is what the container's terminal is to be like.
type Terminal struct {
	Rows, Columns uint16 // characters; 0, 0 leaves the size alone
	UID, GID      uint32 // owner, as seen in the container
}

// Open opens a pty of the devpts below root and gives both of its ends, which the caller closes. The image has no say in
// it: /dev/pts/ptmx is reached without symlinks and must be the multiplexer (5:2) of a devpts, and the other end is asked
// of the pty itself (TIOCGPTPEER), not looked up by its number (CVE-2025-52565).
func Open(root inroot.Root, t Terminal) (master, peer int, err error) {
	master, err = openMultiplexer(root)
	if err != nil {
		return -1, -1, err
	}
	peer, err = openPeer(master)
	if err == nil {
		err = set(master, peer, t)
	}
	if err != nil {
		linux.Close(peer)
		linux.Close(master)
		return -1, -1, err
	}
	return master, peer, nil
}

const multiplexer = "/dev/pts/ptmx"

func openMultiplexer(root inroot.Root) (int, error) {
	// Opening a device can have effects, so it is looked at first, and what was looked at is opened.
	path, err := root.Open(multiplexer, unix.O_PATH|unix.O_NOFOLLOW, inroot.Plain)
	if err != nil {
		return -1, err
	}
	defer linux.Close(path)
	if err := check(path); err != nil {
		return -1, err
	}
	fd, err := procfs.Reopen(path, unix.O_RDWR|unix.O_NOCTTY)
	return fd, procfs.IfNone("open", multiplexer, "a device is not safely opened without a procfs", err)
}

func check(fd int) error {
	fs, err := linux.Fstatfs(fd)
	if err != nil {
		return err
	}
	st, err := linux.Fstat(fd)
	if err != nil {
		return err
	}
	if fs.Type != unix.DEVPTS_SUPER_MAGIC || st.Mode&unix.S_IFMT != unix.S_IFCHR || st.Rdev != unix.Mkdev(5, 2) {
		return errs.Refuse("fstat", multiplexer, "is not the multiplexer of a devpts, 5:2")
	}
	return nil
}

func openPeer(master int) (int, error) {
	if err := unix.IoctlSetPointerInt(master, unix.TIOCSPTLCK, 0); err != nil {
		return -1, errs.Sys("ioctl", "TIOCSPTLCK", err)
	}
	fd, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(master), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)
	if errno != 0 {
		return -1, errs.Sys("ioctl", "TIOCGPTPEER", errno)
	}
	return int(fd), nil
}

func set(master, peer int, t Terminal) error {
	if t.Rows != 0 || t.Columns != 0 {
		size := unix.Winsize{Row: t.Rows, Col: t.Columns}
		if err := unix.IoctlSetWinsize(master, unix.TIOCSWINSZ, &size); err != nil {
			return errs.Sys("ioctl", "TIOCSWINSZ", err)
		}
	}
	st, err := linux.Fstat(peer)
	if err != nil || (st.Uid == t.UID && st.Gid == t.GID) {
		return err
	}
	// The group stays devpts' own (its gid= option) where the caller asks for none.
	gid := int(t.GID)
	if t.GID == 0 {
		gid = -1
	}
	err = errs.Sys("fchown", "terminal", unix.Fchown(peer, int(t.UID), gid))
	var e *errs.Error
	if errors.As(err, &e) && e.Errno == unix.EINVAL {
		e.Detail = "the owner or group has no id in the container's user namespace"
	}
	return err
}
