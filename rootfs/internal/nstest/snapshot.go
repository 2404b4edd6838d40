package nstest

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// NeedRoot skips the test where it does not run as root.
func NeedRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
}

// HostUnchanged compares the host at the end of the test with what it is now: its mount table with options and
// propagation, and the entries of /tmp and /dev with type, mode, owner and device number. Call it before t.TempDir, and not in parallel tests.
func HostUnchanged(t testing.TB) {
	t.Helper()
	before := snapshot(t)
	t.Cleanup(func() {
		for _, line := range difference(before, snapshot(t)) {
			t.Error("the host is not as it was: " + line)
		}
	})
}

func snapshot(t testing.TB) []string {
	t.Helper()
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	list := strings.Split(strings.TrimSuffix(string(table), "\n"), "\n")
	for _, dir := range []string{"/tmp", "/dev"} { // "/" is the machine's own: others may install packages meanwhile
		entries, err := Listing(dir)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, entries...)
	}
	return list
}

// Listing has one line for each entry of a directory: type and mode, owner, device number, path, target of a symlink.
func Listing(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var list []string
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			if err == syscall.ENOENT {
				continue
			}
			return nil, err
		}
		line := fmt.Sprintf("%o %d:%d %x %s", st.Mode, st.Uid, st.Gid, st.Rdev, path)
		if to, err := os.Readlink(path); err == nil {
			line += " -> " + to
		}
		list = append(list, line)
	}
	return list, nil
}

// Tree is Listing of a directory and all below it, with the content of small files: what a rootfs or a trap was, to compare.
func Tree(dir string) ([]string, error) {
	var list []string
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		entries, err := Listing(path)
		list = append(list, entries...)
		return err
	})
	return list, err
}

func difference(before, after []string) []string {
	count := map[string]int{}
	for _, line := range before {
		count[line]--
	}
	for _, line := range after {
		count[line]++
	}
	var list []string
	for line, n := range count {
		switch {
		case n < 0:
			list = append(list, "gone: "+line)
		case n > 0:
			list = append(list, "new: "+line)
		}
	}
	sort.Strings(list)
	return list
}

// Mounts is the mount table that the calling thread sees, in the new process also where no /proc is mounted.
func Mounts() ([]*mountinfo.Info, error) {
	f, err := openProc("thread-self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return mountinfo.GetMountsFromReader(f, nil)
}

// MountAt is the topmost mount at a path that the calling thread sees, or nil.
func MountAt(path string) (*mountinfo.Info, error) {
	list, err := Mounts()
	if err != nil {
		return nil, err
	}
	for i := len(list) - 1; i >= 0; i-- {
		if list[i].Mountpoint == path {
			return list[i], nil
		}
	}
	return nil, nil
}

// Descriptors are the open descriptors of this process and what they are, but for nstest's own.
func Descriptors() (map[int]string, error) {
	dir, err := openProc("self/fd")
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	list := map[int]string{}
	for _, name := range names {
		fd, err := strconv.Atoi(name)
		if err != nil || fd == int(dir.Fd()) || fd == procDir {
			continue
		}
		buf := make([]byte, unix.PathMax)
		n, err := unix.Readlinkat(int(dir.Fd()), name, buf)
		if err == unix.ENOENT { // closed since the directory was read
			continue
		}
		if err != nil {
			return nil, err
		}
		list[fd] = string(buf[:n])
	}
	return list, nil
}

// ReadProc reads a file below /proc, through a handle that the function cannot have covered.
func ReadProc(name string) ([]byte, error) {
	f, err := openProc(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

// WriteProc writes to a file below /proc as ReadProc reads.
func WriteProc(name, value string) error {
	fd, err := unix.Openat(procDir, name, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("/proc/%s: %w", name, err)
	}
	defer unix.Close(fd)
	_, err = unix.Write(fd, []byte(value))
	return err
}

func openProc(name string) (*os.File, error) {
	dir := procDir
	if dir < 0 {
		return os.Open("/proc/" + name)
	}
	fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("/proc/%s: %w", name, err)
	}
	return os.NewFile(uintptr(fd), name), nil
}
