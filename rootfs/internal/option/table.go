package option

import (
	"golang.org/x/sys/unix"
)

// Class says which mechanism an option belongs to, and with it what Entry.Bits means.
type Class uint8

// The classes of options.
const (
	// Nothing is accepted and has no effect.
	Nothing Class = iota
	// Flag is a flag of mount(2); Bits is one MS_* flag (two for rbind).
	Flag
	// Propagation is done on its own after the mount; Bits is MS_* with MS_REC or not.
	Propagation
	// Recursive is done by mount_setattr(2) with AT_RECURSIVE; Bits is the MOUNT_ATTR_* bit.
	Recursive
	// RecursiveAtime is the same for the access time, which is one value of several bits; Bits is that value.
	RecursiveAtime
	// IDMapping asks for an idmapped mount; Bits is MOUNT_ATTR_IDMAP.
	IDMapping
	// Extension is work of this library's own: no bit of the kernel's stands for it.
	Extension
)

// String is the class as docs/options.md heads it.
func (c Class) String() string {
	return [...]string{"No effect", "Flags", "Propagation", "Recursive attributes", "Recursive access time",
		"Id mapping", "Extensions"}[c]
}

// Entry is one mount option.
type Entry struct {
	Name   string
	Class  Class
	Bits   uint64
	Off    bool   // turns Bits off rather than on
	Kernel string // first kernel that can do it, "" where every supported one can
	Text   string // what it does, one phrase
}

// table is sorted by name, which find and Names rely on. It holds constants alone, so it costs no initialiser when the
// library is loaded.
var table = [...]Entry{
	{"Z", Extension, 0, false, "", "label the source with the container's SELinux label, for it alone"},
	{"async", Flag, unix.MS_SYNCHRONOUS, true, "", "writes may be delayed"},
	{"atime", Flag, unix.MS_NOATIME, true, "", "access times are kept as the kernel does by default (relatime)"},
	{"bind", Flag, unix.MS_BIND, false, "", "bind the source, without the mounts below it"},
	{"defaults", Nothing, 0, false, "", "nothing"},
	{"dest-nofollow", Extension, 0, false, "", "no component of the destination may be a symbolic link"},
	{"dev", Flag, unix.MS_NODEV, true, "", "device nodes work"},
	{"diratime", Flag, unix.MS_NODIRATIME, true, "", "access times of directories are kept"},
	{"dirsync", Flag, unix.MS_DIRSYNC, false, "", "changes of directories are written at once"},
	{"exec", Flag, unix.MS_NOEXEC, true, "", "programs can be executed"},
	{"idmap", IDMapping, unix.MOUNT_ATTR_IDMAP, false, "5.12", "map ids of the bind's source, not of the mounts below it"},
	{"iversion", Flag, unix.MS_I_VERSION, false, "", "count changes of inodes"},
	{"lazytime", Flag, unix.MS_LAZYTIME, false, "", "keep time stamps in memory"},
	{"loud", Flag, unix.MS_SILENT, true, "", "the kernel logs what is wrong with the file system"},
	{"mand", Flag, unix.MS_MANDLOCK, false, "", "mandatory locks; without effect since Linux 5.15"},
	{"noatime", Flag, unix.MS_NOATIME, false, "", "access times are not kept"},
	{"nodev", Flag, unix.MS_NODEV, false, "", "device nodes do not work"},
	{"nodiratime", Flag, unix.MS_NODIRATIME, false, "", "access times of directories are not kept"},
	{"noexec", Flag, unix.MS_NOEXEC, false, "", "no program can be executed"},
	{"noiversion", Flag, unix.MS_I_VERSION, true, "", "do not count changes of inodes"},
	{"nolazytime", Flag, unix.MS_LAZYTIME, true, "", "write time stamps as usual"},
	{"nomand", Flag, unix.MS_MANDLOCK, true, "", "no mandatory locks"},
	{"norelatime", Flag, unix.MS_RELATIME, true, "", "undoes relatime"},
	{"nostrictatime", Flag, unix.MS_STRICTATIME, true, "", "undoes strictatime"},
	{"nosuid", Flag, unix.MS_NOSUID, false, "", "set-user-id, set-group-id and file capabilities have no effect"},
	{"nosymfollow", Flag, unix.MS_NOSYMFOLLOW, false, "5.10", "no symbolic link on the mount is followed"},
	{"private", Propagation, unix.MS_PRIVATE, false, "", "mounts propagate neither in nor out"},
	{"ratime", RecursiveAtime, unix.MOUNT_ATTR_NOATIME, true, "5.12", "undoes noatime"},
	{"rbind", Flag, unix.MS_BIND | unix.MS_REC, false, "", "bind the source and the mounts below it"},
	{"rdev", Recursive, unix.MOUNT_ATTR_NODEV, true, "5.12", "as dev"},
	{"rdiratime", Recursive, unix.MOUNT_ATTR_NODIRATIME, true, "5.12", "as diratime"},
	{"relatime", Flag, unix.MS_RELATIME, false, "", "access times are kept where they are older than the last change, or a day"},
	{"remount", Flag, unix.MS_REMOUNT, false, "", "change the mount that is there already; without `bind` its file system too, which the host must not have mounted as well"},
	{"rexec", Recursive, unix.MOUNT_ATTR_NOEXEC, true, "5.12", "as exec"},
	{"ridmap", IDMapping, unix.MOUNT_ATTR_IDMAP, false, "5.12", "map ids of the bind's source and of the mounts below it"},
	{"rnoatime", RecursiveAtime, unix.MOUNT_ATTR_NOATIME, false, "5.12", "as noatime"},
	{"rnodev", Recursive, unix.MOUNT_ATTR_NODEV, false, "5.12", "as nodev"},
	{"rnodiratime", Recursive, unix.MOUNT_ATTR_NODIRATIME, false, "5.12", "as nodiratime"},
	{"rnoexec", Recursive, unix.MOUNT_ATTR_NOEXEC, false, "5.12", "as noexec"},
	{"rnorelatime", RecursiveAtime, unix.MOUNT_ATTR_RELATIME, true, "", "nothing: the kernel has no such state"},
	{"rnostrictatime", RecursiveAtime, unix.MOUNT_ATTR_STRICTATIME, true, "5.12", "undoes strictatime"},
	{"rnosuid", Recursive, unix.MOUNT_ATTR_NOSUID, false, "5.12", "as nosuid"},
	{"rnosymfollow", Recursive, unix.MOUNT_ATTR_NOSYMFOLLOW, false, "5.14", "as nosymfollow"},
	{"ro", Flag, unix.MS_RDONLY, false, "", "nothing can be written"},
	{"rprivate", Propagation, unix.MS_PRIVATE | unix.MS_REC, false, "", "as private, also for the mounts below"},
	{"rrelatime", RecursiveAtime, unix.MOUNT_ATTR_RELATIME, false, "5.12", "as relatime"},
	{"rro", Recursive, unix.MOUNT_ATTR_RDONLY, false, "5.12", "as ro"},
	{"rrw", Recursive, unix.MOUNT_ATTR_RDONLY, true, "5.12", "as rw"},
	{"rshared", Propagation, unix.MS_SHARED | unix.MS_REC, false, "", "as shared, also for the mounts below"},
	{"rslave", Propagation, unix.MS_SLAVE | unix.MS_REC, false, "", "as slave, also for the mounts below"},
	{"rstrictatime", RecursiveAtime, unix.MOUNT_ATTR_STRICTATIME, false, "5.12", "as strictatime"},
	{"rsuid", Recursive, unix.MOUNT_ATTR_NOSUID, true, "5.12", "as suid"},
	{"rsymfollow", Recursive, unix.MOUNT_ATTR_NOSYMFOLLOW, true, "5.14", "as symfollow"},
	{"runbindable", Propagation, unix.MS_UNBINDABLE | unix.MS_REC, false, "", "as unbindable, also for the mounts below"},
	{"rw", Flag, unix.MS_RDONLY, true, "", "files can be written"},
	{"shared", Propagation, unix.MS_SHARED, false, "", "mounts propagate both in and out"},
	{"silent", Flag, unix.MS_SILENT, false, "", "the kernel logs less of what is wrong with the file system"},
	{"slave", Propagation, unix.MS_SLAVE, false, "", "mounts propagate in, but not out"},
	{"src-nofollow", Extension, 0, false, "", "the source of a bind may not be a symbolic link"},
	{"strictatime", Flag, unix.MS_STRICTATIME, false, "", "access times are always kept"},
	{"suid", Flag, unix.MS_NOSUID, true, "", "set-user-id, set-group-id and file capabilities work"},
	{"symfollow", Flag, unix.MS_NOSYMFOLLOW, true, "5.10", "symbolic links are followed"},
	{"sync", Flag, unix.MS_SYNCHRONOUS, false, "", "writes are done at once"},
	{"tmpcopyup", Extension, 0, false, "", "a tmpfs begins with what the image has at the destination"},
	{"unbindable", Propagation, unix.MS_UNBINDABLE, false, "", "mounts propagate neither in nor out, and it cannot be bound"},
	{"z", Extension, 0, false, "", "label the source with the container's SELinux label, to be shared by containers"},
}

// Table gives all options, sorted by name. It is shared: callers do not change it.
func Table() []Entry { return table[:] }

// Names gives the names of all options, sorted, as the OCI features document lists them.
func Names() []string {
	names := make([]string, len(table))
	for i := range table {
		names[i] = table[i].Name
	}
	return names
}

// FromName gives the option of this name; names are compared as they are, as runtimes do.
func FromName(name string) (Entry, bool) {
	if e := find(name); e != nil {
		return *e, true
	}
	return Entry{}, false
}

func find(name string) *Entry {
	low, high := 0, len(table)
	for low < high {
		mid := int(uint(low+high) >> 1)
		switch at := table[mid].Name; {
		case at == name:
			return &table[mid]
		case at < name:
			low = mid + 1
		default:
			high = mid
		}
	}
	return nil
}
