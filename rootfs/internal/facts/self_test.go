package facts

import (
	"os"
	"reflect"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/librootfs/librootfs/rootfs/internal/plan"
)

func TestParseSelf(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       membership
	}{
		{"unified", "0::/user.slice/a:b\n", membership{unified: "/user.slice/a:b"}},
		{"hybrid", "12:memory:/x\n3:cpu,cpuacct:/\n1:name=systemd:/y\n0::/z\n", membership{"/z", []line{
			{[]string{"name=systemd"}, "/y"}, {[]string{"cpu", "cpuacct"}, "/"}, {[]string{"memory"}, "/x"}}}},
		{"v1 alone", "2:memory:/x", membership{"", []line{{[]string{"memory"}, "/x"}}}},
		{"outside of the namespace", "0::/../../b\n", membership{unified: "/../../b"}},
		{"nothing", "", membership{}},
		{"odd", "\n0\n1:x\n4::/y\n", membership{}},
	} {
		if got := parseSelf(c.text); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
}

func TestNamed(t *testing.T) {
	for _, c := range []struct {
		controllers []string
		dir         string
		want        bool
	}{
		{[]string{"cpu", "cpuacct"}, "cpu,cpuacct", true},
		{[]string{"cpu", "cpuacct"}, "cpuacct,cpu", true},
		{[]string{"cpu", "cpuacct"}, "cpu", false},
		{[]string{"cpu"}, "cpu,cpuacct", false},
		{[]string{"cpu", "cpuacct"}, "cpu,cpu", false},
		{[]string{"name=systemd"}, "systemd", true},
		{[]string{"name=systemd"}, "name=systemd", false},
		{[]string{"memory"}, "unified", false},
	} {
		if got := (&line{controllers: c.controllers}).named(c.dir); got != c.want {
			t.Errorf("%v at %s: %v", c.controllers, c.dir, got)
		}
	}
}

func TestData(t *testing.T) {
	for _, c := range []struct{ controllers, want []string }{
		{[]string{"cpu", "cpuacct"}, []string{"cpu", "cpuacct"}},
		{[]string{"name=systemd"}, []string{"none", "name=systemd"}},
		{[]string{"freezer", "name=x"}, []string{"freezer", "name=x"}},
	} {
		if got := (&line{controllers: c.controllers}).data(); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%v: %v", c.controllers, got)
		}
	}
}

func TestBeneath(t *testing.T) {
	for _, c := range []struct{ root, path, want string }{
		{"/", "/", "/"},
		{"/", "/a/b", "/a/b"},
		{"/a", "/a", "/"},
		{"/a", "/a/b", "/b"},
		{"/a", "/ab", ""},
		{"/a", "/", ""},
		{"/..", "/", ""},        // the host's mount, from within a namespace: which of its directories is ours?
		{"/..", "/../b", "/b"},  // a cgroup beside the namespace's root
		{"/../..", "/../b", ""}, // the same, from a mount of the directory above
		{"/", "/../b", ""},      // the same, from a mount that begins at the namespace's root
		{"/", "/../../etc", ""}, // never a way out of the mount
		{"/../x", "/../x/y", "/y"},
		{"/", "//a/./b/", "/a/b"},
	} {
		if got := beneath(c.root, c.path); got != c.want {
			t.Errorf("%s from %s: %q, want %q", c.path, c.root, got, c.want)
		}
	}
}

// Controllers that share a hierarchy are found in either order. A directory that is no cgroup file system is not taken
// for one, whatever its name.
func TestDirectoryInOtherOrder(t *testing.T) {
	if magic, err := magicOf("/sys/fs/cgroup/cpu"); err != nil || magic != unix.CGROUP_SUPER_MAGIC {
		t.Skip("this host has no cpu controller on cgroup v1")
	}
	dir := t.TempDir()
	p := host
	p.cgroup, p.self, p.mounts = dir, dir+"/self", dir+"/mountinfo"
	for name, text := range map[string]string{"self": "2:cpu,cpuacct:/x\n1:memory:/y\n", "mountinfo": ""} {
		if err := os.WriteFile(dir+"/"+name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("/sys/fs/cgroup/cpu", dir+"/cpuacct,cpu"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(dir+"/memory", 0o755); err != nil {
		t.Fatal(err)
	}
	g, err := p.read(needs{v1: true})
	want := []plan.Hierarchy{{Name: "cpuacct,cpu", Data: []string{"cpu", "cpuacct"}, Mountpoint: dir + "/cpuacct,cpu", Own: "/x"}}
	if err != nil || !reflect.DeepEqual(g.V1, want) {
		t.Errorf("%+v, %v", g, err)
	}
}
