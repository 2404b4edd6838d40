package rootfs_test

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/librootfs/librootfs/rootfs/internal/nstest"
)

// ordinary is the id of a user without any privilege.
const ordinary = 4242

// TestRootless is about containers of an ordinary user with one id. As root it runs itself anew as such a user.
func TestRootless(t *testing.T) {
	if os.Geteuid() == 0 {
		asOrdinary(t)
		return
	}
	for _, c := range []struct {
		name string
		test func(t *testing.T)
	}{
		{"default config", rootlessDefault}, {"mounts", rootlessMounts}, {"overlay", rootlessOverlay}, {"devices", rootlessDevices},
		{"cgroup", rootlessCgroup}, {"sysctl", rootlessSysctl}, {"console", rootlessConsole}, {"finalize", rootlessFinalize},
		{"propagation", rootlessPropagation}, {"no pivot", rootlessNoPivot}, {"hooks", rootlessHooks}, {"copy up", rootlessCopyUp},
		{"what needs more", rootlessRefusals},
	} {
		t.Run(c.name, c.test)
	}
}

func asOrdinary(t *testing.T) {
	user := &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: ordinary, Gid: ordinary}, Pdeathsig: syscall.SIGKILL}
	try := exec.Command("unshare", "-U", "true")
	try.Dir, try.SysProcAttr = "/", user
	if out, err := try.CombinedOutput(); err != nil {
		t.Skipf("an ordinary user gets no user namespace here: %v %s", err, out)
	}
	dir := shared(t)
	if err := os.Chown(dir, ordinary, ordinary); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestRootless$", "-test.v")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "TMPDIR="+dir)
	cmd.SysProcAttr = user
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestRootless/what_needs_more") {
		t.Errorf("as an ordinary user: %v\n%s", err, out)
	}
}

// rootlessBox is a container of this ordinary user: all namespaces, one id.
func rootlessBox(t *testing.T) *box {
	t.Helper()
	root := nstest.EmptyRootfs(t)
	b := &box{t: t, rootfs: root, config: nstest.BareConfig(root), spec: nstest.Spec{Namespaces: nstest.Container | nstest.User}}
	b.ordinaryUser()
	return b.withProc()
}

func (b *box) ordinaryUser() {
	linux := b.config.Object("linux")
	var list []any
	for _, n := range []string{"mount", "pid", "ipc", "uts", "network", "user"} {
		list = append(list, map[string]any{"type": n})
	}
	linux["namespaces"] = list
	maps := []any{map[string]any{"containerID": 0, "hostID": os.Geteuid(), "size": 1}}
	linux["uidMappings"], linux["gidMappings"] = maps, maps
	b.options(map[string]any{"rootless": true})
}

// rootlessDefault is what `runc spec` writes: all of it works but the group of the terminals, which the one id cannot give.
func rootlessDefault(t *testing.T) {
	b := rootlessBox(t)
	b.config = nstest.DefaultConfig(b.rootfs)
	b.ordinaryUser()
	b.refused("/mounts/2", "have to be ids that the container's user namespace has")
	for _, m := range mountsOf(b) {
		if o := m.(map[string]any); o["type"] == "devpts" {
			o["options"] = []any{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"}
		}
	}
	b.req.Console = true
	r := b.look("/dev/null", "/dev/console", "/dev/ptmx").write("/", "/dev/null", "/dev/shm", "/proc/sys/kernel", "/sys").run()
	for path, kind := range map[string]string{"/proc": "proc", "/dev": "tmpfs", "/dev/pts": "devpts", "/dev/shm": "tmpfs",
		"/dev/mqueue": "mqueue", "/sys": "sysfs", "/dev/console": "devpts"} {
		if m := r.At(path); m == nil || m.Type != kind {
			t.Errorf("%s: %+v, want %s", path, m, kind)
		}
	}
	for path, allowed := range map[string]bool{"/": false, "/dev/null": true, "/dev/shm": true, "/proc/sys/kernel": false, "/sys": false} {
		if (r.Writes[path] == "") != allowed {
			t.Errorf("writing %s: %q, allowed is to be %v", path, r.Writes[path], allowed)
		}
	}
	if !r.Nodes["/dev/null"].Device(1, 3) || r.At("/dev/null") == nil {
		t.Errorf("/dev/null is no bind of the host's: %+v", r.Nodes["/dev/null"])
	}
}

func rootlessMounts(t *testing.T) {
	src := shared(t)
	write(t, src+"/file", "text", 0o644)
	b := rootlessBox(t)
	b.mount("/tmp", "tmpfs", "tmpfs", "nosuid", "size=64k", "mode=1777").mount("/b", "bind", src, "bind", "ro", "nosuid")
	b.mount("/r", "bind", src, "rbind", "rro", "rnosuid", "rslave").mount("/f", "bind", src+"/file", "bind", "noexec")
	b.mount("/link", "bind", src, "bind", "nosymfollow", "private").mount("/tmp", "tmpfs", "", "remount", "size=128k")
	r := b.look("/b/file", "/f").write("/b", "/r", "/tmp").run()
	if r.Nodes["/b/file"].Text != "text" || r.Nodes["/f"].Text != "text" || r.Writes["/b"] == "" || r.Writes["/r"] == "" || r.Writes["/tmp"] != "" {
		t.Errorf("%+v %v", r.Nodes, r.Writes)
	}
	hasOptions(t, r.At("/f"), "noexec")
	hasOptions(t, r.At("/link"), "nosymfollow")
	newRootless := func() *box { return rootlessBox(t) }
	newRootless().mount("/proc/cpuinfo", "bind", src+"/file", "bind").run()
}

func rootlessOverlay(t *testing.T) {
	dir := shared(t)
	write(t, dir+"/lower/file", "lower", 0o644)
	for _, d := range []string{"/upper", "/work"} {
		if err := os.Mkdir(dir+d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	b := rootlessBox(t).mount("/o", "overlay", "overlay", "lowerdir="+dir+"/lower", "upperdir="+dir+"/upper", "workdir="+dir+"/work", "userxattr")
	r := b.look("/o/file").write("/o").run()
	if r.Nodes["/o/file"].Text != "lower" || r.Writes["/o"] != "" {
		t.Errorf("%+v %v", r.Nodes, r.Writes)
	}
}

func rootlessDevices(t *testing.T) {
	b := rootlessBox(t).mount("/dev", "tmpfs", "tmpfs", "mode=755")
	b.set("devices", []any{map[string]any{"path": "/dev/pipe", "type": "p", "fileMode": 0o600}}, "linux")
	r := b.look("/dev/pipe", "/dev/zero", "/dev/tty", "/dev/fd").write("/dev/zero").run()
	if r.Nodes["/dev/pipe"].Mode != unix.S_IFIFO|0o600 || !r.Nodes["/dev/zero"].Device(1, 5) || r.Writes["/dev/zero"] != "" {
		t.Errorf("%+v %v", r.Nodes, r.Writes)
	}
	b = rootlessBox(t).mount("/dev", "tmpfs", "tmpfs", "mode=755")
	b.set("devices", []any{map[string]any{"path": "/dev/no-such", "type": "c", "major": 10, "minor": 250}}, "linux")
	b.refused("/linux/devices/0", "openat(/dev/no-such): no such file")
	b = rootlessBox(t).mount("/dev", "tmpfs", "tmpfs", "mode=755")
	b.set("devices", []any{map[string]any{"path": "/dev/pipe", "type": "p", "uid": 5}}, "linux")
	b.refused("/linux/devices/0", "no id in the container's user namespace")
}

// rootlessCgroup: the ordinary user has no say in the host's cgroups; what is there can be seen, and no more.
func rootlessCgroup(t *testing.T) {
	for _, kind := range []string{"cgroup", "cgroup2"} {
		b := rootlessBox(t).mount("/sys", "sysfs", "sysfs", "ro").mount("/sys/fs/cgroup", kind, "cgroup", "ro", "nosuid", "nodev", "noexec")
		r := b.write("/sys/fs/cgroup").run()
		if m := r.At("/sys/fs/cgroup"); m == nil || r.Writes["/sys/fs/cgroup"] == "" {
			t.Errorf("%s: %+v %v", kind, m, r.Writes)
		}
	}
}

func rootlessSysctl(t *testing.T) {
	b := rootlessBox(t).set("sysctl", map[string]any{"net.ipv4.ip_forward": "1", "kernel.domainname": "example.org"}, "linux")
	b.req.HostRead = []string{"sys/net/ipv4/ip_forward"}
	b.refused("/linux/sysctl/kernel.domainname", "lets no user namespace")
	delete(b.config.Object("linux", "sysctl"), "kernel.domainname")
	if r := b.run(); r.Host["sys/net/ipv4/ip_forward"] != "1\n" {
		t.Errorf("%q", r.Host)
	}
}

func rootlessConsole(t *testing.T) {
	b := rootlessBox(t).mount("/dev", "tmpfs", "tmpfs", "mode=755").mount("/dev/pts", "devpts", "devpts", "newinstance", "ptmxmode=0666")
	b.req.Console = true
	if r := b.look("/dev/console").run(); unix.Major(r.Nodes["/dev/console"].Rdev) != 136 {
		t.Errorf("%+v", r.Nodes)
	}
}

func rootlessFinalize(t *testing.T) {
	b := rootlessBox(t)
	write(t, b.rootfs+"/secret/file", "secret", 0o644)
	write(t, b.rootfs+"/locked/file", "visible", 0o644)
	write(t, b.rootfs+"/hidden", "secret", 0o644)
	b.mount("/dev", "tmpfs", "tmpfs", "ro", "mode=755").set("maskedPaths", []any{"/secret", "/hidden", "/proc/kcore"}, "linux").
		set("readonlyPaths", []any{"/locked", "/proc/sys"}, "linux")
	b.config.Object("root")["readonly"] = true
	r := b.look("/secret/file", "/hidden", "/locked/file").write("/", "/locked", "/dev").run()
	if !r.Nodes["/secret/file"].Missing || !r.Nodes["/hidden"].Device(1, 3) || r.Nodes["/locked/file"].Text != "visible" {
		t.Errorf("%+v", r.Nodes)
	}
	for path, problem := range r.Writes {
		if problem == "" {
			t.Errorf("%s can be written", path)
		}
	}
}

func rootlessPropagation(t *testing.T) {
	for _, value := range []string{"private", "rprivate", "slave", "rslave", "shared", "rshared", "unbindable", "runbindable"} {
		rootlessBox(t).set("rootfsPropagation", value, "linux").mount("/x", "tmpfs", "tmpfs").run()
	}
}

func rootlessNoPivot(t *testing.T) {
	b := rootlessBox(t).options(map[string]any{"noPivotRoot": true, "rootless": true})
	if r := b.write("/").look("/proc/1").run(); r.Writes["/"] != "" || r.Nodes["/proc/1"].Missing {
		t.Errorf("%v %+v", r.Writes, r.Nodes)
	}
}

func rootlessHooks(t *testing.T) {
	out := shared(t)
	write(t, out+"/hook", "#!/bin/sh\ncat > "+out+"/state\n", 0o755)
	b := rootlessBox(t)
	b.config.Object("hooks")["createContainer"] = []any{map[string]any{"path": out + "/hook", "env": []any{"PATH=/usr/bin:/bin"}}}
	b.run()
	if text, err := os.ReadFile(out + "/state"); err != nil || !strings.Contains(string(text), `"status":"creating"`) {
		t.Errorf("%s, %v", text, err)
	}
}

func rootlessCopyUp(t *testing.T) {
	b := withImage(rootlessBox(t))
	t.Cleanup(func() { _ = os.Chmod(b.rootfs+"/data/sub", 0o755) }) // to be removed by who may not write there
	checkImage(t, b.mount("/data", "tmpfs", "tmpfs", "tmpcopyup", "ro").run())
}

// rootlessRefusals: what an ordinary user cannot have is an error that says why.
func rootlessRefusals(t *testing.T) {
	src := shared(t)
	without := func(n nstest.Namespaces) *box {
		b := rootlessBox(t)
		b.config.DropMount("/proc")
		b.spec.Namespaces &^= n
		return b
	}
	without(nstest.Net).mount("/sys", "sysfs", "sysfs").refused("/mounts/0", "network namespace, which has to belong")
	without(nstest.IPC).mount("/mq", "mqueue", "mqueue").refused("/mounts/0", "ipc namespace, which has to belong")
	without(nstest.PID).mount("/proc", "proc", "proc").refused("/mounts/0", "pid namespace, which has to belong")
	without(0).mount("/x", "ext4", "/dev/vda").refused("/mounts/0", "only some types of file system")
	without(0).bindMapped("/x", src, 0, "bind").refused("/mounts/0", "have to be mapped in this user namespace")
	without(0).mount("/x", "tmpfs", "tmpfs", "uid=7").refused("/mounts/0", "have to be ids that")
	without(0).mount("/x", "bind", "/root", "bind").mount("/y", "bind", "/proc/1/root", "bind").refused("/mounts/1", "permission denied")
}

// The subordinate ids of an ordinary user, given to it by its parent (newuidmap(1)): with them all of the default config works.
func TestSubordinateIDs(t *testing.T) {
	b := newBox(t)
	b.config = nstest.DefaultConfig(b.rootfs)
	b.userns()
	nstest.GiveTo(t, b.rootfs, ordinary)
	b.spec.UIDMap = []syscall.SysProcIDMap{{HostID: ordinary, Size: 1}, {ContainerID: 1, HostID: firstID, Size: 65535}}
	b.spec.GIDMap = b.spec.UIDMap
	b.options(map[string]any{"rootless": true})
	b.set("devices", []any{map[string]any{"path": "/dev/pipe", "type": "p", "uid": 5, "gid": 6}}, "linux")
	b.req.Console = true
	r := b.look("/dev/pipe", "/dev/console").run()
	if n := r.Nodes["/dev/pipe"]; n.UID != 5 || n.GID != 6 {
		t.Errorf("%+v", n)
	}
	if n := r.Nodes["/dev/console"]; n.GID != 5 || n.Mode&0o777 != 0o620 {
		t.Errorf("the terminal's group and mode are those that its devpts gives: %+v", n)
	}
}
