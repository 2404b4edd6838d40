package plan_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/librootfs/librootfs/rootfs/internal/config"
	"github.com/librootfs/librootfs/rootfs/internal/plan"
)

var update = flag.Bool("update", false, "write the plans that are made to testdata")

// standard is what "runc spec" writes, checked.
func standard() *config.Config {
	return &config.Config{
		Root:    config.Root{Path: "/bundle/rootfs", Readonly: true},
		Process: config.Process{Cwd: "/", Terminal: true},
		Mounts: []config.Mount{
			{Destination: "/proc", Type: "proc", Source: "proc"},
			{Destination: "/dev", Type: "tmpfs", Source: "tmpfs",
				Options: options("nosuid", "strictatime", "mode=755", "size=65536k")},
			{Destination: "/dev/pts", Type: "devpts", Source: "devpts",
				Options: options("nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5")},
			{Destination: "/dev/shm", Type: "tmpfs", Source: "shm",
				Options: options("nosuid", "noexec", "nodev", "mode=1777", "size=65536k")},
			{Destination: "/dev/mqueue", Type: "mqueue", Source: "mqueue", Options: options("nosuid", "noexec", "nodev")},
			{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: options("nosuid", "noexec", "nodev", "ro")},
			{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup",
				Options: options("nosuid", "noexec", "nodev", "relatime", "ro")},
		},
		Namespaces: []config.Namespace{{Type: "pid"}, {Type: "network"}, {Type: "ipc"}, {Type: "uts"}, {Type: "mount"}},
		MaskedPaths: []string{"/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
			"/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/proc/scsi"},
		ReadonlyPaths: []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"},
		OCIVersion:    "1.0.2-dev",
		Options:       config.Options{Bundle: "/bundle"},
	}
}

// hybrid is a systemd host of the years before cgroup2.
func hybrid() *plan.Facts {
	h := func(name, own string, data ...string) plan.Hierarchy {
		return plan.Hierarchy{Name: name, Data: data, Mountpoint: "/sys/fs/cgroup/" + name, Own: own}
	}
	return &plan.Facts{KCore: true, Cgroup: plan.Cgroup{
		Mountpoint: "/sys/fs/cgroup/unified",
		Own:        "/system.slice/x",
		V1: []plan.Hierarchy{
			h("systemd", "/system.slice/x", "none", "name=systemd"),
			h("cpu,cpuacct", "/", "cpu", "cpuacct"),
			h("memory", "/system.slice/x", "memory"),
		},
	}}
}

func unified() *plan.Facts {
	return &plan.Facts{KCore: true, Cgroup: plan.Cgroup{Unified: true, Mountpoint: "/sys/fs/cgroup", Own: "/user.slice/x"}}
}

// whole is unified, seen by a process of the initial cgroup namespace.
func whole() *plan.Facts {
	f := unified()
	f.Cgroup.Whole = true
	return f
}

func rootless(c *config.Config) *config.Config {
	c.Namespaces = append(c.Namespaces, config.Namespace{Type: "user"}, config.Namespace{Type: "cgroup"})
	c.UIDMappings = []config.IDMap{{Container: 0, Host: 1000, Size: 1}}
	c.GIDMappings = c.UIDMappings
	c.Options.Rootless = true
	return c
}

// everything has each kind of step and each member that a step can have.
func everything() *config.Config {
	c := standard()
	umask := uint32(0o27)
	c.Propagation = 1<<20 | 1<<14 // MS_SHARED|MS_REC
	c.Process = config.Process{Cwd: "/srv/a b", Umask: &umask}
	c.MountLabel = "system_u:object_r:container_file_t:s0:c1,c2"
	c.Mounts = append(c.Mounts[:6],
		config.Mount{Destination: "/etc/hosts", Type: "bind", Source: "/bundle/hosts", Options: options("bind", "z", "src-nofollow")},
		config.Mount{Destination: "/data", Type: "bind", Source: "/srv/data",
			Options: options("rbind", "ro", "suid", "noatime", "rnoexec", "rdev", "rprivate", "shared", "dest-nofollow")},
		config.Mount{Destination: "/ids", Type: "bind", Source: "/srv/ids", Options: options("rbind", "ridmap"),
			UIDMappings: []config.IDMap{{Container: 0, Host: 100000, Size: 65536}},
			GIDMappings: []config.IDMap{{Container: 0, Host: 100000, Size: 1}, {Container: 1, Host: 200000, Size: 2}}},
		config.Mount{Destination: "/var", Type: "tmpfs", Source: "tmpfs", Options: options("ro", "sync", "tmpcopyup", "size=1m")},
		config.Mount{Destination: "/mnt", Type: "overlay", Source: "overlay",
			Options: options("ro", "lazytime", `lowerdir=/a\:b:/c`, `context="a:b:c:s0"`)},
		config.Mount{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: options("remount", "nosuid")},
	)
	c.Devices = []config.Device{
		{Path: "/dev/fuse", Type: 'c', Major: 10, Minor: 229, Mode: 0o660, UID: 5, GID: 6},
		{Path: "/dev/pipe", Type: 'p', Mode: 0o600},
	}
	c.Hooks = []config.Hook{{Path: "/bin/hook", Args: []string{"hook", "-x"}, Env: []string{"A=1"}, Timeout: 5,
		Pointer: "/hooks/createContainer/0"}}
	c.Sysctls = []config.Sysctl{{Key: "net.ipv4.ip_forward", Value: "1", File: "net/ipv4/ip_forward"}}
	c.Options.MountCommands = []config.MountCommands{{Mount: 7,
		Before: []config.Command{{Path: "/bin/mkdir", Args: []string{"/srv/data"}, Env: []string{"B=2"}, Dir: "/"}},
		After:  []config.Command{{Path: "/bin/true"}, {Path: "/bin/sync"}}}}
	return c
}

func TestGolden(t *testing.T) {
	cgroupNS := func(c *config.Config) *config.Config {
		c.Namespaces = append(c.Namespaces, config.Namespace{Type: "cgroup"})
		return c
	}
	cases := []struct {
		name  string
		c     *config.Config
		facts *plan.Facts
	}{
		{"default-v1", standard(), hybrid()},
		{"default-v1-cgroupns", cgroupNS(standard()), hybrid()},
		{"default-v2", standard(), unified()},
		{"default-v2-whole", standard(), whole()},
		{"default-v2-rootless", rootless(standard()), unified()},
		{"everything", everything(), unified()},
		{"nothing", &config.Config{OCIVersion: "1.2.0", Root: config.Root{Path: "/r"}}, nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			p, err := plan.Build(c.c, c.facts)
			if err != nil {
				t.Fatal(err)
			}
			got := p.JSON()
			if !json.Valid(got) {
				t.Fatalf("not JSON:\n%s", got)
			}
			file := filepath.Join("testdata", c.name+".json")
			if *update {
				if err := os.WriteFile(file, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%s differs; see what changed with: go test -update and git diff. Got:\n%s", file, got)
			}
		})
	}
}

// The same input gives the same bytes, and planning leaves its input alone.
func TestPure(t *testing.T) {
	c, f := everything(), unified()
	before, err := json.Marshal([]any{c, f})
	if err != nil {
		t.Fatal(err)
	}
	var first []byte
	for range 20 {
		p, err := plan.Build(c, f)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.JSON(); first == nil {
			first = got
		} else if !bytes.Equal(first, got) {
			t.Fatal("two plans of one configuration differ")
		}
	}
	if after, _ := json.Marshal([]any{c, f}); !bytes.Equal(before, after) {
		t.Error("Build changed its input")
	}
}
