package rootfs_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/librootfs/librootfs/rootfs"
	"github.com/librootfs/librootfs/rootfs/internal/nstest"
)

func TestRootfsPropagation(t *testing.T) {
	for value, want := range map[string]string{"": "", "private": "", "rprivate": "", "slave": "", "rslave": "",
		"shared": "shared:", "rshared": "shared:", "unbindable": "unbindable", "runbindable": "unbindable"} {
		t.Run(value, func(t *testing.T) {
			b := newBox(t).mount("/x", "tmpfs", "tmpfs").mount("/proc", "proc", "proc")
			b.spec.KeepPropagation = true // as an init child finds it: shared with the host
			if value != "" {
				b.set("rootfsPropagation", value, "linux")
			}
			r := b.run()
			if m := r.At("/"); m == nil || !strings.Contains(m.Optional, want) || (want == "" && strings.Contains(m.Optional, "shared")) {
				t.Errorf("%+v, want %q", m, want)
			}
		})
	}
}

func TestNoPivotRoot(t *testing.T) {
	b := newBox(t).mount("/proc", "proc", "proc").mount("/sys", "sysfs", "sysfs", "ro").mount("/dev", "tmpfs", "tmpfs", "mode=755")
	b.options(map[string]any{"noPivotRoot": true})
	r := b.write("/").look("/proc/1", "/dev/null").run()
	if r.Writes["/"] != "" || r.Nodes["/proc/1"].Missing || !r.Nodes["/dev/null"].Device(1, 3) {
		t.Errorf("%v %+v", r.Writes, r.Nodes)
	}
}

// Without a mount namespace of its own the container gets a chroot, and nothing that would change the host's mounts.
func TestWithoutMountNamespace(t *testing.T) {
	nstest.NeedRoot(t)
	b := newBox(t)
	b.config.Object("linux")["namespaces"] = []any{map[string]any{"type": "pid"}}
	b.spec.Namespaces = nstest.PID
	r := b.look("/dev/null").run()
	if !r.Nodes["/dev/null"].Device(1, 3) || r.Cwd != "/" {
		t.Errorf("%+v in %s", r.Nodes, r.Cwd)
	}
	b = newBox(t).mount("/x", "tmpfs", "tmpfs")
	b.config.Object("linux")["namespaces"] = []any{map[string]any{"type": "pid"}}
	b.spec.Namespaces = nstest.PID
	b.refused("/mounts", "mount namespace")
}

func TestHooksAndCommands(t *testing.T) {
	out := shared(t)
	b := newBox(t).mount("/x", "tmpfs", "tmpfs")
	script := func(name, text string) string {
		write(t, out+"/"+name, "#!/bin/sh\n"+text+"\n", 0o755)
		return out + "/" + name
	}
	hook := script("hook", "umask > "+out+"/umask; pwd > "+out+"/pwd; echo $1 $VAR > "+out+"/argv; cat > "+out+"/state")
	before := script("before", "grep -c '"+b.rootfs+"/x ' /proc/self/mountinfo > "+out+"/before; exit 0")
	after := script("after", "grep -c '"+b.rootfs+"/x ' /proc/self/mountinfo > "+out+"/after; exit 0")
	b.config.Object("hooks")["createContainer"] = []any{map[string]any{"path": hook, "args": []any{"hook", "first"}, "env": []any{"VAR=value", "PATH=/usr/bin:/bin"}, "timeout": 5}}
	b.config.Object("annotations")["org.example.key"] = "value"
	path := []string{"PATH=/usr/bin:/bin"}
	b.options(map[string]any{"bundle": out, "state": map[string]any{"id": "box", "pid": 4711},
		"mountCommands": []any{map[string]any{"mount": 0, "before": []any{map[string]any{"path": before, "env": path}},
			"after": []any{map[string]any{"path": after, "env": path}}}}})
	b.run()
	read := func(name string) string {
		text, err := os.ReadFile(out + "/" + name)
		if err != nil {
			t.Error(err)
		}
		return strings.TrimSpace(string(text))
	}
	var state map[string]any
	if err := json.Unmarshal([]byte(read("state")), &state); err != nil {
		t.Fatal(err)
	}
	if state["id"] != "box" || state["status"] != "creating" || state["pid"] != 4711.0 || state["bundle"] != out ||
		state["annotations"].(map[string]any)["org.example.key"] != "value" {
		t.Errorf("state: %v", state)
	}
	if read("argv") != "first value" || read("pwd") != b.rootfs || read("umask") != "0022" {
		t.Errorf("argv %q, pwd %q, umask %q", read("argv"), read("pwd"), read("umask"))
	}
	if read("before") != "0" || read("after") != "1" {
		t.Errorf("mounts seen: before %s, after %s", read("before"), read("after"))
	}
}

func TestHooksThatFail(t *testing.T) {
	out := shared(t)
	write(t, out+"/fails", "#!/bin/sh\necho why >&2; exit 3\n", 0o755)
	write(t, out+"/hangs", "#!/bin/sh\nexec sleep 60\n", 0o755)
	for name, want := range map[string]string{"fails": "exit status 3: why", "hangs": "killed after 1s", "missing": "execve(" + out + "/missing): no such file"} {
		b := newBox(t)
		b.config.Object("hooks")["createContainer"] = []any{map[string]any{"path": out + "/" + name, "timeout": 1, "env": []any{"PATH=/usr/bin:/bin"}}}
		if e := b.refused("/hooks/createContainer/0", want); e.Code != 6 {
			t.Errorf("code %d", e.Code)
		}
	}
}

// A root that is shared with the host's peer group takes mounts in without giving any back.
func TestNothingPropagatesToTheHost(t *testing.T) {
	b := newBox(t).mount("/x", "tmpfs", "tmpfs").mount("/y", "bind", shared(t), "rbind", "rshared")
	if err := unix.Mount(b.rootfs, b.rootfs, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(b.rootfs, unix.MNT_DETACH) })
	if err := unix.Mount("", b.rootfs, "", unix.MS_SHARED, ""); err != nil {
		t.Fatal(err)
	}
	b.spec.KeepPropagation = true
	for _, value := range []string{"rslave", "shared", "private", "rshared"} {
		b.set("rootfsPropagation", value, "linux").run()
		left, err := os.ReadDir(b.rootfs + "/x")
		if err != nil || len(left) != 0 {
			t.Error(left, err)
		}
	}
	noMountsBelow(t, b.rootfs, "of the root")
}

func TestValidateTouchesNothing(t *testing.T) {
	nstest.HostUnchanged(t)
	root := t.TempDir()
	if err := rootfs.Validate(nstest.DefaultConfig(root).JSON(), nil); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{root + "/missing", "/"} {
		if err := rootfs.Validate(nstest.BareConfig(bad).JSON(), nil); err == nil || !strings.Contains(err.Error(), "/root/path") {
			t.Errorf("%s: %v", bad, err)
		}
	}
	write(t, root+"/file", "", 0o644)
	if err := rootfs.Validate(nstest.BareConfig(root+"/file").JSON(), nil); err == nil || !strings.Contains(err.Error(), "not a directory") {
		t.Error(err)
	}
}

// A host without OCI writes just the root and the mounts.
func TestMinimalDocument(t *testing.T) {
	b := newBox(t)
	b.config = nstest.Config{"root": map[string]any{"path": b.rootfs}}
	b.mount("/x", "tmpfs", "tmpfs")
	if r := b.run(); r.At("/x") == nil || len(r.Mounts) != 2 {
		t.Errorf("%+v", r.Mounts)
	}
}
