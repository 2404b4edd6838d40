package plan_test

import (
	"reflect"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/librootfs/librootfs/rootfs/internal/config"
	"github.com/librootfs/librootfs/rootfs/internal/plan"
)

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
