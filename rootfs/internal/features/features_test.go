package features

import (
	"encoding/json"
	"os"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/librootfs/librootfs/rootfs/internal/config"
	"github.com/librootfs/librootfs/rootfs/internal/linux"
	"github.com/librootfs/librootfs/rootfs/internal/nstest"
	"github.com/librootfs/librootfs/rootfs/internal/option"
)

func TestMain(m *testing.M) { nstest.Main(m) }

// features has the members of the specification (features.md, features-linux.md) that are written, and no other.
type features struct {
	OCIVersionMin string   `json:"ociVersionMin"`
	OCIVersionMax string   `json:"ociVersionMax"`
	Hooks         []string `json:"hooks"`
	MountOptions  []string `json:"mountOptions"`
	Linux         struct {
		Namespaces      []string `json:"namespaces"`
		SELinux         enabled  `json:"selinux"`
		MountExtensions struct {
			IDMap enabled `json:"idmap"`
		} `json:"mountExtensions"`
	} `json:"linux"`
	Annotations map[string]string `json:"annotations"`
}

type enabled struct {
	Enabled *bool `json:"enabled"`
}

func parse(t *testing.T, text []byte) (f features) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(string(text)))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return f
}

// The document promises what the parser keeps: the versions, namespaces and options that it lists are taken.
func TestDocument(t *testing.T) {
	f := parse(t, JSON("1.2.3"))
	if f.Annotations["org.librootfs.version"] != "1.2.3" {
		t.Errorf("annotations: %v", f.Annotations)
	}
	for _, e := range []enabled{f.Linux.SELinux, f.Linux.MountExtensions.IDMap} {
		if e.Enabled == nil || !*e.Enabled {
			t.Errorf("linux: %+v", f.Linux)
		}
	}
	if !reflect.DeepEqual(f.Hooks, []string{"createContainer"}) {
		t.Errorf("hooks: %v", f.Hooks)
	}
	if !slices.IsSorted(f.MountOptions) || len(f.MountOptions) != len(option.Table()) {
		t.Errorf("mount options: %v", f.MountOptions)
	}
	var namespaces []map[string]string
	for _, n := range f.Linux.Namespaces {
		namespaces = append(namespaces, map[string]string{"type": n})
	}
	for _, version := range []string{f.OCIVersionMin, f.OCIVersionMax} {
		text, err := json.Marshal(map[string]any{"ociVersion": version, "root": map[string]any{"path": "/r"},
			"linux": map[string]any{"namespaces": namespaces}})
		if err != nil {
			t.Fatal(err)
		}
		c, err := config.Parse(text, nil)
		if err != nil || len(c.Namespaces) != len(namespaces) {
			t.Errorf("%s: %v", text, err)
		}
	}
	for _, o := range f.MountOptions {
		if s, err := option.Parse([]string{o}); err != nil || len(s.Data) > 0 {
			t.Errorf("option %s is not recognised: %+v, %v", o, s, err)
		}
	}
}

var probe = nstest.Define("probe", func(denied []nstest.Denial) (map[string]string, error) {
	for _, d := range denied {
		if err := nstest.DenyHere(d); err != nil {
			return nil, err
		}
	}
	var f features
	err := json.Unmarshal(JSON("x"), &f)
	return f.Annotations, err
})

// What is missing, and what is refused, is told apart for each call alone.
func TestKernelCalls(t *testing.T) {
	nstest.NeedRoot(t)
	if os.Getenv("ROOTFS_TEST_DENY") != "" {
		t.Skip("calls are denied to the whole run; here they are denied one by one")
	}
	run := func(denied ...nstest.Denial) map[string]string {
		t.Helper()
		a, err := probe.Run(t, nstest.Spec{Namespaces: nstest.Mount}, denied)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	all := run()
	for _, c := range linux.Calls {
		name := "org.librootfs.kernel." + c.Name
		if all[name] == "refused" || all[name] == "" {
			t.Errorf("%s is %q for root", name, all[name])
		}
	}
	for errno, want := range map[syscall.Errno]string{unix.ENOSYS: "missing", unix.EPERM: "refused"} {
		for _, call := range []string{"openat2", "fsopen", "move_mount", "mount_setattr", "statmount"} {
			got := run(nstest.Deny(errno, call))
			name := "org.librootfs.kernel." + call
			if got[name] != want {
				t.Errorf("%s without it: %s", name, got[name])
			}
			got[name] = all[name]
			if !reflect.DeepEqual(got, all) {
				t.Errorf("without %s others changed: %v", call, got)
			}
		}
	}
}

// Asking changes nothing.
func TestProbesHaveNoEffect(t *testing.T) {
	nstest.NeedRoot(t)
	nstest.HostUnchanged(t)
	before, err := nstest.Descriptors()
	if err != nil {
		t.Fatal(err)
	}
	first := JSON("x")
	for range 50 {
		if string(JSON("x")) != string(first) {
			t.Fatal("two documents differ")
		}
	}
	after, err := nstest.Descriptors()
	if err != nil || !reflect.DeepEqual(before, after) {
		t.Errorf("descriptors were %v and are %v (%v)", before, after, err)
	}
}
