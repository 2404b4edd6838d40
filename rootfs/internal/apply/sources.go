package apply

import (
	"golang.org/x/sys/unix"

	"github.com/librootfs/librootfs/rootfs/internal/errs"
	"github.com/librootfs/librootfs/rootfs/internal/linux"
	"github.com/librootfs/librootfs/rootfs/internal/plan"
	"github.com/librootfs/librootfs/rootfs/internal/tree"
)

// Source is a mount's source as a detached tree, opened ahead of time by a process that can reach it.
type Source struct {
	Mount, FD int
}

// OpenSources clones the sources of binds: the idmapped ones with their mapping applied, since that takes privileges over
// the file system, and with all set also the plain ones.
func OpenSources(steps []plan.Step, all bool, container int) (out []Source, err error) {
	defer func() {
		if err != nil {
			for _, s := range out {
				linux.Close(s.FD)
			}
			out = nil
		}
	}()
	for _, s := range steps {
		m, ok := s.(*plan.Mount)
		if !ok || m.Type != "bind" || m.Remount || m.Index < 0 || (m.IDMap == nil && !all) {
			continue
		}
		t, err := tree.Clone(unix.AT_FDCWD, m.Source, m.Source, m.Recursive, m.PlainSource)
		if err == nil && m.IDMap != nil {
			err = mapped(t, m.IDMap, container)
		}
		if err == nil && t.FD < 0 { // there is no open_tree(2): the child is left to bind it by its path
			t.Close()
			continue
		}
		if err != nil {
			t.Close()
			return out, errs.At(m.Ptr, err)
		}
		out = append(out, Source{m.Index, t.FD})
	}
	return out, nil
}

func mapped(t *tree.Tree, m *plan.IDMap, container int) error {
	if !m.OfContainer {
		return idmap(t, m)
	}
	if container < 0 {
		return &errs.Error{Code: errs.Invalid, Op: "open_sources", Args: t.Name(),
			Detail: "the mount is mapped by the container's user namespace, and no descriptor of it was given"}
	}
	return t.IDMap(container, m.Recursive)
}
