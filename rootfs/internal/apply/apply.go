// Package apply carries out a plan: the only part of the library with effects. It holds the container's root by
// descriptor, does the steps in order on the calling thread, and gives each error the JSON pointer of its step.
package apply

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/librootfs/librootfs/rootfs/internal/errs"
	"github.com/librootfs/librootfs/rootfs/internal/inroot"
	"github.com/librootfs/librootfs/rootfs/internal/linux"
	"github.com/librootfs/librootfs/rootfs/internal/plan"
	"github.com/librootfs/librootfs/rootfs/internal/procfs"
)

// Host is what the calling program lends to the steps.
type Host struct {
	// MountsReady is called between the mounts and the switch of the root; its error ends Prepare.
	MountsReady func() error
	// Progress is told each step before it is done.
	Progress func(Progress)
	// Sources are descriptors for mounts, by their index in the config. They stay open and belong to the caller.
	Sources map[int]int
	// Root is a descriptor of the root, the caller's as well, to be attached at the plan's path; nil where that is the root.
	Root *int
	// State is the OCI state that hooks get on their standard input.
	State []byte
	// Rootfs is the host's path of the root: the working directory of hooks.
	Rootfs string
}

// Progress is one step that is about to be done: its index, how many there are, and the step.
type Progress struct {
	Index, Count int
	Step         plan.Step
}

// Executor holds what the steps share. It keeps no descriptor between Prepare and Finalize.
type Executor struct {
	host Host
	plan *plan.Plan
	root inroot.Root
	// below are the roots that mounts of the config cover, the lowest first.
	below []int
	// umask is the caller's, put back whenever anything but this library runs.
	umask int
	// attached: the root's own mount stands, and has to go if Prepare fails before the switch.
	attached, switched bool
	// cut: no mount of the host's is shared with another namespace any more.
	cut bool
	// shares: a mount of the config may be shared.
	shares bool
	// outside is what a tree gets that comes from the host later: the propagation (MS_*) that the host's mounts have got, in order.
	outside []uint64
	// ids are the mounts that a later RemountReadonly comes back to, by target.
	ids map[string]uint64
	// own are the mounts of file systems that the host does not use; nil where no remount asks for them.
	own map[uint64]bool
	// made are the mounts by their steps, as the mount table numbers them; nil while they are not traced (trace.go).
	made map[plan.Step]int
	// done are the steps before the present one, those of Prepare and those of Finalize.
	done [2][]plan.Step

	masks maskSources

	// dir is the directory that devices and symlinks last went to, or -1; it is never kept across other steps. Where it is the root of
	// a tmpfs that was mounted there (ownDir), mounts that go into it leave it as it is.
	dir     int
	dirname string
	ownDir  bool
}

// New makes an executor for one plan.
func New(p *plan.Plan, host Host) *Executor {
	x := &Executor{host: host, plan: p, root: inroot.Root{FD: -1}, dir: -1, ids: map[string]uint64{}}
	for _, s := range p.Prepare {
		m, is := s.(*plan.Mount)
		if !is {
			continue
		}
		if x.own == nil && changesFilesystem(m) {
			x.own = map[uint64]bool{}
		}
		// Such a mount is told from what a read-only path puts over it by its number alone.
		if x.made == nil && m.Unbindable() {
			x.made = map[plan.Step]int{}
		}
	}
	return x
}

// Prepare does the steps up to a switched root. On an error it takes away the mounts that it made where the process has
// not yet moved into them: with a mount namespace that others share, nothing stays behind.
func (x *Executor) Prepare() error {
	defer procfs.Hold()()
	// Modes are those of the config, not those that happen to be left by the caller's umask.
	x.umask = unix.Umask(0)
	defer unix.Umask(x.umask)
	err := x.run(0, x.plan.Prepare)
	if err != nil && x.attached && !x.switched {
		x.undo()
	}
	x.release()
	return err
}

// Finalize does the steps after the switch: the root is now the process's own.
func (x *Executor) Finalize() error {
	defer procfs.Hold()()
	fd, err := linux.Open("/", unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	x.root.FD = fd
	defer x.release()
	return x.run(1, x.plan.Finalize)
}

func (x *Executor) release() {
	x.forgetDir()
	x.masks.close()
	linux.Close(x.root.FD)
	x.root.FD = -1
	for _, fd := range x.below {
		linux.Close(fd)
	}
	x.below = nil
}

func (x *Executor) run(half int, steps []plan.Step) error {
	for i, s := range steps {
		x.done[half] = steps[:i]
		if x.host.Progress != nil {
			x.host.Progress(Progress{i, len(steps), s})
		}
		if err := x.step(s); err != nil {
			return errs.At(s.Pointer(), err)
		}
	}
	return nil
}

func (x *Executor) step(s plan.Step) error {
	switch s := s.(type) {
	case *plan.Device:
		return x.device(s)
	case *plan.Symlink:
		return x.symlink(s)
	}
	if m, is := s.(*plan.Mount); !is || !x.ownDir || inroot.Dirname(m.Path) != x.dirname {
		x.forgetDir()
	}
	switch s := s.(type) {
	case *plan.OpenRoot:
		return x.openRoot(s)
	case *plan.Command:
		return x.command(s)
	case *plan.Mount:
		return x.mount(s)
	case *plan.MountsReady:
		return x.mountsReady()
	case *plan.Hook:
		return x.hook(s)
	case *plan.SwitchRoot:
		return x.switchRoot(s)
	case *plan.Propagation:
		return linux.Mount("", s.Path, "", s.Flags, "")
	case *plan.Stdio:
		return x.stdio()
	case *plan.Chdir:
		return x.chdir(s)
	case *plan.RemountReadonly:
		return x.remountReadonly(s)
	case *plan.ReadonlyRoot:
		return x.readonlyRoot()
	case *plan.Umask:
		unix.Umask(int(s.Mask))
		return nil
	case *plan.Sysctl:
		return x.sysctl(s)
	case *plan.ReadonlyPath:
		return x.readonlyPath(s)
	case *plan.MaskPath:
		return x.maskPath(s)
	}
	return &errs.Error{Code: errs.Internal, Op: s.Op(), Detail: "no executor for this step"}
}

// asHost runs what is not the library's own with the umask that the host had.
func (x *Executor) asHost(do func() error) error {
	unix.Umask(x.umask)
	defer unix.Umask(0)
	return do()
}

func (x *Executor) mountsReady() error {
	if x.host.MountsReady == nil {
		return nil
	}
	err := x.asHost(x.host.MountsReady)
	var known *errs.Error
	if err == nil || errors.As(err, &known) {
		return err
	}
	return &errs.Error{Code: errs.Callback, Op: "on_mounts_ready", Detail: err.Error()}
}
