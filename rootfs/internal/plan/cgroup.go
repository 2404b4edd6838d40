package plan

import (
	"strings"

	"golang.org/x/sys/unix"

	"github.com/librootfs/librootfs/rootfs/internal/errs"
)

// quiet are the attributes that nothing in a cgroup file system has a use for.
const quiet = unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC

// cgroup2 is a mount of the unified hierarchy. The kernel refuses it where the user namespace of the container does not
// own the cgroup namespace; a bind of what the container may see is as good.
//
// A container that shares the host's cgroup namespace gets a bind in the first place. A new mount from the initial cgroup
// namespace is the same directory, but sets the options of the whole hierarchy, the host's too, to those of this mount: it
// takes nsdelegate and memory_recursiveprot away from systemd. And it waits for all of the kernel's RCU readers: 10 ms.
func (b *builder) cgroup2(m *mount) *Mount {
	s := b.filesystem(m)
	s.Type, s.Label = "cgroup2", ""
	if b.f.Cgroup.Whole && !b.c.Has("cgroup") && !b.c.Has("user") && len(s.Data) == 0 {
		bind := *s
		bind.Type, bind.Source, bind.Super = "bind", b.f.Cgroup.Mountpoint, nil
		// As a new mount is: nothing that the host mounts there later appears in the container.
		bind.Propagation = append([]uint64{unix.MS_PRIVATE}, s.Propagation...)
		return &bind
	}
	if s.Fallback = b.cgroup2Bind(m, s); s.Fallback != nil {
		s.FallbackOn = []string{"EPERM", "EBUSY"}
	}
	return s
}

// cgroup2Bind is what is tried in the place of s, or nil where nothing is: a host whose cgroup is not known would be
// shown whole to a container that was promised a view of its own.
func (b *builder) cgroup2Bind(m *mount, s *Mount) *Mount {
	var mask *Mount
	if b.c.Options.Rootless {
		mask = b.cgroupMask(m)
	}
	source := b.cgroup2Source()
	if source == "" {
		return mask
	}
	bind := *s
	bind.Index, bind.Type, bind.Source, bind.Recursive = -1, "bind", source, true
	bind.Super, bind.Data = nil, nil
	if mask != nil {
		bind.Fallback, bind.FallbackOn = mask, []string{"ENOENT"}
	}
	return &bind
}

// cgroup2Source is the host's directory that holds the container's cgroup.
func (b *builder) cgroup2Source() string {
	g := &b.f.Cgroup
	switch {
	case b.c.Options.CgroupPath != "":
		return b.c.Options.CgroupPath
	case g.Mountpoint == "":
		return ""
	case !b.c.Has("cgroup"):
		return g.Mountpoint
	case g.Own == "":
		return ""
	}
	return strings.TrimSuffix(below(g.Mountpoint, g.Own), "/")
}

// cgroupMask hides what a bind of /sys from the host would show there, writable (CVE-2023-25809).
func (b *builder) cgroupMask(m *mount) *Mount {
	return &Mount{
		Base:      Base{m.pointer, m.Destination},
		Index:     -1,
		Type:      "tmpfs",
		Source:    "tmpfs",
		ExactAttr: true,
		Attr:      quiet | unix.MOUNT_ATTR_RDONLY,
		Super:     []string{"ro"},
		Data:      []string{"mode=755", "nr_blocks=1", "nr_inodes=1"},
		Label:     b.c.MountLabel,
	}
}

// cgroup1 shows the v1 hierarchies side by side in a tmpfs, as the host has them.
func (b *builder) cgroup1(m *mount) error {
	readonly := (m.Options.Attr | m.Options.RecAttr) & unix.MOUNT_ATTR_RDONLY
	side := &Mount{
		Base:        Base{m.pointer, m.Destination},
		Index:       m.index,
		Type:        "tmpfs",
		Source:      "tmpfs",
		ExactAttr:   true,
		Attr:        quiet,
		Data:        []string{"mode=755"},
		Propagation: m.Options.Propagation,
		PlainTarget: m.Options.TargetNoFollow,
		Label:       b.c.MountLabel,
	}
	b.do(side)
	for i := range b.f.Cgroup.V1 {
		h := &b.f.Cgroup.V1[i]
		s, err := b.hierarchy(m, h, readonly)
		if err != nil {
			return err
		}
		b.do(s)
	}
	for i := range b.f.Cgroup.V1 {
		b.mergedLinks(m, b.f.Cgroup.V1[i].Name)
	}
	if readonly != 0 {
		b.late.add(m, side)
	}
	return nil
}

// hierarchy is one v1 hierarchy: mounted anew where a cgroup namespace gives it a root of the container's own, and
// otherwise this process's cgroup in the host's mount of it.
func (b *builder) hierarchy(m *mount, h *Hierarchy, readonly uint64) (*Mount, error) {
	s := b.base(m)
	s.Index = -1
	s.Path = below(m.Destination, h.Name)
	if b.c.Has("cgroup") {
		s.Type, s.Source, s.Data = "cgroup", "cgroup", h.Data
		if h.Name == "systemd" {
			s.Source = "systemd"
		}
		s.Attr = quiet | readonly
		s.Super = superblock(nil, s.Attr)
		return s, nil
	}
	if h.Own == "" {
		return nil, errs.At(m.pointer, errs.Cannot("mount", "cgroup "+h.Name,
			"this process's cgroup cannot be reached below "+h.Mountpoint+"; a cgroup namespace would do without"))
	}
	s.Type, s.Recursive, s.ExactAttr = "bind", true, m.Options.Touched
	s.Source = strings.TrimSuffix(below(h.Mountpoint, h.Own), "/")
	return s, nil
}

// mergedLinks gives each controller of a hierarchy of several its name: cpu -> cpu,cpuacct.
func (b *builder) mergedLinks(m *mount, name string) {
	if !strings.Contains(name, ",") {
		return
	}
	for _, controller := range strings.Split(name, ",") {
		b.do(&Symlink{Base: Base{m.pointer, below(m.Destination, controller)}, To: name})
	}
}
