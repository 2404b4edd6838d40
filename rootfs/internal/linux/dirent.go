package linux

import (
	"golang.org/x/sys/unix"

	"github.com/librootfs/librootfs/rootfs/internal/errs"
)

// Names gives the names in an open directory, without "." and "..".
func Names(fd int) (names []string, err error) {
	buf := make([]byte, 32<<10)
	for {
		n, err := unix.ReadDirent(fd, buf)
		if err == unix.EINTR {
			continue
		}
		if err != nil || n == 0 {
			return names, errs.Sys("getdents64", FD(fd), err)
		}
		_, _, names = unix.ParseDirent(buf[:n], -1, names)
	}
}
