package attacks

import (
	"io"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// The races: which path is swapped with what, and what is set up meanwhile.

// raceVolume: the mount goes to a directory of a volume that the other container swaps with a symlink.
func raceVolume(t *testing.T, p path) {
	for _, to := range []string{"absolute", "dotdot", "root"} {
		x := newTrap(t, p).variants(3)
		x.mkdir(x.volume + "/a/dir")
		target := "/volume/a/dir"
		if to == "root" {
			x.link("/", x.volume+"/b")
			x.mkdir(x.volume + "/a" + x.outside + "/dir")
			target = "/volume/a" + x.outside + "/dir"
		} else {
			x.link(x.to(to, ""), x.volume+"/b")
		}
		c := x.withProc().AddMount("/volume", "bind", x.volume, "rbind").
			AddMount(target, "tmpfs", "tmpfs", "mode=700").
			AddMount(target, "bind", x.volume+"/a", "bind")
		x.race(race{}, c, swap{x.volume, "a", "b"})
	}
}

// raceMaking: the target does not exist, so that it is made below a directory that is swapped.
func raceMaking(t *testing.T, p path) {
	x := newTrap(t, p)
	x.mkdir(x.volume + "/a")
	x.file(x.volume+"/f", "")
	x.link(x.to("absolute", "/dir"), x.volume+"/b")
	c := x.withProc().AddMount("/volume", "bind", x.volume, "rbind").
		AddMount("/volume/a/new/deep", "tmpfs", "tmpfs").
		AddMount("/volume/a/newfile", "bind", x.volume+"/f", "bind")
	c.Object("process")["cwd"] = "/volume/a/cwd/deep"
	inRoot := x.rootfs + x.outside + "/dir" // where the link leads inside the root
	x.mkdir(inRoot)
	var remove []made
	for _, name := range []string{"new", "newfile", "cwd"} {
		remove = append(remove, made{Dir: x.volume + "/a", Name: name}, made{Dir: inRoot, Name: name})
	}
	x.race(race{Remove: remove}, c, swap{x.volume, "a", "b"})
}

// raceParent: two components are swapped, at two levels.
func raceParent(t *testing.T, p path) {
	x := newTrap(t, p)
	x.mkdir(x.volume + "/a/c/dir")
	x.link(x.to("dotdot", ""), x.volume+"/b")
	x.link(x.to("absolute", ""), x.volume+"/a/d")
	c := x.withProc().AddMount("/volume", "bind", x.volume, "rbind").
		AddMount("/volume/a/c/dir/made", "tmpfs", "tmpfs").
		AddMount("/volume/a/c/dir", "tmpfs", "tmpfs")
	x.race(race{Remove: []made{{Dir: x.volume + "/a/c/dir", Name: "made"}}}, c, swap{x.volume, "a", "b"},
		swap{x.volume + "/a", "c", "d"})
}

// raceFileTarget: the file that is mounted on is swapped with a symlink to a file of the host.
func raceFileTarget(t *testing.T, p path) {
	x := newTrap(t, p)
	x.file(x.volume+"/a", "")
	x.file(x.volume+"/f", "volume")
	x.link(x.to("absolute", "/sentinel"), x.volume+"/b")
	c := x.withProc().AddMount("/volume", "bind", x.volume, "rbind").
		AddMount("/volume/a", "bind", x.volume+"/f", "bind", "ro", "noexec")
	x.race(race{}, c, swap{x.volume, "a", "b"})
}

// raceSecondLook: the mount is asked to be read-only, and its target is swapped with a way to another mount of the same
// source. What makes a mount read-only after it was attached must not find the other one.
func raceSecondLook(t *testing.T, p path) {
	x := newTrap(t, p)
	x.mkdir(x.volume + "/a/target")
	x.file(x.volume+"/f", "")
	shared := x.volume + "-source"
	x.mkdir(shared)
	x.link("/trick", x.volume+"/b")
	x.mkdir(x.rootfs + "/trick")
	x.link("/first", x.rootfs+"/trick/target")
	c := x.withProc().AddMount("/first", "bind", shared, "bind").
		AddMount("/volume", "bind", x.volume, "bind").
		AddMount("/volume/a/target", "bind", shared, "bind", "ro", "nosuid")
	x.race(race{Check: "what is asked read-only is"}, c, swap{x.volume, "a", "b"})
}

// raceProc: the image's own /proc and /sys are swapped.
func raceProc(t *testing.T, p path) {
	x := newTrap(t, p)
	x.mkdir(x.rootfs + "/elsewhere")
	x.link("/elsewhere", x.rootfs+"/proc2")
	x.link(x.to("absolute", "/dir"), x.rootfs+"/sys2")
	x.race(race{Check: "procfs is reached"}, x.procConfig(), swap{x.rootfs, "proc", "proc2"}, swap{x.rootfs, "sys", "sys2"})
}

// raceNull: the image's device is swapped with a symlink to a host file while it is made, verified and used for masking.
func raceNull(t *testing.T, p path) {
	x := newTrap(t, p)
	x.node(x.rootfs+"/dev/null", unix.S_IFCHR|0o666, unix.Mkdev(1, 3))
	x.link(x.to("absolute", "/null"), x.rootfs+"/dev/trap")
	x.file(x.rootfs+"/secret", "secret")
	c := x.withProc()
	c.Object("linux")["maskedPaths"] = []any{"/secret"}
	x.race(race{Check: "the secret is masked"}, c, swap{x.rootfs + "/dev", "null", "trap"})
}

// raceConsole: everything that a terminal is opened through or bound to is swapped.
func raceConsole(t *testing.T, p path) {
	x := newTrap(t, p)
	x.mkdir(x.rootfs + "/dev/pts")
	x.file(x.rootfs+"/dev/console", "")
	x.node(x.rootfs+"/dev/null", unix.S_IFCHR|0o666, unix.Mkdev(1, 3))
	x.link(x.to("absolute", "/console"), x.rootfs+"/dev/console2")
	x.link(x.to("absolute", "/null"), x.rootfs+"/dev/null2")
	x.link(x.to("absolute", "/pts"), x.rootfs+"/dev/pts2")
	c := x.config().AddMount("/proc", "proc", "proc").
		AddMount("/dev/pts", "devpts", "devpts", "newinstance", "ptmxmode=0666", "mode=0620")
	x.race(race{Console: true, Check: "the console is a terminal"}, c, swap{x.rootfs + "/dev", "console", "console2"},
		swap{x.rootfs + "/dev", "null", "null2"}, swap{x.rootfs + "/dev", "pts", "pts2"})
}

// raceOpened: devices that the library opens are swapped with others after they were looked at. To open one has effects of its
// own (a tape rewinds, a modem hangs up), so that finding out afterwards is too late. What is opened for a descriptor that stands
// for the path alone (O_PATH) is no opening, and inotify(7) does not tell it.
func raceOpened(t *testing.T, p path) {
	x := newTrap(t, p)
	x.node(x.rootfs+"/dev/null", unix.S_IFCHR|0o666, unix.Mkdev(1, 3))
	x.mkdir(x.rootfs + "/dev/pts")
	x.file(x.rootfs+"/dev/console", "")
	traps := []string{x.rootfs + "/dev/null2", x.rootfs + "/dev/pts2/ptmx"}
	watch, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(watch)
	for _, trap := range traps {
		x.file(trap, "")
		if _, err := unix.InotifyAddWatch(watch, trap, unix.IN_OPEN); err != nil {
			t.Fatal(err)
		}
	}
	c := x.config().AddMount("/proc", "proc", "proc").
		AddMount("/dev/pts", "devpts", "devpts", "newinstance", "ptmxmode=0666", "mode=0620")
	x.race(race{Console: true}, c, swap{x.rootfs + "/dev", "null", "null2"}, swap{x.rootfs + "/dev", "pts", "pts2"})
	events := make([]byte, 1<<16)
	if n, err := unix.Read(watch, events); err != unix.EAGAIN {
		t.Errorf("ATTACK WON: what had not been looked at was opened (%d bytes of events, %v)", n, err)
	}
}

// raceSysctl: no procfs is mounted, and the image's own /proc/sys is swapped with symlinks.
func raceSysctl(t *testing.T, p path) {
	x := newTrap(t, p)
	x.mkdir(x.rootfs + "/proc/sys/net/ipv4")
	x.file(x.rootfs+forward, decoy)
	x.mkdir(x.rootfs + "/proc/trap/net/ipv4")
	x.link(x.to("absolute", "/sentinel"), x.rootfs+"/proc/trap/net/ipv4/ip_forward")
	c := x.config()
	c.Object("linux")["sysctl"] = map[string]any{"net.ipv4.ip_forward": "1"}
	file, err := os.Open(x.rootfs + forward)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	x.race(race{Check: "the sysctl is set"}, c, swap{x.rootfs + "/proc", "sys", "trap"})
	if text, err := io.ReadAll(file); err != nil || string(text) != decoy {
		t.Errorf("ATTACK WON: the decoy was written: %q, %v", text, err)
	}
}

// raceDev: the image's /dev, in which nodes and links are made and an old ptmx is replaced, is swapped.
func raceDev(t *testing.T, p path) {
	x := newTrap(t, p)
	x.link(x.to("absolute", "/dir"), x.rootfs+"/dev2")
	inRoot := x.rootfs + x.outside + "/dir" // where the link leads inside the root
	x.mkdir(inRoot)
	var remove []made
	for _, name := range []string{"ptmx", "fd", "null"} {
		remove = append(remove, made{Dir: x.rootfs + "/dev", Name: name}, made{Dir: inRoot, Name: name})
	}
	x.race(race{Remove: remove}, x.withProc(), swap{x.rootfs, "dev", "dev2"})
}

// raceProtected: the directories of a masked and of a read-only path are swapped with others, and with a link.
func raceProtected(t *testing.T, p path) {
	for _, kind := range []string{"directory", "link"} {
		x := newTrap(t, p).variants(2)
		x.file(x.volume+"/a/ro/mark-a", "")
		x.file(x.volume+"/a/mark-a", "")
		x.file(x.volume+"/a/secret", "secret")
		if kind == "link" {
			x.link(x.to("absolute", ""), x.volume+"/b")
		} else {
			x.file(x.volume+"/b/ro/mark-b", "")
			x.file(x.volume+"/b/mark-b", "")
			x.file(x.volume+"/b/secret", "other")
		}
		check := "protections are whole, " + kind
		c := x.withProc().AddMount("/volume", "bind", x.volume, "rbind")
		c.Object("linux")["readonlyPaths"] = []any{"/volume/a/ro"}
		c.Object("linux")["maskedPaths"] = []any{"/volume/a/secret"}
		x.race(race{Check: check}, c, swap{x.volume, "a", "b"})
	}
}

// raceCopyUp: a file and a directory are swapped with links to the host's while their directory is copied up.
func raceCopyUp(t *testing.T, p path) {
	x := newTrap(t, p)
	x.mkdir(x.rootfs + "/data/dir")
	x.file(x.rootfs+"/data/file", "image")
	x.link(x.to("absolute", "/sentinel"), x.rootfs+"/data/file2")
	x.link(x.to("absolute", "/dir"), x.rootfs+"/data/dir2")
	x.mkdir(x.rootfs + "/top/file")
	x.link(x.to("absolute", ""), x.rootfs+"/top2")
	c := x.withProc().AddMount("/data", "tmpfs", "tmpfs", "tmpcopyup").AddMount("/top", "tmpfs", "tmpfs", "tmpcopyup")
	x.race(race{Check: "nothing of the host is copied"}, c, swap{x.rootfs + "/data", "file", "file2"},
		swap{x.rootfs + "/data", "dir", "dir2"}, swap{x.rootfs, "top", "top2"})
}
