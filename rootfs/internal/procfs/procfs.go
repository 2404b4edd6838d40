// Package procfs gives access to /proc through a handle of the library's own, which nothing in the container can cover
// or replace (CVE-2025-52881).
package procfs

import (
	"errors"
	"strconv"
	"strings"

	"github.com/cyphar/filepath-securejoin/pathrs-lite/procfs"
	"golang.org/x/sys/unix"

	"github.com/librootfs/librootfs/rootfs/internal/errs"
	"github.com/librootfs/librootfs/rootfs/internal/linux"
)

// Readlink tells the path of what a descriptor stands for, as the kernel prints it.
func Readlink(fd int) (string, error) {
	proc, err := procfs.OpenProcRoot()
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

// FDDir opens the directory of the calling thread's own descriptors: a magic link below it, named by mount(2) from there,
// is the one safe way to hand a descriptor to a call that takes only paths. The caller closes it.
func FDDir() (int, error) {
	proc, err := procfs.OpenProcRoot()
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
	// The handle is O_PATH; its own magic link is the only way to a writable descriptor of the same file.
	dir, err := FDDir()
	if err != nil {
		return err
	}
	defer linux.Close(dir)
	fd, err := linux.Openat(dir, strconv.Itoa(int(handle.Fd())), unix.O_WRONLY, 0)
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

// Read reads a whole small file below /proc.
func Read(file string) ([]byte, error) {
	proc, err := procfs.OpenUnsafeProcRoot()
	if err != nil {
		return nil, wrap(file, err)
	}
	defer proc.Close()
	return readFrom(proc, file)
}

func readFrom(proc *procfs.Handle, file string) ([]byte, error) {
	handle, err := proc.OpenRoot(file)
	if err != nil {
		return nil, wrap(file, err)
	}
	defer handle.Close()
	dir, err := FDDir()
	if err != nil {
		return nil, err
	}
	defer linux.Close(dir)
	fd, err := linux.Openat(dir, strconv.Itoa(int(handle.Fd())), unix.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer linux.Close(fd)
	var out []byte
	buf := make([]byte, 16384)
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

func wrap(file string, err error) error {
	return errs.Sys("procfs", "/proc/"+file, err)
}
