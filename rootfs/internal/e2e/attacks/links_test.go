package attacks

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/librootfs/librootfs/rootfs/internal/e2e"
	"github.com/librootfs/librootfs/rootfs/internal/nstest"
	"golang.org/x/sys/unix"
)

// Links on the way to a target: the target must be resolved inside the root, or refused.

func linkAtMountTarget(t *testing.T, p path) {
	for _, way := range ways {
		for _, place := range []string{"/dir", "/made", "/made/more", "/sentinel", "/newfile"} {
			x := newTrap(t, p)
			x.link(x.to(way, place), x.rootfs+"/target")
			x.file(x.volume+"/f", "volume")
			x.file(x.volume+"/d/f", "volume")
			inside := x.outside + place
			if way == "magic" {
				inside = "/proc/self/root" + inside // no procfs is mounted, so these are plain directories of the image
			}
			c, look := x.config(), inside
			if place == "/sentinel" || place == "/newfile" {
				c.AddMount("/target", "bind", x.volume+"/f", "bind")
			} else {
				c.AddMount("/target", "bind", x.volume+"/d", "bind")
				look += "/f"
			}
			r, err := x.run(c.AddMount("/proc2", "proc", "proc"), e2e.Request{Look: []string{look}})
			x.intact()
			if err != nil {
				t.Logf("%s%s: refused: %v", way, place, err)
			} else if n := r.Nodes[look]; r.At(inside) == nil || n.Text != "volume" {
				t.Errorf("%s%s: not mounted inside: %+v, mounts: %+v", way, place, n, r.Mounts)
			}
		}
	}
}

func linkAtConsole(t *testing.T, p path) {
	for _, way := range ways {
		x := newTrap(t, p)
		x.link(x.to(way, "/console"), x.rootfs+"/dev/console")
		c := x.config().AddMount("/proc", "proc", "proc").
			AddMount("/dev/pts", "devpts", "devpts", "newinstance", "ptmxmode=0666", "mode=0620")
		r, err := x.run(c, e2e.Request{Console: true, Look: []string{"/dev/console"}})
		x.consoleHolds(way, r, err)
	}
}

// linkAtConsoleReadonly: /dev is a read-only bind, so that a console that cannot be made must be bound, over the link.
func linkAtConsoleReadonly(t *testing.T, p path) {
	for _, way := range ways {
		for _, target := range []string{"/console", "/made"} {
			x := newTrap(t, p)
			dev := x.volume + "/dev"
			x.mkdir(dev + "/pts")
			x.link(x.to(way, target), dev+"/console")
			x.node(dev+"/null", unix.S_IFCHR|0o666, unix.Mkdev(1, 3))
			c := x.withProc().AddMount("/dev", "bind", dev, "rbind", "ro").
				AddMount("/dev/pts", "devpts", "devpts", "newinstance", "ptmxmode=0666", "mode=0620")
			c.Object("root")["readonly"] = true
			r, err := x.run(c, e2e.Request{Console: true, Look: []string{"/dev/console"}})
			x.consoleHolds(way+target, r, err)
			if r.Stage != "console" && r.Stage != "done" {
				t.Errorf("%s%s: the console was not reached: %s: %v", way, target, r.Stage, err)
			}
		}
	}
}

// consoleHolds: where set-up succeeded, the console is a terminal of the container's own devpts.
func (x *trap) consoleHolds(way string, r e2e.Result, err error) {
	x.t.Helper()
	if err != nil {
		x.t.Logf("%s: refused: %v", way, err)
		return
	}
	n := r.Nodes["/dev/console"]
	if n.Mode&unix.S_IFMT == unix.S_IFLNK {
		return // left alone; a terminal bound at the link's target inside is as good
	}
	if n.Mode&unix.S_IFMT != unix.S_IFCHR || unix.Major(n.Rdev) != 136 || n.Magic != unix.DEVPTS_SUPER_MAGIC {
		x.t.Errorf("ATTACK WON: %s: /dev/console is %+v", way, n)
	}
}

func linkAtDev(t *testing.T, p path) { atDev(t, p, func(c nstest.Config) nstest.Config { return c }) }

func linkAtDevWithPts(t *testing.T, p path) {
	atDev(t, p, func(c nstest.Config) nstest.Config {
		return c.AddMount("/dev/pts", "devpts", "devpts", "newinstance", "ptmxmode=0666")
	})
}

// atDev: no mount at /dev, which is a symlink to a directory of the host. The check is that of every trap: nothing outside
// is deleted or made.
func atDev(t *testing.T, p path, with func(nstest.Config) nstest.Config) {
	for _, way := range ways {
		for _, place := range []string{"", "/pts"} { // with files that would be in the way there, and without
			x := newTrap(t, p)
			x.link(x.to(way, place), x.rootfs+"/dev")
			if _, err := x.run(with(x.withProc()), e2e.Request{}); err != nil {
				t.Logf("%s%s: refused: %v", way, place, err)
			}
		}
	}
}

func linkAboveTarget(t *testing.T, p path) {
	for _, way := range ways {
		for _, target := range []string{"/above/dir", "/above/made", "/above/made/more", "/above/sentinel", "/deep/er/link/below"} {
			x := newTrap(t, p)
			x.link(x.to(way, ""), x.rootfs+"/above")
			x.mkdir(x.rootfs + "/deep/er")
			x.link("../../above/dir", x.rootfs+"/deep/er/link")
			x.file(x.volume+"/f", "volume")
			c := x.withProc()
			if target == "/above/sentinel" {
				c.AddMount(target, "bind", x.volume+"/f", "bind")
			} else {
				c.AddMount(target, "tmpfs", "tmpfs")
			}
			if _, err := x.run(c, e2e.Request{}); err != nil {
				t.Logf("%s, %s: refused: %v", way, target, err)
			}
		}
	}
}

// relativeSource: a source relative to the bundle means what it means to the host, links and all; a target does not.
func relativeSource(t *testing.T, p path) {
	x := newTrap(t, p)
	bundle := filepath.Dir(x.rootfs)
	x.file(x.volume+"/f", "volume")
	x.link("volume", bundle+"/link")
	x.link(x.outside, x.rootfs+"/volume")
	c := x.config().AddMount("/volume/dir", "bind", "link", "rbind")
	r, err := x.run(c, e2e.Request{Options: []byte(`{"bundle":"` + bundle + `"}`), Look: []string{x.outside + "/dir/f"}})
	if err != nil {
		t.Fatalf("a relative source below the bundle is refused: %v", err)
	}
	if n := r.Nodes[x.outside+"/dir/f"]; n.Text != "volume" {
		t.Errorf("the bind shows %+v; mounts %+v", n, r.Mounts)
	}
}

// copiedLinks: what the library reads or copies from the image is never followed out of it.
func copiedLinks(t *testing.T, p path) {
	for _, way := range ways {
		x := newTrap(t, p)
		x.mkdir(x.rootfs + "/data/sub")
		x.link(x.to(way, "/sentinel"), x.rootfs+"/data/secret")
		x.link(x.to(way, "/dir"), x.rootfs+"/data/dir")
		x.file(x.rootfs+"/data/sub/plain", "plain")
		x.link(x.to(way, "/dir"), x.rootfs+"/hostdir")
		c := x.config().
			AddMount("/data", "tmpfs", "tmpfs", "tmpcopyup").
			AddMount("/hostdir", "tmpfs", "tmpfs", "tmpcopyup")
		r, err := x.run(c, e2e.Request{Look: []string{"/data/secret", "/data/dir", "/data/sub/plain", x.outside + "/dir/sentinel"}})
		if err != nil {
			t.Logf("%s: refused: %v", way, err)
			continue
		}
		for name, want := range map[string]string{"/data/secret": "/sentinel", "/data/dir": "/dir"} {
			if n := r.Nodes[name]; n.Link != x.to(way, want) {
				t.Errorf("ATTACK WON: %s: %s was copied as %+v", way, name, n)
			}
		}
		if n := r.Nodes["/data/sub/plain"]; n.Text != "plain" {
			t.Errorf("%s: an ordinary file was not copied: %+v", way, n)
		}
		if n := r.Nodes[x.outside+"/dir/sentinel"]; n.Text == "host" {
			t.Errorf("ATTACK WON: %s: a host file was copied into the container", way)
		}
	}
}

// leakedDescriptorCwd: descriptor 5 is a directory of the host, open without O_CLOEXEC in the init child.
func leakedDescriptorCwd(t *testing.T, p path) {
	x := newTrap(t, p)
	dir, err := os.Open(x.outside)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	x.link("/proc/self/fd/5", x.rootfs+"/link")
	for _, cwd := range []string{"/proc/self/fd/5", "/proc/self/fd/5/made", "/proc/self/fd/5/../made", "/link/made", "/link",
		"/proc/thread-self/fd/5/made", "/proc/1/fd/5/made", "/proc/self/cwd/../../../made"} {
		c := x.config().AddMount("/proc", "proc", "proc")
		c.Object("process")["cwd"] = cwd
		r, err := x.runIn(nstest.Spec{Namespaces: nstest.Container, Files: []*os.File{dir}}, c, e2e.Request{})
		if err != nil {
			t.Logf("%s: refused: %v", cwd, err)
		} else if !strings.HasPrefix(r.Cwd, "/") {
			t.Errorf("ATTACK WON: cwd %s led to %s", cwd, r.Cwd)
		}
		x.intact()
	}
}
