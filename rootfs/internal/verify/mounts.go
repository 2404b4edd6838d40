package verify

import (
	"slices"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"github.com/librootfs/librootfs/rootfs/internal/linux"
	"github.com/librootfs/librootfs/rootfs/internal/option"
	"github.com/librootfs/librootfs/rootfs/internal/plan"
)

// shown are the attributes that the mount table shows by name.
var shown = []struct {
	attr uint64
	name string
}{
	{unix.MOUNT_ATTR_RDONLY, "ro"}, {unix.MOUNT_ATTR_NOSUID, "nosuid"}, {unix.MOUNT_ATTR_NODEV, "nodev"},
	{unix.MOUNT_ATTR_NOEXEC, "noexec"}, {unix.MOUNT_ATTR_NOSYMFOLLOW, "nosymfollow"},
	{unix.MOUNT_ATTR_NODIRATIME, "nodiratime"}, {unix.MOUNT_ATTR_NOATIME, "noatime"},
}

// attrOf reads a mount's attributes from the mount table. Neither "relatime" nor "noatime" there means strictatime.
func attrOf(m *mountinfo.Info) (attr uint64) {
	options := strings.Split(m.Options, ",")
	for _, s := range shown {
		if slices.Contains(options, s.name) {
			attr |= s.attr
		}
	}
	if !slices.Contains(options, "relatime") && !slices.Contains(options, "noatime") {
		attr |= unix.MOUNT_ATTR_STRICTATIME
	}
	return attr
}

const accessTime = unix.MOUNT_ATTR__ATIME | unix.MOUNT_ATTR_NODIRATIME

func (c *checker) mount(s *plan.Mount) {
	fd, m, root, err := c.open(s.Path)
	defer linux.Close(fd)
	if below := c.hidden(s, m, err); below != nil {
		m, root, err = below, true, nil
	}
	if err != nil {
		c.failed("mount", "is there", err)
		return
	}
	c.want("mount", "true", boolean(root))
	s = standsFor(s, m)
	if s.Type != "bind" && s.Type != "" {
		c.want("type", s.Type, m.FSType)
		if s.Source != "" && s.Type != "cgroup" && s.Type != "cgroup2" && !s.Remount {
			c.want("source", s.Source, m.Source)
		}
	}
	copied := c.copied(s, m)
	c.attributes(s, m, copied)
	c.below(s, m)
	if c.everywhere != 0 {
		c.propagationOf([]uint64{c.everywhere}, m)
	} else if !copied { // which is shared where it lies on a shared mount
		c.propagationOf(s.Propagation, m)
	}
}

// standsFor is the mount of the plan or, where it failed as foreseen, the fall-back that the kernel shows in its place.
func standsFor(s *plan.Mount, m *mountinfo.Info) *plan.Mount {
	for s.Fallback != nil && s.Type != m.FSType && s.Type != "bind" {
		s = s.Fallback
	}
	if s.Type == "bind" && s.Fallback != nil && m.FSType == s.Fallback.Type {
		s = s.Fallback
	}
	return s
}

func (c *checker) attributes(s *plan.Mount, m *mountinfo.Info, copied bool) {
	has := attrOf(m)
	// The recursive attributes are set last. One of the access time clears the others of it.
	want, clear := s.Attr&^s.RecClear|s.RecAttr, s.Clear|s.RecClear
	if c.readonly[s.Path] {
		want |= unix.MOUNT_ATTR_RDONLY
	}
	if copied { // with this one flag more
		clear &^= unix.MOUNT_ATTR_RDONLY
	}
	clear &^= want
	mask := want | clear
	// What nobody asked for is off too, unless a user namespace keeps it locked; a read-only path may lie over it.
	if s.ExactAttr && s.Type != "bind" {
		mask |= unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC | unix.MOUNT_ATTR_NOSYMFOLLOW
	}
	// One flag of access times brings the others with it, but for the recursive nodiratime, which is a flag of its own.
	if (s.Attr|s.Clear)&accessTime != 0 || mask&unix.MOUNT_ATTR__ATIME != 0 {
		mask |= unix.MOUNT_ATTR__ATIME
	}
	c.want("flags", option.AttrNames(want&mask), option.AttrNames(has&mask))
	if s.IDMap != nil {
		c.want("idmap", "true", boolean(slices.Contains(strings.Split(m.Options, ","), "idmapped")))
	}
}

// propagationOf compares with the last option of a list: each is applied over those before it.
func (c *checker) propagationOf(flags []uint64, m *mountinfo.Info) {
	if len(flags) == 0 {
		return
	}
	shared := strings.Contains(m.Optional, "shared:")
	slave := strings.Contains(m.Optional, "master:")
	unbindable := strings.Contains(m.Optional, "unbindable")
	switch flags[len(flags)-1] &^ unix.MS_REC {
	case unix.MS_SHARED:
		c.want("propagation", "shared", word(shared, "shared", m.Optional))
	case unix.MS_SLAVE: // without a master it is private
		// What nothing shares has no master to get: to make it a slave changes nothing.
		was := slices.ContainsFunc(flags, func(f uint64) bool { return f&unix.MS_UNBINDABLE != 0 })
		c.want("propagation", "slave", word(!shared && (!unbindable || was), "slave", m.Optional))
	case unix.MS_PRIVATE:
		c.want("propagation", "private", word(!shared && !slave && !unbindable, "private", m.Optional))
	case unix.MS_UNBINDABLE:
		c.want("propagation", "unbindable", word(unbindable, "unbindable", m.Optional))
	}
}

func (c *checker) propagation(s *plan.Propagation) {
	fd, m, _, err := c.open(s.Path)
	if err != nil {
		c.failed("propagation", "is set", err)
		return
	}
	linux.Close(fd)
	c.propagationOf([]uint64{s.Flags}, m)
}

// isReadonly also serves for paths that may be missing: nothing was promised of those.
func (c *checker) isReadonly(s plan.Step) {
	fd, m, root, err := c.open(s.Target())
	_, optional := s.(*plan.ReadonlyPath)
	if optional && missing(err) {
		return
	}
	if err != nil {
		c.failed("read-only", "true", err)
		return
	}
	linux.Close(fd)
	if optional && !root {
		// What was missing may be there now: in the read-only copy of a directory that this path lies in, without an unbindable mount.
		root = slices.Contains(c.readonlyPaths, m.Mountpoint) && m.Mountpoint != s.Target()
	}
	c.want("read-only", "true", boolean(root && attrOf(m)&unix.MOUNT_ATTR_RDONLY != 0))
}

func word(holds bool, want, got string) string {
	switch {
	case holds:
		return want
	case got == "":
		return "private"
	}
	return got
}

func boolean(b bool) string {
	if b {
		return "true"
	}
	return "false"
}
