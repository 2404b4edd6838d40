// Package procfs gives access to /proc through a handle of the library's own, which nothing in the container can cover
// or replace (CVE-2025-52881). Where none can be made apart, pathrs-lite has the safest way through the /proc that there is.
package procfs

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/librootfs/librootfs/rootfs/internal/errs"
	"github.com/librootfs/librootfs/rootfs/internal/linux"
)

// Readlink tells the path of what a descriptor stands for, as the kernel prints it.
func Readlink(fd int) (string, error) {
	dir, done, err := self()
	if err != nil {
		return "", err
	}
	defer done()
	fds, err := belowSelf(dir, "fd", unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return "", err
	}
	defer linux.Close(fds)
	return linux.Readlinkat(fds, strconv.Itoa(fd))
}

// MountID is the id in mountinfo of the mount that fd lies on.
func MountID(fd int) (int, error) {
	if id := linux.TableID(fd); id != 0 {
		return id, nil
	}
	return mountIDInfo(fd)
}

// mountIDInfo is MountID by what /proc tells of the descriptor (proc(5), /proc/pid/fdinfo).
func mountIDInfo(fd int) (int, error) {
	text, err := fdinfo(fd, "mnt_id:")
	if err != nil {
		return 0, err
	}
	id, err := strconv.Atoi(text)
	return id, wrap("thread-self/fdinfo", err)
}

// Mount is linux.MountID, with what /proc tells where no call does.
func Mount(fd int) (id uint64, root linux.Answer, err error) {
	id, root, err = linux.MountID(fd)
	if err != nil || id != 0 {
		return id, root, err
	}
	number, err := mountIDInfo(fd)
	return uint64(number), root, err
}

// fdinfo is one field of what the kernel tells of a descriptor; "" where it tells no such thing.
func fdinfo(fd int, field string) (string, error) {
	dir, done, err := self()
	if err != nil {
		return "", err
	}
	defer done()
	text, err := readAt(dir, "fdinfo/"+strconv.Itoa(fd))
	if err != nil {
		return "", err
	}
	_, rest, _ := strings.Cut("\n"+string(text), "\n"+field)
	line, _, _ := strings.Cut(rest, "\n")
	return strings.TrimSpace(line), nil
}

// FDDir opens the directory of the calling thread's own descriptors: a magic link below it, named by mount(2) from there,
// is the one safe way to hand a descriptor to a call that takes only paths. The caller closes it.
func FDDir() (int, error) {
	dir, done, err := self()
	if err != nil {
		return -1, err
	}
	defer done()
	return belowSelf(dir, "fd", unix.O_PATH|unix.O_DIRECTORY)
}

// Reopen turns an O_PATH descriptor into one to read or write: what is opened is what was looked at. Its own magic link is the
// only way there is.
func Reopen(fd, flags int) (int, error) {
	dir, err := FDDir()
	if err != nil {
		return -1, err
	}
	defer linux.Close(dir)
	return linux.Openat(dir, strconv.Itoa(fd), flags, 0)
}

// Write writes a value to a file below /proc in one write(2).
func Write(file, value string) error {
	fd, err := open(file, unix.O_WRONLY)
	if err != nil {
		return named("open", file, err)
	}
	defer linux.Close(fd)
	n, err := unix.Write(fd, []byte(value))
	if err == nil && n != len(value) {
		err = unix.EIO
	}
	return errs.Sys("write", "/proc/"+file+" <- "+strings.TrimSpace(value), err)
}

// Read reads a whole file below /proc; "self/..." is that of the calling thread.
func Read(file string) ([]byte, error) {
	if own, ok := strings.CutPrefix(file, "self/"); ok {
		dir, done, err := self()
		if err != nil {
			return nil, err
		}
		defer done()
		return readAt(dir, own)
	}
	fd, err := open(file, unix.O_RDONLY)
	if err != nil {
		return nil, wrap(file, err)
	}
	defer linux.Close(fd)
	return readAll(fd, file)
}

// ReadFD reads the whole file that an O_PATH descriptor stands for; file is its path below /proc, for errors.
func ReadFD(fd int, file string) ([]byte, error) {
	readable, err := Reopen(fd, unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer linux.Close(readable)
	return readAll(readable, file)
}

func readAll(fd int, file string) ([]byte, error) {
	var out []byte
	buf := make([]byte, 16<<10)
	for {
		n, err := unix.Read(fd, buf)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, errs.Sys("read", "/proc/"+file, err)
		}
		if n == 0 {
			return out, nil
		}
		out = append(out, buf[:n]...)
	}
}

// IfNone makes the error of finding no procfs that of what is not safe without one. Other errors stay.
func IfNone(op, args, what string, err error) error {
	if e, ours := err.(*errs.Error); ours && e.Op == "procfs" {
		return None(op, args, what, err)
	}
	return err
}

// None is the error of what is not safe without a procfs, after the switch to a root without a /proc, where none can be made apart.
func None(op, args, what string, err error) error {
	return errs.Cannot(op, args, what+", and there is none; to make one apart takes fsopen(2), fsconfig(2), fsmount(2), open_tree(2) and move_mount(2), Linux 5.2, "+
		"and in a user namespace a /proc of which nothing is covered: "+err.Error())
}

// wrap is the error of a file below /proc that there is no way to.
func wrap(file string, err error) error { return named("procfs", file, err) }

// named makes an error speak of the file rather than of the step that failed on the way to it.
func named(op, file string, err error) error {
	if e, ours := err.(*errs.Error); ours && e.Errno != 0 {
		err = e.Errno
	}
	return errs.Sys(op, "/proc/"+file, err)
}
