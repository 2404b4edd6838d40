package facts

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"github.com/librootfs/librootfs/rootfs/internal/config"
	"github.com/librootfs/librootfs/rootfs/internal/nstest"
	"github.com/librootfs/librootfs/rootfs/internal/plan"
)

// What is planned for the cgroup mount of `runc spec` is what runc mounts: the same hierarchies in the same order, of
// the same source, with the same attributes, of this process's cgroup. One difference is meant: runc 1.1 leaves
// the tmpfs writable although "ro" is asked for; here finalize makes it read-only.
func TestAgainstRunc(t *testing.T) {
	nstest.NeedRoot(t)
	runc, err := exec.LookPath("runc")
	if err != nil {
		t.Skip("runc is not installed")
	}
	for _, private := range []bool{false, true} {
		document := nstest.DefaultConfig(nstest.Rootfs(t))
		document.Object("process")["terminal"] = false
		document.Object("process")["args"] = []string{"cat", "/proc/self/mountinfo"}
		if private {
			namespaces, _ := document.Object("linux")["namespaces"].([]any)
			document.Object("linux")["namespaces"] = append(namespaces, map[string]any{"type": "cgroup"})
		}
		id := fmt.Sprintf("librootfs-%d-%v", os.Getpid(), private)
		theirs := runcMounts(t, runc, id, document.JSON())

		c, err := config.Parse(document.JSON(), nil)
		if err != nil {
			t.Fatal(err)
		}
		f, err := Read(c)
		if err != nil {
			t.Fatal(err)
		}
		if f.Cgroup.Unified {
			t.Skip("runc shows a unified hierarchy in one mount")
		}
		p, err := plan.Build(c, f)
		if err != nil {
			t.Fatal(err)
		}
		var ours []string
		for _, s := range p.Prepare {
			if m, ok := s.(*plan.Mount); ok && strings.HasPrefix(m.Path, "/sys/fs/cgroup") {
				ours = append(ours, describe(t, m))
			}
		}
		if got, want := strings.Join(ours, "\n"), strings.Join(theirs, "\n"); got != want {
			t.Errorf("cgroup namespace %v: planned\n%s\nrunc has\n%s", private, got, want)
		}
	}
}

// describe is "target type source root attributes" of the mount that a step will make.
func describe(t *testing.T, m *plan.Mount) string {
	kind, source, root := m.Type, m.Source, "/"
	if m.Type == "bind" {
		kind, source = "cgroup", "cgroup"
		table, err := mountinfo.GetMounts(func(i *mountinfo.Info) (bool, bool) {
			return i.FSType != "cgroup" || !strings.HasPrefix(m.Source+"/", i.Mountpoint+"/"), false
		})
		if err != nil || len(table) != 1 {
			t.Fatalf("%s: %v, %v", m.Source, table, err)
		}
		source = table[0].Source
		root = filepath.Join(table[0].Root, strings.TrimPrefix(m.Source, table[0].Mountpoint))
	}
	options := []string{"rw"}
	for _, a := range []struct {
		bit  uint64
		name string
	}{{unix.MOUNT_ATTR_NOSUID, "nosuid"}, {unix.MOUNT_ATTR_NODEV, "nodev"}, {unix.MOUNT_ATTR_NOEXEC, "noexec"}} {
		if m.Attr&a.bit != 0 {
			options = append(options, a.name)
		}
	}
	if m.Attr&unix.MOUNT_ATTR_RDONLY != 0 {
		options[0] = "ro"
	}
	return strings.Join([]string{m.Path, kind, source, root, strings.Join(options, ",") + ",relatime"}, " ")
}

// runcMounts is the same of the mounts that runc makes.
func runcMounts(t *testing.T, runc, id string, document []byte) (list []string) {
	t.Helper()
	bundle := t.TempDir()
	if err := os.WriteFile(filepath.Join(bundle, "config.json"), document, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(runc, "--root", filepath.Join(bundle, "state"), "run", "--bundle", bundle, id)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("runc: %v: %s", err, stderr.String())
	}
	table, err := mountinfo.GetMountsFromReader(bytes.NewReader(out), mountinfo.PrefixFilter("/sys/fs/cgroup"))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range table {
		// runc moves the process into a cgroup of the container's first, where the plan knows of the one it is in.
		root := filepath.Clean(strings.TrimSuffix(m.Root, id))
		list = append(list, strings.Join([]string{m.Mountpoint, m.FSType, m.Source, root, m.Options}, " "))
	}
	return list
}
