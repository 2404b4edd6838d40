package plan

import (
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/librootfs/librootfs/rootfs/internal/config"
)

// mount adds the steps of one entry of mounts. Which options go with which type, package config has checked.
func (b *builder) mount(m *mount) error {
	switch {
	case !m.Options.Remount:
		b.do(b.late.covered(m.Destination)...)
	case m.Options.Attr&unix.MOUNT_ATTR_RDONLY == 0 || !staysWritable(m):
		b.late.remounted(m.Destination)
	}
	switch {
	case m.Type == "bind":
		b.ownDev = b.ownDev && m.Destination != "/dev"
		b.do(b.bindMount(m))
	case m.Options.Remount:
		b.do(b.filesystem(m))
	case m.Type == "cgroup2", m.Type == "cgroup" && b.f.Cgroup.Unified:
		b.do(b.cgroup2(m))
	case m.Type == "cgroup":
		return b.cgroup1(m)
	default:
		b.do(b.filesystem(m))
	}
	return nil
}

// base is the step that any kind of mount begins with. With the old mount(2) an attribute that nobody names is off,
// whatever the mount is of; only a new bind that names none keeps its source's.
func (b *builder) base(m *mount) *Mount {
	o := &m.Options
	var s *Mount
	if len(b.steps) > 0 {
		s, b.steps = &b.steps[0], b.steps[1:]
	} else {
		s = &Mount{}
	}
	*s = Mount{
		Base:        Base{m.pointer, m.Destination},
		Index:       m.index,
		Type:        m.Type,
		Source:      m.Source,
		Remount:     o.Remount,
		ExactAttr:   true,
		Attr:        attrNow(m),
		Clear:       o.Clear,
		RecAttr:     o.RecAttr,
		RecClear:    o.RecClear,
		Propagation: o.Propagation,
		PlainTarget: o.TargetNoFollow,
		PlainSource: o.SourceNoFollow,
	}
	return s
}

// filesystem is a mount of a file system of its own.
func (b *builder) filesystem(m *mount) *Mount {
	s := b.base(m)
	s.OwnFS = ownFilesystem(b.c, m.Type)
	s.Data = m.Options.Data
	s.Super = superblock(m.Options.Super, s.Attr)
	s.Label = b.c.MountLabel
	if ownContext(m.Options.Data) {
		s.Label = ""
	}
	readonly := m.Options.Attr&unix.MOUNT_ATTR_RDONLY != 0
	if staysWritable(m) && m.Options.RecAttr&unix.MOUNT_ATTR_RDONLY != 0 {
		// There is nothing below a new file system that could tell "rro" from "ro".
		s.RecAttr &^= unix.MOUNT_ATTR_RDONLY
		readonly = true
	}
	if staysWritable(m) && readonly {
		b.late.add(m, s)
	}
	switch m.Type {
	case "proc", "sysfs":
		// A symlink of the image's in their place has sent them elsewhere (CVE-2019-19921). Neither can be labelled.
		s.PlainTarget, s.Label = true, ""
	case "mqueue":
		s.Label, s.FileLabel = "", b.c.MountLabel
	case "tmpfs":
		s.CopyUp = m.Options.CopyUp
		s.TargetMode = !m.Options.Remount && !hasKey(m.Options.Data, "mode")
	}
	return s
}

// superblock is the superblock options with read-only as attr has it: mount(2) makes both read-only, or neither.
func superblock(asked []string, attr uint64) []string {
	super := slices.DeleteFunc(slices.Clone(asked), func(s string) bool { return s == "ro" })
	if attr&unix.MOUNT_ATTR_RDONLY != 0 {
		super = append([]string{"ro"}, super...)
	}
	return super
}

// ownContext tells whether the data names a label of its own, beside which the kernel takes no other.
func ownContext(data []string) bool {
	return hasKey(data, "context") || hasKey(data, "fscontext") || hasKey(data, "defcontext")
}

func hasKey(data []string, key string) bool {
	return slices.ContainsFunc(data, func(d string) bool { return strings.HasPrefix(d, key+"=") })
}

// bindMount is a bind mount.
func (b *builder) bindMount(m *mount) *Mount {
	s := b.base(m)
	s.Recursive = m.Options.Recursive
	s.ExactAttr = m.Options.Touched || m.Options.Remount
	s.IDMap = idmap(m)
	if m.Options.Relabel != 0 {
		s.Relabel, s.Label = m.Options.Relabel, b.c.MountLabel
	}
	if staysWritable(m) && m.Options.Attr&unix.MOUNT_ATTR_RDONLY != 0 {
		b.late.add(m, s)
	}
	return s
}

// idmap is the mapping of a bind: its own, or the container's user namespace's. Mappings without an option mean idmap,
// as the runtime specification has it.
func idmap(m *mount) *IDMap {
	if !m.Options.IDMap && !m.Options.RecursiveIDMap && len(m.UIDMappings) == 0 {
		return nil
	}
	return &IDMap{
		Recursive:   m.Options.RecursiveIDMap,
		OfContainer: len(m.UIDMappings) == 0,
		UID:         ranges(m.UIDMappings),
		GID:         ranges(m.GIDMappings),
	}
}

func ranges(maps []config.IDMap) []Range {
	if len(maps) == 0 {
		return nil
	}
	r := make([]Range, len(maps))
	for i, m := range maps {
		r[i] = Range(m)
	}
	return r
}
