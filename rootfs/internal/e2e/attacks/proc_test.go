package attacks

import (
	"fmt"
	"os"
	"testing"

	"github.com/librootfs/librootfs/rootfs/internal/e2e"
	"github.com/librootfs/librootfs/rootfs/internal/nstest"
	"golang.org/x/sys/unix"
)

// Attacks on /proc: covered, replaced, or reached through a link, so that protections are written to somewhere else.

func mountsOverProc(t *testing.T, p path) {
	x := newTrap(t, p)
	x.mkdir(x.volume + "/work")
	x.mkdir(x.volume + "/upper")
	x.file(x.volume+"/f", "fake")
	overlay := "lowerdir=/proc,upperdir=" + x.volume + "/upper,workdir=" + x.volume + "/work"
	for name, c := range map[string]nstest.Config{
		"tmpfs on /proc":           x.config().AddMount("/proc", "proc", "proc").AddMount("/proc", "tmpfs", "tmpfs"),
		"tmpfs on /proc/sys":       x.config().AddMount("/proc", "proc", "proc").AddMount("/proc/sys", "tmpfs", "tmpfs"),
		"tmpfs on /proc first":     x.config().AddMount("/proc", "tmpfs", "tmpfs"),
		"overlay of /proc":         x.config().AddMount("/proc", "overlay", "/proc", overlay),
		"overlay named proc":       x.config().AddMount("/proc", "overlay", "proc", overlay),
		"empty source":             x.config().AddMount("/proc", "bind", "", "bind"),
		"sysfs on /proc":           x.config().AddMount("/proc", "sysfs", "sysfs"),
		"mqueue on /proc/self":     x.config().AddMount("/proc", "proc", "proc").AddMount("/proc/self/attr", "mqueue", "mqueue"),
		"bind on /proc/sys/kernel": x.config().AddMount("/proc", "proc", "proc").AddMount("/proc/sys/kernel", "bind", x.volume, "bind"),
		"bind on a file of /proc":  x.config().AddMount("/proc", "proc", "proc").AddMount("/proc/sysrq-trigger", "bind", x.volume+"/f", "bind"),
	} {
		r, err := x.run(c, e2e.Request{})
		x.refused(r, err, name)
	}
	// What must still be possible.
	c := x.config().AddMount("/proc", "proc", "proc").AddMount("/proc/cpuinfo", "bind", x.volume+"/f", "bind")
	if r, err := x.run(c, e2e.Request{Look: []string{"/proc/cpuinfo"}}); err != nil || r.Nodes["/proc/cpuinfo"].Text != "fake" {
		t.Errorf("a bind over /proc/cpuinfo: %v, %+v", err, r.Nodes)
	}
	if r, err := x.run(x.config().AddMount("/proc", "bind", "/proc", "rbind"), e2e.Request{}); err != nil {
		t.Errorf("a bind of the host's procfs on /proc: %v, %+v", err, r.Mounts)
	}
}

func volumesOverProc(t *testing.T, p path) {
	x := newTrap(t, p)
	x.mkdir(x.volume + "/self/attr")
	x.file(x.volume+"/self/attr/exec", "fake")
	for _, destination := range []string{"/proc", "/proc/", "//proc", "/dev/../proc", "/proc/.", "/alias", "/alias/sys", "/up/proc",
		"/proc/self/attr", "/proc/1", "/proc/sys", "/alias/cpuinfo/../sys"} {
		x.link("/proc", x.rootfs+"/alias")
		x.link("/", x.rootfs+"/up")
		for _, first := range []bool{false, true} {
			c := x.config()
			if first {
				c.AddMount("/proc", "proc", "proc")
			}
			c.AddMount(destination, "bind", x.volume, "rbind")
			r, err := x.run(c, e2e.Request{})
			x.refused(r, err, fmt.Sprintf("volume on %s, procfs mounted before: %v", destination, first))
		}
	}
}

func (x *trap) procConfig() nstest.Config {
	return x.config().AddMount("/proc", "proc", "proc").AddMount("/sys", "sysfs", "sysfs", "ro")
}

var lookProc = e2e.Request{Look: []string{"/proc", "/sys"}}

func linkAtProc(t *testing.T, p path) {
	for _, name := range []string{"proc", "sys"} {
		for _, to := range []string{"elsewhere", "/elsewhere", ".", "/", "dangling", "OUTSIDE"} {
			x := newTrap(t, p)
			if to == "OUTSIDE" {
				to = x.to("absolute", "/dir")
			}
			x.mkdir(x.rootfs + "/elsewhere")
			x.link(to, x.rootfs+"/"+name)
			r, err := x.run(x.procConfig(), lookProc)
			x.refused(r, err, "/"+name+" -> "+to)
		}
		// Neither is a file an ordinary directory.
		x := newTrap(t, p)
		if err := os.RemoveAll(x.rootfs + "/" + name); err != nil {
			t.Fatal(err)
		}
		x.file(x.rootfs+"/"+name, "")
		r, err := x.run(x.procConfig(), lookProc)
		x.refused(r, err, "/"+name+" is a file")
	}
}

func linkAtProcToVolume(t *testing.T, p path) {
	x := newTrap(t, p)
	x.mkdir(x.volume + "/fakeproc")
	x.link("/volume/fakeproc", x.rootfs+"/proc")
	c := x.config().AddMount("/volume", "bind", x.volume, "rbind").AddMount("/proc", "proc", "proc")
	r, err := x.run(c, lookProc)
	x.refused(r, err, "/proc -> /volume/fakeproc")
}

func linkAboveProc(t *testing.T, p path) {
	for _, way := range ways {
		x := newTrap(t, p)
		x.link(x.to(way, ""), x.rootfs+"/chroot")
		r, err := x.run(x.config().AddMount("/chroot/dir", "proc", "proc"), e2e.Request{})
		x.refused(r, err, "a link above a second procfs, "+way)
		r, err = x.run(x.config().AddMount("/chroot/dir", "sysfs", "sysfs"), e2e.Request{})
		x.refused(r, err, "a link above a second sysfs, "+way)
	}
}

func linkAtProcAndSys(t *testing.T, p path) {
	x := newTrap(t, p)
	x.mkdir(x.rootfs + "/a")
	x.link("a", x.rootfs+"/proc")
	x.link("a", x.rootfs+"/sys")
	r, err := x.run(x.procConfig(), lookProc)
	x.refused(r, err, "/proc and /sys are links to one directory")
}

const (
	forward = "/proc/sys/net/ipv4/ip_forward"
	decoy   = "decoy"
)

func init() {
	// Another container's mount has landed over what is about to be written.
	e2e.Betweens["cover a sysctl"] = func() error {
		if err := os.WriteFile("/fake", []byte(decoy), 0o644); err != nil {
			return err
		}
		return unix.Mount("/fake", forward, "", unix.MS_BIND, "")
	}
	e2e.Betweens["cover the sysctls"] = func() error {
		if err := unix.Mount("tmpfs", "/proc/sys/net", "tmpfs", 0, ""); err != nil {
			return err
		}
		if err := os.Mkdir("/proc/sys/net/ipv4", 0o755); err != nil {
			return err
		}
		return os.Symlink("/fake", forward)
	}
	e2e.Betweens["cover procfs"] = func() error {
		if err := unix.Mount("tmpfs", "/proc", "tmpfs", 0, ""); err != nil {
			return err
		}
		if err := os.MkdirAll("/proc/sys/net/ipv4", 0o755); err != nil {
			return err
		}
		return os.WriteFile(forward, []byte(decoy), 0o644)
	}
}

// fakeSysctl: the sysctl reaches the kernel, or set-up fails; it is never written to what lies in its place.
func fakeSysctl(t *testing.T, p path) {
	for _, between := range []string{"", "cover a sysctl", "cover the sysctls", "cover procfs"} {
		x := newTrap(t, p)
		x.file(x.rootfs+"/fake", decoy)
		c := x.procConfig()
		c.Object("linux")["sysctl"] = map[string]any{"net.ipv4.ip_forward": "1"}
		in := e2e.Request{Between: between, Look: []string{"/fake", forward}}
		x.sysctlHolds(between, c, in)
	}
}

// fakeProcFiles: no procfs is mounted, and the image has plain files or symlinks where its files would be.
func fakeProcFiles(t *testing.T, p path) {
	for _, kind := range []string{"file", "absolute", "dotdot", "magic"} {
		x := newTrap(t, p)
		x.mkdir(x.rootfs + "/proc/sys/net/ipv4")
		x.mkdir(x.rootfs + "/proc/self/attr")
		if kind == "file" {
			x.file(x.rootfs+forward, decoy)
		} else {
			x.link(x.to(kind, "/sentinel"), x.rootfs+forward)
		}
		c := x.config()
		c.Object("linux")["sysctl"] = map[string]any{"net.ipv4.ip_forward": "1"}
		x.sysctlHolds("image's own "+kind, c, e2e.Request{Look: []string{forward}})
	}
}

func (x *trap) sysctlHolds(what string, c nstest.Config, in e2e.Request) {
	x.t.Helper()
	in.HostRead = []string{"sys/net/ipv4/ip_forward"}
	r, err := x.run(c, in)
	for name, n := range r.Nodes {
		if n.Text != "" && n.Text != decoy && n.Magic != unix.PROC_SUPER_MAGIC {
			x.t.Errorf("ATTACK WON: %s: %s was written: %+v", what, name, n)
		}
	}
	if text, readErr := os.ReadFile(x.rootfs + "/fake"); readErr == nil && string(text) != decoy {
		x.t.Errorf("ATTACK WON: %s: the decoy was written: %q", what, text)
	}
	if err != nil {
		x.t.Logf("%s: refused: %v", what, err)
	} else if r.Host["sys/net/ipv4/ip_forward"] != "1\n" {
		x.t.Errorf("ATTACK WON: %s: set-up succeeded, but the kernel has %q", what, r.Host["sys/net/ipv4/ip_forward"])
	}
}
