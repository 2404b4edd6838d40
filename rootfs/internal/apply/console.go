package apply

import (
	"golang.org/x/sys/unix"

	"github.com/librootfs/librootfs/rootfs/internal/console"
	"github.com/librootfs/librootfs/rootfs/internal/inroot"
	"github.com/librootfs/librootfs/rootfs/internal/linux"
	"github.com/librootfs/librootfs/rootfs/internal/procfs"
)

// Console opens a terminal of the container's own devpts and binds it over /dev/console. The caller owns the master.
func (x *Executor) Console(t console.Terminal) (master int, err error) {
	defer procfs.Hold()()
	if err := x.mayMount("/dev/console"); err != nil {
		return -1, err
	}
	fd, err := linux.Open("/", unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return -1, err
	}
	defer linux.Close(fd)
	root := inroot.Root{FD: fd}
	master, peer, err := console.Open(root, t)
	if err != nil {
		return -1, err
	}
	defer linux.Close(peer)
	old := unix.Umask(0)
	defer unix.Umask(old)
	dir, err := root.Parent("/dev/console", inroot.Plain)
	if err == nil {
		err = bindFile(peer, "/dev/console", dir, "console")
		linux.Close(dir)
	}
	if err != nil {
		linux.Close(master)
		return -1, err
	}
	return master, nil
}
