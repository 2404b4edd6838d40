package rootfs_test

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/librootfs/librootfs/rootfs"
	"github.com/librootfs/librootfs/rootfs/internal/e2e"
	"github.com/librootfs/librootfs/rootfs/internal/nstest"
)

// lentRoot is a container whose root is a descriptor. At the path that its config names is an empty directory.
type lentRoot struct {
	Request e2e.Request
	Open    string // a directory that the child itself opens as its root
	Place   string // root.path
	Small   string // a directory: first into a namespace that has next to nothing, made there, and not the root
}

var rootLent = nstest.Define("rootfs.lent-root", func(in lentRoot) (r e2e.Result, err error) {
	if in.Small != "" {
		if err := errors.Join(smallNamespace(in.Small), os.MkdirAll(in.Place, 0o755)); err != nil {
			return r, err
		}
	}
	if in.Open != "" {
		fd, err := unix.Open(in.Open, unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil {
			return r, err
		}
		in.Request.Sources = map[int]int{rootfs.SourceRoot: fd}
	}
	before, err := table()
	if err != nil {
		return r, err
	}
	r, err = e2e.SetUp(in.Request)
	if err != nil {
		after, tableErr := table()
		if tableErr != nil || !slices.Equal(before, after) {
			return r, fmt.Errorf("%w; the mounts were %v and are %v, %v", err, before, after, tableErr)
		}
		return r, err
	}
	if _, err := unix.FcntlInt(uintptr(in.Request.Sources[rootfs.SourceRoot]), unix.F_GETFD, 0); err != nil {
		return r, fmt.Errorf("the root's descriptor was closed: %w", err)
	}
	return r, nil
})

func table() (lines []string, err error) {
	list, err := nstest.Mounts()
	for _, m := range list {
		lines = append(lines, fmt.Sprint(m.ID, m.Mountpoint, m.Optional))
	}
	return lines, err
}

// smallNamespace makes of the present mount namespace one of three mounts: /, /proc and /sys/fs/cgroup.
func smallNamespace(dir string) error {
	bind := func(path string) error {
		return errors.Join(os.MkdirAll(dir+path, 0o755), unix.Mount(path, dir+path, "", unix.MS_BIND, ""))
	}
	return errors.Join(
		unix.Mount("", "/", "", unix.MS_SLAVE|unix.MS_REC, ""),
		unix.Mount("small", dir, "tmpfs", 0, "mode=755"),
		bind("/proc"), bind("/sys/fs/cgroup"),
		unix.Chdir(dir), unix.PivotRoot(".", "."), unix.Unmount(".", unix.MNT_DETACH), unix.Chdir("/"))
}

// lendRoot gives the container its root by descriptor, and not by its path.
func (b *box) lendRoot(fd int) *box {
	return b.lend(source(rootfs.SourceRoot, fd))
}

func (b *box) runLentRoot(in lentRoot) (e2e.Result, error) {
	b.t.Helper()
	in.Place = shared(b.t)
	b.config.Object("root")["path"] = in.Place
	b.req.Config = b.config.JSON()
	in.Request = b.req
	r, err := rootLent.Run(b.t, b.spec, in)
	if err == nil && (r.Deviate != "" || len(r.FDs) != 0 || len(r.Outside) != 0) {
		b.t.Errorf("%s %v %v", r.Deviate, r.FDs, r.Outside)
	}
	if left, err := os.ReadDir(in.Place); err != nil || len(left) != 0 {
		b.t.Errorf("in the directory below the root: %v, %v", left, err)
	}
	return r, err
}

// A tree that the parent cloned, an overlay that it mounted nowhere, and a directory that the child opened: each is the root of the
// default config, also in a namespace that does not show it.
func TestLentRoot(t *testing.T) {
	overlay := func(b *box) int {
		fs, err := unix.Fsopen("overlay", unix.FSOPEN_CLOEXEC)
		if err != nil {
			b.t.Fatal(err)
		}
		defer unix.Close(fs)
		over := hostTmpfs(b.t, 0, "mode=755")
		for key, dir := range map[string]string{"lowerdir": b.rootfs, "upperdir": over + "/upper", "workdir": over + "/work"} {
			if err := errors.Join(os.MkdirAll(dir, 0o755), unix.FsconfigSetString(fs, key, dir)); err != nil {
				b.t.Fatal(err)
			}
		}
		if err := unix.FsconfigCreate(fs); err != nil {
			b.t.Fatal(err)
		}
		fd, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, 0)
		if err != nil {
			b.t.Fatal(err)
		}
		return fd
	}
	cloned := func(b *box) int { return openTree(t, b.rootfs, unix.AT_RECURSIVE) }
	for _, c := range []struct {
		name  string
		fd    func(b *box) int
		small bool
	}{
		{"cloned", cloned, false}, {"cloned in a small namespace", cloned, true},
		{"overlay", overlay, false}, {"overlay in a small namespace", overlay, true},
		{"opened by the child", nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBox(t)
			b.config = nstest.DefaultConfig(b.rootfs)
			write(t, b.rootfs+"/mark", "lent", 0o644)
			if err := os.Symlink("/data", b.rootfs+"/link"); err != nil {
				t.Fatal(err)
			}
			src := shared(t)
			write(t, src+"/file", "bound", 0o644)
			b.mount("/link/sub", "tmpfs", "tmpfs", "ro", "nosuid").mount("/data/sub/deep", "tmpfs", "tmpfs", "noexec")
			b.mount("/link/sub", "bind", "", "remount", "bind", "ro", "nodev")
			in := lentRoot{}
			if c.small {
				in.Small = shared(t)
			}
			if c.fd != nil {
				b.lendRoot(c.fd(b)).lendPath(len(b.config["mounts"].([]any)), src).mount("/mnt", "bind", "/not/there", "rbind", "ro")
			} else {
				in.Open = b.rootfs
			}
			r, err := b.look("/mark", "/mnt/file", "/dev/null", "/proc/self", "/sys/fs/cgroup").write("/", "/dev/shm").runLentRoot(in)
			if err != nil {
				t.Fatal(err)
			}
			if r.Nodes["/mark"].Text != "lent" || !r.Nodes["/dev/null"].Device(1, 3) || r.Cwd != "/" {
				t.Errorf("%+v in %s", r.Nodes, r.Cwd)
			}
			if c.fd != nil && r.Nodes["/mnt/file"].Text != "bound" {
				t.Errorf("/mnt: %+v", r.Nodes["/mnt/file"])
			}
			for path, kind := range map[string]string{"/proc": "proc", "/dev": "tmpfs", "/sys": "sysfs"} {
				if m := r.At(path); m == nil || m.Type != kind {
					t.Errorf("%s: %+v", path, m)
				}
			}
			hasOptions(t, r.At("/"), "ro")
			hasOptions(t, r.At("/data/sub"), "ro", "nodev")
			hasOptions(t, r.At("/data/sub/deep"), "noexec", "rw")
			if r.Writes["/"] == "" || r.Writes["/dev/shm"] != "" {
				t.Errorf("%v", r.Writes)
			}
			for _, m := range r.Mounts {
				if strings.Contains(m.Optional, "shared:") || m.Source == "small" {
					t.Errorf("left in the container: %+v", m)
				}
			}
		})
	}
}

// The cgroup mounts that the library adds to a config's have no index either: the root is not their source.
func TestLentRootAndCgroups(t *testing.T) {
	hostCgroup1(t)
	b := newBox(t).mount("/sys", "tmpfs", "tmpfs").mount("/sys/fs/cgroup", "cgroup", "cgroup", "ro")
	r, err := b.lendRoot(openTree(t, b.rootfs, 0)).runLentRoot(lentRoot{})
	if err != nil {
		t.Fatal(err)
	}
	below := 0
	for _, m := range r.Mounts {
		if strings.HasPrefix(m.Point, "/sys/fs/cgroup/") {
			below++
			if !strings.HasPrefix(m.Type, "cgroup") {
				t.Errorf("%+v", m)
			}
		}
	}
	if below == 0 {
		t.Error("no hierarchy is mounted")
	}
}

// What is mounted in a lent root must not appear on the host, whatever propagation is asked for, and with a user namespace or
// without.
func TestLentRootIsNoPeerOfTheHost(t *testing.T) {
	for _, value := range []string{"", "slave", "rslave", "shared", "rshared", "private", "rprivate", "unbindable"} {
		for _, user := range []bool{false, true} {
			root := hostTmpfs(t, 0, "mode=755")
			if err := unix.Mount("", root, "", unix.MS_SHARED, ""); err != nil {
				t.Fatal(err)
			}
			for _, dir := range []string{"/x", "/proc", "/dev"} {
				if err := os.Mkdir(root+dir, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			b := newBox(t)
			if user {
				nstest.GiveTo(t, root, firstID)
				b.userns()
			}
			b.spec.KeepPropagation = true
			if value != "" {
				b.set("rootfsPropagation", value, "linux")
			}
			b.withProc().mount("/x", "tmpfs", "tmpfs").mount("/x/y", "tmpfs", "tmpfs")
			what := fmt.Sprintf("%q, user namespace %v", value, user)
			if r, err := b.lendRoot(openTree(t, root, unix.AT_RECURSIVE)).runLentRoot(lentRoot{}); err != nil {
				t.Errorf("%s: %v at %s", what, err, r.Stage)
			}
			noMountsBelow(t, root, what)
		}
	}
}

// Beside idmapped mounts, which take a user namespace, and hooks; by mount(2) too where the descriptor is of this namespace; and
// entered without pivot_root(2).
func TestLentRootAndTheRest(t *testing.T) {
	out := shared(t)
	write(t, out+"/hook", "#!/bin/sh\nread line < mark; echo $line > "+out+"/read\n", 0o755)
	for name, change := range map[string]func(b *box){
		"idmapped": func(b *box) { b.bindMapped("/mapped", onDisk(t), 5000, "bind") },
		"hook": func(b *box) {
			b.config.Object("hooks")["createContainer"] = []any{map[string]any{"path": out + "/hook", "env": []any{"PATH=/usr/bin:/bin"}}}
		},
		"mount(2)":       func(b *box) { b.spec.Deny = []nstest.Denial{nstest.Deny(unix.ENOSYS)} },
		"noPivotRoot":    func(b *box) { b.options(map[string]any{"noPivotRoot": true}) },
		"rshared":        func(b *box) { b.set("rootfsPropagation", "rshared", "linux") },
		"user namespace": func(b *box) { nstest.GiveTo(t, b.userns().rootfs, firstID) },
	} {
		b := newBox(t).withProc().mount("/x", "tmpfs", "tmpfs").look("/mark")
		write(t, b.rootfs+"/mark", "lent", 0o644)
		change(b)
		r, err := b.runLentRoot(lentRoot{Open: b.rootfs})
		if err != nil || r.Nodes["/mark"].Text != "lent" || r.At("/x") == nil {
			t.Errorf("%s: %v at %s, %+v", name, err, r.Stage, r.Nodes)
		}
		if name != "hook" {
			continue
		}
		if text, err := os.ReadFile(out + "/read"); err != nil || string(text) != "lent\n" {
			t.Errorf("the hook is not in the root: it read %q, %v", text, err)
		}
	}
}

// An error is of the field, and nothing stays mounted.
func TestLentRootsThatAreWrong(t *testing.T) {
	src := shared(t)
	write(t, src+"/file", "", 0o644)
	refused := func(b *box, in lentRoot, pointer, text string) {
		t.Helper()
		r, err := b.runLentRoot(in)
		var e *rootfs.Error
		if !errors.As(err, &e) || e.Pointer != pointer || !strings.Contains(err.Error(), text) || strings.Contains(err.Error(), "the mounts were") {
			t.Errorf("%v at stage %s, want %q at %s", err, r.Stage, text, pointer)
		}
	}
	refused(newBox(t).lendRoot(openTree(t, src+"/file", 0)), lentRoot{}, "/root/path", "not a directory")
	refused(newBox(t), lentRoot{Open: "/"}, "/root/path", "the host's own root")
	for _, fd := range []int{-1, 987} {
		b := newBox(t)
		b.req.Sources = map[int]int{rootfs.SourceRoot: fd}
		refused(b, lentRoot{}, "/root/path", "bad file descriptor")
	}
	b := newBox(t)
	b.config.Object("linux")["namespaces"] = []any{map[string]any{"type": "pid"}}
	b.spec.Namespaces = nstest.PID
	refused(b, lentRoot{Open: src}, "/root/path", "needs a mount namespace")
	// A directory of another namespace's mounts.
	dir, err := os.Open(src)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	b = newBox(t)
	b.req.Sources = map[int]int{rootfs.SourceRoot: firstFile}
	b.spec.Files = []*os.File{dir}
	refused(b, lentRoot{}, "/root/path", "open_tree(2)")
	b = newBox(t).lendRoot(openTree(t, src, 0))
	b.spec.Deny = []nstest.Denial{nstest.Deny(unix.ENOSYS)}
	refused(b, lentRoot{}, "/root/path", "Linux 5.2")
	// What fails later.
	b = newBox(t).mount("/x", "tmpfs", "tmpfs").mount("/y", "tmpfs", "tmpfs", "size=nonsense")
	refused(b.lendRoot(openTree(t, b.rootfs, 0)), lentRoot{}, "/mounts/1", "invalid argument")
}
