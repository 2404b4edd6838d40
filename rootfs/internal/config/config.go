// Package config holds the checked configuration: what an OCI config.json and the host options say about the root
// file system, and nothing else of them. Parse makes it; nothing changes it afterwards.
package config

import "github.com/librootfs/librootfs/rootfs/internal/option"

// Config is a checked configuration. Paths inside the container are absolute and clean. Paths of the host (Root.Path, bind
// sources, bundle) are absolute; one with ".." in it is left as it is, for there the kernel's answer is not the lexical one.
// No string has a NUL byte, and no path is longer than MaxPath.
type Config struct {
	Root          Root
	Mounts        []Mount
	Process       Process
	Namespaces    []Namespace
	UIDMappings   []IDMap
	GIDMappings   []IDMap
	Devices       []Device
	Hooks         []Hook // createContainer
	Propagation   uint64 // linux.rootfsPropagation: MS_*, with MS_REC for the "r" names alone; 0 where the config is silent
	MaskedPaths   []string
	ReadonlyPaths []string
	Sysctls       []Sysctl // in the order of the document
	MountLabel    string
	Annotations   []Pair // handed to hooks in the state: state.annotations of the host options, else the config's
	OCIVersion    string
	Options       Options
}

// Root is the container's root file system.
type Root struct {
	Path     string
	Readonly bool
}

// Process is the part of OCI's process that concerns the root.
type Process struct {
	Cwd      string // "" where the document has no process
	Umask    *uint32
	Terminal bool
}

// Mount is one entry of mounts. Mappings without an idmap or ridmap option mean idmap; idmap without mappings means those of
// the container's user namespace.
type Mount struct {
	Destination string
	Type        string // "bind" for every bind, whatever was written; "" only for a remount
	Source      string // host path made absolute by the bundle for binds, else as written
	Options     option.Set
	UIDMappings []IDMap
	GIDMappings []IDMap
}

// IDMap is one line of a user namespace's map.
type IDMap struct {
	Container, Host, Size uint32
}

// Namespace is one entry of linux.namespaces: made new where Path is empty, joined otherwise.
type Namespace struct {
	Type string // "pid", "network", "mount", "ipc", "uts", "user", "cgroup", "time"
	Path string
}

// Device is one entry of linux.devices.
type Device struct {
	Path         string
	Type         byte // 'c' (also for "u"), 'b', 'p'
	Major, Minor uint32
	Mode         uint32 // permission bits; 0666 where the document is silent
	UID, GID     uint32
}

// Hook is a command with the OCI state on its standard input.
type Hook struct {
	Path    string
	Args    []string // argv, with argv[0]; nil means just Path
	Env     []string
	Timeout int    // seconds; 0 means none
	Pointer string // "/hooks/createContainer/0"
}

// Command is run before or after a mount.
type Command struct {
	Path string
	Args []string // argv without argv[0]
	Env  []string
	Dir  string
}

// Sysctl is one kernel parameter, its key as written. File is its path below /proc/sys, "net/ipv4/ip_forward": clean, no
// component is "." or "..".
type Sysctl struct {
	Key, Value string
	File       string
}

// Pair is one member of a JSON object of strings.
type Pair struct {
	Key, Value string
}

// Options are the host options (schema/options.json): what OCI does not carry.
type Options struct {
	Bundle        string // absolute; "" means root.path and sources must be absolute
	ID            string // container's id, for the state that hooks get
	Pid           int    // pid for the state; 0 means the caller's
	NoPivotRoot   bool
	Rootless      bool   // the caller has an ordinary user's rights: what those cannot give is worked around
	CgroupPath    string // cgroup2Path: absolute and clean, the container's own cgroup as the host sees it
	MountCommands []MountCommands
}

// MountCommands are the commands around one mount.
type MountCommands struct {
	Mount         int // index in mounts
	Before, After []Command
}

// Has tells whether the container gets a namespace of this type, new or joined.
func (c *Config) Has(namespace string) bool {
	for _, n := range c.Namespaces {
		if n.Type == namespace {
			return true
		}
	}
	return false
}

// HasNew is Has of a namespace that is made for the container, not one that it joins.
func (c *Config) HasNew(namespace string) bool {
	for _, n := range c.Namespaces {
		if n.Type == namespace && n.Path == "" {
			return true
		}
	}
	return false
}

// OwnMounts tells whether the container's mounts are its own. A document without ociVersion and namespaces comes from a host
// that has no use for OCI: it calls from a mount namespace that it made.
func (c *Config) OwnMounts() bool {
	return c.Has("mount") || c.OCIVersion == "" && len(c.Namespaces) == 0
}
