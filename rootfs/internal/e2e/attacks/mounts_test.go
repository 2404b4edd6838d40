package attacks

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/librootfs/librootfs/rootfs/internal/e2e"
	"github.com/librootfs/librootfs/rootfs/internal/nstest"
	"golang.org/x/sys/unix"
)

// Attacks on what a mount is: its source, its flags, where it propagates to.

var descriptorThen = nstest.Define("attacks.descriptor", func(in e2e.Request) (e2e.Result, error) {
	fd, err := unix.Open(in.Between, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return e2e.Result{}, err
	}
	in.Sources, in.Between = map[int]int{1: fd}, ""
	return e2e.SetUp(in)
})

func descriptorThenPath(t *testing.T, p path) {
	x := newTrap(t, p)
	x.mkdir(x.volume + "/one")
	x.mkdir(x.volume + "/two")
	x.file(x.volume+"/one/which", "one")
	x.file(x.volume+"/two/which", "two")
	c := x.withProc().
		AddMount("/one", "bind", "/not/reachable/for/the/child", "bind").
		AddMount("/two", "bind", x.volume+"/two", "bind").
		AddMount("/three", "tmpfs", "tmpfs")
	in := e2e.Request{Config: c.JSON(), Between: x.volume + "/one", Look: []string{"/one/which", "/two/which", "/three/which"}}
	r, err := descriptorThen.Run(t, nstest.Spec{Namespaces: nstest.Container, Deny: p.deny}, in)
	x.always(r, err)
	if err != nil {
		t.Fatal(err)
	}
	if a, b, c := r.Nodes["/one/which"], r.Nodes["/two/which"], r.Nodes["/three/which"]; a.Text != "one" || b.Text != "two" || !c.Missing {
		t.Errorf("ATTACK WON: the mounts show %+v", r.Nodes)
	}
}

func everyFlagStays(t *testing.T, p path) {
	asked := []string{"ro", "nosuid", "nodev", "noexec", "noatime", "nodiratime", "nosymfollow"}
	for n := range asked {
		for _, options := range [][]string{asked[n : n+1], asked[:n+1], append([]string{"ro"}, asked[n])} {
			x := newTrap(t, p)
			c := x.config().
				AddMount("/tmp", "tmpfs", "tmpfs", options...).
				AddMount("/bound", "bind", x.volume, append([]string{"rbind"}, options...)...).
				AddMount("/dev", "tmpfs", "tmpfs", options...).
				AddMount("/proc", "proc", "proc", options...).
				AddMount("/mq", "mqueue", "mqueue", options...)
			points := []string{"/tmp", "/bound", "/dev", "/proc", "/mq"}
			if !p.old() { // copying up needs the mount API
				x.mkdir(x.rootfs + "/copied")
				c.AddMount("/copied", "tmpfs", "tmpfs", append([]string{"tmpcopyup"}, options...)...)
				points = append(points, "/copied")
			}
			c.Object("linux")["readonlyPaths"] = []any{"/bound"}
			c.Object("root")["readonly"] = true
			r, err := x.run(c, e2e.Request{})
			if err != nil {
				if slices.Contains(options, "nosymfollow") || slices.Contains(options, "nodev") {
					t.Logf("%v: refused: %v", options, err)
					continue
				}
				t.Errorf("%v: %v", options, err)
				continue
			}
			for _, point := range points {
				for _, option := range options {
					if m := r.At(point); !m.Has(option) {
						t.Errorf("ATTACK WON: %v: %s has lost %s: %+v", options, point, option, m)
					}
				}
			}
			if m := r.At("/"); !m.Has("ro") {
				t.Errorf("ATTACK WON: %v: the root is writable: %+v", options, m)
			}
		}
	}
}

// moveMountFails: the call that attaches a mount fails as it does on a symlink, and a name that meant one thing before means
// another now. Nothing may be attached by a second look-up.
func moveMountFails(t *testing.T, p path) {
	for _, errno := range []unix.Errno{unix.ELOOP, unix.EINVAL, unix.ENOENT, unix.EBUSY} {
		x := newTrap(t, p)
		x.link(x.to("absolute", "/dir"), x.rootfs+"/target")
		c := x.config().AddMount("/target", "bind", x.volume, "rbind").AddMount("/proc", "proc", "proc")
		s := nstest.Spec{Namespaces: nstest.Container, Deny: []nstest.Denial{nstest.Deny(errno, "move_mount")}}
		r, err := x.runIn(s, c, e2e.Request{})
		if p.old() || nstest.Denied(t, "move_mount") {
			continue // ENOSYS goes before: move_mount is not there to fail, and set-up does without
		}
		x.refused(r, err, "move_mount fails with "+errno.Error())
		if err != nil && !strings.Contains(err.Error(), "move_mount") {
			t.Errorf("the error does not name the call: %v", err)
		}
	}
}

func noDescriptorLeft(t *testing.T, p path) {
	x := newTrap(t, p)
	x.file(x.rootfs+"/secret", "")
	x.file(x.volume+"/f", "")
	c := withDev(x.config()).AddMount("/sys", "sysfs", "sysfs", "ro").AddMount("/v", "bind", x.volume, "rbind", "ro")
	if !p.old() {
		c.AddMount("/up", "tmpfs", "tmpfs", "tmpcopyup")
	}
	c.Object("linux")["maskedPaths"] = []any{"/secret", "/proc/kcore", "/sys/firmware"}
	c.Object("linux")["readonlyPaths"] = []any{"/proc/sys", "/v"}
	c.Object("linux")["sysctl"] = map[string]any{"net.ipv4.ip_forward": "1"}
	c.Object("root")["readonly"] = true
	if r, err := x.run(c, e2e.Request{Console: true}); err != nil { // always looks at the descriptors
		t.Errorf("%v; %+v", err, r)
	}
}

// nothingPropagates: "/" is shared, as systemd makes it, for every value of rootfsPropagation; nstest.HostUnchanged of
// each test would see a mount that comes back.
func nothingPropagates(t *testing.T, p path) {
	for _, value := range []string{"", "private", "rprivate", "slave", "rslave", "unbindable", "runbindable"} {
		x := newTrap(t, p)
		c := withDev(x.config()).AddMount("/v", "bind", x.volume, "rbind")
		c.Object("linux")["rootfsPropagation"] = value
		if value == "" {
			delete(c.Object("linux"), "rootfsPropagation")
		}
		before := hostTable(t)
		_, err := x.runIn(nstest.Spec{Namespaces: nstest.Container, KeepPropagation: true}, c, e2e.Request{})
		if err != nil {
			t.Errorf("rootfsPropagation %q: %v", value, err)
		}
		if after := hostTable(t); before != after {
			t.Errorf("ATTACK WON: rootfsPropagation %q: the host's mount table changed to\n%s", value, after)
		}
	}
}

func hostTable(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// manyMountsPropagation: what decides about propagation may not be read from a table that changes under the reader.
func manyMountsPropagation(t *testing.T, p path) {
	x := newTrap(t, p)
	many := filepath.Join(filepath.Dir(x.rootfs), "many")
	x.mkdir(many)
	mount := func(source, target, kind string, flags uintptr) {
		if err := unix.Mount(source, target, kind, flags, ""); err != nil {
			t.Fatal(err)
		}
	}
	mount("tmpfs", many, "tmpfs", 0)
	t.Cleanup(func() { unix.Unmount(many, unix.MNT_DETACH) })
	count := 5000
	if rounds(t) < 10 { // a run of everything in many variants, tests/kernels/denied
		count = 500
	}
	for i := range count {
		dir := fmt.Sprintf("%s/%d", many, i)
		x.mkdir(dir)
		mount(x.volume, dir, "", unix.MS_BIND)
	}
	// The parent mount of the rootfs is a shared mount of its own.
	mount(x.rootfs, x.rootfs, "", unix.MS_BIND)
	t.Cleanup(func() { unix.Unmount(x.rootfs, unix.MNT_DETACH) })
	churn := many + "/churn"
	x.mkdir(churn)
	var stop atomic.Bool
	done := make(chan int)
	go func() {
		runtime.LockOSThread()
		n := 0
		for ; !stop.Load(); n++ {
			if unix.Mount("tmpfs", churn, "tmpfs", 0, "") != nil || unix.Unmount(churn, unix.MNT_DETACH) != nil {
				break
			}
		}
		done <- n
	}()
	for range 3 {
		_, err := x.runIn(nstest.Spec{Namespaces: nstest.Container, KeepPropagation: true}, withDev(x.config()),
			e2e.Request{NotOurs: churn})
		if err != nil {
			t.Errorf("%v", err)
		}
	}
	stop.Store(true)
	if n := <-done; n < 10 {
		t.Errorf("the mount table changed only %d times", n)
	}
	for _, line := range strings.Split(hostTable(t), "\n") {
		if strings.Contains(line, " "+x.rootfs+"/") {
			t.Errorf("ATTACK WON: on the host: %s", line)
		}
	}
}

// namePrefix: without pivot_root, a procfs of the host beside the rootfs must not stay reachable because its path begins
// with the rootfs's.
func namePrefix(t *testing.T, p path) {
	x := newTrap(t, p)
	beside := x.rootfs + "2"
	x.mkdir(beside + "/proc")
	if err := unix.Mount("proc", beside+"/proc", "proc", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(beside+"/proc", unix.MNT_DETACH) })
	in := e2e.Request{Between: beside, Config: x.config().AddMount("/proc", "proc", "proc").JSON(), Options: []byte(`{"noPivotRoot":true}`)}
	magic, err := besideThen.Run(t, nstest.Spec{Namespaces: nstest.Container, Deny: p.deny}, in)
	if err != nil {
		t.Fatal(err)
	}
	if magic == unix.PROC_SUPER_MAGIC {
		t.Error("ATTACK WON: the host's procfs is still mounted beside the root")
	}
}

// besideThen opens the directory beside the rootfs, and tells what is mounted on its "proc" at the end.
var besideThen = nstest.Define("attacks.beside", func(in e2e.Request) (int64, error) {
	dir, err := unix.Open(in.Between, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	in.Between = ""
	if _, err := e2e.SetUp(in); err != nil {
		return 0, err
	}
	fd, err := unix.Openat(dir, "proc", unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	var fs unix.Statfs_t
	err = unix.Fstatfs(fd, &fs)
	return int64(fs.Type), err
})

// hostMount makes the volume a mount of the host's own, shared.
func (x *trap) hostMount() {
	x.t.Helper()
	if err := errors.Join(unix.Mount("tmpfs", x.volume, "tmpfs", 0, ""), unix.Mount("", x.volume, "", unix.MS_SHARED, "")); err != nil {
		x.t.Fatal(err)
	}
	x.t.Cleanup(func() { unix.Unmount(x.volume, unix.MNT_DETACH) })
}

// remountOfTheHosts: mount(2) changes a file system wherever it is mounted; the host's volume must stay writable.
func remountOfTheHosts(t *testing.T, p path) {
	for _, target := range []string{"/bound", "/link", "/"} {
		x := newTrap(t, p)
		x.hostMount()
		x.mkdir(x.rootfs + "/bound")
		x.link("bound", x.rootfs+"/link")
		c := x.config().AddMount("/other", "tmpfs", "tmpfs").AddMount("/bound", "bind", x.volume, "bind")
		if target == "/" {
			c.Object("root")["path"] = x.volume
		}
		c.AddMount(target, "tmpfs", "tmpfs", "remount", "ro")
		if _, err := x.run(c, e2e.Request{}); err == nil {
			t.Errorf("ATTACK WON: %s was remounted", target)
		}
		if err := os.WriteFile(x.volume+"/written", nil, 0o644); err != nil {
			t.Errorf("ATTACK WON: %s: on the host: %v", target, err)
			unix.Mount("", x.volume, "", unix.MS_REMOUNT, "")
		}
	}
}

// lentPeer: the parent's clone of a shared mount is its peer, and what the container mounts in a peer appears on the host.
func lentPeer(t *testing.T, p path) {
	const firstFile = 5 // of nstest.Spec.Files
	for _, propagation := range []string{"shared", "rshared", "slave", ""} {
		x := newTrap(t, p)
		x.hostMount()
		x.mkdir(x.volume + "/sub")
		nstest.GiveTo(t, x.rootfs, 100000)
		fd, err := unix.OpenTree(unix.AT_FDCWD, x.volume, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
		if err != nil {
			t.Fatal(err)
		}
		file := os.NewFile(uintptr(fd), "tree")
		defer file.Close()
		c := x.config().AddMount("/bound", "bind", x.volume, "bind", "shared").AddMount("/bound/sub", "tmpfs", "tmpfs").AddMount("/proc", "proc", "proc")
		inUserNamespace(c)
		if propagation != "" {
			c.Object("linux")["rootfsPropagation"] = propagation
		}
		spec := nstest.Spec{Namespaces: nstest.Container | nstest.User, KeepPropagation: true, Files: []*os.File{file}}
		if _, err := x.runIn(spec, c, e2e.Request{Sources: map[int]int{0: firstFile}}); err != nil && !p.old() {
			t.Errorf("%q: %v", propagation, err)
		}
		table, err := nstest.Mounts()
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range table {
			if strings.HasPrefix(m.Mountpoint, x.volume+"/") {
				t.Errorf("ATTACK WON: %q: on the host: %+v", propagation, m)
				unix.Unmount(m.Mountpoint, unix.MNT_DETACH)
			}
		}
	}
}
