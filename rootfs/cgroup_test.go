package rootfs_test

import (
	"os"
	"strings"
	"testing"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"github.com/librootfs/librootfs/rootfs/internal/nstest"
)

// cgroupNS gives the container a cgroup namespace.
func (b *box) cgroupNS() *box {
	linux := b.config.Object("linux")
	list, _ := linux["namespaces"].([]any)
	linux["namespaces"] = append(list, map[string]any{"type": "cgroup"})
	b.spec.Namespaces |= nstest.Cgroup
	return b
}

// hostCgroup1 gives it v1 hierarchies: those that the machine has, and one of two controllers that are otherwise unused.
func hostCgroup1(t *testing.T) (names []string, merged string) {
	t.Helper()
	nstest.NeedRoot(t)
	real, err := mountinfo.GetMounts(mountinfo.FSTypeFilter("cgroup"))
	if err != nil {
		t.Fatal(err)
	}
	if len(real) == 0 {
		t.Skip("no cgroup v1 here")
	}
	if err := unix.Mount("tmpfs", "/sys/fs/cgroup", "tmpfs", 0, "mode=755"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount("/sys/fs/cgroup", unix.MNT_DETACH) })
	mount := func(name, data string) error {
		if err := os.Mkdir("/sys/fs/cgroup/"+name, 0o755); err != nil {
			return err
		}
		if err := unix.Mount("cgroup", "/sys/fs/cgroup/"+name, "cgroup", 0, data); err != nil {
			return err
		}
		names = append(names, name)
		return nil
	}
	for _, m := range real {
		name := m.Mountpoint[strings.LastIndexByte(m.Mountpoint, '/')+1:]
		data := strings.TrimPrefix(strings.TrimPrefix(m.VFSOptions, "rw"), ",")
		if i := strings.Index(data, "name="); i >= 0 {
			data = "none," + data[i:]
		}
		if err := mount(name, data); err != nil {
			t.Fatalf("%s (%s): %v", name, data, err)
		}
	}
	// Not for long: while it is mounted every process of the machine has it in /proc/self/cgroup.
	if err := mount("net_cls,net_prio", "net_cls,net_prio"); err == nil {
		merged = "net_cls,net_prio"
	}
	return names, merged
}

func TestCgroup1(t *testing.T) {
	names, merged := hostCgroup1(t)
	for _, kind := range []string{"host's", "private", "user namespace"} {
		private := kind != "host's"
		for _, mode := range []string{"ro", "rw"} {
			b := newBox(t).mount("/sys", "sysfs", "sysfs", "ro").mount("/sys/fs/cgroup", "cgroup", "cgroup", "nosuid", mode)
			if private {
				b.cgroupNS()
			}
			if kind == "user namespace" {
				b.userns().withProc()
			}
			for _, c := range []string{"net_cls", "net_prio"} {
				b.look("/sys/fs/cgroup/" + c)
			}
			r := b.write("/sys/fs/cgroup").run()
			if m := r.At("/sys/fs/cgroup"); m == nil || m.Type != "tmpfs" || (r.Writes["/sys/fs/cgroup"] == "") != (mode == "rw") {
				t.Errorf("%+v, writing: %q", m, r.Writes["/sys/fs/cgroup"])
			}
			for _, name := range names {
				m := r.At("/sys/fs/cgroup/" + name)
				if m == nil || m.Type != "cgroup" || private && m.Root != "/" {
					t.Errorf("%s, private %v: %+v", name, private, m)
				}
				hasOptions(t, m, mode)
				if name == "systemd" && !strings.Contains(m.SuperOptions, "name=systemd") {
					t.Errorf("systemd: %+v", m)
				}
			}
			if merged == "" {
				continue
			}
			for _, c := range []string{"net_cls", "net_prio"} {
				if n := r.Nodes["/sys/fs/cgroup/"+c]; n.Link != merged {
					t.Errorf("%s: %+v, want a link to %s", c, n, merged)
				}
			}
		}
	}
	if merged == "" {
		t.Skip("all else is as it should, but two controllers in one hierarchy cannot be had here")
	}
}

func TestCgroup2(t *testing.T) {
	nstest.HostCgroup2(t)
	const own, bound, masked = "cgroup2 cgroup", "cgroup2 host", "tmpfs tmpfs"
	rootless, elsewhere := map[string]any{"rootless": true}, map[string]any{"cgroup2Path": "/sys/fs/cgroup"}
	gone := map[string]any{"rootless": true, "cgroup2Path": "/nowhere"}
	for _, c := range []struct {
		name         string
		user, cgroup bool
		options      map[string]any
		want         string
	}{
		{"host's", false, false, nil, "cgroup2 "}, {"private", false, true, nil, own}, {"both", true, true, nil, own},
		{"user namespace alone", true, false, nil, bound}, {"rootless", true, false, rootless, bound},
		{"cgroup2Path", true, false, elsewhere, bound}, {"rootless, nothing there", true, false, gone, masked},
	} {
		for _, kind := range []string{"cgroup", "cgroup2"} {
			for _, mode := range []string{"ro", "rw"} {
				b := newBox(t).mount("/sys/fs/cgroup", kind, "cgroup", "nosuid", "noexec", "nodev", mode).withProc()
				if c.user {
					b.userns()
				}
				if c.cgroup {
					b.cgroupNS()
				}
				if c.options != nil {
					b.options(c.options)
				}
				r := b.write("/sys/fs/cgroup").run()
				m := r.At("/sys/fs/cgroup")
				if m == nil || !strings.HasPrefix(m.Type+" "+m.Source, c.want) {
					t.Errorf("%s, %s: %+v, want %s", c.name, kind, m, c.want)
					continue
				}
				hasOptions(t, m, "nosuid", "noexec", "nodev")
				if mode == "ro" || c.want == masked {
					hasOptions(t, m, "ro")
				} else {
					hasOptions(t, m, "rw")
				}
			}
		}
	}
	// Without rootless a source that is not there is an error, at the mount that wanted it.
	b := newBox(t).userns().withProc().mount("/sys/fs/cgroup", "cgroup2", "cgroup").options(map[string]any{"cgroup2Path": "/nowhere"})
	b.refused("/mounts/1", "/nowhere")
}

// A source descriptor for the mount after a cgroup mount, whose expansion makes many mounts, is for that one alone.
func TestSourceBesideCgroup(t *testing.T) {
	hostCgroup1(t)
	src := shared(t)
	write(t, src+"/file", "lent", 0o644)
	b := newBox(t).mount("/sys", "tmpfs", "tmpfs").mount("/sys/fs/cgroup", "cgroup", "cgroup", "ro").mount("/x", "bind", "/-", "bind")
	b.look("/x/file").lendPath(2, src)
	r := b.runLending()
	if r.Nodes["/x/file"].Text != "lent" || r.At("/sys/fs/cgroup").Type != "tmpfs" {
		t.Errorf("%+v", r.Nodes)
	}
	b = newBox(t).mount("/sys", "tmpfs", "tmpfs").mount("/sys/fs/cgroup", "cgroup", "cgroup", "ro")
	b.lendPath(1, src).refused("/mounts/1", "not a bind")
}

func (b *box) lendPath(mount int, path string) *box {
	b.t.Helper()
	return b.lend(source(mount, openTree(b.t, path, 0)))
}
