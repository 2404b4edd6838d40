package tree

import (
	"errors"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/librootfs/librootfs/rootfs/internal/errs"
)

// why adds to the error of a file system that could not be made what most often is behind it, where the errno leaves the
// reader of a rootless container's log alone.
func why(fs *FS, err error) error {
	var e *errs.Error
	if !errors.As(err, &e) {
		return err
	}
	var hint string
	switch {
	case e.Errno == unix.EPERM:
		hint = whyRefused(fs.Type, e.Op == "fsmount")
	case e.Errno == unix.EINVAL && aboutIDs(fs, e):
		hint = "uid= and gid= have to be ids that the container's user namespace has"
	}
	switch {
	case hint == "":
	case e.Detail == "":
		e.Detail = hint
	default:
		e.Detail += ": " + hint
	}
	return err
}

// whyRefused is for EPERM. The last step, fsmount(2), refuses what would show more of a procfs or sysfs than the caller can
// see already (mount_namespaces(7), "mount too revealing").
func whyRefused(fstype string, last bool) string {
	switch {
	case last && (fstype == "proc" || fstype == "sysfs"):
		return "in a user namespace it is only to be had where the caller sees a whole one: parts of the " + fstype +
			" there are mounted over, or it is read-only"
	case fstype == "proc":
		return "it shows the pid namespace, which has to belong to the container's user namespace"
	case fstype == "sysfs":
		return "it shows the network namespace, which has to belong to the container's user namespace"
	case fstype == "mqueue":
		return "it shows the ipc namespace, which has to belong to the container's user namespace"
	case fstype == "cgroup", fstype == "cgroup2":
		return "the cgroup namespace has to belong to the container's user namespace"
	}
	return "this process may not mount it; in a user namespace the kernel allows only some types of file system"
}

// aboutIDs tells whether the option that was refused is one of an id, as far as the kernel says which it was.
func aboutIDs(fs *FS, e *errs.Error) bool {
	isID := func(option string) bool {
		return strings.HasPrefix(option, "uid=") || strings.HasPrefix(option, "gid=")
	}
	if e.Op == "fsconfig" && !strings.HasSuffix(e.Args, "create") && e.Args != fs.Type {
		return isID(strings.TrimPrefix(e.Args, fs.Type+", "))
	}
	return slices.ContainsFunc(fs.Data, isID)
}
