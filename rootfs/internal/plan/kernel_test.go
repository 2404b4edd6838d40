package plan_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/moby/sys/mountinfo"

	"github.com/librootfs/librootfs/rootfs/internal/apply"
	"github.com/librootfs/librootfs/rootfs/internal/config"
	"github.com/librootfs/librootfs/rootfs/internal/facts"
	"github.com/librootfs/librootfs/rootfs/internal/nstest"
	"github.com/librootfs/librootfs/rootfs/internal/plan"
)

func TestMain(m *testing.M) { nstest.Main(m) }

type document struct{ Config, Options string }

// carryOut plans and prepares, and gives the mount table of the container from /sys/fs/cgroup on.
var carryOut = nstest.Define("carry out", func(d document) ([]string, error) {
	c, err := config.Parse([]byte(d.Config), []byte(d.Options))
	if err != nil {
		return nil, err
	}
	f, err := facts.Read(c)
	if err != nil {
		return nil, err
	}
	table, err := setUp(c, f)
	var found []string
	for _, m := range table {
		if strings.HasPrefix(m.Mountpoint, "/sys/fs/cgroup") {
			mode, _, _ := strings.Cut(m.Options, ",")
			found = append(found, strings.Join([]string{m.Mountpoint, m.FSType, m.Source, m.Root, mode}, " "))
		}
	}
	return found, err
})

// setUp does all steps, and gives the mount table that the container has then.
func setUp(c *config.Config, f *plan.Facts) ([]*mountinfo.Info, error) {
	p, err := plan.Build(c, f)
	if err != nil {
		return nil, err
	}
	x := apply.New(p, apply.Host{Rootfs: c.Root.Path})
	if err := x.Prepare(); err != nil {
		return nil, err
	}
	if err := x.Finalize(); err != nil {
		return nil, err
	}
	return nstest.Mounts()
}

// container is the default config with these namespaces more, and the same for the kernel.
func container(t *testing.T, more ...string) (nstest.Config, nstest.Namespaces) {
	t.Helper()
	root := nstest.Rootfs(t)
	c, made := nstest.DefaultConfig(root), nstest.Container
	list, _ := c.Object("linux")["namespaces"].([]any)
	for _, n := range more {
		list = append(list, map[string]any{"type": n})
		if n == "cgroup" {
			made |= nstest.Cgroup
			continue
		}
		made |= nstest.User
		nstest.GiveTo(t, root, 100000)
		maps := []any{map[string]any{"containerID": 0, "hostID": 100000, "size": 65536}}
		c.Object("linux")["uidMappings"], c.Object("linux")["gidMappings"] = maps, maps
	}
	c.Object("linux")["namespaces"] = list
	return c, made
}

// CVE-2023-25809 on the real kernel: a read-only cgroup2 mount is read-only however it comes about, and where the user
// namespace of the container does not own its cgroup namespace, so that the kernel refuses it, it is there all the same.
func TestCgroup2OnThisKernel(t *testing.T) {
	nstest.HostCgroup2(t)
	const own, bound, masked = "cgroup2 cgroup / ro", "cgroup2 host / ro", "tmpfs tmpfs / ro"
	for _, c := range []struct {
		namespaces []string
		options    string
		want       string
	}{
		{nil, "", bound},
		{[]string{"cgroup"}, "", own},
		{[]string{"user", "cgroup"}, "", own},
		{[]string{"user"}, "", bound},
		{[]string{"user"}, `{"rootless": true}`, bound},
		{[]string{"user"}, `{"cgroup2Path": "/sys/fs/cgroup/"}`, bound},
		{[]string{"user"}, `{"rootless": true, "cgroup2Path": "/nowhere"}`, masked},
	} {
		conf, made := container(t, c.namespaces...)
		got, err := carryOut.Run(t, nstest.Spec{Namespaces: made}, document{string(conf.JSON()), c.options})
		if err != nil || len(got) != 1 || got[0] != "/sys/fs/cgroup "+c.want {
			t.Errorf("%v, %s: %q, %v; want %s", c.namespaces, c.options, got, err, c.want)
		}
	}
	conf, made := container(t, "user")
	_, err := carryOut.Run(t, nstest.Spec{Namespaces: made}, document{string(conf.JSON()), `{"cgroup2Path": "/nowhere"}`})
	if err == nil || !strings.Contains(err.Error(), "/nowhere") || !strings.HasPrefix(err.Error(), "/mounts/6: ") {
		t.Errorf("a source that is missing, not rootless: %v", err)
	}
}

// Each v1 hierarchy of this host is there, read-only, in a tmpfs that is read-only too in the end.
func TestCgroup1OnThisKernel(t *testing.T) {
	nstest.NeedRoot(t)
	host, err := mountinfo.GetMounts(mountinfo.FSTypeFilter("cgroup"))
	if err != nil || len(host) == 0 {
		t.Skipf("no cgroup v1 here: %v", err)
	}
	for _, private := range []bool{false, true} {
		var more []string
		if private {
			more = []string{"cgroup"}
		}
		conf, made := container(t, more...)
		got, err := carryOut.Run(t, nstest.Spec{Namespaces: made}, document{string(conf.JSON()), ""})
		if err != nil || len(got) != len(host)+1 {
			t.Errorf("%d mounts for %d hierarchies: %q, %v", len(got), len(host), got, err)
			continue
		}
		if got[0] != "/sys/fs/cgroup tmpfs tmpfs / ro" {
			t.Errorf("tmpfs: %s", got[0])
		}
		for i, m := range host {
			f := strings.Fields(got[i+1])
			if f[0] != m.Mountpoint || f[1] != "cgroup" || f[4] != "ro" || private && f[3] != "/" {
				t.Errorf("%s: %s", m.Mountpoint, got[i+1])
			}
		}
	}
}

// A tmpfs that is covered later is read-only below what covers it; the mount on top is left as its options say.
func TestCoveredReadonlyOnThisKernel(t *testing.T) {
	nstest.NeedRoot(t)
	conf, made := container(t)
	conf.AddMount("/tmp", "tmpfs", "below", "ro").AddMount("/tmp", "tmpfs", "above").AddMount("/run", "tmpfs", "alone", "ro")
	text, err := json.Marshal(conf)
	if err != nil {
		t.Fatal(err)
	}
	got, err := stacked.Run(t, nstest.Spec{Namespaces: made}, string(text))
	want := map[string]string{"below": "ro", "above": "rw", "alone": "ro"}
	for source, mode := range want {
		if got[source] != mode {
			t.Errorf("%s is %q, want %s (%v)", source, got[source], mode, err)
		}
	}
}

// stacked gives "ro" or "rw" of each mount by its source.
var stacked = nstest.Define("stacked", func(text string) (map[string]string, error) {
	c, err := config.Parse([]byte(text), nil)
	if err != nil {
		return nil, err
	}
	table, err := setUp(c, &plan.Facts{})
	modes := map[string]string{}
	for _, m := range table {
		modes[m.Source], _, _ = strings.Cut(m.Options, ",")
	}
	return modes, err
})
