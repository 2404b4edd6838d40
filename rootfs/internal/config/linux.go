package config

import (
	"golang.org/x/sys/unix"

	"github.com/librootfs/librootfs/rootfs/internal/option"
)

const (
	privateFlag   = unix.MS_PRIVATE
	recursiveFlag = unix.MS_REC
)

func (p *parser) linux(name []byte) error {
	c := p.c
	switch string(name) {
	case "namespaces":
		return p.namespaces()
	case "devices":
		return p.devices()
	case "uidMappings":
		return p.idMaps(&c.UIDMappings)
	case "gidMappings":
		return p.idMaps(&c.GIDMappings)
	case "rootfsPropagation":
		return p.propagation()
	case "maskedPaths":
		return p.paths(&c.MaskedPaths)
	case "readonlyPaths":
		return p.paths(&c.ReadonlyPaths)
	case "mountLabel":
		return p.r.str(&c.MountLabel)
	case "sysctl":
		return p.sysctls()
	}
	return p.r.skip()
}

func (p *parser) propagation() error {
	var name string
	if err := p.r.str(&name); err != nil {
		return err
	}
	p.c.Propagation = option.PropagationFlags(name)
	if name != "" && p.c.Propagation == 0 {
		return p.r.bad("", quoted(name)+" is no propagation: [r]private, [r]slave, [r]shared and [r]unbindable are")
	}
	return nil
}

// paths reads a list of paths inside the container.
func (p *parser) paths(dst *[]string) error {
	list := make([]string, 0, 16)
	err := p.r.array(MaxEntries, func() error {
		var s string
		if err := p.r.element(&s); err != nil {
			return err
		}
		s, problem := inside(s)
		if s == "/" {
			// What is mounted over a process's root is nothing that the process comes to see.
			problem = "is the root itself"
		}
		if problem != "" {
			return p.r.bad("", problem)
		}
		list = append(list, s)
		return nil
	})
	*dst = list
	return err
}

var namespaceTypes = [...]string{"pid", "network", "mount", "ipc", "uts", "user", "cgroup", "time"}

func namespaceBit(name string) uint {
	for i, t := range namespaceTypes {
		if t == name {
			return 1 << i
		}
	}
	return 0
}

func (p *parser) namespaces() error {
	r := p.r
	list := make([]Namespace, 0, len(namespaceTypes))
	var seen uint
	err := r.array(MaxEntries, func() error {
		var n Namespace
		err := r.object(func(name []byte) error {
			switch string(name) {
			case "type":
				return r.str(&n.Type)
			case "path":
				return r.str(&n.Path)
			}
			return r.skip()
		})
		if err != nil {
			return err
		}
		bit := namespaceBit(n.Type)
		switch {
		case n.Type == "":
			return r.bad("/type", "is missing")
		case bit == 0:
			return r.bad("/type", quoted(n.Type)+" is no type of namespace")
		case seen&bit != 0:
			return r.bad("/type", "there is an earlier namespace of type "+n.Type)
		case n.Path != "":
			var problem string
			if n.Path, problem = absolute(n.Path); problem != "" {
				return r.bad("/path", problem)
			}
		}
		seen |= bit
		list = append(list, n)
		return nil
	})
	p.c.Namespaces = list
	return err
}

func (p *parser) devices() error {
	return p.r.array(MaxEntries, func() error {
		d, err := p.device()
		p.c.Devices = append(p.c.Devices, d)
		return err
	})
}

func (p *parser) device() (Device, error) {
	r := p.r
	var d Device
	var kind string
	major, minor, mode, uid, gid := int64(-1), int64(-1), int64(0o666), int64(0), int64(0)
	err := r.object(func(name []byte) error {
		switch string(name) {
		case "path":
			return r.str(&d.Path)
		case "type":
			return r.str(&kind)
		case "major":
			return r.number(&major, 0, MaxMajor)
		case "minor":
			return r.number(&minor, 0, MaxMinor)
		case "fileMode":
			return r.number(&mode, 0, unix.S_IFMT|0o7777)
		case "uid":
			return r.number(&uid, 0, maxUint32-1)
		case "gid":
			return r.number(&gid, 0, maxUint32-1)
		}
		return r.skip()
	})
	if err != nil {
		return d, err
	}
	switch kind {
	case "c", "u":
		d.Type = 'c'
	case "b", "p":
		d.Type = kind[0]
	case "":
		return d, r.bad("/type", "is missing")
	default:
		return d, r.bad("/type", quoted(kind)+" is no type of device: c, u, b and p are")
	}
	var problem string
	if d.Path, problem = inside(d.Path); problem == "" && d.Path == "/" {
		problem = "is the root itself"
	}
	switch {
	case problem != "":
		return d, r.bad("/path", problem)
	case d.Type == 'p':
		major, minor = 0, 0
	case major < 0:
		return d, r.bad("/major", "is missing")
	case minor < 0:
		return d, r.bad("/minor", "is missing")
	}
	d.Major, d.Minor = uint32(major), uint32(minor)
	// Engines put the type's bits of st_mode beside the permissions.
	d.Mode = uint32(mode) &^ unix.S_IFMT
	d.UID, d.GID = uint32(uid), uint32(gid)
	return d, nil
}
