package nstest

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/librootfs/librootfs/rootfs/internal/errs"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { Main(m) }

var pivot = Define("pivot", func(root string) ([]string, error) {
	if err := unix.Mount(root, root, "", unix.MS_BIND, ""); err != nil {
		return nil, err
	}
	if err := unix.Chdir(root); err != nil {
		return nil, err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return nil, err
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return nil, err
	}
	list, err := Mounts()
	var points []string
	for _, m := range list {
		points = append(points, m.Mountpoint)
	}
	return points, err
})

func TestNewProcessMayPivot(t *testing.T) {
	NeedRoot(t)
	HostUnchanged(t)
	points, err := pivot.Run(t, Spec{Namespaces: Container}, Rootfs(t))
	if err != nil || len(points) != 1 || points[0] != "/" {
		t.Errorf("mounts %q, %v; want just /", points, err)
	}
}

func TestNewProcessMayPivotInUserNamespace(t *testing.T) {
	NeedRoot(t)
	HostUnchanged(t)
	root := Rootfs(t)
	GiveTo(t, root, 100000)
	points, err := pivot.Run(t, Spec{Namespaces: Container | User}, root)
	if err != nil || len(points) != 1 {
		t.Errorf("mounts %q, %v; want just /", points, err)
	}
}

var fails = Define("fails", func(string) (int, error) {
	return 7, errs.At("/mounts/3", errs.Sys("move_mount", "a -> b", unix.EBUSY))
})

func TestErrorsKeepTheirStructure(t *testing.T) {
	n, err := fails.Run(t, Spec{}, "")
	var e *errs.Error
	if n != 7 || !errors.As(err, &e) || e.Pointer != "/mounts/3" || e.Errno != unix.EBUSY || e.Op != "move_mount" {
		t.Errorf("got %d, %#v", n, err)
	}
}

var denied = Define("denied", func(string) (int, error) {
	_, err := unix.Openat2(unix.AT_FDCWD, "/", &unix.OpenHow{Flags: unix.O_PATH})
	return int(err.(unix.Errno)), nil
})

func TestDeny(t *testing.T) {
	NeedRoot(t)
	for _, errno := range []unix.Errno{unix.ENOSYS, unix.EPERM} {
		got, err := denied.Run(t, Spec{Deny: []Denial{Deny(errno, "openat2")}}, "")
		if err != nil || unix.Errno(got) != errno {
			t.Errorf("openat2 gave %v, %v; want %v", unix.Errno(got), err, errno)
		}
	}
}

// spy is a testing.TB that notes a failure instead of failing: what the harness is to report, it must be shown to report.
type spy struct {
	testing.TB
	text    string
	cleanup []func()
}

func (s *spy) Helper()                   {}
func (s *spy) Cleanup(f func())          { s.cleanup = append(s.cleanup, f) }
func (s *spy) Error(a ...any)            { s.text += a[0].(string) + "\n" }
func (s *spy) Fatalf(f string, a ...any) { s.text += f; panic(s) }

func fatal(t *testing.T, f func(*spy)) (text string) {
	s := &spy{TB: t}
	defer func() {
		if v := recover(); v != nil && v != any(s) {
			panic(v)
		}
		text = s.text
	}()
	f(s)
	return
}

var hangs = Define("hangs", func(string) (int, error) { time.Sleep(time.Hour); return 0, nil })
var panics = Define("panics", func(string) (int, error) { panic("boom") })
var dies = Define("dies", func(string) (int, error) { os.Exit(0); return 0, nil })

func TestHangPanicAndDeathAreFailures(t *testing.T) {
	for want, d := range map[string]Defined[string, int]{"hung": hangs, "nstest: %s: %s": panics, "died": dies} {
		text := fatal(t, func(s *spy) { d.Run(s, Spec{Timeout: time.Second / 2}, "") })
		if !strings.Contains(text, want) {
			t.Errorf("%s reported as %q", d.name, text)
		}
	}
}

func TestHostUnchangedSeesChanges(t *testing.T) {
	NeedRoot(t)
	dir := t.TempDir()
	for name, f := range map[string]func() error{
		"mount": func() error { return unix.Mount("tmpfs", dir, "tmpfs", 0, "") },
		"file":  func() error { return os.WriteFile("/tmp/left-behind", nil, 0o600) },
		"mode":  func() error { return os.Chmod("/tmp/left-behind", 0o640) },
	} {
		s := &spy{TB: t}
		HostUnchanged(s)
		if err := f(); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		} else if err != nil {
			continue // "mode" came before "file" in the map's order
		}
		for _, f := range s.cleanup {
			f()
		}
		if s.text == "" {
			t.Errorf("%s: not seen", name)
		}
	}
	unix.Unmount(dir, unix.MNT_DETACH)
	os.Remove("/tmp/left-behind")
}

// A leak through propagation is only seen where the host's mounts are shared.
var leaks = Define("leaks", func(dir string) (int, error) { return 0, unix.Mount("tmpfs", dir, "tmpfs", 0, "") })

func TestPropagationLeakIsSeen(t *testing.T) {
	NeedRoot(t)
	dir := t.TempDir()
	for keep, want := range map[bool]bool{false: false, true: true} {
		s := &spy{TB: t}
		HostUnchanged(s)
		if _, err := leaks.Run(t, Spec{Namespaces: Mount, KeepPropagation: keep}, dir); err != nil {
			t.Fatal(err)
		}
		for _, f := range s.cleanup {
			f()
		}
		if seen := s.text != ""; seen != want {
			t.Errorf("KeepPropagation %v: leak seen: %v", keep, seen)
		}
	}
	unix.Unmount(dir, unix.MNT_DETACH)
}

func TestThreadHasItsOwnMounts(t *testing.T) {
	NeedRoot(t)
	HostUnchanged(t)
	dir := t.TempDir()
	for range 20 {
		if err := Thread(func() error {
			if err := unix.Mount("tmpfs", dir, "tmpfs", 0, ""); err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(dir, "f"), nil, 0o600)
		}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "f")); !os.IsNotExist(err) {
		t.Errorf("the file is on the host: %v", err)
	}
}
