package apply

import (
	"time"

	"golang.org/x/sys/unix"

	"github.com/librootfs/librootfs/rootfs/internal/hook"
	"github.com/librootfs/librootfs/rootfs/internal/linux"
	"github.com/librootfs/librootfs/rootfs/internal/plan"
)

// hook runs a createContainer hook: in the container's namespaces, before the root is switched, with the state on its
// standard input (OCI runtime specification, "POSIX-platform Hooks").
func (x *Executor) hook(h *plan.Hook) error {
	p := hook.Program{Path: h.Command, Argv: argv(h.Command, h.Args), Env: h.Env, Dir: x.host.Rootfs,
		Stdin: x.host.State, Timeout: time.Duration(h.Timeout) * time.Second}
	run := func() error { return hook.Run(p) }
	if x.host.Root == nil {
		return x.asHost(run)
	}
	p.Dir = "" // nothing says that the path leads to it
	return x.asHost(func() error { return inDir(x.root.FD, run) })
}

// inDir does something with another working directory.
func inDir(dir int, do func() error) error {
	back, err := linux.Open(".", unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer linux.Close(back)
	if err := linux.Fchdir(dir); err != nil {
		return err
	}
	err = do()
	if backErr := linux.Fchdir(back); err == nil {
		err = backErr
	}
	return err
}

// command runs a command of the host options around a mount.
func (x *Executor) command(c *plan.Command) error {
	return x.asHost(func() error {
		return hook.Run(hook.Program{Path: c.Argv[0], Argv: c.Argv, Env: c.Env, Dir: c.Dir})
	})
}

func argv(path string, args []string) []string {
	if len(args) == 0 {
		return []string{path}
	}
	return args
}
