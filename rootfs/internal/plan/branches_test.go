package plan_test

import (
	"errors"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/librootfs/librootfs/rootfs/internal/config"
	"github.com/librootfs/librootfs/rootfs/internal/errs"
	"github.com/librootfs/librootfs/rootfs/internal/option"
	"github.com/librootfs/librootfs/rootfs/internal/plan"
)

// bare is the least configuration with a mount namespace.
func bare(mounts ...config.Mount) *config.Config {
	return &config.Config{
		Root:       config.Root{Path: "/r"},
		Namespaces: []config.Namespace{{Type: "mount"}},
		Mounts:     mounts,
	}
}

func with(c *config.Config, namespaces ...string) *config.Config {
	for _, n := range namespaces {
		c.Namespaces = append(c.Namespaces, config.Namespace{Type: n})
	}
	return c
}

// m is an entry of mounts as package config gives it.
func m(destination, kind, source string, list ...string) config.Mount {
	set := options(list...)
	if set.Bind {
		kind = "bind"
	}
	return config.Mount{Destination: destination, Type: kind, Source: source, Options: set}
}

func options(list ...string) option.Set {
	set, err := option.Parse(list)
	if err != nil {
		panic(err)
	}
	return set
}

func build(t *testing.T, c *config.Config, f *plan.Facts) *plan.Plan {
	t.Helper()
	p, err := plan.Build(c, f)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// of gives the steps of one kind.
func of[S plan.Step](steps []plan.Step) (found []S) {
	for _, s := range steps {
		if s, ok := s.(S); ok {
			found = append(found, s)
		}
	}
	return found
}

// outline is "op target" of each step.
func outline(steps []plan.Step) []string {
	lines := make([]string, len(steps))
	for i, s := range steps {
		lines[i] = strings.TrimSpace(s.Op() + " " + s.Target())
	}
	return lines
}

func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// first is the plan of a configuration's first mount.
func first(t *testing.T, c *config.Config, f *plan.Facts) *plan.Mount {
	t.Helper()
	return of[*plan.Mount](build(t, c, f).Prepare)[0]
}

func TestRootPropagation(t *testing.T) {
	const rec = unix.MS_REC
	for _, c := range []struct {
		name              string
		asked, host, root uint64
	}{
		{"silent", 0, unix.MS_SLAVE | rec, 0},
		{"slave", unix.MS_SLAVE, unix.MS_SLAVE, 0},
		{"rslave", unix.MS_SLAVE | rec, unix.MS_SLAVE | rec, 0},
		{"private", unix.MS_PRIVATE, unix.MS_PRIVATE, 0},
		{"rprivate", unix.MS_PRIVATE | rec, unix.MS_PRIVATE | rec, 0},
		{"shared", unix.MS_SHARED, unix.MS_SHARED, unix.MS_SHARED},
		{"rshared", unix.MS_SHARED | rec, unix.MS_SHARED | rec, unix.MS_SHARED | rec},
		{"unbindable", unix.MS_UNBINDABLE, unix.MS_PRIVATE, unix.MS_UNBINDABLE},
		{"runbindable", unix.MS_UNBINDABLE | rec, unix.MS_PRIVATE | rec, unix.MS_UNBINDABLE | rec},
	} {
		t.Run(c.name, func(t *testing.T) {
			conf := bare()
			conf.Propagation = c.asked
			p := build(t, conf, nil)
			equal(t, "host", p.Prepare[0].(*plan.OpenRoot).HostPropagation, c.host)
			var root uint64
			for i, s := range p.Prepare {
				if s, ok := s.(*plan.Propagation); ok {
					root = s.Flags
					equal(t, "step before it", p.Prepare[i-1].Op(), "switch-root")
				}
			}
			for _, s := range of[*plan.Propagation](p.Finalize) {
				root = s.Flags
				equal(t, "late", s.Flags&unix.MS_UNBINDABLE, uint64(unix.MS_UNBINDABLE))
			}
			equal(t, "root", root, c.root)
		})
	}
}

// In a mount namespace that is the host's own, nothing is mounted for the host to keep.
func TestHostsNamespace(t *testing.T) {
	p := build(t, &config.Config{OCIVersion: "1.2.0", Root: config.Root{Path: "/r"}}, nil)
	equal(t, "propagation of the host", p.Prepare[0].(*plan.OpenRoot).HostPropagation, uint64(0))
	for pointer, c := range map[string]*config.Config{
		"/mounts":                  {Mounts: []config.Mount{m("/a", "tmpfs", "a")}},
		"/root/readonly":           {Root: config.Root{Path: "/r", Readonly: true}},
		"/linux/maskedPaths":       {MaskedPaths: []string{"/a"}},
		"/linux/readonlyPaths":     {ReadonlyPaths: []string{"/a"}},
		"/linux/rootfsPropagation": {Propagation: unix.MS_PRIVATE},
	} {
		c.OCIVersion = "1.2.0"
		var e *errs.Error
		if _, err := plan.Build(c, nil); !errors.As(err, &e) || e.Pointer != pointer || e.Code != errs.Invalid {
			t.Errorf("%s: %v", pointer, err)
		}
		build(t, with(c, "mount"), nil)
	}
}

func TestSwitchRoot(t *testing.T) {
	for _, c := range []struct {
		own, noPivot bool
		want         string
	}{{true, false, "pivot_root"}, {true, true, "move"}, {false, false, "chroot"}, {false, true, "chroot"}} {
		conf := bare()
		conf.Options.NoPivotRoot = c.noPivot
		if !c.own {
			conf.OCIVersion, conf.Namespaces = "1.2.0", nil
		}
		p := build(t, conf, nil)
		equal(t, "method", of[*plan.SwitchRoot](p.Prepare)[0].Method, c.want)
		equal(t, "own namespace", p.Prepare[0].(*plan.OpenRoot).HasMountNS, c.own)
	}
}

// A /dev that is the host's is left alone; one that is made, of whatever type, is filled.
func TestDev(t *testing.T) {
	for _, c := range []struct {
		mount config.Mount
		own   bool
	}{
		{m("/dev", "bind", "/dev"), false},
		{m("/dev", "none", "/dev", "rbind", "ro"), false},
		{m("/dev", "tmpfs", "tmpfs", "ro"), true},
		{m("/dev", "devtmpfs", "dev"), true},
		{m("/dev/shm", "bind", "/dev/shm"), true},
		{m("/x", "tmpfs", "tmpfs"), true},
	} {
		conf := bare(c.mount)
		conf.Devices = []config.Device{{Path: "/dev/fuse", Type: 'c'}, {Path: "/var/pipe", Type: 'p'}, {Path: "/device", Type: 'b'}}
		steps := build(t, conf, &plan.Facts{KCore: true}).Prepare
		var devices, links int
		for _, s := range steps {
			if s.Op() == "device" && strings.HasPrefix(s.Target(), "/dev/") {
				devices++
			}
			if s.Op() == "symlink" {
				links++
			}
		}
		name := c.mount.Type + " on " + c.mount.Destination
		if c.own {
			equal(t, name+": devices, links, stdio", []int{devices, links, len(of[*plan.Stdio](steps))}, []int{7, 6, 1})
		} else {
			equal(t, name+": devices, links, stdio", []int{devices, links, len(of[*plan.Stdio](steps))}, []int{0, 0, 0})
		}
		equal(t, name+": devices elsewhere", len(of[*plan.Device](steps))-devices, 2)
	}
}

func TestDevices(t *testing.T) {
	conf := with(bare(), "user")
	conf.Devices = []config.Device{
		{Path: "/dev/ptmx", Type: 'c', Major: 5, Minor: 2},
		{Path: "/dev/null", Type: 'c', Major: 1, Minor: 3, Mode: 0o600, UID: 7},
		{Path: "/dev/a", Type: 'b', Major: 8, Mode: 0o660},
		{Path: "/dev/a", Type: 'b', Major: 8, Mode: 0o660},
	}
	devices := of[*plan.Device](build(t, conf, nil).Prepare)
	var paths []string
	for _, d := range devices {
		paths = append(paths, d.Path)
		if !d.Bind {
			t.Errorf("%s: mknod(2) cannot work in a user namespace", d.Path)
		}
	}
	equal(t, "paths", paths, []string{"/dev/null", "/dev/zero", "/dev/full", "/dev/tty", "/dev/random", "/dev/urandom", "/dev/a"})
	equal(t, "null", *devices[0], plan.Device{Base: plan.Base{Ptr: "/linux/devices/1", Path: "/dev/null"},
		Type: 'c', Major: 1, Minor: 3, Mode: 0o600, UID: 7, Bind: true})

	links := of[*plan.Symlink](build(t, conf, nil).Prepare)
	equal(t, "first link", *links[0], plan.Symlink{Base: plan.Base{Path: "/dev/ptmx"}, To: "pts/ptmx", Replace: true})
	equal(t, "links without /proc/kcore", len(links), 5)
}

// Commands and hooks stand where behaviour's order has them, around the mount of their index.
func TestOrder(t *testing.T) {
	conf := bare(m("/a", "tmpfs", "a"), m("/b", "bind", "/b"))
	conf.Options.MountCommands = []config.MountCommands{
		{Mount: 1, After: []config.Command{{Path: "/after"}}},
		{Mount: 1, Before: []config.Command{{Path: "/before"}, {Path: "/before2"}}},
	}
	conf.Mounts = append(conf.Mounts, m("/dev", "bind", "/dev"))
	conf.Hooks = []config.Hook{{Path: "/h"}}
	conf.Process.Cwd = "/w"
	conf.Propagation = unix.MS_SHARED
	p := build(t, conf, nil)
	equal(t, "prepare", outline(p.Prepare), []string{"root /", "mount /a", "command", "command", "mount /b", "command",
		"mount /dev", "mounts-ready", "hook", "switch-root /", "propagation /", "chdir /w"})
	var pointers []string
	for _, s := range of[*plan.Command](p.Prepare) {
		pointers = append(pointers, s.Pointer()+" "+s.When+" "+s.Argv[0])
	}
	equal(t, "commands", pointers, []string{"options#/mountCommands/1/before/0 before /before",
		"options#/mountCommands/1/before/1 before /before2", "options#/mountCommands/0/after/0 after /after"})
}

func TestFinalize(t *testing.T) {
	conf := bare(m("/a", "tmpfs", "a", "ro"))
	conf.Root.Readonly = true
	conf.ReadonlyPaths = []string{"/r", "/s", "/r"}
	conf.MaskedPaths = []string{"/m", "/m", "/n"}
	conf.MountLabel = "l"
	conf.Sysctls = []config.Sysctl{{Key: "kernel.msgmax", Value: "1", File: "kernel/msgmax"},
		{Key: "net/ipv4/conf/eth0.5/forwarding", Value: "0", File: "net/ipv4/conf/eth0.5/forwarding"}}
	p := build(t, conf, nil)
	equal(t, "finalize", outline(p.Finalize), []string{"remount-readonly /a", "readonly-root /", "umask",
		"sysctl /proc/sys/kernel/msgmax", "sysctl /proc/sys/net/ipv4/conf/eth0.5/forwarding",
		"readonly-path /r", "readonly-path /s", "mask-path /m", "mask-path /n"})
	equal(t, "last mask", *of[*plan.MaskPath](p.Finalize)[1],
		plan.MaskPath{Base: plan.Base{Ptr: "/linux/maskedPaths/2", Path: "/n"}, Label: "l"})
	equal(t, "sysctl", *of[*plan.Sysctl](p.Finalize)[1], plan.Sysctl{Base: plan.Base{
		Ptr:  "/linux/sysctl/net~1ipv4~1conf~1eth0.5~1forwarding",
		Path: "/proc/sys/net/ipv4/conf/eth0.5/forwarding"}, File: "net/ipv4/conf/eth0.5/forwarding", Value: "0"})
	equal(t, "umask", of[*plan.Umask](p.Finalize)[0].Mask, uint32(0o022))

	for _, n := range []int{10, 100} {
		conf.MaskedPaths = nil
		for i := range 3 * n {
			conf.MaskedPaths = append(conf.MaskedPaths, "/m"+strconv.Itoa(i%n))
		}
		equal(t, "masks of a list that names each thrice", len(of[*plan.MaskPath](build(t, conf, nil).Finalize)), n)
	}
}

func TestErrors(t *testing.T) {
	devices := bare()
	devices.Devices = []config.Device{{Path: "/dev/a", Type: 'c'}, {Path: "/dev/a", Type: 'b'}}
	lost := hybrid()
	lost.Cgroup.V1[1].Own = ""
	for _, c := range []struct {
		name    string
		conf    *config.Config
		facts   *plan.Facts
		pointer string
		code    errs.Code
	}{
		{"two devices", devices, nil, "/linux/devices/1/path", errs.Invalid},
		{"cgroup out of reach", bare(m("/c", "cgroup", "c")), lost, "/mounts/0", errs.Unsupported},
	} {
		p, err := plan.Build(c.conf, c.facts)
		var e *errs.Error
		if !errors.As(err, &e) {
			t.Errorf("%s: %v, %v", c.name, p, err)
			continue
		}
		equal(t, c.name+": pointer", e.Pointer, c.pointer)
		equal(t, c.name+": code", e.Code, c.code)
	}
}
