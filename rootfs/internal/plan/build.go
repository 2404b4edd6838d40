package plan

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/librootfs/librootfs/rootfs/internal/config"
	"github.com/librootfs/librootfs/rootfs/internal/errs"
)

// Build makes the plan for a checked configuration on a host of which f tells what matters. It reads and changes nothing
// else. An error is an *errs.Error with the pointer of the field that cannot be done.
func Build(c *config.Config, f *Facts) (*Plan, error) {
	b := &builder{c: c, f: f, ownDev: true}
	if b.f == nil {
		b.f = &Facts{}
	}
	if err := b.needsMountNS(); err != nil {
		return nil, err
	}
	if err := b.prepare(); err != nil {
		return nil, err
	}
	b.finalize()
	return &b.plan, nil
}

// builder is the state of one Build.
type builder struct {
	c      *config.Config
	f      *Facts
	ownDev bool // /dev is the container's own, to be filled
	late   late
	plan   Plan
	// What a list of mounts takes, made at once for all of it.
	entry    mount
	steps    []Mount
	pointers strings.Builder
}

// mount is an entry of mounts and where it stands.
type mount struct {
	*config.Mount
	index   int
	pointer string
}

// needsMountNS refuses what would be mounted in the host's own namespace: the host would keep it after the container.
func (b *builder) needsMountNS() error {
	if b.c.OwnMounts() {
		return nil
	}
	for _, asked := range []struct {
		pointer string
		is      bool
	}{
		{"/mounts", len(b.c.Mounts) > 0},
		{"/root/readonly", b.c.Root.Readonly},
		{"/linux/maskedPaths", len(b.c.MaskedPaths) > 0},
		{"/linux/readonlyPaths", len(b.c.ReadonlyPaths) > 0},
		{"/linux/rootfsPropagation", b.c.Propagation != 0},
	} {
		if asked.is {
			return errs.Bad(asked.pointer, "needs a mount namespace, new or joined, in linux.namespaces")
		}
	}
	return nil
}

// entryPointer is the pointer of an entry of a list: a part of one text with all of them.
func (b *builder) entryPointer(list string, i int) string {
	start := b.pointers.Len()
	b.pointers.WriteString(list)
	var digits [20]byte
	b.pointers.Write(strconv.AppendInt(digits[:0], int64(i), 10))
	return b.pointers.String()[start:]
}

func (b *builder) do(s ...Step) { b.plan.Prepare = append(b.plan.Prepare, s...) }

// usualSteps are those beside the mounts: devices, links, the switch of the root.
const usualSteps = 32

func (b *builder) prepare() error {
	own := b.c.OwnMounts()
	b.plan.Prepare = make([]Step, 0, len(b.c.Mounts)+usualSteps)
	b.steps = make([]Mount, len(b.c.Mounts))
	b.pointers.Grow(len(b.c.Mounts)*len("/mounts/1000") + (len(b.c.ReadonlyPaths)+len(b.c.MaskedPaths))*len("/linux/readonlyPaths/1000"))
	b.do(&OpenRoot{
		Base:            Base{"/root/path", "/"},
		Source:          b.c.Root.Path,
		HostPropagation: hostPropagation(b.c.Propagation, own),
		UserNS:          b.c.Has("user"),
		HasMountNS:      own,
	})
	commands := b.commands()
	for i := range b.c.Mounts {
		b.do(commands[i].before...)
		b.entry = mount{&b.c.Mounts[i], i, b.entryPointer("/mounts/", i)}
		if err := b.mount(&b.entry); err != nil {
			return err
		}
		b.do(commands[i].after...)
	}
	if err := b.devices(); err != nil {
		return err
	}
	b.do(&MountsReady{})
	for _, h := range b.c.Hooks {
		b.do(&Hook{Base: Base{Ptr: h.Pointer}, Command: h.Path, Args: h.Args, Env: h.Env, Timeout: h.Timeout})
	}
	if b.ownDev {
		b.do(&Stdio{Base{Path: "/dev/null"}})
	}
	b.do(&SwitchRoot{Base: Base{Path: "/"}, Method: switchMethod(own, b.c.Options.NoPivotRoot)})
	if p := rootPropagation(b.c.Propagation); p&unix.MS_SHARED != 0 {
		b.do(&Propagation{Base: Base{"/linux/rootfsPropagation", "/"}, Flags: p})
	}
	if cwd := b.c.Process.Cwd; cwd != "" {
		b.do(&Chdir{Base: Base{"/process/cwd", cwd}})
	}
	return nil
}

// hostPropagation is what the host's "/" gets before anything is mounted: slave, so that nothing leaks to the host, or
// what the config says. Unbindable is not for now: the root itself could then not be bound (runc 1.1 fails there), so
// the tree is cut off instead, and the root made unbindable after the switch.
func hostPropagation(asked uint64, own bool) uint64 {
	switch {
	case !own:
		return 0
	case asked == 0:
		return unix.MS_SLAVE | unix.MS_REC
	case asked&unix.MS_UNBINDABLE != 0:
		return unix.MS_PRIVATE | asked&unix.MS_REC
	}
	return asked
}

// rootPropagation is what "/" gets after the switch. The root is private by then (pivot_root(2) takes no other), which
// is also what slave comes to for a mount whose peers were left behind.
func rootPropagation(asked uint64) uint64 {
	if asked&(unix.MS_SHARED|unix.MS_UNBINDABLE) == 0 {
		return 0
	}
	return asked
}

// switchMethod is how the root becomes the process's root. Without a mount namespace of its own only chroot(2) will do:
// both others would take the root away from every process of the host's namespace.
func switchMethod(own, noPivot bool) string {
	switch {
	case !own:
		return "chroot"
	case noPivot:
		return "move"
	}
	return "pivot_root"
}

// around are the commands before and after one mount.
type around struct{ before, after []Step }

func (b *builder) commands() map[int]around {
	if len(b.c.Options.MountCommands) == 0 {
		return nil
	}
	all := make(map[int]around, len(b.c.Options.MountCommands))
	for k, mc := range b.c.Options.MountCommands {
		pointer := "options#/mountCommands/" + strconv.Itoa(k)
		a := all[mc.Mount]
		a.before = append(a.before, commandSteps(pointer, "before", mc.Before)...)
		a.after = append(a.after, commandSteps(pointer, "after", mc.After)...)
		all[mc.Mount] = a
	}
	return all
}

func commandSteps(pointer, when string, commands []config.Command) []Step {
	steps := make([]Step, len(commands))
	for j, c := range commands {
		steps[j] = &Command{
			Base: Base{Ptr: pointer + "/" + when + "/" + strconv.Itoa(j)},
			When: when,
			Argv: append([]string{c.Path}, c.Args...),
			Env:  c.Env,
			Dir:  c.Dir,
		}
	}
	return steps
}

// below joins a path of the container with a name, or with a path in it.
func below(dir, name string) string {
	return strings.TrimSuffix(dir, "/") + "/" + strings.TrimPrefix(name, "/")
}
