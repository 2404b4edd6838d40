package procfs

import (
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/librootfs/librootfs/rootfs/internal/errs"
	"github.com/librootfs/librootfs/rootfs/internal/linux"
)

// ProcessDir opens the directory (O_PATH) of the process that a pidfd stands for; the caller closes it. The process's pid
// would not do: an init child that entered a pid namespace still has the /proc of another, where that number is some other
// process. A pidfd's own file in /proc tells the number that holds there.
func ProcessDir(pidfd int) (int, error) {
	text, err := fdinfo(pidfd, "Pid:")
	if err != nil {
		return -1, err
	}
	pid, err := strconv.Atoi(text)
	if err != nil || pid <= 0 {
		return -1, errs.Refuse("procfs", "/proc/thread-self/fdinfo", "does not tell the pid of "+linux.FD(pidfd))
	}
	dir, err := open(text, unix.O_PATH|unix.O_DIRECTORY)
	return dir, wrap(text, err)
}
