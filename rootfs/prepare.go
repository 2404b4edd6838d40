package rootfs

import (
	"bytes"
	"maps"

	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/sys/unix"

	"github.com/librootfs/librootfs/rootfs/internal/apply"
	"github.com/librootfs/librootfs/rootfs/internal/config"
	"github.com/librootfs/librootfs/rootfs/internal/errs"
)

// Host is what the calling program lends to Prepare. All of it is optional.
type Host struct {
	// MountsReady is called once, after all mounts and /dev and before createContainer hooks and the switch of the root:
	// the time for createRuntime and prestart hooks. Its error ends Prepare.
	MountsReady func() error
	// Progress is told each step of Prepare and Finalize before it is done.
	Progress func(Progress)
	// Sources are the sources of mounts that the host opened, by index in the config's mounts: a file or directory of this
	// mount namespace, or a detached tree. They stay the host's. One for a mount that is no bind is an error. SourceRoot in
	// place of an index is for the root itself.
	Sources map[int]int
}

// Progress is one step that is about to be done.
type Progress = apply.Progress

// Prepared is a root that the process has moved into, and in which the host can still write.
type Prepared struct {
	plan      *Plan
	executor  *apply.Executor
	finalized bool
}

// Prepare does all steps up to the switch of the root and the working directory. With an error the process is to end; where it
// has a mount namespace of its own, nothing stays behind.
func Prepare(p *Plan, h *Host) (*Prepared, error) {
	if h == nil {
		h = &Host{}
	}
	if err := checkSources(p, h.Sources); err != nil {
		return nil, err
	}
	host := apply.Host{MountsReady: h.MountsReady, Progress: h.Progress, Sources: h.Sources,
		State: state(p.config), Rootfs: p.config.Root.Path}
	if root, lent := h.Sources[SourceRoot]; lent {
		host.Root, host.Sources = &root, maps.Clone(h.Sources)
		delete(host.Sources, SourceRoot)
	}
	x := apply.New(p.steps, host)
	if err := x.Prepare(); err != nil {
		return nil, err
	}
	return &Prepared{plan: p, executor: x}, nil
}

// Console opens a terminal of the container's own devpts and binds it over /dev/console. The descriptor of its master is the
// caller's to close. Between Prepare and Finalize.
func (p *Prepared) Console(t Terminal) (master int, err error) {
	if p.finalized {
		return -1, &errs.Error{Code: errs.State, Op: "console", Detail: "the root is finalized already"}
	}
	return p.executor.Console(t)
}

// Finalize makes read-only what is to be so, sets umask and sysctls, and masks paths. Once.
func (p *Prepared) Finalize() error {
	if p.finalized {
		return &errs.Error{Code: errs.State, Op: "finalize", Detail: "the root is finalized already"}
	}
	p.finalized = true
	return p.executor.Finalize()
}

// state is the OCI state that hooks get (OCI runtime specification, "State").
func state(c *config.Config) []byte {
	if len(c.Hooks) == 0 {
		return nil
	}
	var out bytes.Buffer
	enc := jsontext.NewEncoder(&out)
	write := func(tokens ...jsontext.Token) {
		for _, t := range tokens {
			// The strings come from checked JSON and the buffer takes everything.
			_ = enc.WriteToken(t)
		}
	}
	pid := c.Options.Pid
	if pid == 0 {
		pid = unix.Getpid()
	}
	write(jsontext.BeginObject,
		jsontext.String("ociVersion"), jsontext.String(c.OCIVersion),
		jsontext.String("id"), jsontext.String(c.Options.ID),
		jsontext.String("status"), jsontext.String("creating"),
		jsontext.String("pid"), jsontext.Int(int64(pid)),
		jsontext.String("bundle"), jsontext.String(c.Options.Bundle))
	if len(c.Annotations) > 0 {
		write(jsontext.String("annotations"), jsontext.BeginObject)
		for _, a := range c.Annotations {
			write(jsontext.String(a.Key), jsontext.String(a.Value))
		}
		write(jsontext.EndObject)
	}
	write(jsontext.EndObject)
	return out.Bytes()
}
