package rootfs

import (
	"github.com/librootfs/librootfs/rootfs/internal/apply"
	"github.com/librootfs/librootfs/rootfs/internal/linux"
)

// Source is the opened source of one mount.
type Source struct {
	Mount int // index in the config's mounts
	FD    int // a detached tree, the caller's to pass on and to close
}

// OpenSources opens, in a privileged parent, the mount sources that a child may be unable to reach: those of idmapped
// mounts, and all bind sources where the config has a user namespace. userns is a descriptor of the container's user
// namespace for mounts that are mapped by it, or -1. The child gives them to Prepare as Host.Sources.
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

// Close closes descriptors that OpenSources gave out.
func Close(sources []Source) {
	for _, s := range sources {
		linux.Close(s.FD)
	}
}
