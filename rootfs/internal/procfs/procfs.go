// Package procfs gives access to /proc through a handle of the library's own, which nothing in the container can cover
// or replace (CVE-2025-52881). pathrs-lite's cheaper handle, with subset=pid, is not used: it stays open for ever.
package procfs

import (
	"errors"
	"os"
	"strconv"
	"strings"

	"github.com/cyphar/filepath-securejoin/pathrs-lite/procfs"
	"golang.org/x/sys/unix"

	"github.com/librootfs/librootfs/rootfs/internal/errs"
	"github.com/librootfs/librootfs/rootfs/internal/linux"
)

// Readlink tells the path of what a descriptor stands for, as the kernel prints it.
func Readlink(fd int) (string, error) {
	proc, err := procfs.OpenUnsafeProcRoot()
	if err != nil {
		return "", wrap("thread-self/fd", err)
	}
	defer proc.Close()
	dir, done, err := proc.OpenThreadSelf("fd")
	if err != nil {
		return "", wrap("thread-self/fd", err)
	}
	defer done()
	defer dir.Close()
	return linux.Readlinkat(int(dir.Fd()), strconv.Itoa(fd))
}

// MountID is the id in mountinfo of the mount that fd lies on (proc(5), /proc/pid/fdinfo).
func MountID(fd int) (int, error) {
	proc, err := procfs.OpenUnsafeProcRoot()
	if err != nil {
		return 0, wrap("thread-self/fdinfo", err)
	}
	defer proc.Close()
	text, err := fdinfo(proc, fd, "mnt_id:")
	if err != nil {
		return 0, err
	}
	id, err := strconv.Atoi(text)
	return id, wrap("thread-self/fdinfo", err)
}

// fdinfo is one field of what the kernel tells of a descriptor; "" where it tells no such thing.
func fdinfo(proc *procfs.Handle, fd int, field string) (string, error) {
	info, done, err := proc.OpenThreadSelf("fdinfo/" + strconv.Itoa(fd))
	if err != nil {
		return "", wrap("thread-self/fdinfo", err)
	}
	defer done()
	defer info.Close()
	text, err := readHandle(int(info.Fd()), "thread-self/fdinfo")
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
	proc, err := procfs.OpenUnsafeProcRoot()
	if err != nil {
		return -1, wrap("thread-self/fd", err)
	}
	defer proc.Close()
	dir, done, err := proc.OpenThreadSelf("fd")
	if err != nil {
		return -1, wrap("thread-self/fd", err)
	}
	defer done()
	defer dir.Close()
	return linux.Openat(int(dir.Fd()), ".", unix.O_PATH|unix.O_DIRECTORY, 0)
}

// Write writes a value to a file below /proc in one write(2).
func Write(file, value string) error {
	proc, err := procfs.OpenUnsafeProcRoot()
	if err != nil {
		return wrap(file, err)
	}
	defer proc.Close()
	handle, err := proc.OpenRoot(file)
	if err != nil {
		return wrap(file, err)
	}
	defer handle.Close()
	fd, err := reopen(int(handle.Fd()), unix.O_WRONLY)
	if err != nil {
		return errs.Sys("open", "/proc/"+file, errors.Unwrap(err))
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
	proc, err := procfs.OpenUnsafeProcRoot()
	if err != nil {
		return nil, wrap(file, err)
	}
	defer proc.Close()
	var handle *os.File
	if own, ok := strings.CutPrefix(file, "self/"); ok {
		var done procfs.ProcThreadSelfCloser
		if handle, done, err = proc.OpenThreadSelf(own); err == nil {
			defer done()
		}
	} else {
		handle, err = proc.OpenRoot(file)
	}
	if err != nil {
		return nil, wrap(file, err)
	}
	defer handle.Close()
	return readHandle(int(handle.Fd()), file)
}

// readHandle reads what an O_PATH descriptor stands for.
func readHandle(handle int, file string) ([]byte, error) {
	fd, err := reopen(handle, unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer linux.Close(fd)
	return readAll(fd, file)
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

// reopen turns an O_PATH descriptor into one to read or write. Its own magic link is the only way there is.
func reopen(handle, flags int) (int, error) {
	dir, err := FDDir()
	if err != nil {
		return -1, err
	}
	defer linux.Close(dir)
	return linux.Openat(dir, strconv.Itoa(handle), flags, 0)
}

func wrap(file string, err error) error {
	return errs.Sys("procfs", "/proc/"+file, err)
}
