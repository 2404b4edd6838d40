package rootfs_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/librootfs/librootfs/rootfs"
	"github.com/librootfs/librootfs/rootfs/internal/e2e"
	"github.com/librootfs/librootfs/rootfs/internal/nstest"
)

func TestMain(m *testing.M) { nstest.Main(m) }

// box is a container to set up: the config, and what to look at.
type box struct {
	t      *testing.T
	rootfs string
	config nstest.Config
	spec   nstest.Spec
	req    e2e.Request
}

// newBox is an empty root with a config that asks for nothing but namespaces and /proc.
func newBox(t *testing.T) *box {
	t.Helper()
	nstest.NeedRoot(t)
	nstest.HostUnchanged(t)
	root := nstest.EmptyRootfs(t)
	return &box{t: t, rootfs: root, config: nstest.BareConfig(root), spec: nstest.Spec{Namespaces: nstest.Container}}
}

func (b *box) mount(destination, kind, source string, options ...string) *box {
	b.config.AddMount(destination, kind, source, options...)
	return b
}

func (b *box) set(key string, value any, objects ...string) *box {
	b.config.Object(objects...)[key] = value
	return b
}

func (b *box) options(o map[string]any) *box {
	text, err := json.Marshal(o)
	if err != nil {
		b.t.Fatal(err)
	}
	b.req.Options = text
	return b
}

func (b *box) look(paths ...string) *box  { b.req.Look = append(b.req.Look, paths...); return b }
func (b *box) write(paths ...string) *box { b.req.Write = append(b.req.Write, paths...); return b }

func (b *box) try() (e2e.Result, error) {
	b.t.Helper()
	b.req.Config = b.config.JSON()
	return e2e.Container.Run(b.t, b.spec, b.req)
}

// run sets the container up, holds the outcome against the plan, and fails the test where either goes wrong.
func (b *box) run() e2e.Result {
	b.t.Helper()
	r, err := b.try()
	if err != nil {
		b.t.Fatalf("%s: %v", r.Stage, err)
	}
	if r.Deviate != "" {
		b.t.Errorf("verify: %s", r.Deviate)
	}
	if len(r.FDs) != 0 {
		b.t.Errorf("descriptors left open: %v", r.FDs)
	}
	if len(r.Outside) != 0 {
		b.t.Errorf("mounts outside of the root: %v", r.Outside)
	}
	return r
}

// refused runs the container, which must fail with this pointer and with the text in its message.
func (b *box) refused(pointer, text string) *rootfs.Error {
	b.t.Helper()
	r, err := b.try()
	var e *rootfs.Error
	if !errors.As(err, &e) {
		b.t.Fatalf("want an error at %s, got %v at stage %s", pointer, err, r.Stage)
	}
	if e.Pointer != pointer || !strings.Contains(e.Error(), text) {
		b.t.Errorf("got %q with pointer %q, want %q and pointer %q", e, e.Pointer, text, pointer)
	}
	return e
}

// hasOptions checks a mount's own options, "!" before one that must not be there.
func hasOptions(t *testing.T, m *e2e.Mount, options ...string) {
	t.Helper()
	if m == nil {
		t.Fatal("no such mount")
	}
	for _, o := range options {
		name, not := strings.CutPrefix(o, "!")
		if m.Has(name) == not {
			t.Errorf("%s has %q, want %s", m.Point, m.Options, o)
		}
	}
}

// noMountsBelow: nothing of what was set up has reached the mounts of the host below a directory. What has is taken away again.
func noMountsBelow(t *testing.T, dir, what string) {
	t.Helper()
	table, err := nstest.Mounts()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range table {
		if strings.HasPrefix(m.Mountpoint, dir+"/") {
			t.Errorf("%s: on the host: %+v", what, m)
			unix.Unmount(m.Mountpoint, unix.MNT_DETACH)
		}
	}
}
