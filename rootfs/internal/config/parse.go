package config

import (
	"path"
	"strconv"
	"strings"

	"github.com/librootfs/librootfs/rootfs/internal/errs"
)

// Parse reads an OCI config.json and the host options (empty for none), and checks all that can be checked without a look
// at the host. Members of OCI's that do not concern the root are ignored; unknown host options are not. The work is linear
// in the documents. Every error is an *errs.Error of kind Invalid that points at the field.
func Parse(config, options []byte) (*Config, error) {
	c := &Config{}
	p := parser{c: c}
	if len(options) > 0 {
		if err := p.parseOptions(options); err != nil {
			return nil, err
		}
	}
	p.r = newReader(config, "")
	if err := p.r.document(p.member); err != nil {
		return nil, err
	}
	if err := p.across(); err != nil {
		return nil, err
	}
	return c, nil
}

// parser is what is known while a document is read. Members come in any order, so what depends on two of them is kept for
// across.
type parser struct {
	c              *Config
	r              *reader
	hostname       bool  // the config has a hostname
	idmapOfUserNS  []int // mounts whose idmap is the container's user namespace
	hasAnnotations bool  // the host options have annotations
	lastOptions    lastOptions
}

func (p *parser) member(name []byte) error {
	switch string(name) {
	case "ociVersion":
		return p.version()
	case "root":
		return p.root()
	case "mounts":
		return p.mounts()
	case "process":
		return p.process()
	case "hostname":
		var h string
		err := p.r.str(&h)
		p.hostname = h != ""
		return err
	case "linux":
		return p.r.object(p.linux)
	case "hooks":
		return p.r.object(p.hooks)
	case "annotations":
		list, err := p.r.pairs(annotation)
		if err == nil && !p.hasAnnotations {
			p.c.Annotations = list
		}
		return err
	}
	return p.r.skip()
}

func (p *parser) version() error {
	if err := p.r.str(&p.c.OCIVersion); err != nil {
		return err
	}
	if v := p.c.OCIVersion; v != "" && !strings.HasPrefix(v, "1.") {
		return p.r.bad("", "version "+quoted(v)+" of the OCI specification is not known; 1.x is")
	}
	return nil
}

func (p *parser) root() error {
	root := &p.c.Root
	err := p.r.object(func(name []byte) error {
		switch string(name) {
		case "path":
			return p.r.str(&root.Path)
		case "readonly":
			return p.r.boolean(&root.Readonly)
		}
		return p.r.skip()
	})
	if err != nil {
		return err
	}
	if root.Path == "" {
		return p.r.bad("/path", "is missing")
	}
	var problem string
	root.Path, problem = onHost(p.c.Options.Bundle, root.Path)
	if problem == "" && path.Clean(root.Path) == "/" {
		problem = "is the host's own root"
	}
	if problem != "" {
		return p.r.bad("/path", problem)
	}
	return nil
}

func (p *parser) process() error {
	process := &p.c.Process
	if p.r.null() {
		return p.r.skip()
	}
	err := p.r.object(func(name []byte) error {
		switch string(name) {
		case "cwd":
			return p.r.str(&process.Cwd)
		case "terminal":
			return p.r.boolean(&process.Terminal)
		case "user":
			return p.r.object(p.user)
		}
		return p.r.skip()
	})
	if err != nil {
		return err
	}
	var problem string
	if process.Cwd, problem = inside(process.Cwd); problem != "" {
		return p.r.bad("/cwd", problem)
	}
	return nil
}

func (p *parser) user(name []byte) error {
	if string(name) != "umask" {
		return p.r.skip()
	}
	mask := int64(-1)
	if err := p.r.number(&mask, 0, 0o777); err != nil {
		return err
	}
	if mask >= 0 {
		umask := uint32(mask)
		p.c.Process.Umask = &umask
	}
	return nil
}

// across checks what depends on more than one member.
func (p *parser) across() error {
	c := p.c
	if c.Root.Path == "" {
		return errs.Bad("/root", "is missing")
	}
	if len(p.idmapOfUserNS) > 0 && !c.Has("user") {
		return errs.Bad(at("/mounts/", p.idmapOfUserNS[0], "/options"),
			"idmap without uidMappings and gidMappings means those of the container's user namespace, and it has none")
	}
	if err := p.sysctlNamespaces(); err != nil {
		return err
	}
	if c.Options.NoPivotRoot && (c.Propagation == privateFlag || c.Propagation == privateFlag|recursiveFlag) {
		// Without pivot_root(2) the host's mounts stay in the namespace, and private ones would not go when the host's go.
		return errs.Bad("/linux/rootfsPropagation", "private and rprivate are not safe together with noPivotRoot")
	}
	for i, m := range c.Options.MountCommands {
		if m.Mount >= len(c.Mounts) {
			return errs.Bad(at("options#/mountCommands/", i, "/mount"),
				"is "+strconv.Itoa(m.Mount)+", and the config has "+strconv.Itoa(len(c.Mounts))+" mounts")
		}
	}
	return nil
}

func at(before string, index int, after string) string {
	return before + strconv.Itoa(index) + after
}

func annotation(name string) string {
	if name == "" {
		return "an annotation must have a name"
	}
	return ""
}
