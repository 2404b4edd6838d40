package linux

import (
	"strings"

	"golang.org/x/sys/unix"

	"github.com/librootfs/librootfs/rootfs/internal/errs"
)

// FsconfigString sets one string parameter of a file system being configured.
func FsconfigString(fsfd int, key, value string) error {
	return fsconfig(fsfd, key, value, func() error { return unix.FsconfigSetString(fsfd, key, value) })
}

// FsconfigFlag sets one parameter without a value.
func FsconfigFlag(fsfd int, key string) error {
	return fsconfig(fsfd, key, "", func() error { return unix.FsconfigSetFlag(fsfd, key) })
}

// FsconfigFD sets one parameter to what a descriptor stands for.
func FsconfigFD(fsfd int, key string, fd int) error {
	return fsconfig(fsfd, key, FD(fd), func() error { return unix.FsconfigSetFd(fsfd, key, fd) })
}

// FsconfigCreate makes the superblock.
func FsconfigCreate(fsfd int) error {
	return fsconfig(fsfd, "create", "", func() error { return unix.FsconfigCreate(fsfd) })
}

// FsconfigReconfigure changes the options of a superblock that exists.
func FsconfigReconfigure(fsfd int) error {
	return fsconfig(fsfd, "reconfigure", "", func() error { return unix.FsconfigReconfigure(fsfd) })
}

// fsconfig adds to an error what the file system itself wrote into its log: "tmpfs: Bad value for 'size'".
func fsconfig(fsfd int, key, value string, call func() error) error {
	err := retry(call)
	if err == nil {
		return nil
	}
	args := key
	if value != "" {
		args += "=" + value
	}
	var detail []string
	buf := make([]byte, 512)
	for range 8 {
		n, readErr := unix.Read(fsfd, buf)
		if readErr != nil || n <= 0 {
			break
		}
		detail = append(detail, strings.TrimSpace(string(buf[:n])))
	}
	e := &errs.Error{Code: errs.System, Op: "fsconfig", Args: args, Detail: strings.Join(detail, "; ")}
	if errno, ok := err.(unix.Errno); ok {
		e.Errno = errno
	}
	return e
}
