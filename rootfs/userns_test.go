package rootfs_test

import (
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/librootfs/librootfs/rootfs/internal/nstest"
)

// firstID is where nstest's user namespaces begin on the host.
const firstID = 100000

// userns gives the container a user namespace whose root owns the rootfs.
func (b *box) userns() *box {
	b.t.Helper()
	nstest.GiveTo(b.t, b.rootfs, firstID)
	b.spec.Namespaces |= nstest.User
	linux := b.config.Object("linux")
	list, _ := linux["namespaces"].([]any)
	linux["namespaces"] = append(list, map[string]any{"type": "user"})
	maps := []any{map[string]any{"containerID": 0, "hostID": firstID, "size": 65536}}
	linux["uidMappings"], linux["gidMappings"] = maps, maps
	return b
}

// withProc mounts /proc last: in a user namespace the library cannot make a procfs apart once the host's is out of sight, and
// verify reads the mount table there.
func (b *box) withProc() *box { return b.mount("/proc", "proc", "proc") }

// tmpfs mounts one on the stand-in for the host, for the time of the test.
func hostTmpfs(t *testing.T, flags uintptr, data string) string {
	t.Helper()
	dir := shared(t)
	if err := unix.Mount("tmpfs", dir, "tmpfs", flags, data); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

// hostMount is a directory of /tmp that is a mount of its own.
func hostMount(t *testing.T, flags uintptr) string {
	t.Helper()
	dir := shared(t)
	for _, f := range []uintptr{unix.MS_BIND, unix.MS_BIND | unix.MS_REMOUNT | flags} {
		if err := unix.Mount(dir, dir, "", f, ""); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

// What a mount has when a user namespace gets it is locked there (mount_namespaces(7)). A bind that does not speak of a
// locked flag keeps it; one that turns it off by name is refused, and the error says which.
func TestLockedFlags(t *testing.T) {
	src := hostTmpfs(t, unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC|unix.MS_RDONLY|unix.MS_NOATIME, "mode=755")
	b := newBox(t).userns()
	b.mount("/none", "bind", src, "bind")
	b.mount("/ro", "bind", src, "bind", "ro")
	b.mount("/symfollow", "bind", src, "bind", "nosymfollow")
	b.mount("/all", "bind", src, "rbind", "ro", "nosuid", "nodev", "noexec", "noatime")
	b.mount("/recursive", "bind", src, "rbind", "rnosymfollow")
	r := b.withProc().run()
	for _, path := range []string{"/none", "/ro", "/symfollow", "/all", "/recursive"} {
		hasOptions(t, r.At(path), "ro", "nosuid", "nodev", "noexec", "noatime")
	}
	hasOptions(t, r.At("/none"), "!nosymfollow")
	hasOptions(t, r.At("/symfollow"), "nosymfollow")
	hasOptions(t, r.At("/recursive"), "nosymfollow")

	for option, named := range map[string]string{"rw": "ro", "suid": "nosuid", "dev": "nodev", "exec": "noexec",
		"atime": "noatime", "relatime": "noatime", "strictatime": "noatime", "nodiratime": "noatime"} {
		b := newBox(t).userns().mount("/x", "bind", src, "bind", option)
		if e := b.refused("/mounts/0", "cannot be cleared here: "+named); e.Errno != unix.EPERM || e.Code != 2 {
			t.Errorf("%s: %+v", option, e)
		}
	}
	both := newBox(t).userns().mount("/x", "bind", src, "bind", "suid", "exec", "nosymfollow")
	both.refused("/mounts/0", "cannot be cleared here: nosuid,noexec")
	// Recursive ones: the kernel does not say which mount of the tree it was, so the error has what was to be cleared.
	for option, named := range map[string]string{"rrw": "ro", "rsuid": "nosuid", "rdev": "nodev", "rexec": "noexec",
		"ratime": "atime", "rstrictatime": "atime"} {
		b := newBox(t).userns().mount("/x", "bind", src, "rbind", option)
		if e := b.refused("/mounts/0", "is locked there and cannot be cleared: "+named); e.Errno != unix.EPERM {
			t.Errorf("%s: %+v", option, e)
		}
	}
	// The access time of every mount is locked, also the usual one.
	plain := hostTmpfs(t, 0, "mode=755")
	for _, option := range []string{"noatime", "strictatime", "nodiratime"} {
		newBox(t).userns().mount("/x", "bind", plain, "bind", option).refused("/mounts/0", "cannot be cleared here: relatime")
	}
	b = newBox(t).userns().withProc().mount("/x", "bind", plain, "bind", "relatime", "ro")
	r = b.run()
	hasOptions(t, r.At("/x"), "ro", "relatime")
}

// The flags that a mount in the middle of the recursion has are locked too; what is above and below it is free.
func TestLockedFlagsBelowTheSource(t *testing.T) {
	src := hostTmpfs(t, 0, "mode=755")
	if err := os.Mkdir(src+"/sub", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", src+"/sub", "tmpfs", unix.MS_NOEXEC, "mode=755"); err != nil {
		t.Fatal(err)
	}
	b := newBox(t).userns().mount("/x", "bind", src, "rbind", "nosuid").mount("/y", "bind", src, "rbind", "exec", "nodev")
	r := b.withProc().run()
	hasOptions(t, r.At("/x"), "nosuid", "!noexec")
	hasOptions(t, r.At("/x/sub"), "noexec", "!nosuid")
	hasOptions(t, r.At("/y"), "nodev", "!noexec")
	hasOptions(t, r.At("/y/sub"), "noexec")
	newBox(t).userns().mount("/x", "bind", src, "rbind", "rexec").refused("/mounts/0", "noexec")
	// Without its submount the source could show what the submount hides: the kernel insists on rbind.
	newBox(t).userns().mount("/x", "bind", src, "bind").refused("/mounts/0", "rbind")
}

func TestPropagationInUserNamespace(t *testing.T) {
	src := hostTmpfs(t, 0, "mode=755")
	if err := unix.Mount("", src, "", unix.MS_SHARED, ""); err != nil {
		t.Fatal(err)
	}
	b := newBox(t).userns()
	b.spec.KeepPropagation = true
	for _, p := range []string{"private", "rprivate", "slave", "rslave", "shared", "rshared", "unbindable", "runbindable"} {
		b.mount("/"+p, "bind", src, "bind", p)
	}
	b.withProc()
	for _, value := range []string{"", "private", "rprivate", "slave", "rslave", "shared", "rshared", "unbindable", "runbindable"} {
		if value != "" {
			b.set("rootfsPropagation", value, "linux")
		}
		r := b.run() // verify compares each
		if m := r.At("/slave"); value != "rprivate" && value != "private" && value != "unbindable" && value != "runbindable" &&
			(m == nil || !strings.Contains(m.Optional, "master:")) {
			t.Errorf("%q: %+v", value, m)
		}
	}
	left, err := os.ReadDir(src)
	if err != nil || len(left) != 0 {
		t.Error(left, err)
	}
}

// All of `runc spec` in a user namespace, and the read-only paths and masks of locked mounts.
func TestDefaultConfigInUserNamespace(t *testing.T) {
	b := newBox(t)
	b.config = nstest.DefaultConfig(b.rootfs)
	b.userns()
	b.req.Console = true
	b.look("/dev/null", "/dev/ptmx", "/dev/console").write("/", "/proc/sys/kernel", "/dev/shm", "/dev/null", "/dev/mqueue")
	r := b.run()
	for path, kind := range map[string]string{"/proc": "proc", "/dev": "tmpfs", "/dev/pts": "devpts", "/dev/mqueue": "mqueue",
		"/sys": "sysfs", "/dev/null": "devtmpfs", "/dev/console": "devpts"} {
		if m := r.At(path); m == nil || m.Type != kind {
			t.Errorf("%s: %+v, want %s", path, m, kind)
		}
	}
	if !r.Nodes["/dev/null"].Device(1, 3) || r.Nodes["/dev/console"].UID != 0 {
		t.Errorf("%+v", r.Nodes)
	}
	for path, allowed := range map[string]bool{"/": false, "/proc/sys/kernel": false, "/dev/shm": true, "/dev/null": true} {
		if (r.Writes[path] == "") != allowed {
			t.Errorf("writing %s: %q, allowed is to be %v", path, r.Writes[path], allowed)
		}
	}
}

// A device that the config gives an owner and a mode is the host's own node in a user namespace: it keeps what it has.
func TestDevicesInUserNamespace(t *testing.T) {
	b := newBox(t).userns().mount("/dev", "tmpfs", "tmpfs", "mode=755")
	b.set("devices", []any{
		map[string]any{"path": "/dev/full", "type": "c", "major": 1, "minor": 7, "fileMode": 0o600, "uid": 7},
		map[string]any{"path": "/dev/pipe", "type": "p", "fileMode": 0o622, "uid": 3, "gid": 4},
	}, "linux")
	r := b.withProc().look("/dev/full", "/dev/pipe").run()
	if n := r.Nodes["/dev/full"]; !n.Device(1, 7) || r.At("/dev/full") == nil {
		t.Errorf("full: %+v", n)
	}
	if n := r.Nodes["/dev/pipe"]; n.Mode != unix.S_IFIFO|0o622 || n.UID != 3 || n.GID != 4 {
		t.Errorf("pipe: %+v", n)
	}
	missing := newBox(t).userns().mount("/dev", "tmpfs", "tmpfs", "mode=755")
	missing.set("devices", []any{map[string]any{"path": "/dev/no-such-device", "type": "c", "major": 10, "minor": 250}}, "linux")
	if e := missing.refused("/linux/devices/0", "no such file"); e.Code != 2 {
		t.Errorf("%+v", e)
	}
	other := newBox(t).userns().mount("/dev", "tmpfs", "tmpfs", "mode=755")
	other.set("devices", []any{map[string]any{"path": "/dev/kmsg", "type": "c", "major": 1, "minor": 99}}, "linux")
	other.refused("/linux/devices/0", "is not the device c 1:99")
}

// one maps root of the container to a single id of the host.
func one(id int) []syscall.SysProcIDMap { return []syscall.SysProcIDMap{{HostID: id, Size: 1}} }
