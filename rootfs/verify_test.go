package rootfs_test

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/librootfs/librootfs/rootfs"
	"github.com/librootfs/librootfs/rootfs/internal/nstest"
)

// tampers are ways to break one promise each in a finished container, and what Verify is to say of it.
var tampers = map[string]struct {
	do              func() error
	pointer, aspect string
}{
	"tmpfs writable again":  {remount("/ro", unix.MS_NOSUID), "/mounts/3", "read-only"},
	"tmpfs gone":            {unmount("/ro"), "/mounts/3", "mount"},
	"another type over it":  {mount("/ro", "ramfs", unix.MS_RDONLY|unix.MS_NOSUID), "/mounts/3", "type"},
	"another source":        {mountAs("stranger", "/ro", "tmpfs", unix.MS_RDONLY|unix.MS_NOSUID), "/mounts/3", "source"},
	"bind without nosuid":   {remount("/bind", unix.MS_RDONLY|unix.MS_NODEV), "/mounts/4", "flags"},
	"bind writable":         {remount("/bind", unix.MS_NOSUID|unix.MS_NODEV), "/mounts/4", "flags"},
	"bind executable again": {remount("/exact", 0), "/mounts/5", "flags"},
	"bind gone":             {unmount("/bind"), "/mounts/4", "mount"},
	"no longer shared":      {propagate("/bind", unix.MS_PRIVATE), "/mounts/4", "propagation"},
	"unbindable":            {propagate("/exact", unix.MS_UNBINDABLE), "/mounts/5", "propagation"},
	"idmapped bind gone":    {unmount("/mapped"), "/mounts/6", "mount"},
	"no longer idmapped":    {bind("/tmp", "/mapped"), "/mounts/6", "idmap"},
	"recursive flag gone":   {remount("/rec/sub", 0), "/mounts/7", "flags"},
	"root writable":         {remount("/", 0), "/root/readonly", "read-only"},
	"root shared":           {propagate("/", unix.MS_PRIVATE), "/linux/rootfsPropagation", "propagation"},
	"masked file in view":   {unmount("/secret"), "/linux/maskedPaths/0", "mask"},
	"masked dir in view":    {unmount("/secrets"), "/linux/maskedPaths/1", "mask"},
	"mask writable":         {remount("/secrets", 0), "/linux/maskedPaths/1", "mask"},
	"mask is a file":        {bind("/locked/file", "/secret"), "/linux/maskedPaths/0", "mask"},
	"mask is not empty":     {bind("/locked", "/secrets"), "/linux/maskedPaths/1", "mask"},
	"path writable":         {remount("/locked", 0), "/linux/readonlyPaths/0", "read-only"},
	"path uncovered":        {writableBelow("/locked"), "/linux/readonlyPaths/0", "read-only"},
	"mode of a device":      {chmod("/dev/fuse", 0o666), "/linux/devices/0", "mode"},
	"owner of a device":     {func() error { return os.Chown("/dev/fuse", 9, 9) }, "/linux/devices/0", "owner"},
	"number of a device":    {node("/dev/fuse", unix.S_IFCHR|0o640, 1, 1), "/linux/devices/0", "device number"},
	"type of a device":      {node("/dev/fuse", unix.S_IFBLK|0o640, 10, 229), "/linux/devices/0", "device type"},
	"device gone":           {func() error { return os.Remove("/dev/fuse") }, "/linux/devices/0", "device"},
	"fifo is a file":        {node("/dev/pipe", unix.S_IFREG|0o600, 0, 0), "/linux/devices/1", "device type"},
	"null is zero":          {node("/dev/null", unix.S_IFCHR|0o666, 1, 5), "", "device number"},
	"null can be read only": {chmod("/dev/null", 0o444), "", "mode"},
	"ptmx of the host":      {node("/dev/ptmx", unix.S_IFCHR|0o666, 5, 2), "", "symlink"},
	"ptmx elsewhere":        {link("/tmp/ptmx", "/dev/ptmx"), "", "symlink"},
	"sysctl":                {writeTo("/proc/sys/net/ipv4/ip_forward", "0"), "/linux/sysctl/net.ipv4.ip_forward", "sysctl"},
	"umask":                 {func() error { unix.Umask(0); return nil }, "/process/user/umask", "umask"},
	"outside":               {func() error { return unix.Fchdir(firstFile) }, "/process/cwd", "working directory"},
}

// withoutProcfs are those for TestVerifySysctlWithoutProcfs, where the same file can be read in the container's /proc alone.
var withoutProcfs = map[string]func() error{
	"nothing":                                func() error { return nil },
	"another value":                          func() error { return errors.Join(remount("/proc/sys", 0)(), writeTo(forward, "0")()) },
	"covered by a file of the container's":   bind("/text", forward),
	"covered by another file of that procfs": bind("/proc/sys/net/ipv4/ip_default_ttl", forward),
	"its directory is covered":               mount("/proc/sys/net", "tmpfs", 0),
}

const forward = "/proc/sys/net/ipv4/ip_forward"

func remount(path string, flags uintptr) func() error {
	return func() error { return unix.Mount("", path, "", unix.MS_REMOUNT|unix.MS_BIND|flags, "") }
}
func unmount(path string) func() error {
	return func() error { return unix.Unmount(path, unix.MNT_DETACH) }
}
func mount(path, kind string, flags uintptr) func() error {
	return mountAs("tmpfs", path, kind, flags)
}
func mountAs(source, path, kind string, flags uintptr) func() error {
	return func() error { return unix.Mount(source, path, kind, flags, "") }
}
func bind(source, path string) func() error {
	return func() error { return unix.Mount(source, path, "", unix.MS_BIND, "") }
}
func propagate(path string, flags uintptr) func() error {
	return func() error { return unix.Mount("", path, "", flags, "") }
}
func chmod(path string, mode uint32) func() error {
	return func() error { return unix.Chmod(path, mode) }
}
func link(to, path string) func() error {
	return func() error {
		if err := os.Remove(path); err != nil {
			return err
		}
		return os.Symlink(to, path)
	}
}
func node(path string, mode, major, minor uint32) func() error {
	return func() error {
		if err := os.Remove(path); err != nil {
			return err
		}
		if err := unix.Mknod(path, mode, int(unix.Mkdev(major, minor))); err != nil {
			return err
		}
		return unix.Chmod(path, mode&0o7777)
	}
}
func writeTo(path, text string) func() error {
	return func() error { return os.WriteFile(path, []byte(text), 0) }
}

// writableBelow takes the read-only mount away and makes what was below it writable.
func writableBelow(path string) func() error {
	return func() error {
		if err := unix.Unmount(path, unix.MNT_DETACH); err != nil {
			return err
		}
		return unix.Mount("", "/", "", unix.MS_REMOUNT|unix.MS_BIND, "")
	}
}

type tamperRequest struct {
	Config []byte
	Name   string
}

type tamperResult struct {
	Checked       int
	Before, After []rootfs.Deviation
}

var tampering = nstest.Define("rootfs.tamper", func(in tamperRequest) (r tamperResult, err error) {
	c, err := rootfs.Parse(in.Config, nil)
	if err != nil {
		return r, err
	}
	p, err := rootfs.NewPlan(c)
	if err != nil {
		return r, err
	}
	prepared, err := rootfs.Prepare(p, nil)
	if err != nil {
		return r, err
	}
	if err := prepared.Finalize(); err != nil {
		return r, err
	}
	report, err := prepared.Verify()
	if err != nil {
		return r, err
	}
	r.Checked, r.Before = report.Checked, report.Deviations
	do := withoutProcfs[in.Name]
	if do == nil {
		do = tampers[in.Name].do
	}
	if err := do(); err != nil {
		return r, fmt.Errorf("%s: %w", in.Name, err)
	}
	if report, err = rootfs.Verify(p); err != nil { // as another process in the container would
		return r, err
	}
	r.After = report.Deviations
	if report, err = prepared.Verify(); err == nil && len(report.Deviations) < len(r.After) {
		err = fmt.Errorf("the process that set it up finds less: %s", report.JSON())
	}
	return r, err
})

// TestVerifyFindsEachDeviation breaks one promise at a time.
func TestVerifyFindsEachDeviation(t *testing.T) {
	src, mapped := shared(t), hostMount(t, 0)
	if err := os.Mkdir(src+"/sub", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", src+"/sub", "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(src+"/sub", unix.MNT_DETACH) })
	for name, tamper := range tampers {
		t.Run(name, func(t *testing.T) {
			b := newBox(t).mount("/proc", "proc", "proc").mount("/dev", "tmpfs", "tmpfs", "mode=755", "nosuid")
			b.mount("/tmp", "tmpfs", "tmpfs").mount("/ro", "tmpfs", "tmpfs", "ro", "nosuid")
			b.mount("/bind", "bind", src, "bind", "ro", "nosuid", "nodev", "shared").mount("/exact", "bind", src, "bind", "noexec", "private")
			b.bindMapped("/mapped", mapped, 5000, "bind").mount("/rec", "bind", src, "rbind", "rnoexec")
			write(t, b.rootfs+"/secret", "", 0o644)
			write(t, b.rootfs+"/secrets/file", "", 0o644)
			write(t, b.rootfs+"/locked/file", "", 0o644)
			b.set("maskedPaths", []any{"/secret", "/secrets"}, "linux").set("readonlyPaths", []any{"/locked"}, "linux")
			b.set("rootfsPropagation", "shared", "linux").set("sysctl", map[string]any{"net.ipv4.ip_forward": "1"}, "linux")
			b.set("devices", []any{
				map[string]any{"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 0o640, "uid": 1, "gid": 2},
				map[string]any{"path": "/dev/pipe", "type": "p", "fileMode": 0o600}}, "linux")
			b.config.Object("linux")["namespaces"] = []any{map[string]any{"type": "mount"}, map[string]any{"type": "network"}}
			b.config.Object("root")["readonly"] = true
			b.config.Object("process", "user")["umask"] = 0o027
			outside, err := os.Open("/")
			if err != nil {
				t.Fatal(err)
			}
			defer outside.Close()
			b.spec.Files = []*os.File{outside}
			r, err := tampering.Run(t, b.spec, tamperRequest{b.config.JSON(), name})
			if err != nil {
				t.Fatal(err)
			}
			if r.Checked < 30 || len(r.Before) != 0 {
				t.Errorf("before anything was done: %d checked, %+v", r.Checked, r.Before)
			}
			if !slices.ContainsFunc(r.After, func(d rootfs.Deviation) bool {
				return d.Pointer == tamper.pointer && d.Aspect == tamper.aspect && d.Want != d.Got
			}) {
				t.Errorf("want %s of %q among %+v", tamper.aspect, tamper.pointer, r.After)
			}
		})
	}
}

// TestVerifySysctlWithoutProcfs: an old kernel can make no procfs apart. What a read-only path bound onto itself is still the
// same file; what anyone else bound there is not.
func TestVerifySysctlWithoutProcfs(t *testing.T) {
	older := slices.DeleteFunc(slices.Clone(nstest.NewCallNames), func(call string) bool { return call == "statx" })
	for kernel, calls := range map[string][]string{"before 5.2": older, "without statx": nstest.NewCallNames} {
		for name := range withoutProcfs {
			t.Run(kernel+"/"+name, func(t *testing.T) {
				b := newBox(t).withProc()
				b.config.Object("linux")["namespaces"] = []any{map[string]any{"type": "mount"}, map[string]any{"type": "pid"},
					map[string]any{"type": "network"}}
				b.set("sysctl", map[string]any{"net.ipv4.ip_forward": "1"}, "linux").set("readonlyPaths", []any{"/proc/sys"}, "linux")
				write(t, b.rootfs+"/text", "1\n", 0o644)
				b.spec.Deny = []nstest.Denial{nstest.Deny(unix.ENOSYS, calls...)}
				r, err := tampering.Run(t, b.spec, tamperRequest{b.config.JSON(), name})
				if err != nil {
					t.Fatal(err)
				}
				found := slices.ContainsFunc(r.After, func(d rootfs.Deviation) bool { return d.Aspect == "sysctl" && d.Want != d.Got })
				if len(r.Before) != 0 || found != (name != "nothing") {
					t.Errorf("before: %+v\nafter: %+v", r.Before, r.After)
				}
			})
		}
	}
}
