// Package rootfs sets up the root file system of a container with the semantics of the OCI runtime specification: mounts,
// /dev, hooks, switch of the root, read-only and masked paths, sysctls, labels.
//
//	config, err := rootfs.Parse(configJSON, optionsJSON) // checks everything, touches nothing
//	plan, err := rootfs.NewPlan(config)                  // the steps, as data
//	prepared, err := rootfs.Prepare(plan, nil)           // up to the switched root
//	err = prepared.Finalize()                            // read-only parts, masks
//
// # Threads and processes
//
// Prepare, Console and Finalize change the calling process: its root, its working directory, its umask. They belong in a
// container's init process that has already entered its namespaces, and work on the calling thread alone. A Go program
// gets such a process by executing itself anew with the namespaces in SysProcAttr.Cloneflags; it must call
// runtime.LockOSThread before it changes a namespace by itself. Parse, NewPlan, Validate and Features may be called
// anywhere. No goroutine is started and no descriptor is kept by any call.
//
// # Errors
//
// Every error is an *Error: the kind, the errno, the system call, and the JSON pointer of the field that asked for it.
package rootfs

import (
	"github.com/librootfs/librootfs/rootfs/internal/apply"
	"github.com/librootfs/librootfs/rootfs/internal/config"
	"github.com/librootfs/librootfs/rootfs/internal/console"
	"github.com/librootfs/librootfs/rootfs/internal/errs"
	"github.com/librootfs/librootfs/rootfs/internal/facts"
	"github.com/librootfs/librootfs/rootfs/internal/features"
	"github.com/librootfs/librootfs/rootfs/internal/linux"
	"github.com/librootfs/librootfs/rootfs/internal/plan"
)

// Version is the version of the library.
const Version = "0.1.0"

// Error is the one error type of the library.
type Error = errs.Error

// Config is a checked configuration.
type Config = config.Config

// Step is one thing that Prepare or Finalize does.
type Step = plan.Step

// Terminal is what the container's terminal is to be like.
type Terminal = console.Terminal

// Parse checks an OCI config.json and the host options (schema/options.json; nil for none). It reads nothing but its
// arguments. Unknown members of the config are ignored, as the OCI runtime specification says; unknown host options are
// errors.
func Parse(configJSON, options []byte) (*Config, error) { return config.Parse(configJSON, options) }

// Plan is the list of steps for one configuration on one host.
type Plan struct {
	config *Config
	steps  *plan.Plan
}

// NewPlan makes the plan. It reads from the host what a plan depends on (its cgroup layout, where a cgroup file system is to
// be mounted), and changes nothing.
func NewPlan(c *Config) (*Plan, error) {
	f, err := facts.Read(c)
	if err != nil {
		return nil, err
	}
	steps, err := plan.Build(c, f)
	if err != nil {
		return nil, err
	}
	return &Plan{config: c, steps: steps}, nil
}

// JSON is the plan for people and tests (docs/plan.md).
func (p *Plan) JSON() []byte { return p.steps.JSON() }

// Steps are the steps of Prepare and those of Finalize, in order. They are not to be changed.
func (p *Plan) Steps() (prepare, finalize []Step) { return p.steps.Prepare, p.steps.Finalize }

// Validate checks a configuration as far as that is possible without changing anything: Parse, NewPlan, and that the root
// file system is there.
func Validate(configJSON, options []byte) error {
	c, err := Parse(configJSON, options)
	if err != nil {
		return err
	}
	if _, err := NewPlan(c); err != nil {
		return err
	}
	fd, err := apply.OpenRootDir(c.Root.Path)
	if err != nil {
		return errs.At("/root/path", err)
	}
	linux.Close(fd)
	return nil
}

// Features is the OCI features document (OCI runtime specification, features.md) for this kernel and this build.
func Features() []byte { return features.JSON(Version) }
