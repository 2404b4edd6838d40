package verify

import (
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"github.com/librootfs/librootfs/rootfs/internal/option"
	"github.com/librootfs/librootfs/rootfs/internal/plan"
)

// below holds the recursive attributes of a bind against the mounts that it took along.
func (c *checker) below(s *plan.Mount, top *mountinfo.Info) {
	set, clear := s.RecAttr, s.RecClear&^s.RecAttr
	if len(c.readonlyPaths) > 0 {
		clear &^= unix.MOUNT_ATTR_RDONLY // one may lie below
	}
	mask := set | clear
	if mask&unix.MOUNT_ATTR__ATIME != 0 {
		mask |= unix.MOUNT_ATTR__ATIME
	}
	if !s.Recursive || mask == 0 {
		return
	}
	for _, m := range c.mounts {
		if m.ID == top.ID || !c.tookAlong(m, top) {
			continue
		}
		want, got := option.AttrNames(set&mask), option.AttrNames(attrOf(m)&mask)
		if c.report.Checked++; want != got {
			c.report.Deviations = append(c.report.Deviations, Deviation{c.current.Pointer(), m.Mountpoint, "flags", want, got})
		}
	}
}

// tookAlong tells whether a mount lies below top, and nothing between the two was mounted by a later step.
func (c *checker) tookAlong(m, top *mountinfo.Info) bool {
	for m != nil && m.ID != top.ID {
		if step, known := c.stepOf(m); known && step > c.index || c.isLater(m.Mountpoint) || m.Parent == m.ID {
			return false
		}
		m = c.mounts[m.Parent]
	}
	return m != nil
}

// isLater tells whether a later step has this path, or the console may be there.
func (c *checker) isLater(path string) bool {
	if path == "/dev/console" {
		return true
	}
	for _, target := range c.targets[min(c.index+1, len(c.targets)):] {
		if path == target || strings.HasPrefix(target, "/") && strings.HasPrefix(path, target+"/") {
			return true
		}
	}
	return false
}
