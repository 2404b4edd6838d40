package apply

import (
	"time"

	"github.com/librootfs/librootfs/rootfs/internal/hook"
	"github.com/librootfs/librootfs/rootfs/internal/plan"
)

// hook runs a createContainer hook: in the container's namespaces, before the root is switched, with the state on its
// standard input (OCI runtime specification, "POSIX-platform Hooks").
func (x *Executor) hook(h *plan.Hook) error {
	return x.asHost(func() error {
		return hook.Run(hook.Program{Path: h.Command, Argv: argv(h.Command, h.Args), Env: h.Env, Dir: x.host.Rootfs,
			Stdin: x.host.State, Timeout: time.Duration(h.Timeout) * time.Second})
	})
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
