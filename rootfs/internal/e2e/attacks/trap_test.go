package attacks

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/librootfs/librootfs/rootfs"
	"github.com/librootfs/librootfs/rootfs/internal/e2e"
	"github.com/librootfs/librootfs/rootfs/internal/errs"
	"github.com/librootfs/librootfs/rootfs/internal/nstest"
)

// trap is an image of the attacker's, a volume that is shared with another container, and a directory of the host that
// must stay as it is. Symlinks in the image point to outside.
type trap struct {
	t       *testing.T
	p       path
	rootfs  string
	volume  string
	outside string
	before  []string
	share   int // see variants
}

func newTrap(t *testing.T, p path) *trap {
	t.Helper()
	root := nstest.EmptyRootfs(t)
	dir := filepath.Dir(root)
	x := &trap{t: t, p: p, rootfs: root, volume: filepath.Join(dir, "volume"), outside: filepath.Join(dir, "outside")}
	for _, name := range []string{"rootfs/proc", "rootfs/sys", "rootfs/dev", "rootfs/etc", "volume", "outside/dir", "outside/pts"} {
		x.mkdir(filepath.Join(dir, name))
	}
	x.file(x.outside+"/sentinel", "host")
	x.file(x.outside+"/ptmx", "host")
	x.file(x.outside+"/null", "host")
	x.file(x.outside+"/console", "host")
	x.file(x.outside+"/dir/sentinel", "host")
	x.file(x.outside+"/dir/ptmx", "host")
	var err error
	if x.before, err = hostState(x.outside); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(x.intact)
	return x
}

func (x *trap) mkdir(path string) {
	x.t.Helper()
	if err := os.MkdirAll(path, 0o755); err != nil {
		x.t.Fatal(err)
	}
}

func (x *trap) file(path, text string) {
	x.t.Helper()
	x.mkdir(filepath.Dir(path))
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		x.t.Fatal(err)
	}
}

// link puts a symlink in place of whatever is there.
func (x *trap) link(to, path string) {
	x.t.Helper()
	if err := os.RemoveAll(path); err != nil {
		x.t.Fatal(err)
	}
	if err := os.Symlink(to, path); err != nil {
		x.t.Fatal(err)
	}
}

// ways are the kinds of symlink that lead from the image to outside, were they followed as the host follows them.
// The last goes up from a directory that does not exist, for whoever makes the missing parts of a path one by one.
var ways = []string{"absolute", "dotdot", "magic", "dangling"}

// to is the target of such a symlink.
func (x *trap) to(way, name string) string {
	switch way {
	case "dotdot":
		return strings.Repeat("../", 40) + x.outside[1:] + name
	case "dangling":
		return "dangling/" + strings.Repeat("../", 40) + x.outside[1:] + name
	case "magic":
		return "/proc/self/root" + x.outside + name
	}
	return x.outside + name
}

// hostState describes all below a directory: what is there, its owner and mode, and what small files hold.
func hostState(dir string) ([]string, error) {
	list, err := nstest.Tree(dir)
	if err != nil {
		return nil, err
	}
	for i, line := range list {
		if path := line[strings.LastIndexByte(line, ' ')+1:]; strings.HasPrefix(line, "100") {
			text, err := os.ReadFile(path)
			if err != nil {
				return nil, err
			}
			list[i] = line + " " + string(text)
		}
	}
	return list, nil
}

// intact fails the test where anything outside has changed.
func (x *trap) intact() {
	x.t.Helper()
	after, err := hostState(x.outside)
	if err != nil || !slices.Equal(x.before, after) {
		x.t.Errorf("ATTACK WON: outside of the rootfs:\nbefore %q\nafter  %q, %v", x.before, after, err)
	}
}

// run sets a container up with new namespaces and checks what must hold whatever was asked.
func (x *trap) run(c nstest.Config, in e2e.Request) (e2e.Result, error) {
	x.t.Helper()
	return x.runIn(nstest.Spec{Namespaces: nstest.Container}, c, in)
}

func (x *trap) runIn(s nstest.Spec, c nstest.Config, in e2e.Request) (e2e.Result, error) {
	x.t.Helper()
	in.Config = c.JSON()
	s.Deny = append(s.Deny, x.p.deny...)
	s.Timeout = time.Minute
	r, err := e2e.Container.Run(x.t, s, in)
	if in.Between != "" {
		r.Deviate = "" // what the attacker did between the calls is a deviation indeed
	}
	x.always(r, err)
	return r, err
}

func (x *trap) always(r e2e.Result, err error) {
	x.t.Helper()
	if len(r.Outside) > 0 {
		x.t.Errorf("ATTACK WON: mounts outside of the rootfs: %q", r.Outside)
	}
	var e *rootfs.Error
	if err != nil && !errors.As(err, &e) {
		x.t.Errorf("%s: not an error of the library's own: %v", r.Stage, err)
	}
	if e != nil && (e.Op == "" || e.Code == 0 || e.Code == errs.Internal) {
		x.t.Errorf("%s: not a clear error: %#v", r.Stage, e)
	}
	if err != nil {
		return
	}
	if strings.HasPrefix(r.Cwd, "(unreachable)") {
		x.t.Errorf("ATTACK WON: the working directory is outside: %s", r.Cwd)
	}
	if len(r.FDs) > 0 {
		x.t.Errorf("ATTACK WON: descriptors left open: %v", r.FDs)
	}
	if r.Deviate != "" {
		x.t.Errorf("Verify found: %s", r.Deviate)
	}
}

// refused fails the test unless set-up ended in an error for the expected kind of reason.
func (x *trap) refused(r e2e.Result, err error, what string) {
	x.t.Helper()
	if err == nil {
		x.t.Errorf("ATTACK WON: %s was set up; mounts %+v", what, r.Mounts)
		return
	}
	var e *rootfs.Error
	if errors.As(err, &e) && e.Code != 1 && e.Code != 2 && e.Code != 3 && e.Code != 4 {
		x.t.Errorf("%s: refused, but with a strange error: %v (code %d)", what, err, e.Code)
	}
	x.t.Logf("%s: refused: %v", what, err)
}

// config is a bare config with the namespaces of nstest.Container and the usual proc.
func (x *trap) config() nstest.Config {
	c := nstest.BareConfig(x.rootfs)
	var list []any
	for _, kind := range []string{"mount", "pid", "ipc", "uts", "network"} {
		list = append(list, map[string]any{"type": kind})
	}
	c.Object("linux")["namespaces"] = list
	return c
}

// withProc is config with a procfs, which kernels without the mount API need where a mount is made after the switch.
func (x *trap) withProc() nstest.Config { return x.config().AddMount("/proc", "proc", "proc") }

// withDev adds /proc and a usual /dev with devpts.
func withDev(c nstest.Config) nstest.Config {
	return c.AddMount("/proc", "proc", "proc").
		AddMount("/dev", "tmpfs", "tmpfs", "nosuid", "mode=755", "size=64k").
		AddMount("/dev/pts", "devpts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620")
}
