package verify

import (
	"slices"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"github.com/librootfs/librootfs/rootfs/internal/inroot"
	"github.com/librootfs/librootfs/rootfs/internal/linux"
	"github.com/librootfs/librootfs/rootfs/internal/plan"
)

// coveredBy finds the steps whose targets lie below a mount that a later step makes, or that are mounted over or remounted, as
// far as their paths tell.
func coveredBy(p *plan.Plan) map[int]bool {
	all := append(append([]plan.Step{}, p.Prepare...), p.Finalize...)
	covered := map[int]bool{}
	seen, changed, reached := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for i := len(all) - 1; i >= 0; i-- {
		path := all[i].Target()
		for at := path; at != ""; at = at[:max(strings.LastIndexByte(at, '/'), 0)] {
			if seen[at] || reached[at] {
				covered[i] = true
			}
		}
		if seen["/"] {
			covered[i] = true
		}
		switch s := all[i].(type) {
		case *plan.Mount:
			covered[i] = covered[i] || changed[path]
			if s.Remount {
				changed[path] = true
				// What is recursive of it changes the mounts below too.
				reached[path] = s.RecAttr|s.RecClear != 0 || slices.ContainsFunc(s.Propagation, func(p uint64) bool { return p&unix.MS_REC != 0 })
			} else {
				seen[path] = true
			}
		case *plan.MaskPath:
			seen[path] = true
		case *plan.ReadonlyPath:
			// The mount that it binds onto itself is still what it was, but for being read-only.
		}
	}
	return covered
}

// numberSteps turns what the executor said of its mounts round.
func (c *checker) numberSteps(p *plan.Plan) {
	c.steps = make(map[int]int, len(c.made))
	c.stepAt = make(map[string]int, len(c.made))
	c.mountAt = make(map[string]int, len(c.made))
	for i, s := range p.Prepare {
		id := c.idOf(s)
		m, isMount := s.(*plan.Mount)
		if isMount && m.Remount {
			if made, known := c.steps[id]; known {
				c.covered[made] = true // a link has led the one or the other there
			}
			continue
		}
		if isMount {
			c.mountAt[m.Path] = i
		}
		if id != 0 {
			c.steps[id] = i
		}
	}
	for i, s := range p.Finalize {
		if id := c.idOf(s); id != 0 {
			c.steps[id] = len(p.Prepare) + i
		}
	}
	for id, step := range c.steps {
		if m := c.mounts[id]; m != nil {
			c.stepAt[m.Mountpoint] = max(step, c.stepAt[m.Mountpoint])
		}
	}
}

// stepOf is the step that made a mount. What a read-only path copied is as far up as what it was copied from, which the mount
// table has at the same place.
func (c *checker) stepOf(m *mountinfo.Info) (int, bool) {
	step, known := c.steps[m.ID]
	if !known && len(c.readonlyPaths) > 0 {
		step, known = c.stepAt[m.Mountpoint]
	}
	return step, known
}

// idOf is the id of the mount that a step made, or that what stands in for it made; 0 where it is not known.
func (c *checker) idOf(s plan.Step) int {
	for m, is := s.(*plan.Mount); is && m != nil; m = m.Fallback {
		if id, known := c.made[m]; known {
			return id
		}
	}
	return c.made[s]
}

// under tells whether a path leads, as far as it leads anywhere, into a mount that step first or a later one made. A symlink may
// have taken that one to a place that its own path does not tell.
func (c *checker) under(path string, first int) bool {
	if len(c.steps) == 0 {
		return false
	}
	for m := c.mountAbove(path); m != nil; m = c.mounts[m.Parent] {
		if step, known := c.stepOf(m); known && step >= first {
			return true
		}
		if m.Parent == m.ID {
			break
		}
	}
	return false
}

// maxLinks is the kernel's own MAXSYMLINKS.
const maxLinks = 40

// mountAbove is the mount where following a path ends: at the last name that is there, which a link may have led to.
func (c *checker) mountAbove(path string) *mountinfo.Info {
	at, parts := "/", inroot.Split(path)
	for links := 0; len(parts) > 0 && links <= maxLinks; {
		next := at[:max(strings.LastIndexByte(at, '/'), 0)]
		if parts[0] != ".." {
			next = strings.TrimSuffix(at, "/") + "/" + parts[0]
		}
		parts = parts[1:]
		fd, err := c.root.Open("/"+next, unix.O_PATH|unix.O_NOFOLLOW, inroot.Follow)
		if err != nil {
			break
		}
		to, err := linux.Readlinkat(fd, "")
		linux.Close(fd)
		switch {
		case err != nil:
			at = "/" + strings.TrimPrefix(next, "/")
		case strings.HasPrefix(to, "/"):
			at = "/"
			fallthrough
		default:
			parts = append(inroot.Split(to), parts...)
			links++
		}
	}
	fd, m, _, err := c.open(at)
	if err != nil {
		return nil
	}
	linux.Close(fd)
	return m
}

// hidden is the mount of the current step where its path does not lead to it: because of a later mount that covers it, or
// because it covers itself what its path led through. Nil where there is no such reason.
func (c *checker) hidden(s *plan.Mount, seen *mountinfo.Info, err error) *mountinfo.Info {
	id := c.idOf(s)
	if id == 0 || err == nil && seen.ID == id {
		return nil
	}
	first := c.index + 1
	if err != nil {
		first = c.index
	}
	if !c.under(s.Path, first) && !(len(c.readonlyPaths) > 0 && c.unbindable(id)) {
		return nil
	}
	return c.mounts[id]
}

// unbindable: a copy lacks the mount, because it is so itself, or one of the plan's that it lies in.
func (c *checker) unbindable(id int) bool {
	for m := c.mounts[id]; m != nil && m.Parent != m.ID; m = c.mounts[m.Parent] {
		if _, ours := c.steps[m.ID]; ours && strings.Contains(m.Optional, "unbindable") {
			return true
		}
	}
	return false
}

// copied: what is seen of the mount is the copy that a read-only path makes of what is mounted there and below. Where mounts
// are not known by their ids, no link was on the way to any.
func (c *checker) copied(s *plan.Mount, seen *mountinfo.Info) bool {
	if id := c.idOf(s); id != 0 {
		return len(c.readonlyPaths) > 0 && seen.ID != id
	}
	return slices.ContainsFunc(c.readonlyPaths, func(path string) bool { return inroot.Within(s.Path, path) })
}
