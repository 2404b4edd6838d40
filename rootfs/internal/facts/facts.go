// Package facts reads what a plan needs to know of the host, and as little as that: a container that mounts no cgroup
// costs one access(2). What it costs does not depend on the number of mounts that the host has, except where a cgroup
// hierarchy is mounted at an unusual place.
package facts

import (
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/librootfs/librootfs/rootfs/internal/config"
	"github.com/librootfs/librootfs/rootfs/internal/errs"
	"github.com/librootfs/librootfs/rootfs/internal/plan"
)

// Read reads the facts for the plan of c. It changes nothing and leaves no descriptor open. An error is an *errs.Error
// with the pointer of the mount for which the fact was needed.
func Read(c *config.Config) (*plan.Facts, error) {
	f := &plan.Facts{KCore: unix.Access("/proc/kcore", unix.F_OK) == nil}
	for i := range c.Mounts {
		if t := c.Mounts[i].Type; t != "cgroup" && t != "cgroup2" {
			continue
		}
		g, err := host.read(needsOf(c))
		if err != nil {
			return nil, errs.At("/mounts/"+strconv.Itoa(i), err)
		}
		f.Cgroup = *g
		break
	}
	return f, nil
}

// needs says which facts about cgroups a configuration leads to.
type needs struct {
	v1     bool // the v1 hierarchies, where the host has them
	v1Own  bool // this process's cgroup in each
	v2Own  bool // this process's cgroup in the unified hierarchy
	v2Root bool // where the unified hierarchy is mounted
}

func needsOf(c *config.Config) needs {
	var n needs
	for i := range c.Mounts {
		n.v1 = n.v1 || c.Mounts[i].Type == "cgroup"
		n.v2Root = n.v2Root || c.Mounts[i].Type == "cgroup2"
	}
	own := c.Has("cgroup")
	n.v1Own = n.v1 && !own
	n.v2Own = own && c.Options.CgroupPath == ""
	return n
}

// places is where a host shows its cgroups; tests have others.
type places struct {
	cgroup string // the conventional mount point
	self   string // cgroup(7)'s file of this process
	ns     string // the link that names this process's cgroup namespace
	mounts string // the mount table, for what is found nowhere else
}

var host = places{
	cgroup: "/sys/fs/cgroup",
	self:   "/proc/thread-self/cgroup",
	ns:     "/proc/thread-self/ns/cgroup",
	mounts: "/proc/thread-self/mountinfo",
}

func (p *places) read(n needs) (*plan.Cgroup, error) {
	g := &plan.Cgroup{}
	magic, err := magicOf(p.cgroup)
	if err != nil && !errs.Is(err, unix.ENOENT) {
		return nil, err
	}
	if magic == unix.CGROUP2_SUPER_MAGIC {
		g.Unified, g.Mountpoint = true, p.cgroup
		if !n.v2Own {
			g.Whole = p.whole(g.Mountpoint)
			return g, nil
		}
	}
	text, err := readAll(p.self)
	if err != nil {
		return nil, err
	}
	member := parseSelf(text)
	if !g.Unified && n.v2Root {
		if err := p.findUnified(g); err != nil {
			return nil, err
		}
		g.Whole = g.Mountpoint != "" && !n.v2Own && p.whole(g.Mountpoint)
	}
	if n.v2Own && g.Mountpoint != "" {
		if g.Own, err = p.below(g.Mountpoint, member.unified, p.inInitialNS()); err != nil {
			return nil, err
		}
	}
	if g.Unified || !n.v1 {
		return g, nil
	}
	if g.V1, err = p.hierarchies(member.v1); err != nil || !n.v1Own {
		return g, err
	}
	whole := p.inInitialNS()
	for i := range g.V1 {
		h := &g.V1[i]
		if h.Own, err = p.below(h.Mountpoint, h.Own, whole); err != nil {
			return nil, err
		}
	}
	return g, nil
}
