package rootfs_test

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/librootfs/librootfs/rootfs/internal/e2e"
	"github.com/librootfs/librootfs/rootfs/internal/nstest"
)

// onRamfs sets a container up on a host whose root is a ramfs, as in an initial ramdisk, with all procfs and sysfs mounts
// that such a host may have; then the container tries to get a procfs without its masks.
var onRamfs = nstest.Define("rootfs.ramfs", func(in ramfsRequest) (ramfsResult, error) {
	if err := intoRamfs(in); err != nil {
		return ramfsResult{}, fmt.Errorf("a host on a ramfs: %w", err)
	}
	if in.Bare {
		if err := bareMove(); err != nil {
			return ramfsResult{}, err
		}
		attack, err := freshProc()
		return ramfsResult{Attack: attack}, err
	}
	r, err := e2e.SetUp(in.Request)
	if err != nil {
		return ramfsResult{Result: r}, err
	}
	attack, err := freshProc()
	return ramfsResult{r, attack}, err
})

type ramfsRequest struct {
	Request e2e.Request
	Dir     string // where the ramfs goes
	Rootfs  string // shown in it as /rootfs
	Bare    bool   // no library: the root is moved and nothing is hidden
}

type ramfsResult struct {
	e2e.Result
	Attack string // what mount said, "" for success
}

func intoRamfs(in ramfsRequest) error {
	if err := unix.Mount("ramfs", in.Dir, "ramfs", 0, ""); err != nil {
		return err
	}
	if err := os.Chdir(in.Dir); err != nil {
		return err
	}
	for _, d := range []string{"proc", "sys", "dev", "rootfs", "again", "part", "tmp"} {
		if err := os.Mkdir(d, 0o755); err != nil {
			return err
		}
	}
	for _, m := range []struct {
		source, target, kind string
		flags                uintptr
	}{
		{"proc", "proc", "proc", 0}, {"sysfs", "sys", "sysfs", 0}, {"/dev", "dev", "", unix.MS_BIND | unix.MS_REC},
		{in.Rootfs, "rootfs", "", unix.MS_BIND}, {"proc", "again", "proc", unix.MS_NOSUID}, {"proc", "proc", "proc", 0},
		{"/sys", "part", "", unix.MS_BIND | unix.MS_REC},
	} {
		if err := unix.Mount(m.source, m.target, m.kind, m.flags, ""); err != nil {
			return fmt.Errorf("%s: %w", m.target, err)
		}
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return err
	}
	return unix.Unmount(".", unix.MNT_DETACH)
}

// bareMove does what noPivotRoot does, but hides nothing.
func bareMove() error {
	if err := os.Chdir("/rootfs"); err != nil {
		return err
	}
	if err := unix.Mount("proc", "proc", "proc", 0, ""); err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", "proc/sys", "tmpfs", unix.MS_RDONLY, ""); err != nil {
		return err
	}
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return err
	}
	if err := unix.Chroot("."); err != nil {
		return err
	}
	return os.Chdir("/")
}

// freshProc is what a process of the container does that makes itself a user namespace: mount a procfs of its own.
func freshProc() (string, error) {
	out, err := unix.MemfdCreate("out", unix.MFD_CLOEXEC)
	if err != nil {
		return "", err
	}
	defer unix.Close(out)
	one := []syscall.SysProcIDMap{{Size: 1}}
	pid, err := syscall.ForkExec("/bin/busybox", []string{"mount", "-t", "proc", "proc", "/tmp"}, &syscall.ProcAttr{
		Files: []uintptr{uintptr(out), uintptr(out), uintptr(out)},
		Sys: &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWPID,
			UidMappings: one, GidMappings: one},
	})
	if err != nil {
		return "", fmt.Errorf("the attacker's process: %w", err)
	}
	var status unix.WaitStatus
	if _, err := unix.Wait4(pid, &status, 0, nil); err != nil {
		return "", err
	}
	if status.ExitStatus() == 0 {
		return "", nil
	}
	buf := make([]byte, 500)
	n, err := unix.Pread(out, buf, 0)
	return fmt.Sprintf("exit %d: %s", status.ExitStatus(), buf[:max(n, 0)]), err
}

func ramfsBox(t *testing.T) (*box, ramfsRequest) {
	t.Helper()
	nstest.NeedRoot(t)
	nstest.HostUnchanged(t)
	root := nstest.Rootfs(t)
	b := &box{t: t, rootfs: root, config: nstest.BareConfig("/rootfs"), spec: nstest.Spec{Namespaces: nstest.Container}}
	b.mount("/proc", "proc", "proc").mount("/sys", "sysfs", "sysfs", "ro").mount("/dev", "tmpfs", "tmpfs", "mode=755")
	b.set("maskedPaths", []any{"/proc/kcore", "/sys/firmware"}, "linux").set("readonlyPaths", []any{"/proc/sys"}, "linux")
	b.options(map[string]any{"noPivotRoot": true})
	return b, ramfsRequest{Dir: shared(t), Rootfs: root}
}

func TestNoPivotRootOnRamfs(t *testing.T) {
	b, in := ramfsBox(t)
	in.Request = b.look("/dev/null", "/proc/1", "/bin/busybox", "/rootfs", "/again").write("/").req
	in.Request.Config = b.config.JSON()
	r, err := onRamfs.Run(t, b.spec, in)
	if err != nil || r.Deviate != "" || len(r.FDs) != 0 {
		t.Fatal(r.Stage, err, r.Deviate, r.FDs)
	}
	if !r.Nodes["/dev/null"].Device(1, 3) || r.Nodes["/proc/1"].Missing || r.Nodes["/bin/busybox"].Missing || !r.Nodes["/rootfs"].Missing ||
		!r.Nodes["/again"].Missing || r.Writes["/"] != "" || r.Cwd != "/" {
		t.Errorf("%+v %v %s", r.Nodes, r.Writes, r.Cwd)
	}
	if !strings.Contains(r.Attack, "exit") {
		t.Errorf("the container got a procfs without its masks: %q", r.Attack)
	}
	// The same attack wins where nothing was hidden, so it does try what it should.
	b, in = ramfsBox(t)
	in.Bare = true
	r, err = onRamfs.Run(t, b.spec, in)
	if err != nil || r.Attack != "" {
		t.Errorf("the attack on a root that was only moved: %q, %v", r.Attack, err)
	}
}

// The root can be the working directory's, below several mounts, and the host's propagation shared.
func TestNoPivotRootWithSharedHost(t *testing.T) {
	for _, value := range []string{"", "slave", "rslave", "shared", "rshared", "unbindable"} {
		b := newBox(t).withProc().mount("/x", "tmpfs", "tmpfs").options(map[string]any{"noPivotRoot": true})
		b.spec.KeepPropagation = true
		if value != "" {
			b.set("rootfsPropagation", value, "linux")
		}
		if r := b.look("/proc/1").run(); r.Nodes["/proc/1"].Missing {
			t.Errorf("%s: %+v", value, r.Nodes)
		}
	}
	for _, value := range []string{"private", "rprivate"} {
		newBox(t).set("rootfsPropagation", value, "linux").options(map[string]any{"noPivotRoot": true}).
			refused("/linux/rootfsPropagation", "not safe together with noPivotRoot")
	}
}

// Two procfs on one another, shared with the host: the lower one cannot be reached to be cut off first, and taking the
// upper one away would take the host's as well. That is refused; cut off as a whole, as it is by default, it can be done.
func TestNoPivotRootWithStackedProc(t *testing.T) {
	nstest.NeedRoot(t)
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount("/proc", unix.MNT_DETACH) })
	b := newBox(t).withProc().options(map[string]any{"noPivotRoot": true})
	b.spec.KeepPropagation = true
	b.run()
	b.set("rootfsPropagation", "rshared", "linux").refused("", "below another mount and cannot be hidden")
}
