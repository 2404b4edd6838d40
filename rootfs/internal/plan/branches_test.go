package plan_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/librootfs/librootfs/rootfs/internal/config"
	"github.com/librootfs/librootfs/rootfs/internal/errs"
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

func m(destination, kind, source string, options ...string) config.Mount {
	return config.Mount{Destination: destination, Type: kind, Source: source, Options: options}
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
			equal(t, "root", root, c.root)

		})
	}
}

// In a mount namespace that is the host's own, nothing is mounted for the host to keep.
func TestHostsNamespace(t *testing.T) {
	p := build(t, &config.Config{Root: config.Root{Path: "/r"}}, nil)
	equal(t, "propagation of the host", p.Prepare[0].(*plan.OpenRoot).HostPropagation, uint64(0))
	for pointer, c := range map[string]*config.Config{
		"/mounts":                  {Mounts: []config.Mount{m("/a", "tmpfs", "a")}},
		"/root/readonly":           {Root: config.Root{Path: "/r", Readonly: true}},
		"/linux/maskedPaths":       {MaskedPaths: []string{"/a"}},
		"/linux/readonlyPaths":     {ReadonlyPaths: []string{"/a"}},
		"/linux/rootfsPropagation": {Propagation: unix.MS_PRIVATE},
	} {
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
			conf.Namespaces = nil
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

// Read-only is put off where something has to be written first, and never lost.
func TestReadonly(t *testing.T) {
	const ro = unix.MOUNT_ATTR_RDONLY
	for _, c := range []struct {
		name    string
		mount   config.Mount
		now     bool
		super   []string
		recAttr uint64
		late    bool
	}{
		{"tmpfs", m("/t", "tmpfs", "t", "ro", "sync"), false, []string{"sync"}, 0, true},
		{"tmpfs rro", m("/t", "tmpfs", "t", "rro"), false, nil, 0, true},
		{"tmpfs rw", m("/t", "tmpfs", "t", "ro", "rw"), false, nil, 0, false},
		{"/dev", m("/dev", "devtmpfs", "d", "ro"), false, nil, 0, true},
		{"/dev bound", m("/dev", "bind", "/dev", "rbind", "ro"), false, nil, 0, true},
		{"/dev bound rro", m("/dev", "bind", "/dev", "rbind", "rro"), false, nil, ro, false},
		{"bind", m("/b", "bind", "/b", "ro"), true, nil, 0, false},
		{"bind of type tmpfs", m("/b", "tmpfs", "/b", "bind", "ro"), true, nil, 0, false},
		{"sysfs", m("/sys", "sysfs", "s", "sync", "ro"), true, []string{"ro", "sync"}, 0, false},
		{"overlay rro", m("/o", "overlay", "o", "rro"), false, nil, ro, false},
	} {
		p := build(t, bare(c.mount), nil)
		s := of[*plan.Mount](p.Prepare)[0]
		equal(t, c.name+": now", s.Attr&ro != 0, c.now)
		equal(t, c.name+": superblock", len(s.Super)+len(c.super) == 0 || reflect.DeepEqual(s.Super, c.super), true)
		equal(t, c.name+": recursive", s.RecAttr, c.recAttr)
		equal(t, c.name+": late", len(of[*plan.RemountReadonly](p.Finalize)) == 1, c.late)
	}
}

// What finalize would find covered becomes read-only before it is covered.
func TestReadonlyBelowAnotherMount(t *testing.T) {
	for _, c := range []struct {
		name              string
		mounts            []config.Mount
		prepare, finalize []string
	}{
		{"same place",
			[]config.Mount{m("/a", "tmpfs", "t", "ro"), m("/ab", "tmpfs", "t", "ro"), m("/a", "bind", "/x")},
			[]string{"mount /a", "mount /ab", "remount-readonly /a", "mount /a"}, []string{"remount-readonly /ab"}},
		{"parent",
			[]config.Mount{m("/a/b", "tmpfs", "t", "ro"), m("/a/b/c", "bind", "/x"), m("/a", "tmpfs", "t", "ro")},
			[]string{"mount /a/b", "mount /a/b/c", "remount-readonly /a/b", "mount /a"}, []string{"remount-readonly /a"}},
		{"twice",
			[]config.Mount{m("/a", "tmpfs", "t", "ro"), m("/a", "tmpfs", "t", "ro")},
			[]string{"mount /a", "remount-readonly /a", "mount /a"}, []string{"remount-readonly /a"}},
		{"remounted read-only again",
			[]config.Mount{m("/a", "tmpfs", "t", "ro"), m("/a", "tmpfs", "t", "remount", "ro", "nosuid")},
			[]string{"mount /a", "mount /a"}, []string{"remount-readonly /a"}},
		{"remounted writable",
			[]config.Mount{m("/a", "tmpfs", "t", "ro"), m("/a", "tmpfs", "t", "remount", "nosuid")},
			[]string{"mount /a", "mount /a"}, nil},
	} {
		p := build(t, bare(c.mounts...), nil)
		var finalize []string
		for _, s := range of[*plan.RemountReadonly](p.Finalize) {
			finalize = append(finalize, s.Op()+" "+s.Target())
		}
		equal(t, c.name+": prepare", outline(p.Prepare)[1:1+len(c.prepare)], c.prepare)
		equal(t, c.name+": finalize", finalize, c.finalize)
	}
}

func TestMounts(t *testing.T) {
	const label = "u:r:t:s0"
	for _, c := range []struct {
		name  string
		mount config.Mount
		check func(*plan.Mount) bool
	}{
		{"a bind that asks for nothing keeps its source's attributes", m("/b", "bind", "/b", "rbind"),
			func(s *plan.Mount) bool { return !s.ExactAttr && s.Recursive && s.Type == "bind" && s.Label == "" }},
		{"a bind that asks has exactly what it asks for", m("/b", "", "/b", "bind", "exec"),
			func(s *plan.Mount) bool {
				return s.ExactAttr && s.Attr == 0 && s.Clear == unix.MOUNT_ATTR_NOEXEC && !s.Recursive
			}},
		{"a bind has no superblock options", m("/b", "bind", "/b", "sync", "ro"),
			func(s *plan.Mount) bool { return s.Super == nil && s.Data == nil }},
		{"relabelling", m("/b", "bind", "/b", "Z"),
			func(s *plan.Mount) bool { return s.Relabel == 'Z' && s.Label == label }},
		{"symlinks refused", m("/b", "bind", "/b", "src-nofollow", "dest-nofollow"),
			func(s *plan.Mount) bool { return s.PlainSource && s.PlainTarget }},
		{"tmpfs keeps the mode of what is there", m("/t", "tmpfs", "t", "size=1m"),
			func(s *plan.Mount) bool { return s.TargetMode && s.Label == label && !s.CopyUp }},
		{"tmpfs with a mode", m("/t", "tmpfs", "t", "size=1m,mode=700", "tmpcopyup"),
			func(s *plan.Mount) bool { return !s.TargetMode && s.CopyUp }},
		{"proc", m("/proc", "proc", "proc"), func(s *plan.Mount) bool { return s.PlainTarget && s.Label == "" }},
		{"sysfs", m("/sys", "sysfs", "sysfs"), func(s *plan.Mount) bool { return s.PlainTarget && s.Label == "" }},
		{"mqueue", m("/q", "mqueue", "q"),
			func(s *plan.Mount) bool { return !s.PlainTarget && s.Label == "" && s.FileLabel == label }},
		{"other types", m("/o", "overlay", "o"),
			func(s *plan.Mount) bool {
				return s.Label == label && s.FileLabel == "" && !s.TargetMode && !s.PlainTarget
			}},
		{"a label of its own", m("/o", "overlay", "o", "context=a:b:c"),
			func(s *plan.Mount) bool { return s.Label == "" && len(s.Data) == 1 }},
		{"remount", m("/o", "overlay", "o", "remount", "ro"),
			func(s *plan.Mount) bool { return s.Remount && s.Attr == unix.MOUNT_ATTR_RDONLY }},
	} {
		conf := bare(c.mount)
		conf.MountLabel = label
		if s := first(t, conf, nil); !c.check(s) {
			t.Errorf("%s: %+v", c.name, s)
		}
	}
}

func TestIDMap(t *testing.T) {
	maps := []config.IDMap{{Container: 0, Host: 1000, Size: 5}}
	own := func(options ...string) config.Mount {
		x := m("/i", "bind", "/i", options...)
		x.UIDMappings, x.GIDMappings = maps, maps
		return x
	}
	ranges := []plan.Range{{Container: 0, Host: 1000, Size: 5}}
	for _, c := range []struct {
		name string
		conf *config.Config
		want plan.IDMap
	}{
		{"own", bare(own("idmap")), plan.IDMap{UID: ranges, GID: ranges}},
		{"own, without the option", bare(own()), plan.IDMap{UID: ranges, GID: ranges}},
		{"own, recursive", with(bare(own("rbind", "ridmap")), "user"), plan.IDMap{Recursive: true, UID: ranges, GID: ranges}},
		{"the container's", with(bare(m("/i", "bind", "/i", "idmap")), "user"), plan.IDMap{OfContainer: true}},
	} {
		got := first(t, c.conf, nil).IDMap
		if got == nil {
			t.Errorf("%s: none", c.name)
			continue
		}
		equal(t, c.name, *got, c.want)
	}
	equal(t, "none asked for", first(t, bare(m("/i", "bind", "/i")), nil).IDMap, (*plan.IDMap)(nil))
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
		{"option", bare(m("/a", "tmpfs", "a", "ro", "x\x00")), nil, "/mounts/0/options/1", errs.Invalid},
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
