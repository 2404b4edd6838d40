package plan_test

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/librootfs/librootfs/rootfs/internal/config"
	"github.com/librootfs/librootfs/rootfs/internal/plan"
)

func cgroup(kind string, options ...string) *config.Config {
	return bare(m("/sys/fs/cgroup", kind, "cgroup", options...))
}

// chain is "type source" of a mount and of what is tried in its place, one after the other.
func chain(s *plan.Mount) (all []string) {
	for ; s != nil; s = s.Fallback {
		all = append(all, s.Type+" "+s.Source)
	}
	return all
}

func TestCgroup2(t *testing.T) {
	private := func(c *config.Config) *config.Config { return with(c, "cgroup") }
	less := func(c *config.Config) *config.Config { c.Options.Rootless = true; return c }
	given := func(c *config.Config) *config.Config { c.Options.CgroupPath = "/sys/fs/cgroup/given"; return c }
	unknown := &plan.Facts{Cgroup: plan.Cgroup{Unified: true, Mountpoint: "/sys/fs/cgroup"}}
	for _, c := range []struct {
		name  string
		conf  *config.Config
		facts *plan.Facts
		want  []string
	}{
		{"cgroup on a unified host", cgroup("cgroup"), unified(), []string{"cgroup2 cgroup", "bind /sys/fs/cgroup"}},
		{"cgroup2", cgroup("cgroup2"), unified(), []string{"cgroup2 cgroup", "bind /sys/fs/cgroup"}},
		{"cgroup2 on a hybrid host", cgroup("cgroup2"), hybrid(), []string{"cgroup2 cgroup", "bind /sys/fs/cgroup/unified"}},
		{"cgroup2 on a v1 host", cgroup("cgroup2"), nil, []string{"cgroup2 cgroup"}},
		{"cgroup2 on a v1 host, rootless", less(cgroup("cgroup2")), nil, []string{"cgroup2 cgroup", "tmpfs tmpfs"}},
		{"private", private(cgroup("cgroup2")), unified(), []string{"cgroup2 cgroup", "bind /sys/fs/cgroup/user.slice/x"}},
		{"private, own cgroup not known", private(cgroup("cgroup2")), unknown, []string{"cgroup2 cgroup"}},
		{"private, not known, rootless", less(private(cgroup("cgroup2"))), unknown, []string{"cgroup2 cgroup", "tmpfs tmpfs"}},
		{"given", given(cgroup("cgroup2")), unified(), []string{"cgroup2 cgroup", "bind /sys/fs/cgroup/given"}},
		{"given, private, not known", given(private(cgroup("cgroup2"))), unknown,
			[]string{"cgroup2 cgroup", "bind /sys/fs/cgroup/given"}},
		{"rootless", less(cgroup("cgroup")), unified(), []string{"cgroup2 cgroup", "bind /sys/fs/cgroup", "tmpfs tmpfs"}},
	} {
		steps := of[*plan.Mount](build(t, c.conf, c.facts).Prepare)
		equal(t, c.name+": mounts", len(steps), 1)
		equal(t, c.name, chain(steps[0]), c.want)
	}
}

// CVE-2023-25809: whatever is tried in the place of a read-only cgroup2 mount is read-only too.
func TestCgroup2StaysReadonly(t *testing.T) {
	const asked = unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID
	conf := with(cgroup("cgroup", "ro", "nosuid", "rslave"), "user")
	conf.Options.Rootless = true
	p := build(t, conf, unified())
	s := of[*plan.Mount](p.Prepare)[0]
	equal(t, "cgroup2 fails with", s.FallbackOn, []string{"EPERM", "EBUSY"})
	equal(t, "bind fails with", s.Fallback.FallbackOn, []string{"ENOENT"})
	equal(t, "bind takes along what is below", s.Fallback.Recursive, true)
	equal(t, "bind's superblock", len(s.Fallback.Super)+len(s.Fallback.Data), 0)
	equal(t, "bind's propagation", s.Fallback.Propagation, []uint64{unix.MS_SLAVE | unix.MS_REC})
	equal(t, "index", []int{s.Index, s.Fallback.Index, s.Fallback.Fallback.Index}, []int{0, -1, -1})
	for f := s; f != nil; f = f.Fallback {
		if f.Attr&asked != asked || !f.ExactAttr || f.Target() != "/sys/fs/cgroup" || f.Pointer() != "/mounts/0" {
			t.Errorf("%s: %+v", f.Type, f)
		}
	}
	equal(t, "nothing is left for finalize", len(of[*plan.RemountReadonly](p.Finalize)), 0)
}

func TestCgroup1(t *testing.T) {
	const quiet = unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC
	p := build(t, cgroup("cgroup", "ro", "noatime", "rprivate"), hybrid())
	steps := of[*plan.Mount](p.Prepare)
	equal(t, "steps", outline(p.Prepare)[1:7], []string{
		"mount /sys/fs/cgroup", "mount /sys/fs/cgroup/systemd", "mount /sys/fs/cgroup/cpu,cpuacct", "mount /sys/fs/cgroup/memory",
		"symlink /sys/fs/cgroup/cpu", "symlink /sys/fs/cgroup/cpuacct"})
	equal(t, "tmpfs", *steps[0], plan.Mount{Base: plan.Base{Ptr: "/mounts/0", Path: "/sys/fs/cgroup"}, Type: "tmpfs",
		Source: "tmpfs", ExactAttr: true, Attr: quiet, Late: true, Data: []string{"mode=755"},
		Propagation: []uint64{unix.MS_PRIVATE | unix.MS_REC}})
	equal(t, "tmpfs, in the end", outline(p.Finalize)[0], "remount-readonly /sys/fs/cgroup")
	equal(t, "own cgroup", *steps[1], plan.Mount{Base: plan.Base{Ptr: "/mounts/0", Path: "/sys/fs/cgroup/systemd"},
		Index: -1, Type: "bind", Source: "/sys/fs/cgroup/systemd/system.slice/x", Recursive: true, ExactAttr: true,
		Attr: unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOATIME, Clear: unix.MOUNT_ATTR__ATIME,
		Propagation: []uint64{unix.MS_PRIVATE | unix.MS_REC}})
	equal(t, "own cgroup is the root", steps[2].Source, "/sys/fs/cgroup/cpu,cpuacct")

	p = build(t, with(cgroup("cgroup", "ro"), "cgroup"), hybrid())
	steps = of[*plan.Mount](p.Prepare)
	for i, want := range []string{"tmpfs", "systemd", "cgroup", "cgroup"} {
		equal(t, "source", steps[i].Source, want)
	}
	equal(t, "named", steps[1].Data, []string{"none", "name=systemd"})
	equal(t, "two controllers", steps[2].Data, []string{"cpu", "cpuacct"})
	equal(t, "attributes", steps[3].Attr, uint64(quiet|unix.MOUNT_ATTR_RDONLY))
	equal(t, "superblock", steps[3].Super, []string{"ro"})

	p = build(t, with(cgroup("cgroup"), "cgroup"), hybrid())
	steps = of[*plan.Mount](p.Prepare)
	equal(t, "writable attributes", steps[3].Attr, uint64(quiet))
	equal(t, "writable superblock", len(steps[3].Super), 0)
	equal(t, "writable tmpfs", len(of[*plan.RemountReadonly](p.Finalize)), 0)

	p = build(t, cgroup("cgroup"), hybrid())
	if s := of[*plan.Mount](p.Prepare)[1]; s.ExactAttr {
		t.Error("a bind of a hierarchy without options keeps the host's attributes")
	}
	p = build(t, cgroup("cgroup", "rro"), hybrid())
	equal(t, "rro: hierarchy", of[*plan.Mount](p.Prepare)[1].RecAttr, uint64(unix.MOUNT_ATTR_RDONLY))
	equal(t, "rro: tmpfs", len(of[*plan.RemountReadonly](p.Finalize)), 1)
}

// A "bind" option makes a bind of a mount of any type.
func TestCgroupBound(t *testing.T) {
	equal(t, "bind", chain(first(t, bare(m("/sys/fs/cgroup", "cgroup", "/sys/fs/cgroup", "rbind")), unified())),
		[]string{"bind /sys/fs/cgroup"})
}
