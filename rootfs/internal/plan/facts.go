package plan

// Facts are what a plan needs to know of the host. Package facts reads them; tests write them by hand.
type Facts struct {
	KCore  bool // /proc/kcore exists
	Cgroup Cgroup
}

// Cgroup is the host's cgroup layout, read only where the config mounts a cgroup file system.
type Cgroup struct {
	// Unified: /sys/fs/cgroup is cgroup2 (a "cgroup" mount then means cgroup2).
	Unified bool
	// Mountpoint is where the host has cgroup2 (/sys/fs/cgroup, or .../unified on a hybrid host), "" for nowhere.
	Mountpoint string
	// Whole: what is mounted there is what a new mount by this process would be, the root of the hierarchy.
	Whole bool
	// Own is this process's path in the cgroup2 hierarchy, "/" or "/user.slice/x".
	Own string
	// V1 are the cgroup v1 hierarchies in the order in which the host mounted them.
	V1 []Hierarchy
}

// Hierarchy is one cgroup v1 hierarchy.
type Hierarchy struct {
	Name       string   // the base name of its mountpoint: "cpu,cpuacct", "systemd"
	Data       []string // what mounts it: "cpu", "cpuacct"; "none", "name=systemd"
	Mountpoint string   // "/sys/fs/cgroup/cpu,cpuacct"
	Own        string   // this process's path in it
}
