package nstest

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// ownHost gives the test binary the mount namespace that stands for the host (see the package comment), by an exec of
// itself from a thread that has one. Without root there is none to be had, and the test runs where it is.
func ownHost() {
	if os.Getenv(envHost) != "" || os.Geteuid() != 0 {
		return
	}
	if err := enterOwnHost(); err != nil {
		fmt.Fprintln(os.Stderr, "nstest: no mount namespace for the tests:", err)
		os.Exit(1)
	}
	os.Setenv(envHost, "1")
	err := syscall.Exec("/proc/self/exe", os.Args, os.Environ())
	fmt.Fprintln(os.Stderr, "nstest: exec of the test binary:", err)
	os.Exit(1)
}

func enterOwnHost() error {
	cwd, err := os.Getwd()
	if err != nil {
		return err
	}
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("unshare: %w", err)
	}
	// Private first, to leave the machine's peer groups; then shared, in groups of this namespace alone.
	for _, flag := range []uintptr{unix.MS_PRIVATE, unix.MS_SHARED} {
		if err := unix.Mount("", "/", "", unix.MS_REC|flag, ""); err != nil {
			return fmt.Errorf("propagation of /: %w", err)
		}
	}
	if err := ownTmp(cwd); err != nil {
		return err
	}
	return os.Chdir(cwd)
}

// ownTmp covers /tmp, but for what `go test` has there: the binary, its log and coverage files.
func ownTmp(cwd string) error {
	needed := append([]string{cwd, os.Getenv("GOCOVERDIR")}, os.Args...)
	kept := map[string]int{}
	for _, arg := range needed {
		_, rest, found := strings.Cut(arg, "/tmp/")
		if !found {
			continue
		}
		name, _, _ := strings.Cut(rest, "/")
		st, err := os.Stat("/tmp/" + name)
		if name == "" || kept[name] != 0 || err != nil || !st.IsDir() {
			continue
		}
		fd, err := unix.OpenTree(unix.AT_FDCWD, "/tmp/"+name, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
		if err != nil {
			return fmt.Errorf("open_tree(/tmp/%s): %w", name, err)
		}
		kept[name] = fd
	}
	source, flags, data := "tmpfs", uintptr(0), "mode=1777"
	if where := os.Getenv(envTmp); where != "" {
		dir, err := os.MkdirTemp(where, "tmp")
		if err != nil {
			return err
		}
		if err := os.Chmod(dir, 0o777|os.ModeSticky); err != nil {
			return err
		}
		source, flags, data = dir, unix.MS_BIND, ""
	}
	if err := unix.Mount(source, "/tmp", "tmpfs", flags, data); err != nil {
		return fmt.Errorf("%s on /tmp: %w", source, err)
	}
	// A bind is in its source's peer group: what is mounted in one would be in the other too.
	for _, flag := range []uintptr{unix.MS_PRIVATE, unix.MS_SHARED} {
		if err := unix.Mount("", "/tmp", "", flag, ""); err != nil {
			return fmt.Errorf("propagation of /tmp: %w", err)
		}
	}
	for name, fd := range kept {
		if err := os.Mkdir("/tmp/"+name, 0o755); err != nil {
			return err
		}
		if err := unix.MoveMount(fd, "", unix.AT_FDCWD, "/tmp/"+name, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
			return fmt.Errorf("move_mount(/tmp/%s): %w", name, err)
		}
		if err := unix.Close(fd); err != nil {
			return err
		}
	}
	return nil
}

// HostCgroup2 makes the stand-in for the host one with the unified hierarchy alone, whose source is "host".
func HostCgroup2(t testing.TB) {
	t.Helper()
	NeedRoot(t)
	const at = "/sys/fs/cgroup"
	err := unix.Mount("host", at, "cgroup2", 0, "")
	if err == unix.EBUSY { // the kernel mounts no file system on itself
		if err := unix.Mount("tmpfs", at, "tmpfs", 0, ""); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Unmount(at, unix.MNT_DETACH) })
		err = unix.Mount("host", at, "cgroup2", 0, "")
	}
	if err != nil {
		t.Skipf("no cgroup2 here: %v", err)
	}
	t.Cleanup(func() { unix.Unmount(at, unix.MNT_DETACH) })
}
