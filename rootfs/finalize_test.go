package rootfs_test

import (
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/librootfs/librootfs/rootfs/internal/nstest"
)

func TestMaskAndReadonlyPaths(t *testing.T) {
	b := newBox(t).mount("/dev", "tmpfs", "tmpfs", "mode=755")
	var masked []any
	for i := range 40 {
		dir, file := fmt.Sprintf("/secrets/dir%d", i), fmt.Sprintf("/secrets/file%d", i)
		write(t, b.rootfs+dir+"/inner", "secret", 0o644)
		write(t, b.rootfs+file, "secret", 0o644)
		masked = append(masked, dir, file)
	}
	masked = append(masked, "/secrets/dir0", "/not/there", "/secrets/file0/below")
	write(t, b.rootfs+"/locked/file", "visible", 0o644)
	b.set("maskedPaths", masked, "linux")
	b.set("readonlyPaths", []any{"/locked", "/not/there"}, "linux")
	r := b.look("/secrets/dir0", "/secrets/dir1", "/secrets/dir0/inner", "/secrets/file0", "/locked/file").
		write("/secrets/dir1", "/locked", "/locked/file", "/secrets/file0").run()
	if !r.Nodes["/secrets/dir0/inner"].Missing || !r.Nodes["/secrets/file0"].Device(1, 3) || r.Nodes["/locked/file"].Text != "visible" {
		t.Errorf("%+v", r.Nodes)
	}
	if r.Nodes["/secrets/dir0"].Dev != r.Nodes["/secrets/dir1"].Dev || r.At("/secrets/dir0").Root != "/" {
		t.Errorf("masked directories do not share one tmpfs: %+v", r.Nodes)
	}
	count := 0
	for _, m := range r.Mounts {
		if m.Point == "/secrets/dir0" {
			count++
		}
	}
	if count != 1 {
		t.Errorf("a path that is listed twice was masked %d times", count)
	}
	for _, path := range []string{"/secrets/dir1", "/locked", "/locked/file"} {
		if r.Writes[path] == "" {
			t.Errorf("%s can be written", path)
		}
	}
}

// The masks of directories are copies of one. Where that lies below a shared mount, they are no peers of it.
func TestMasksDoNotShare(t *testing.T) {
	b := newBox(t).mount("/up", "tmpfs", "tmpfs", "shared").mount("/up/first", "tmpfs", "tmpfs")
	write(t, b.rootfs+"/second/file", "secret", 0o644)
	b.set("maskedPaths", []any{"/up/first", "/second"}, "linux")
	r := b.run()
	if got := r.At("/second").Optional; got != "" {
		t.Errorf("a mask outside of the shared mount is %q", got)
	}
}

func TestMaskNeedsTheRealNull(t *testing.T) {
	b := newBox(t)
	src := shared(t)
	write(t, src+"/null", "sentinel", 0o666)
	write(t, b.rootfs+"/secret", "secret", 0o644)
	b.mount("/dev", "bind", src, "bind").set("maskedPaths", []any{"/secret"}, "linux").
		refused("/linux/maskedPaths/0", "is not the character device 1:3")
}

func TestReadonlyRootKeepsItsOtherFlags(t *testing.T) {
	b := newBox(t)
	if err := unix.Mount("tmpfs", b.rootfs, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOATIME, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(b.rootfs, unix.MNT_DETACH) })
	b.mount("/dev", "tmpfs", "tmpfs", "mode=755") // the root is nodev
	b.config.Object("root")["readonly"] = true
	r := b.write("/").run()
	hasOptions(t, r.At("/"), "ro", "nosuid", "nodev", "noatime")
	if r.Writes["/"] == "" {
		t.Error("the root can be written")
	}
}

func TestSysctl(t *testing.T) {
	b := newBox(t).mount("/proc", "proc", "proc")
	b.set("sysctl", map[string]any{"net.ipv4.ip_forward": "1", "kernel/domainname": "example.org", "fs.mqueue.msg_max": "33"}, "linux")
	b.config.Object("linux")["namespaces"] = []any{map[string]any{"type": "mount"}, map[string]any{"type": "pid"},
		map[string]any{"type": "network"}, map[string]any{"type": "uts"}, map[string]any{"type": "ipc"}}
	b.req.HostRead = []string{"sys/net/ipv4/ip_forward", "sys/kernel/domainname", "sys/fs/mqueue/msg_max"}
	r := b.run()
	want := map[string]string{"sys/net/ipv4/ip_forward": "1\n", "sys/kernel/domainname": "example.org\n", "sys/fs/mqueue/msg_max": "33\n"}
	for name, text := range want {
		if r.Host[name] != text {
			t.Errorf("%s is %q, want %q", name, r.Host[name], text)
		}
	}
	newBox(t).set("sysctl", map[string]any{"net.ipv4.ip_forward": "1"}, "linux").refused("/linux/sysctl/net.ipv4.ip_forward", "network")
	b.config.Object("linux")["sysctl"] = map[string]any{"net.ipv4.no_such": "1"}
	b.refused("/linux/sysctl/net.ipv4.no_such", "no such file")

	b = newBox(t).set("sysctl", map[string]any{"kernel.domainname": "example.org"}, "linux")
	b.config.Object("linux")["namespaces"] = []any{map[string]any{"type": "mount"}, map[string]any{"type": "uts"}}
	b.spec.Deny = []nstest.Denial{nstest.Deny(unix.ENOSYS)}
	b.refused("/linux/sysctl/kernel.domainname", "without a procfs")
	b.mount("/proc", "proc", "proc").run()
}

func TestUmaskAndModes(t *testing.T) {
	old := unix.Umask(0o077) // what is made has the modes of the config all the same
	defer unix.Umask(old)
	b := newBox(t).mount("/deep/er", "tmpfs", "tmpfs")
	b.config.Object("process", "user")["umask"] = 0o027
	b.config.Object("process")["cwd"] = "/made/for/work"
	b.req.HostRead = []string{"self/status"}
	r := b.look("/deep", "/made/for").run() // verify compares the umask
	if r.Nodes["/deep"].Mode&0o7777 != 0o755 || r.Nodes["/made/for"].Mode&0o7777 != 0o755 || r.Cwd != "/made/for/work" {
		t.Errorf("%+v, in %s", r.Nodes, r.Cwd)
	}
}

func TestWorkingDirectoryIsInside(t *testing.T) {
	host, err := os.Open("/")
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	b := newBox(t).mount("/proc", "proc", "proc")
	b.spec.Files = []*os.File{host}
	b.config.Object("process")["cwd"] = "/proc/self/fd/5"
	b.refused("/process/cwd", "")
	nstest.NeedRoot(t)
}

// A working directory that is masked or read-only is so as "." too: entered before it was covered, it would lead past the cover.
func TestWorkingDirectoryIsCovered(t *testing.T) {
	for _, kind := range []string{"maskedPaths", "readonlyPaths"} {
		b := newBox(t).mount("/dev", "tmpfs", "tmpfs", "mode=755").set(kind, []any{"/secret"}, "linux")
		write(t, b.rootfs+"/secret/file", "secret", 0o644)
		b.config.Object("process")["cwd"] = "/secret"
		r := b.look("./file").write(".", "./file").run()
		if kind == "maskedPaths" && !r.Nodes["./file"].Missing {
			t.Error("what is masked can be seen from the working directory")
		}
		if r.Writes["."] == "" || r.Writes["./file"] == "" {
			t.Errorf("%s: the working directory can be written: %+v", kind, r.Writes)
		}
	}
}

// Masks and read-only paths are binds, which a root that is unbindable already would refuse.
func TestUnbindableRootWithCoveredPaths(t *testing.T) {
	for _, value := range []string{"unbindable", "runbindable"} {
		b := newBox(t).mount("/dev", "tmpfs", "tmpfs", "mode=755").set("rootfsPropagation", value, "linux")
		write(t, b.rootfs+"/dir/file", "text", 0o644)
		b.set("maskedPaths", []any{"/dir/file"}, "linux").set("readonlyPaths", []any{"/dir"}, "linux")
		r := b.run()
		if got := r.At("/").Optional; got != "unbindable" {
			t.Errorf("%s: the root is %q", value, got)
		}
		hasOptions(t, r.At("/dir"), "ro")
	}
}
