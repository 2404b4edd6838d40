package rootfs

import (
	"strconv"

	"github.com/librootfs/librootfs/rootfs/internal/apply"
	"github.com/librootfs/librootfs/rootfs/internal/errs"
	"github.com/librootfs/librootfs/rootfs/internal/linux"
	"github.com/librootfs/librootfs/rootfs/internal/plan"
)

// Source is the opened source of one mount.
type Source struct {
	Mount int // index in the config's mounts
	FD    int // a detached tree, the caller's to pass on and to close
}

// SourceRoot is the index of the root in Host.Sources. What the descriptor stands for is attached at root.path then, where the child's
// namespace has any directory for it. A detached tree, as open_tree(2) or fsmount(2) make it, need be mounted nowhere else.
const SourceRoot = -1

// OpenSources opens, in a privileged parent, the mount sources that a child may be unable to reach: those of idmapped
// mounts, and all bind sources where the config has a user namespace. userns is a descriptor of the container's user
// namespace for mounts that are mapped by it, or -1. The child gives them to Prepare as Host.Sources. Where the kernel has no
// open_tree(2), those that are not idmapped are left out, and the child takes them by their paths.
func OpenSources(c *Config, userns int) ([]Source, error) {
	p, err := NewPlan(c)
	if err != nil {
		return nil, err
	}
	trees, err := apply.OpenSources(p.steps.Prepare, c.Has("user"), userns)
	if err != nil {
		return nil, err
	}
	out := make([]Source, 0, len(trees))
	for _, t := range trees {
		out = append(out, Source{Mount: t.Mount, FD: t.FD})
	}
	return out, nil
}

// checkSources refuses a descriptor that no mount would use: what the host meant by it would silently not be done.
func checkSources(p *Plan, sources map[int]int) error {
	if len(sources) == 0 {
		return nil
	}
	if _, root := sources[SourceRoot]; root && !p.config.OwnMounts() {
		return errs.Bad("/root/path", "a source descriptor is given for the root: that needs a mount namespace, new or joined, in linux.namespaces")
	}
	binds := map[int]bool{}
	for _, s := range p.steps.Prepare {
		if m, ok := s.(*plan.Mount); ok && m.Type == "bind" && !m.Remount {
			binds[m.Index] = m.Index >= 0
		}
	}
	for index := range sources {
		switch {
		case index == SourceRoot:
		case index < 0 || index >= len(p.config.Mounts):
			return errs.Bad("/mounts", "a source descriptor is given for a mount that does not exist: "+strconv.Itoa(index))
		case !binds[index]:
			return errs.Bad("/mounts/"+strconv.Itoa(index), "a source descriptor is given for a mount that is not a bind")
		}
	}
	return nil
}

// Close closes descriptors that OpenSources gave out.
func Close(sources []Source) {
	for _, s := range sources {
		linux.Close(s.FD)
	}
}
