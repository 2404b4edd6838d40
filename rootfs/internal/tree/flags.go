package tree

import "golang.org/x/sys/unix"

// pairs ties the two spellings that the kernel has for a mount's flags: of mount_setattr(2) and of mount(2).
var pairs = []struct{ attr, ms uint64 }{
	{unix.MOUNT_ATTR_RDONLY, unix.MS_RDONLY},
	{unix.MOUNT_ATTR_NOSUID, unix.MS_NOSUID},
	{unix.MOUNT_ATTR_NODEV, unix.MS_NODEV},
	{unix.MOUNT_ATTR_NOEXEC, unix.MS_NOEXEC},
	{unix.MOUNT_ATTR_NOSYMFOLLOW, unix.MS_NOSYMFOLLOW},
	{unix.MOUNT_ATTR_NOATIME, unix.MS_NOATIME},
	{unix.MOUNT_ATTR_STRICTATIME, unix.MS_STRICTATIME},
	{unix.MOUNT_ATTR_NODIRATIME, unix.MS_NODIRATIME},
}

// superMS are the superblock flags of mount(2) by their fsconfig(2) name.
var superMS = map[string]uint64{
	"ro": unix.MS_RDONLY, "sync": unix.MS_SYNCHRONOUS, "dirsync": unix.MS_DIRSYNC, "mand": unix.MS_MANDLOCK,
	"lazytime": unix.MS_LAZYTIME, "iversion": unix.MS_I_VERSION, "silent": unix.MS_SILENT,
}

func msOf(attr uint64) (ms uint64) {
	for _, p := range pairs {
		if attr&p.attr != 0 {
			ms |= p.ms
		}
	}
	return ms
}

// attrOf reads the flags that statfs(2) reports, whose bits are those of mount(2), but for two.
func attrOf(st uint64) (attr uint64) {
	const stNosymfollow, stRelatime = 0x2000, 0x1000
	for _, p := range pairs {
		if p.ms != unix.MS_NOSYMFOLLOW && p.ms != unix.MS_STRICTATIME && st&p.ms != 0 {
			attr |= p.attr
		}
	}
	if st&stNosymfollow != 0 {
		attr |= unix.MOUNT_ATTR_NOSYMFOLLOW
	}
	if st&(stRelatime|unix.MS_NOATIME) == 0 {
		attr |= unix.MOUNT_ATTR_STRICTATIME
	}
	return attr
}
