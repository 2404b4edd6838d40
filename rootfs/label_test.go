package rootfs_test

import (
	"testing"

	"github.com/opencontainers/selinux/go-selinux"
	"golang.org/x/sys/unix"
)

const aLabel = "system_u:object_r:container_file_t:s0:c1,c2"

func needNoSELinux(t *testing.T) {
	t.Helper()
	if selinux.GetEnabled() {
		t.Skip("SELinux is enabled here")
	}
}

// Without SELinux a label that was asked for is an error that names the field, whatever step would have set it.
func TestLabelWithoutSELinux(t *testing.T) {
	needNoSELinux(t)
	src := shared(t)
	for name, b := range map[string]*box{
		"tmpfs":   newBox(t).mount("/x", "tmpfs", "tmpfs"),
		"mqueue":  newBox(t).mount("/dev/mqueue", "mqueue", "mqueue"),
		"relabel": newBox(t).mount("/x", "bind", src, "bind", "z"),
		"private": newBox(t).mount("/x", "bind", src, "rbind", "Z"),
	} {
		e := b.set("mountLabel", aLabel, "linux").refused("/linux/mountLabel", "no SELinux")
		if e.Code != 4 {
			t.Errorf("%s: code %d", name, e.Code)
		}
	}
	b := newBox(t).set("mountLabel", aLabel, "linux").set("maskedPaths", []any{"/secret"}, "linux")
	write(t, b.rootfs+"/secret/file", "", 0o644)
	b.refused("/linux/mountLabel", "no SELinux")
	// A label among a mount's own options is for the kernel to refuse.
	e := newBox(t).mount("/x", "tmpfs", "tmpfs", `context="`+aLabel+`"`).refused("/mounts/0", "invalid argument")
	if e.Errno != unix.EINVAL {
		t.Errorf("%+v", e)
	}
}

// What no label is asked of has none: z and Z are nothing without one, and what cannot be labelled asks for none.
func TestNoLabelAskedFor(t *testing.T) {
	needNoSELinux(t)
	src := shared(t)
	write(t, src+"/file", "text", 0o644)
	r := newBox(t).mount("/z", "bind", src, "bind", "z").mount("/Z", "bind", src, "bind", "Z", "ro").look("/z/file", "/Z/file").run()
	if r.Nodes["/z/file"].Text != "text" || r.Nodes["/Z/file"].Text != "text" {
		t.Errorf("%+v", r.Nodes)
	}
	b := newBox(t).set("mountLabel", aLabel, "linux").mount("/proc", "proc", "proc").mount("/sys", "sysfs", "sysfs").mount("/x", "bind", src, "bind")
	b.run()
	newBox(t).set("mountLabel", "", "linux").mount("/x", "tmpfs", "tmpfs").run()
}
