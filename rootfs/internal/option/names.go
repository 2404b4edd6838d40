package option

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

var attrNames = [...]struct {
	bit  uint64
	name string
}{
	{unix.MOUNT_ATTR_RDONLY, "ro"},
	{unix.MOUNT_ATTR_NOSUID, "nosuid"},
	{unix.MOUNT_ATTR_NODEV, "nodev"},
	{unix.MOUNT_ATTR_NOEXEC, "noexec"},
	{unix.MOUNT_ATTR_NODIRATIME, "nodiratime"},
	{unix.MOUNT_ATTR_NOSYMFOLLOW, "nosymfollow"},
	{unix.MOUNT_ATTR_IDMAP, "idmap"},
}

// AttrNames names MOUNT_ATTR_* bits by the options that set them, "ro,nosuid,noatime", for error messages and reports.
// The whole of MOUNT_ATTR__ATIME is "atime", a bit that has no name is given in hexadecimal, and none is "".
func AttrNames(bits uint64) string {
	var names []string
	for _, a := range attrNames {
		if bits&a.bit != 0 {
			names = append(names, a.name)
			bits &^= a.bit
		}
	}
	switch bits & unix.MOUNT_ATTR__ATIME {
	case unix.MOUNT_ATTR__ATIME:
		names = append(names, "atime")
		bits &^= unix.MOUNT_ATTR__ATIME
	case unix.MOUNT_ATTR_NOATIME:
		names = append(names, "noatime")
		bits &^= unix.MOUNT_ATTR_NOATIME
	case unix.MOUNT_ATTR_STRICTATIME:
		names = append(names, "strictatime")
		bits &^= unix.MOUNT_ATTR_STRICTATIME
	}
	if bits != 0 {
		names = append(names, "0x"+strconv.FormatUint(bits, 16))
	}
	return strings.Join(names, ",")
}

// PropagationName is the option for a propagation of MS_* with MS_REC or not, "rslave"; "" where there is none.
func PropagationName(flags uint64) string {
	for i := range table {
		if e := &table[i]; e.Class == Propagation && e.Bits == flags {
			return e.Name
		}
	}
	return ""
}

// PropagationFlags is the reverse of PropagationName; 0 for a name that is no propagation.
func PropagationFlags(name string) uint64 {
	if e := find(name); e != nil && e.Class == Propagation {
		return e.Bits
	}
	return 0
}
