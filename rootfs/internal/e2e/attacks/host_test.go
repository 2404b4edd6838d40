package attacks

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/librootfs/librootfs/rootfs"
	"github.com/librootfs/librootfs/rootfs/internal/e2e"
	"github.com/librootfs/librootfs/rootfs/internal/nstest"
)

// What the host must not notice, and what the config itself may try.

// cgroupReadonly: in a user namespace without a cgroup namespace cgroup2 cannot be mounted, and what is bound or put in its
// place must be as read-only as was asked.
func inUserNamespace(c nstest.Config) {
	linux := c.Object("linux")
	linux["namespaces"] = append(linux["namespaces"].([]any), map[string]any{"type": "user"})
	ids := []any{map[string]any{"containerID": 0, "hostID": 100000, "size": 65536}}
	linux["uidMappings"], linux["gidMappings"] = ids, ids
}

func cgroupReadonly(t *testing.T, p path) {
	for _, source := range []string{"cgroup", "cgroup2"} {
		for _, options := range []string{"", `{"rootless":true}`, `{"rootless":true,"cgroup2Path":"/sys/fs/cgroup/unified/not/there"}`} {
			x := newTrap(t, p)
			nstest.GiveTo(t, x.rootfs, 100000)
			c := x.config().AddMount("/proc", "proc", "proc").
				AddMount("/sys", "sysfs", "sysfs", "nosuid", "noexec", "nodev", "ro").
				AddMount("/cg", source, "cgroup", "nosuid", "noexec", "nodev", "relatime", "ro")
			x.mkdir(x.rootfs + "/cg")
			inUserNamespace(c)
			what := source + " " + options
			r, err := x.runIn(nstest.Spec{Namespaces: nstest.Container | nstest.User}, c,
				e2e.Request{Options: []byte(options), Write: []string{"/cg"}, Look: []string{"/cg"}})
			if err != nil {
				t.Logf("%s: refused: %v", what, err)
				continue
			}
			below := 0
			for _, m := range r.Mounts {
				if m.Point != "/cg" && !strings.HasPrefix(m.Point, "/cg/") {
					continue
				}
				below++
				if !m.Has("ro") {
					t.Errorf("ATTACK WON: %s: writable: %+v", what, m)
				}
			}
			if below == 0 || r.Writes["/cg"] == "" {
				t.Errorf("ATTACK WON: %s: %d mounts at /cg, and a write says %q", what, below, r.Writes["/cg"])
			}
		}
	}
}

// nothingLeftOver: set-up fails late, in the middle and early; the rootfs keeps its owner and modes, the host its mounts.
func nothingLeftOver(t *testing.T, p path) {
	breaks := map[string]func(*trap, nstest.Config){
		"last mount": func(x *trap, c nstest.Config) {
			c.AddMount("/last", "bind", x.volume+"/not-there", "bind")
		},
		"unknown file system": func(x *trap, c nstest.Config) { c.AddMount("/last", "nofs", "nofs") },
		"bad data":            func(x *trap, c nstest.Config) { c.AddMount("/last", "tmpfs", "tmpfs", "size=nonsense") },
		"copy up of a file":   func(x *trap, c nstest.Config) { c.AddMount("/etc/file", "tmpfs", "tmpfs", "tmpcopyup") },
		"sysctl": func(x *trap, c nstest.Config) {
			c.Object("linux")["sysctl"] = map[string]any{"net.ipv4.not_there": "1"}
		},
		"hook": func(x *trap, c nstest.Config) {
			c.Object("hooks")["createContainer"] = []any{map[string]any{"path": "/bin/false"}}
		},
		"rootfs missing": func(x *trap, c nstest.Config) { c.Object("root")["path"] = x.rootfs + "-missing" },
		"rootfs a file":  func(x *trap, c nstest.Config) { c.Object("root")["path"] = x.outside + "/sentinel" },
	}
	for name, spoil := range breaks {
		x := newTrap(t, p)
		x.file(x.rootfs+"/etc/file", "")
		x.mkdir(x.rootfs + "/up")
		x.file(x.rootfs+"/up/f", "")
		c := withDev(x.config()).AddMount("/up", "tmpfs", "tmpfs", "tmpcopyup")
		spoil(x, c)
		before := modes(t, filepath.Dir(x.rootfs))
		_, err := x.runIn(nstest.Spec{Namespaces: nstest.Container, KeepPropagation: true}, c, e2e.Request{})
		if err == nil {
			t.Errorf("%s: set-up succeeded", name)
		}
		// A target that was missing may have been made; nothing that was there may be changed or be gone.
		after := modes(t, filepath.Dir(x.rootfs))
		for _, line := range before {
			if !slices.Contains(after, line) {
				t.Errorf("ATTACK WON: %s: changed or gone: %s", name, line)
			}
		}
	}
}

func modes(t *testing.T, dir string) []string {
	t.Helper()
	list, err := nstest.Tree(dir)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// hostileConfigs are refused before anything is done, with the field named.
func hostileConfigs(t *testing.T, p path) {
	x := newTrap(t, p)
	long := strings.Repeat("x", 1<<20)
	for name, spoil := range map[string]func(nstest.Config){
		"NUL in a destination":   func(c nstest.Config) { c.AddMount("/a\x00b", "tmpfs", "tmpfs") },
		"NUL in a source":        func(c nstest.Config) { c.AddMount("/a", "bind", "/a\x00b", "bind") },
		"NUL in an option":       func(c nstest.Config) { c.AddMount("/a", "tmpfs", "tmpfs", "mode=755\x00") },
		"NUL in a type":          func(c nstest.Config) { c.AddMount("/a", "tmpfs\x00", "tmpfs") },
		"NUL in the root":        func(c nstest.Config) { c.Object("root")["path"] = x.rootfs + "\x00" },
		"NUL in a masked path":   func(c nstest.Config) { c.Object("linux")["maskedPaths"] = []any{"/a\x00"} },
		"NUL in the cwd":         func(c nstest.Config) { c.Object("process")["cwd"] = "/a\x00" },
		"1 MB destination":       func(c nstest.Config) { c.AddMount("/"+long, "tmpfs", "tmpfs") },
		"1 MB option":            func(c nstest.Config) { c.AddMount("/a", "tmpfs", "tmpfs", "mode="+long) },
		"4 096 byte destination": func(c nstest.Config) { c.AddMount(strings.Repeat("/abc", 1024), "tmpfs", "tmpfs") },
		"relative destination":   func(c nstest.Config) { c.AddMount("a\x00", "tmpfs", "tmpfs") },
		"number past its range": func(c nstest.Config) {
			c.Object("linux")["devices"] = []any{map[string]any{"path": "/dev/x", "type": "c", "major": 1 << 40, "minor": 3}}
		},
		"sysctl with a way up": func(c nstest.Config) {
			c.Object("linux")["sysctl"] = map[string]any{"net/../../../etc/shadow": "x"}
		},
		"the host's own root": func(c nstest.Config) { c.Object("root")["path"] = "/" },
		"empty root":          func(c nstest.Config) { c.Object("root")["path"] = "" },
	} {
		c := x.config()
		spoil(c)
		r, err := x.run(c, e2e.Request{})
		var e *rootfs.Error
		if !errors.As(err, &e) {
			t.Errorf("%s: no error; %+v", name, r.Mounts)
			continue
		}
		if e.Code != 1 || e.Pointer == "" || (r.Stage != "parse" && name != "the host's own root") {
			t.Errorf("ATTACK WON: %s: refused by %s, not as an invalid field: %v (code %d)", name, r.Stage, err, e.Code)
		}
		if len(err.Error()) > 3071 {
			t.Errorf("%s: an error of %d bytes, more than the C struct holds", name, len(err.Error()))
		}
	}
	// "..", which stays inside.
	c := x.config().AddMount("/../../../../../../../.."+x.outside+"/dir", "tmpfs", "tmpfs")
	if r, err := x.run(c, e2e.Request{}); err == nil && r.At(x.outside+"/dir") == nil {
		t.Errorf("ATTACK WON: a destination with .. went to %+v", r.Mounts)
	}
	if _, err := os.Stat(x.outside + "/dir/sentinel"); err != nil {
		t.Errorf("ATTACK WON: %v", err)
	}
}
