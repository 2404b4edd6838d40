package apply

import (
	"slices"
	"strings"

	"github.com/librootfs/librootfs/rootfs/internal/copyup"
	"github.com/librootfs/librootfs/rootfs/internal/label"
	"github.com/librootfs/librootfs/rootfs/internal/linux"
	"github.com/librootfs/librootfs/rootfs/internal/plan"
	"github.com/librootfs/librootfs/rootfs/internal/tree"
	"github.com/librootfs/librootfs/rootfs/internal/userns"
)

// idmap maps the ids of a tree before it is attached: no file is ever seen with the wrong owner.
func idmap(t *tree.Tree, m *plan.IDMap) error {
	fd, err := openUserNS(m)
	if err != nil {
		return err
	}
	defer linux.Close(fd)
	return t.IDMap(fd, m.Recursive)
}

func openUserNS(m *plan.IDMap) (int, error) {
	if m.OfContainer {
		return userns.Own()
	}
	return userns.New(ranges(m.UID), ranges(m.GID))
}

func ranges(in []plan.Range) []userns.Range {
	out := make([]userns.Range, len(in))
	for i, r := range in {
		out[i] = userns.Range(r)
	}
	return out
}

// copyUp fills a new file system with what it will cover. Mode and owner that its options name stay.
func copyUp(m *plan.Mount, target int, t *tree.Tree) error {
	has := func(key string) bool {
		return slices.ContainsFunc(m.Data, func(d string) bool { return strings.HasPrefix(d, key) })
	}
	return copyup.Copy(target, t.FD, copyup.Keep{UID: has("uid="), GID: has("gid="), Mode: has("mode=")})
}

func withLabel(data []string, l string) ([]string, error) { return label.Context(data, l) }
func setFileLabel(fd int, l string) error                 { return label.Set(fd, l) }
func relabel(path, l string, how byte) error              { return label.Relabel(path, l, how) }
