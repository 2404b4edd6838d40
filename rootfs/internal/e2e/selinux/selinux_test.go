// Package selinux has the tests that need a kernel with SELinux enabled: tests/kernels/run boots one in qemu, with a policy
// of two types. Elsewhere they are skipped.
package selinux

import (
	"os"
	"strings"
	"testing"

	"github.com/librootfs/librootfs/rootfs/internal/e2e"
	"github.com/librootfs/librootfs/rootfs/internal/nstest"
	"github.com/opencontainers/selinux/go-selinux"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { nstest.Main(m) }

const mountLabel = "system_u:object_r:container_file_t:s0:c1,c2"

// labels sets a container up and reads the labels of paths inside, without following links.
var labels = nstest.Define("selinux.labels", func(in e2e.Request) (map[string]string, error) {
	if _, err := e2e.SetUp(in); err != nil {
		return nil, err
	}
	return labelsOf(in.Look...), nil
})

func labelsOf(paths ...string) map[string]string {
	found := map[string]string{}
	for _, path := range paths {
		buf := make([]byte, 256)
		n, err := unix.Lgetxattr(path, "security.selinux", buf)
		if err != nil {
			found[path] = err.Error()
			continue
		}
		found[path] = strings.TrimSuffix(string(buf[:n]), "\x00")
	}
	return found
}

func needSELinux(t *testing.T) {
	t.Helper()
	nstest.NeedRoot(t)
	if !selinux.GetEnabled() {
		t.Skip("needs a kernel with SELinux enabled")
	}
	nstest.HostUnchanged(t)
}

func config(root string) nstest.Config {
	c := nstest.BareConfig(root)
	c.Object("linux")["mountLabel"] = mountLabel
	return c.AddMount("/proc", "proc", "proc")
}

func run(t *testing.T, c nstest.Config, deny []nstest.Denial, look ...string) map[string]string {
	t.Helper()
	got, err := labels.Run(t, nstest.Spec{Namespaces: nstest.Container, Deny: deny}, e2e.Request{Config: c.JSON(), Look: look})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// The file systems that take a label get it with all that is in them; those that keep labels of their own do not; the masks
// get it too.
func TestMountLabel(t *testing.T) {
	needSELinux(t)
	for name, deny := range map[string][]nstest.Denial{"new-api": nil, "fall-back": {nstest.Deny(unix.ENOSYS)}} {
		t.Run(name, func(t *testing.T) {
			root := nstest.Rootfs(t)
			if err := os.MkdirAll(root+"/secrets/sub", 0o755); err != nil {
				t.Fatal(err)
			}
			c := config(root).AddMount("/tmp", "tmpfs", "tmpfs", "mode=1777").
				AddMount("/dev", "tmpfs", "tmpfs", "mode=755").
				AddMount("/dev/mqueue", "mqueue", "mqueue").
				AddMount("/dev/pts", "devpts", "devpts", "newinstance", "ptmxmode=0666")
			c.Object("linux")["maskedPaths"] = []any{"/secrets"}
			got := run(t, c, deny, "/tmp", "/dev", "/dev/null", "/dev/mqueue", "/dev/pts", "/dev/pts/ptmx", "/secrets")
			for path, label := range got {
				if label != mountLabel {
					t.Errorf("%s has %q", path, label)
				}
			}
		})
	}
}

// z and Z give the source of a bind the container's label, all of it, and follow no link out of it.
func TestRelabel(t *testing.T) {
	needSELinux(t)
	for option, want := range map[string]string{"Z": mountLabel, "z": "system_u:object_r:container_file_t:s0", "": ""} {
		root := nstest.Rootfs(t)
		source, other := t.TempDir(), t.TempDir()
		if err := os.MkdirAll(source+"/sub", 0o755); err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{source + "/sub/file", other + "/file"} {
			if err := os.WriteFile(path, nil, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Symlink(other+"/file", source+"/link"); err != nil {
			t.Fatal(err)
		}
		before := labelsOf(other+"/file", source)
		options := []string{"bind"}
		if option != "" {
			options = append(options, option)
		}
		got := run(t, config(root).AddMount("/x", "bind", source, options...), nil, "/x", "/x/sub", "/x/sub/file")
		for path, label := range got {
			if want == "" {
				want = before[source]
			}
			if label != want {
				t.Errorf("%q: %s has %q, want %q", option, path, label, want)
			}
		}
		if after := labelsOf(other + "/file"); after[other+"/file"] != before[other+"/file"] {
			t.Errorf("%q: the link was followed: %v, before %v", option, after, before)
		}
	}
}
