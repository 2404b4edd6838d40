package config

func (p *parser) hooks(name []byte) error {
	if string(name) != "createContainer" {
		return p.r.skip() // The runtime runs those.
	}
	var list []Hook
	err := p.r.array(MaxEntries, func() error {
		list = append(list, Hook{})
		return p.hook(&list[len(list)-1])
	})
	p.c.Hooks = list
	return err
}

func (p *parser) hook(h *Hook) error {
	r := p.r
	var timeout int64
	err := r.object(func(name []byte) error {
		switch string(name) {
		case "path":
			return r.str(&h.Path)
		case "args":
			return r.strs(&h.Args)
		case "env":
			return r.strs(&h.Env)
		case "timeout":
			return r.number(&timeout, 1, MaxTimeout)
		}
		return r.skip()
	})
	if err != nil {
		return err
	}
	var problem string
	if h.Path, problem = absolute(h.Path); problem != "" {
		return r.bad("/path", problem)
	}
	h.Timeout = int(timeout)
	h.Pointer = string(r.dec.StackPointer())
	return nil
}
