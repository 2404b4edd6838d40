package rootfs_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"github.com/librootfs/librootfs/rootfs"
	"github.com/librootfs/librootfs/rootfs/internal/e2e"
	"github.com/librootfs/librootfs/rootfs/internal/nstest"
)

// joining enters the mount namespace of descriptor 5 first, as a host does for a namespace with a path. A thread can enter
// one once it shares its working directory with no other.
var joining = nstest.Define("rootfs.joining", func(in joinRequest) (e2e.Result, error) {
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return e2e.Result{}, err
	}
	if err := unix.Setns(firstFile, unix.CLONE_NEWNS); err != nil {
		return e2e.Result{}, err
	}
	if in.Refuse {
		return e2e.Result{}, prepareRefused(in.Request)
	}
	return e2e.SetUp(in.Request)
})

type joinRequest struct {
	Request e2e.Request
	Refuse  bool // the host's callback refuses
}

func prepareRefused(in e2e.Request) error {
	c, err := rootfs.Parse(in.Config, in.Options)
	if err != nil {
		return err
	}
	p, err := rootfs.NewPlan(c)
	if err != nil {
		return err
	}
	_, err = rootfs.Prepare(p, &rootfs.Host{MountsReady: func() error { return errors.New("the host says no") }})
	return err
}

// other is a process with a mount namespace of its own, its descriptor, and a function that lists its mounts.
func other(t *testing.T) (ns *os.File, table func() []string) {
	t.Helper()
	cmd := exec.Command("sleep", "600")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	proc := fmt.Sprintf("/proc/%d", cmd.Process.Pid)
	ns, err := os.Open(proc + "/ns/mnt")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ns.Close() })
	return ns, func() (list []string) {
		f, err := os.Open(proc + "/mountinfo")
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		infos, err := mountinfo.GetMountsFromReader(f, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range infos {
			list = append(list, fmt.Sprintf("%d %s %s %s", m.ID, m.Mountpoint, m.FSType, m.Options))
		}
		slices.Sort(list)
		return list
	}
}

func TestJoinedMountNamespace(t *testing.T) {
	join := func(mounts func(b *box), refuse bool) (e2e.Result, []string, []string, error) {
		t.Helper()
		b := newBox(t)
		b.config.Object("linux")["namespaces"] = []any{map[string]any{"type": "mount", "path": "/proc/1/ns/mnt"}}
		mounts(b)
		ns, table := other(t)
		b.spec = nstest.Spec{Files: []*os.File{ns}}
		b.req.Config = b.config.JSON()
		before := table()
		r, err := joining.Run(t, b.spec, joinRequest{b.req, refuse})
		return r, before, table(), err
	}
	r, _, _, err := join(func(b *box) { b.mount("/x", "tmpfs", "tmpfs").mount("/proc", "proc", "proc").look("/dev/null") }, false)
	if err != nil || r.Deviate != "" || r.At("/x") == nil || !r.Nodes["/dev/null"].Device(1, 3) {
		t.Errorf("%v %s %+v", err, r.Deviate, r.Nodes)
	}
	// Whatever fails, and however late: the others who live there keep the mounts that they had, and get none.
	src := hostTmpfs(t, 0, "mode=755")
	for name, mounts := range map[string]func(b *box){
		"a mount": func(b *box) { b.mount("/x", "tmpfs", "tmpfs").mount("/y", "tmpfs", "tmpfs", "size=nonsense") },
		"a hook": func(b *box) {
			b.mount("/x", "bind", src, "rbind", "shared").mount("/x/y", "tmpfs", "tmpfs")
			b.config.Object("hooks")["createContainer"] = []any{map[string]any{"path": "/bin/false"}}
		},
		"the host":         func(b *box) { b.mount("/x", "tmpfs", "tmpfs") },
		"a device":         func(b *box) { write(t, b.rootfs+"/dev/null", "", 0o644) },
		"with propagation": func(b *box) { b.set("rootfsPropagation", "rshared", "linux").mount("/x", "tmpfs", "tmpfs", "bad") },
	} {
		_, before, after, err := join(mounts, name == "the host")
		if err == nil || !slices.Equal(before, after) {
			t.Errorf("%s: %v\nbefore %s\nafter %s", name, err, strings.Join(before, "\n"), strings.Join(after, "\n"))
		}
	}
	if left, err := os.ReadDir(src); err != nil || len(left) != 1 || left[0].Name() != "y" {
		t.Errorf("%v, %v", left, err)
	}
}

// Without a mount namespace nothing is mounted, also where a device or the console could only be had so.
func TestNothingMountedWithoutMountNamespace(t *testing.T) {
	b := newBox(t)
	b.config.Object("linux")["namespaces"] = []any{map[string]any{"type": "pid"}, map[string]any{"type": "user"}}
	maps := []any{map[string]any{"containerID": 0, "hostID": firstID, "size": 65536}}
	b.config.Object("linux")["uidMappings"], b.config.Object("linux")["gidMappings"] = maps, maps
	nstest.GiveTo(t, b.rootfs, firstID)
	b.spec.Namespaces = nstest.PID | nstest.User
	if e := b.refused("", "would be a mount of the host's"); e.Code != 4 {
		t.Errorf("%+v", e)
	}
	b = newBox(t)
	b.config.Object("linux")["namespaces"] = []any{map[string]any{"type": "pid"}}
	b.spec.Namespaces = nstest.PID
	b.req.Console = true
	b.refused("", "would be a mount of the host's")
}
