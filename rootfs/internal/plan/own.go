package plan

import "github.com/librootfs/librootfs/rootfs/internal/config"

// ownFilesystem tells whether a mount of this type shows a file system that the host does not use. Of some types each mount has its
// own, of some the kernel has one for each namespace of a kind. All others may be mounted on the host as well: one device, one server
// or one hierarchy is one file system.
func ownFilesystem(c *config.Config, kind string) bool {
	switch kind {
	case "devpts", "overlay", "ramfs", "tmpfs":
		return true
	case "mqueue":
		return c.HasNew("ipc")
	case "proc":
		return c.HasNew("pid")
	case "sysfs":
		return c.HasNew("network")
	}
	return false
}
