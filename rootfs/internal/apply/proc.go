package apply

import (
	"strings"

	"github.com/librootfs/librootfs/rootfs/internal/errs"
	"github.com/librootfs/librootfs/rootfs/internal/procfs"
)

// coverable tells whether a file below /proc may be covered, as lxcfs and its like do.
func coverable(name string) bool {
	switch name {
	case "cpuinfo", "diskstats", "meminfo", "stat", "swaps", "uptime", "loadavg", "slabinfo",
		"sys/kernel/ns_last_pid", "sys/crypto/fips_enabled":
		return true
	}
	return false
}

// mayCover refuses mounts that would put something else in the place of /proc or of what is written below it
// (CVE-2015-3631, CVE-2019-16884). isProc: the mount is a procfs.
func (x *Executor) mayCover(t target, isProc bool) error {
	switch {
	case t.resolved == "/proc" && !isProc:
		return errs.Refuse("mount", "/proc", "only a procfs may be mounted there")
	case strings.HasPrefix(t.resolved, "/proc/") && !coverable(t.resolved[len("/proc/"):]):
		return errs.Refuse("mount", t.resolved, "nothing may be mounted there, below /proc")
	}
	return nil
}

// pathOf is the path in the container of what a descriptor stands for, symlinks undone.
func (x *Executor) pathOf(fd int) (string, error) {
	root, err := procfs.Readlink(x.root.FD)
	if err != nil {
		return "", err
	}
	path, err := procfs.Readlink(fd)
	if err != nil {
		return "", err
	}
	if path == root {
		return "/", nil
	}
	inside, ok := strings.CutPrefix(path, strings.TrimSuffix(root, "/")+"/")
	if !ok {
		return "", errs.Refuse("readlink", path, "lies outside of the root")
	}
	return "/" + inside, nil
}
