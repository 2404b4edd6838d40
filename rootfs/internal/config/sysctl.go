package config

import (
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/librootfs/librootfs/rootfs/internal/errs"
)

func (p *parser) sysctls() error {
	list, err := p.r.pairs(func(key string) string {
		_, problem := sysctlFile(key)
		return problem
	})
	if err != nil || len(list) == 0 {
		return err
	}
	p.c.Sysctls = make([]Sysctl, len(list))
	for i, s := range list {
		file, _ := sysctlFile(s.Key)
		p.c.Sysctls[i] = Sysctl{s.Key, s.Value, file}
	}
	return nil
}

// sysctlFile is the path of a key below /proc/sys, as sysctl(8) reads keys: the first separator is the one that counts; where
// it is a dot, a slash stands for a dot in a name ("net.ipv4.conf.eth0/100.forwarding").
func sysctlFile(key string) (file, problem string) {
	first := strings.IndexAny(key, "./")
	if first < 0 {
		return "", "a kernel parameter is named as net.ipv4.ip_forward or net/ipv4/ip_forward"
	}
	b := []byte(key)
	component := 0 // where the current one begins
	for i := 0; i <= len(b); i++ {
		if i < len(b) {
			if key[first] == '.' {
				switch b[i] {
				case '.':
					b[i] = '/'
				case '/':
					b[i] = '.'
				}
			}
			if b[i] <= ' ' || b[i] == 0x7f {
				return "", "the name of a kernel parameter has no blanks or control characters"
			}
			if b[i] != '/' {
				continue
			}
		}
		switch string(b[component:i]) {
		case "", ".", "..":
			return "", "the name of a kernel parameter has no empty part, and none that is . or .."
		}
		component = i + 1
	}
	return short(string(b))
}

// sysctlNamespace is the namespace that a kernel parameter belongs to, or "".
func sysctlNamespace(file string) string {
	switch file {
	case "kernel/msgmax", "kernel/msgmnb", "kernel/msgmni", "kernel/sem", "kernel/shmall", "kernel/shmmax", "kernel/shmmni",
		"kernel/shm_rmid_forced":
		return "ipc"
	case "kernel/domainname", "kernel/hostname":
		return "uts"
	}
	switch {
	case strings.HasPrefix(file, "fs/mqueue/"):
		return "ipc"
	case strings.HasPrefix(file, "net/"):
		return "network"
	}
	return ""
}

// sysctlNamespaces refuses parameters of the host: of a namespace that the container shares with it, or of none.
func (p *parser) sysctlNamespaces() error {
	for _, s := range p.c.Sysctls {
		var problem string
		switch namespace := sysctlNamespace(s.File); {
		case namespace == "":
			problem = "is no kernel parameter of a namespace: it would change the host's"
		case !p.c.Has(namespace):
			problem = "is a kernel parameter of the " + namespace + " namespace, and the container has none of its own"
		case s.File == "kernel/hostname" && p.hostname:
			problem = "is also set by the hostname of the config"
		default:
			continue
		}
		return errs.Bad(string(jsontext.Pointer("/linux/sysctl").AppendToken(s.Key)), problem)
	}
	return nil
}
