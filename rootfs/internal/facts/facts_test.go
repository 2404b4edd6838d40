package facts

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"github.com/librootfs/librootfs/rootfs/internal/config"
	"github.com/librootfs/librootfs/rootfs/internal/errs"
	"github.com/librootfs/librootfs/rootfs/internal/nstest"
	"github.com/librootfs/librootfs/rootfs/internal/plan"
)

func TestMain(m *testing.M) { nstest.Main(m) }

// wants is a configuration that mounts a cgroup file system of this type, with these namespaces.
func wants(kind string, namespaces ...string) *config.Config {
	c := &config.Config{Mounts: []config.Mount{{Type: "proc"}, {Type: kind}}}
	for _, n := range namespaces {
		c.Namespaces = append(c.Namespaces, config.Namespace{Type: n})
	}
	return c
}

// The host as it is, against its whole mount table.
func TestThisHost(t *testing.T) {
	f, err := Read(wants("cgroup"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = os.Stat("/proc/kcore")
	if f.KCore != (err == nil) {
		t.Errorf("KCore is %v, and stat says %v", f.KCore, err)
	}
	table, err := mountinfo.GetMounts(mountinfo.FSTypeFilter("cgroup"))
	if err != nil {
		t.Fatal(err)
	}
	if f.Cgroup.Unified {
		t.Skip("a unified host: TestUnified has the rest")
	}
	if len(f.Cgroup.V1) != len(table) {
		t.Fatalf("%d hierarchies, and the mount table has %d: %+v", len(f.Cgroup.V1), len(table), f.Cgroup.V1)
	}
	for i, h := range f.Cgroup.V1 {
		m := table[i]
		if h.Mountpoint != m.Mountpoint || h.Name != m.Mountpoint[strings.LastIndex(m.Mountpoint, "/")+1:] {
			t.Errorf("%d: %+v, and the mount table has %s", i, h, m.Mountpoint)
		}
		for _, d := range h.Data {
			if d != "none" && !strings.Contains(","+m.VFSOptions+",", ","+d+",") {
				t.Errorf("%s: %v, and the mount table has %s", h.Mountpoint, h.Data, m.VFSOptions)
			}
		}
		pid := fmt.Sprint(os.Getpid())
		procs, err := os.ReadFile(h.Mountpoint + h.Own + "/cgroup.procs")
		if err != nil || !strings.Contains("\n"+string(procs), "\n"+pid+"\n") {
			t.Errorf("%s: this process is not in %q (%v)", h.Mountpoint, h.Own, err)
		}
	}
}

// What is not needed is not read: with /proc and /sys gone, a configuration without cgroups is planned all the same, and
// one with a cgroup namespace does not ask where this process is.
var blind = nstest.Define("blind", func(kind string) (*plan.Facts, error) {
	for _, dir := range []string{"/proc", "/sys"} {
		if err := unix.Mount("none", dir, "tmpfs", 0, ""); err != nil {
			return nil, err
		}
	}
	return Read(wants(kind))
})

// mountedHierarchies is this process's cgroup(7) file without the hierarchies that nothing in the usual place shows: those that
// another test makes meanwhile.
func mountedHierarchies(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(host.self)
	if err != nil {
		t.Fatal(err)
	}
	var kept strings.Builder
	for line := range strings.Lines(string(text)) {
		names := strings.TrimPrefix(strings.Split(line, ":")[1], "name=")
		first, _, _ := strings.Cut(names, ",")
		if _, err := os.Stat(host.cgroup + "/" + first); err == nil {
			kept.WriteString(line)
		}
	}
	file := t.TempDir() + "/cgroup"
	if err := os.WriteFile(file, []byte(kept.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestReadsNoMoreThanNeeded(t *testing.T) {
	nstest.NeedRoot(t)
	f, err := blind.Run(t, nstest.Spec{Namespaces: nstest.Mount}, "tmpfs")
	if err != nil || !reflect.DeepEqual(f, &plan.Facts{}) {
		t.Errorf("%+v, %v", f, err)
	}
	_, err = blind.Run(t, nstest.Spec{Namespaces: nstest.Mount}, "cgroup")
	var e *errs.Error
	if !errors.As(err, &e) || e.Pointer != "/mounts/1" || e.Errno != unix.ENOENT || !strings.Contains(e.Args, "cgroup") {
		t.Errorf("with a cgroup: %v", err)
	}
	unread := host
	unread.mounts, unread.ns, unread.self = "/nowhere", "/nowhere", mountedHierarchies(t)
	if _, err := unread.read(needs{v1: true}); err != nil {
		t.Errorf("the mount table was read: %v", err)
	}
	if got := needsOf(wants("cgroup", "cgroup")); got.v1Own {
		t.Errorf("%+v", got)
	}
	if got := needsOf(wants("cgroup2")); got != (needs{v2Root: true}) {
		t.Errorf("%+v", got)
	}
}

// elsewhere is a host that has the memory hierarchy and cgroup2 at places of its own, and nothing at /sys/fs/cgroup.
var elsewhere = nstest.Define("elsewhere", func(kind string) (*plan.Facts, error) {
	before, err := nstest.Descriptors()
	if err != nil {
		return nil, err
	}
	if err := unix.Unmount("/sys/fs/cgroup", unix.MNT_DETACH); err != nil {
		return nil, err
	}
	for _, m := range []struct{ dir, kind, data string }{{"/tmp/a b", "cgroup", "memory"}, {"/tmp/two", "cgroup2", ""}} {
		if err := os.Mkdir(m.dir, 0o755); err != nil && !errors.Is(err, unix.EEXIST) {
			return nil, err
		}
		if err := unix.Mount("c", m.dir, m.kind, 0, m.data); err != nil {
			return nil, err
		}
	}
	f, err := Read(wants(kind))
	if err != nil {
		return nil, err
	}
	after, err := nstest.Descriptors()
	if err == nil && len(before) != len(after) {
		err = fmt.Errorf("descriptors were %v and are %v", before, after)
	}
	return f, err
})

func TestUnusualPlaces(t *testing.T) {
	needHybrid(t)
	f, err := elsewhere.Run(t, nstest.Spec{Namespaces: nstest.Mount}, "cgroup")
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Cgroup.V1) != 1 || f.Cgroup.V1[0].Mountpoint != "/tmp/a b" || f.Cgroup.V1[0].Name != "a b" ||
		!reflect.DeepEqual(f.Cgroup.V1[0].Data, []string{"memory"}) || f.Cgroup.V1[0].Own == "" {
		t.Errorf("v1: %+v", f.Cgroup)
	}
	f, err = elsewhere.Run(t, nstest.Spec{Namespaces: nstest.Mount}, "cgroup2")
	if err != nil || f.Cgroup.Mountpoint != "/tmp/two" || f.Cgroup.Unified {
		t.Errorf("cgroup2: %+v, %v", f, err)
	}
}

func needHybrid(t *testing.T) {
	t.Helper()
	nstest.NeedRoot(t)
	table, err := mountinfo.GetMounts(mountinfo.FSTypeFilter("cgroup"))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range table {
		if strings.Contains(","+m.VFSOptions+",", ",memory,") {
			return
		}
	}
	t.Skip("this host has no memory controller on cgroup v1")
}

// places where a process can stand on a host whose /sys/fs/cgroup is cgroup2.
type stand struct {
	Move  string // into this cgroup, before
	NS    bool   // a new cgroup namespace, and
	Then  string // into this cgroup, after
	Mount bool   // cgroup2 mounted anew, after
	Table bool   // by the mount table, without statmount(2)
	Part  bool   // only the cgroup Move is mounted, and
	Share bool   // the container shares the cgroup namespace
}

var standing = nstest.Define("standing", func(s stand) (*plan.Facts, error) {
	const at = "/sys/fs/cgroup"
	join := func(cgroup string) error {
		if cgroup == "" {
			return nil
		}
		return os.WriteFile(at+cgroup+"/cgroup.procs", []byte("0"), 0)
	}
	mount := func() error { return unix.Mount("c", at, "cgroup2", 0, "") }
	// The kernel mounts no file system on itself.
	if err := unix.Unmount(at, unix.MNT_DETACH); err != nil && err != unix.EINVAL {
		return nil, err
	}
	if err := mount(); err != nil {
		return nil, err
	}
	if err := join(s.Move); err != nil {
		return nil, err
	}
	if s.NS {
		if err := unix.Unshare(unix.CLONE_NEWCGROUP); err != nil {
			return nil, err
		}
	}
	if err := join(s.Then); err != nil {
		return nil, err
	}
	if s.Mount {
		if err := unix.Unmount(at, 0); err != nil {
			return nil, err
		}
		if err := mount(); err != nil {
			return nil, err
		}
	}
	if s.Part {
		if err := unix.Mount(at+s.Move, at, "", unix.MS_BIND, ""); err != nil {
			return nil, err
		}
	}
	if s.Table {
		if err := nstest.DenyHere(nstest.Deny(unix.ENOSYS, "statmount")); err != nil {
			return nil, err
		}
	}
	if s.Share {
		return Read(wants("cgroup"))
	}
	return Read(wants("cgroup", "cgroup"))
})

// cgroup2 makes two cgroups for a test, and removes them.
func cgroup2(t *testing.T) (a, b string) {
	t.Helper()
	nstest.NeedRoot(t)
	dir := t.TempDir()
	if err := unix.Mount("c", dir, "cgroup2", 0, ""); err != nil {
		t.Skipf("no cgroup2 here: %v", err)
	}
	a, b = fmt.Sprintf("/librootfs-%d", os.Getpid()), fmt.Sprintf("/librootfs-%d-b", os.Getpid())
	t.Cleanup(func() {
		for _, c := range []string{a + "/in", a, b} {
			if err := os.Remove(dir + c); err != nil {
				t.Error(err)
			}
		}
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	for _, c := range []string{a, b, a + "/in"} {
		if err := os.Mkdir(dir+c, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return a, b
}

// Where this process's cgroup is below the host's cgroup2 mount, from within and without a cgroup namespace. What
// cannot be told must not be guessed: the root of the mount would be the whole host.
func TestUnified(t *testing.T) {
	a, b := cgroup2(t)
	for _, c := range []struct {
		name string
		at   stand
		want string
	}{
		{"the host's namespace", stand{Move: a}, a},
		{"the host's namespace, deeper", stand{Move: a + "/in"}, a + "/in"},
		{"a namespace, and the host's mount", stand{Move: a, NS: true}, ""},
		{"a namespace, below its root, and the host's mount", stand{Move: a, NS: true, Then: a + "/in"}, ""},
		{"beside the namespace's root", stand{Move: a, NS: true, Then: b}, b},
		{"a namespace, and a mount of its own", stand{Move: a, NS: true, Mount: true}, "/"},
		{"below the namespace's root, and a mount of its own", stand{Move: a, NS: true, Then: a + "/in", Mount: true}, "/in"},
		{"beside the namespace's root, and a mount of its own", stand{Move: a, NS: true, Then: b, Mount: true}, ""},
	} {
		for _, c.at.Table = range []bool{false, true} {
			f, err := standing.Run(t, nstest.Spec{Namespaces: nstest.Mount}, c.at)
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
				continue
			}
			g := f.Cgroup
			if !g.Unified || g.Mountpoint != "/sys/fs/cgroup" || g.V1 != nil {
				t.Errorf("%s: %+v", c.name, g)
			}
			if g.Own != c.want {
				t.Errorf("%s (mount table: %v): %q, want %q", c.name, c.at.Table, g.Own, c.want)
			}
		}
	}
}

// A bind of the host's mount stands for a new mount only where both show the whole hierarchy.
func TestWhole(t *testing.T) {
	a, _ := cgroup2(t)
	for _, c := range []struct {
		name string
		at   stand
		want bool
	}{
		{"the host's namespace", stand{Move: a, Share: true}, true},
		{"the host's namespace, and a part is mounted", stand{Move: a, Part: true, Share: true}, false},
		{"a namespace, and the host's mount", stand{Move: a, NS: true, Share: true}, false},
		{"a namespace, and a mount of its own", stand{Move: a, NS: true, Mount: true, Share: true}, false},
		{"a namespace for the container", stand{Move: a}, false},
	} {
		for _, c.at.Table = range []bool{false, true} {
			f, err := standing.Run(t, nstest.Spec{Namespaces: nstest.Mount}, c.at)
			if err != nil || f.Cgroup.Whole != c.want {
				t.Errorf("%s (without statmount: %v): %+v, %v; want %v", c.name, c.at.Table, f, err, c.want)
			}
		}
	}
}

// An ordinary user in a user namespace reads the same.
var rootless = nstest.Define("rootless", func(kind string) (*plan.Facts, error) { return Read(wants(kind)) })

func TestInUserNamespace(t *testing.T) {
	nstest.NeedRoot(t)
	want, err := Read(wants("cgroup"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := rootless.Run(t, nstest.Spec{Namespaces: nstest.User | nstest.Mount}, "cgroup")
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
}

func BenchmarkRead(b *testing.B) {
	for _, kind := range []string{"tmpfs", "cgroup"} {
		b.Run(kind, func(b *testing.B) {
			c := wants(kind)
			for b.Loop() {
				if _, err := Read(c); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
