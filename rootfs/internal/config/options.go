package config

// parseOptions reads the host options. They are this library's own document, so a member that is not known is an error: a
// misspelt option must not be ignored.
func (p *parser) parseOptions(text []byte) error {
	p.r = newReader(text, "options#")
	r, o := p.r, &p.c.Options
	return r.document(func(name []byte) error {
		switch string(name) {
		case "bundle":
			if err := r.str(&o.Bundle); err != nil || o.Bundle == "" {
				return err
			}
			var problem string
			if o.Bundle, problem = absolute(o.Bundle); problem != "" {
				return r.bad("", problem)
			}
			return nil
		case "state":
			return r.object(p.state)
		case "noPivotRoot":
			return r.boolean(&o.NoPivotRoot)
		case "rootless":
			return r.boolean(&o.Rootless)
		case "cgroup2Path":
			if err := r.str(&o.CgroupPath); err != nil || o.CgroupPath == "" {
				return err
			}
			if hasDotDot(o.CgroupPath) {
				return r.bad("", "may not have a .. component")
			}
			var problem string
			if o.CgroupPath, problem = absolute(o.CgroupPath); problem != "" {
				return r.bad("", problem)
			}
			return nil
		case "mountCommands":
			return p.mountCommands()
		}
		return p.unknown()
	})
}

func (p *parser) unknown() error {
	return p.r.bad("", "is no host option")
}

func (p *parser) state(name []byte) error {
	r, o := p.r, &p.c.Options
	switch string(name) {
	case "id":
		return r.str(&o.ID)
	case "pid":
		pid := int64(0)
		err := r.number(&pid, 0, MaxPid)
		o.Pid = int(pid)
		return err
	case "annotations":
		p.hasAnnotations = !r.null() // none at all, too, is what the state gets
		var err error
		p.c.Annotations, err = r.pairs(annotation)
		return err
	}
	return p.unknown()
}

func (p *parser) mountCommands() error {
	r := p.r
	seen := map[int]bool{}
	var list []MountCommands
	err := r.array(MaxEntries, func() error {
		m := MountCommands{}
		mount := int64(-1)
		err := r.object(func(name []byte) error {
			switch string(name) {
			case "mount":
				return r.number(&mount, 0, MaxEntries-1)
			case "before":
				return p.commands(&m.Before)
			case "after":
				return p.commands(&m.After)
			}
			return p.unknown()
		})
		m.Mount = int(mount)
		switch {
		case err != nil:
			return err
		case mount < 0:
			return r.bad("/mount", "is missing")
		case seen[m.Mount]:
			return r.bad("/mount", "an earlier entry has the commands of this mount")
		}
		seen[m.Mount] = true
		list = append(list, m)
		return nil
	})
	p.c.Options.MountCommands = list
	return err
}

func (p *parser) commands(dst *[]Command) error {
	r := p.r
	var list []Command
	err := r.array(MaxEntries, func() error {
		var c Command
		err := r.object(func(name []byte) error {
			switch string(name) {
			case "path":
				return r.str(&c.Path)
			case "args":
				return r.strs(&c.Args)
			case "env":
				return r.strs(&c.Env)
			case "dir":
				return r.str(&c.Dir)
			}
			return p.unknown()
		})
		if err != nil {
			return err
		}
		var problem string
		if c.Path, problem = absolute(c.Path); problem != "" {
			return r.bad("/path", problem)
		}
		if c.Dir != "" {
			if c.Dir, problem = absolute(c.Dir); problem != "" {
				return r.bad("/dir", problem)
			}
		}
		list = append(list, c)
		return nil
	})
	*dst = list
	return err
}
