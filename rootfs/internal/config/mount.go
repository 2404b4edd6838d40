package config

import (
	"slices"

	"github.com/librootfs/librootfs/rootfs/internal/option"
)

// leastMount is about how few bytes a mount takes in a document: {"destination":"/a","type":"bind","source":"/b"}.
const leastMount = 48

func (p *parser) mounts() error {
	list := make([]Mount, 0, 16)
	err := p.r.array(MaxEntries, func() error {
		if len(list) == cap(list) {
			// Room for all that may follow: of fresh memory only what is used costs anything, and copies of a long list use it.
			list = slices.Grow(list, min(1+p.r.left()/leastMount, MaxEntries))
		}
		list = append(list, Mount{})
		return p.mount(&list[len(list)-1], len(list)-1)
	})
	p.c.Mounts = list
	return err
}

// lastOptions are the options that were read last, as they are written and what they mean: in a long list of mounts most have the
// same.
type lastOptions struct {
	text []byte
	set  option.Set
}

// options reads a mount's options. An error is given once all of the mount is read: it points at an option, or says what is missing.
func (p *parser) options(set *option.Set) (*option.Error, error) {
	r, last := p.r, &p.lastOptions
	if again := r.again(last.text); again {
		*set = last.set
		_, err := r.dec.ReadValue()
		return nil, r.syntax(err)
	}
	start := r.dec.InputOffset()
	list, err := r.scratch()
	if err != nil {
		return nil, err
	}
	if *set, err = option.Parse(list); err != nil {
		return err.(*option.Error), nil
	}
	last.text, last.set = r.text[start:r.dec.InputOffset()], *set
	return nil, nil
}

func (p *parser) mount(m *Mount, index int) error {
	r := p.r
	var wrong *option.Error
	err := r.object(func(name []byte) (err error) {
		switch string(name) {
		case "destination":
			return r.str(&m.Destination)
		case "type":
			return r.str(&m.Type)
		case "source":
			return r.str(&m.Source)
		case "options":
			wrong, err = p.options(&m.Options)
			return err
		case "uidMappings":
			return p.idMaps(&m.UIDMappings)
		case "gidMappings":
			return p.idMaps(&m.GIDMappings)
		}
		return r.skip()
	})
	if err != nil {
		return err
	}
	if wrong != nil {
		return r.bad(at("/options/", wrong.Index, ""), wrong.Reason)
	}
	set := &m.Options
	if set.Bind {
		m.Type = "bind"
	}
	if m.Destination == "" {
		return r.bad("/destination", "is missing")
	}
	var problem string
	if m.Destination[0] != '/' {
		// OCI asks for an absolute path; runc has always taken a relative one for one of the root.
		m.Destination = "/" + m.Destination
	}
	if m.Destination, problem = inside(m.Destination); problem != "" {
		return r.bad("/destination", problem)
	}
	if m.Type, problem = short(m.Type); problem != "" {
		return r.bad("/type", problem)
	}
	if m.Source, problem = short(m.Source); problem != "" {
		return r.bad("/source", problem)
	}
	if m.Type == "" && !set.Remount {
		return r.bad("/type", "is missing, and the options have no bind")
	}
	if m.Type == "bind" {
		if set.Remount && m.Source == "" {
			// It is about the mount that is there.
		} else if m.Source, problem = onHost(p.c.Options.Bundle, m.Source); problem != "" {
			return r.bad("/source", problem)
		}
	}
	if suffix, problem := fits(m); problem != "" {
		return r.bad(suffix, problem)
	}
	if (set.IDMap || set.RecursiveIDMap) && len(m.UIDMappings) == 0 {
		p.idmapOfUserNS = append(p.idmapOfUserNS, index)
	}
	return nil
}

// fits says which option does not go with the mount's type, and why.
func fits(m *Mount) (suffix, problem string) {
	set := &m.Options
	switch bind := m.Type == "bind"; {
	case bind && len(set.Data) > 0:
		return "/options", quoted(set.Data[0]) + " is no option of a bind mount, which takes no data"
	case len(m.UIDMappings) > 0 && len(m.GIDMappings) == 0:
		return "/gidMappings", "is missing beside uidMappings"
	case len(m.GIDMappings) > 0 && len(m.UIDMappings) == 0:
		return "/uidMappings", "is missing beside gidMappings"
	case !bind && len(m.UIDMappings) > 0:
		return "/uidMappings", "only a bind mount can be idmapped"
	case !bind && (set.IDMap || set.RecursiveIDMap):
		return "/options", "idmap: only a bind mount can be idmapped"
	case !bind && set.SourceNoFollow:
		return "/options", "src-nofollow: only the source of a bind mount is a path"
	case !bind && set.Relabel != 0:
		return "/options", string(rune(set.Relabel)) + ": only the source of a bind mount can be labelled"
	case m.Type != "tmpfs" && set.CopyUp:
		return "/options", "tmpcopyup: only a tmpfs can begin with what the image has"
	}
	return "", ""
}

func (p *parser) idMaps(dst *[]IDMap) error {
	var list []IDMap
	err := p.r.array(MaxIDMaps, func() error {
		m, err := p.idMap()
		if err != nil {
			return err
		}
		// The kernel refuses ranges that meet; MaxIDMaps bounds the work for each.
		for _, other := range list {
			if meet(m.Container, other.Container, m.Size, other.Size) || meet(m.Host, other.Host, m.Size, other.Size) {
				return p.r.bad("", "meets the range of an earlier entry")
			}
		}
		list = append(list, m)
		return nil
	})
	*dst = list
	return err
}

func meet(a, b, sizeA, sizeB uint32) bool {
	return uint64(a) < uint64(b)+uint64(sizeB) && uint64(b) < uint64(a)+uint64(sizeA)
}

func (p *parser) idMap() (IDMap, error) {
	r := p.r
	container, host, size := int64(-1), int64(-1), int64(-1)
	err := r.object(func(name []byte) error {
		switch string(name) {
		case "containerID":
			return r.number(&container, 0, maxUint32)
		case "hostID":
			return r.number(&host, 0, maxUint32)
		case "size":
			return r.number(&size, 1, maxUint32)
		}
		return r.skip()
	})
	switch {
	case err != nil:
		return IDMap{}, err
	case container < 0:
		return IDMap{}, r.bad("/containerID", "is missing")
	case host < 0:
		return IDMap{}, r.bad("/hostID", "is missing")
	case size < 0:
		return IDMap{}, r.bad("/size", "is missing")
	case max(container, host)+size > maxUint32:
		// The last id, 4294967295, means "no id" and cannot be mapped.
		return IDMap{}, r.bad("/size", "the range goes past the last id, 4294967294")
	}
	return IDMap{uint32(container), uint32(host), uint32(size)}, nil
}

const maxUint32 = 1<<32 - 1
