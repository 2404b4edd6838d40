package rootfs_test

import (
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/librootfs/librootfs/rootfs"
	"github.com/librootfs/librootfs/rootfs/internal/nstest"
)

// bindMapped adds a bind with a mapping of its own: id 0 of the source is seen as the given one.
func (b *box) bindMapped(destination, source string, to int, options ...string) *box {
	maps := []any{map[string]any{"containerID": 0, "hostID": to, "size": 1000}}
	b.config["mounts"] = append(mountsOf(b), map[string]any{"destination": destination, "type": "bind", "source": source,
		"options": options, "uidMappings": maps, "gidMappings": maps})
	return b
}

func mountsOf(b *box) []any {
	list, _ := b.config["mounts"].([]any)
	return list
}

// onDisk is a directory of the disk's file system, which most often is not a tmpfs.
func onDisk(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/var/tmp", "librootfs-test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func owned(t *testing.T, path string, id int) {
	t.Helper()
	write(t, path, "owned", 0o644)
	if err := os.Lchown(path, id, id); err != nil {
		t.Fatal(err)
	}
}

func TestIDMapOwn(t *testing.T) {
	for name, src := range map[string]string{"disk": onDisk(t), "tmpfs": hostTmpfs(t, 0, "mode=755")} {
		t.Run(name, func(t *testing.T) {
			owned(t, src+"/three", 3)
			b := newBox(t).bindMapped("/mapped", src, 5000, "bind", "idmap").bindMapped("/implied", src, 6000, "rbind", "ro").
				bindMapped("/file", src+"/three", 7000, "bind", "ridmap").mount("/plain", "bind", src, "bind")
			r := b.look("/mapped/three", "/implied/three", "/file", "/plain/three").run()
			for path, id := range map[string]uint32{"/mapped/three": 5003, "/implied/three": 6003, "/file": 7003, "/plain/three": 3} {
				if n := r.Nodes[path]; n.UID != id || n.GID != id || n.Text != "owned" {
					t.Errorf("%s: %+v, want owner %d", path, n, id)
				}
			}
			hasOptions(t, r.At("/mapped"), "idmapped", "rw")
			hasOptions(t, r.At("/implied"), "idmapped", "ro")
			hasOptions(t, r.At("/plain"), "!idmapped")
		})
	}
}

func TestIDMapRecursive(t *testing.T) {
	nstest.NeedTmpfsIDMap(t)
	src := onDisk(t)
	owned(t, src+"/top", 1)
	if err := os.Mkdir(src+"/sub", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", src+"/sub", "tmpfs", 0, "mode=755"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(src+"/sub", unix.MNT_DETACH) })
	owned(t, src+"/sub/below", 2)
	b := newBox(t).bindMapped("/one", src, 5000, "rbind", "idmap").bindMapped("/all", src, 5000, "rbind", "ridmap")
	r := b.look("/one/top", "/one/sub/below", "/all/top", "/all/sub/below").run()
	for path, id := range map[string]uint32{"/one/top": 5001, "/one/sub/below": 2, "/all/top": 5001, "/all/sub/below": 5002} {
		if n := r.Nodes[path]; n.UID != id {
			t.Errorf("%s: %+v, want owner %d", path, n, id)
		}
	}
	hasOptions(t, r.At("/one/sub"), "!idmapped")
	hasOptions(t, r.At("/all/sub"), "idmapped")
}

// Where the kernel cannot map, the error says what it is about.
func TestIDMapThatCannotBe(t *testing.T) {
	e := newBox(t).bindMapped("/x", "/proc", 5000, "bind", "idmap").refused("/mounts/0", "may not support idmapped mounts")
	if e.Errno != unix.EINVAL || e.Op != "mount_setattr" {
		t.Errorf("%+v", e)
	}
	mixed := onDisk(t)
	if err := os.Mkdir(mixed+"/proc", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("proc", mixed+"/proc", "proc", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(mixed+"/proc", unix.MNT_DETACH) })
	newBox(t).bindMapped("/x", mixed, 5000, "rbind", "ridmap").refused("/mounts/0", "may not support idmapped mounts")
	newBox(t).bindMapped("/x", mixed, 5000, "rbind", "idmap").run()
	dir := shared(t)
	for _, d := range []string{"/lower", "/upper", "/work", "/merged"} {
		if err := os.Mkdir(dir+d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	data := "lowerdir=" + dir + "/lower,upperdir=" + dir + "/upper,workdir=" + dir + "/work"
	if err := unix.Mount("overlay", dir+"/merged", "overlay", 0, data); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(dir+"/merged", unix.MNT_DETACH) })
	newBox(t).bindMapped("/x", dir+"/merged", 5000, "bind").refused("/mounts/0", "may not support idmapped mounts")
	// In a user namespace the file systems of the host are not the container's to map: their source has to come from outside.
	plain := shared(t)
	newBox(t).userns().bindMapped("/x", plain, 5000, "bind").refused("/mounts/0", "opened by its parent")
	newBox(t).userns().mount("/x", "bind", plain, "bind", "idmap").refused("/mounts/0", "opened by its parent")
	newBox(t).userns().bindMapped("/x", plain, 65000, "bind").refused("/mounts/0", "have to be mapped in this user namespace")
	newBox(t).mount("/x", "bind", dir, "bind", "idmap").refused("/mounts/0/options", "user namespace")
	old := newBox(t).bindMapped("/x", dir, 5000, "bind")
	old.spec.Deny = []nstest.Denial{nstest.Deny(unix.ENOSYS, "mount_setattr")}
	if e := old.refused("/mounts/0", "Linux 5.12"); e.Code != 4 {
		t.Errorf("code %d", e.Code)
	}
	none := newBox(t).bindMapped("/x", dir, 5000, "bind")
	none.spec.Deny = []nstest.Denial{nstest.Deny(unix.ENOSYS)}
	if e := none.refused("/mounts/0", "Linux 5.12"); e.Code != 4 {
		t.Errorf("code %d", e.Code)
	}
}

// A file system that the container itself has mounted is its own to map, in a user namespace too: by ids of that namespace.
func TestIDMapOfOwnTmpfs(t *testing.T) {
	nstest.NeedTmpfsIDMap(t)
	b := newBox(t).userns().withProc()
	b.mount("/own", "tmpfs", "tmpfs", "mode=755").bindMapped("/mapped", b.rootfs+"/own", 5000, "bind")
	r := b.look("/own", "/mapped").run()
	if r.Nodes["/own"].UID != 0 || r.Nodes["/mapped"].UID != 5000 {
		t.Errorf("%+v", r.Nodes)
	}
	hasOptions(t, r.At("/mapped"), "idmapped")
}

// What is idmapped can be bound as it is, and not mapped once more.
func TestIDMapOnTopOfIDMap(t *testing.T) {
	src := hostMount(t, 0)
	owned(t, src+"/file", 4)
	c := parse(t, newBox(t).bindMapped("/x", src, 5000, "bind"))
	sources, err := rootfs.OpenSources(c, -1)
	if err != nil || len(sources) != 1 {
		t.Fatal(sources, err)
	}
	at := shared(t)
	if err := unix.MoveMount(sources[0].FD, "", unix.AT_FDCWD, at, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		t.Fatal(err)
	}
	rootfs.Close(sources)
	t.Cleanup(func() { unix.Unmount(at, unix.MNT_DETACH) })
	r := newBox(t).mount("/y", "bind", at, "bind").look("/y/file").run()
	if r.Nodes["/y/file"].UID != 5004 {
		t.Errorf("%+v", r.Nodes)
	}
	newBox(t).bindMapped("/y", at, 6000, "bind").refused("/mounts/0", "idmapped already")
}

// asleep is a process in a user namespace, to have one by descriptor. It is ended with the test.
func asleep(t *testing.T, first int) *os.File {
	t.Helper()
	cmd := exec.Command("sleep", "600")
	all := []syscall.SysProcIDMap{{HostID: first, Size: 65536}}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER, UidMappings: all, GidMappings: all, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	ns, err := os.Open("/proc/" + strconv.Itoa(cmd.Process.Pid) + "/ns/user")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ns.Close() })
	return ns
}
