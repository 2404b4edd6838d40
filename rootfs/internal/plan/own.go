package plan

import "github.com/librootfs/librootfs/rootfs/internal/config"

// ofNamespace are the types of which the kernel has one file system for each namespace of a kind; "" stands for those of which
// each mount has its own. All others may be mounted on the host as well: one device, one server or one hierarchy is one file system.
var ofNamespace = map[string]string{
	"devpts": "", "overlay": "", "ramfs": "", "tmpfs": "",
	"mqueue": "ipc", "proc": "pid", "sysfs": "network",
}

// ownFilesystem tells whether a mount of this type shows a file system that the host does not use.
func ownFilesystem(c *config.Config, kind string) bool {
	namespace, known := ofNamespace[kind]
	return known && (namespace == "" || c.HasNew(namespace))
}
