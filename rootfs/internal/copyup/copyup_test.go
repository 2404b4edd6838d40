package copyup

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/librootfs/librootfs/rootfs/internal/errs"
	"github.com/librootfs/librootfs/rootfs/internal/nstest"
)

func TestMain(m *testing.M) { nstest.Main(m) }

// image is a directory on the disk's file system, target an empty tmpfs.
func image(t *testing.T) (dir, target string) {
	t.Helper()
	nstest.NeedRoot(t)
	dir, err := os.MkdirTemp("/var/tmp", "librootfs-copyup")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	target = t.TempDir()
	must(t, unix.Mount("tmpfs", target, "tmpfs", 0, "mode=700"))
	t.Cleanup(func() { unix.Unmount(target, unix.MNT_DETACH) })
	return dir, target
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func copyDirs(from, to string) error {
	src, err := unix.Open(from, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(src)
	dst, err := unix.Open(to, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(dst)
	return Copy(src, dst, Keep{})
}

// describe has one line for each entry below dir, with all that a copy is to keep. Hard links are shown by the first
// path of their inode, so that the lines of two file systems can be compared.
func describe(t *testing.T, dir string) []string {
	t.Helper()
	first := map[uint64]string{}
	var lines []string
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(path, dir)
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		if first[st.Ino] == "" {
			first[st.Ino] = name
		}
		line := fmt.Sprintf("%s %o %d:%d mtime %d.%09d rdev %x", name, st.Mode, st.Uid, st.Gid, st.Mtim.Sec, st.Mtim.Nsec, st.Rdev)
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFDIR:
			// The access time of a directory changes with this very walk.
		case unix.S_IFREG:
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			line += fmt.Sprintf(" links %d with %s, size %d, %x", st.Nlink, first[st.Ino], st.Size, sha256.Sum256(text))
		case unix.S_IFLNK:
			to, err := os.Readlink(path)
			if err != nil {
				return err
			}
			line += fmt.Sprintf(" links %d with %s -> %s", st.Nlink, first[st.Ino], to)
		}
		lines = append(lines, strings.TrimSpace(line+" "+attributesOf(t, path)))
		return nil
	}))
	return lines
}

func attributesOf(t *testing.T, path string) string {
	t.Helper()
	buf := make([]byte, 1<<16)
	n, err := unix.Llistxattr(path, buf)
	must(t, err)
	var list []string
	for name := range bytes.SplitSeq(buf[:n], []byte{0}) {
		if len(name) == 0 || string(name) == "security.selinux" {
			continue
		}
		value := make([]byte, 1<<16)
		k, err := unix.Lgetxattr(path, string(name), value)
		must(t, err)
		list = append(list, fmt.Sprintf("%s=%x", name, value[:k]))
	}
	sort.Strings(list)
	return strings.Join(list, " ")
}

// acl is system.posix_acl_access for "user::rw-, user:1234:r--, group::r--, mask::r--, other::---".
func acl() []byte {
	var b bytes.Buffer
	b.Write([]byte{2, 0, 0, 0})
	for _, e := range []struct {
		tag, perm uint16
		id        uint32
	}{{1, 6, 0xffffffff}, {2, 4, 1234}, {4, 4, 0xffffffff}, {0x10, 4, 0xffffffff}, {0x20, 0, 0xffffffff}} {
		b.Write([]byte{byte(e.tag), byte(e.tag >> 8), byte(e.perm), byte(e.perm >> 8),
			byte(e.id), byte(e.id >> 8), byte(e.id >> 16), byte(e.id >> 24)})
	}
	return b.Bytes()
}

// capability is security.capability for cap_net_raw=ep.
var capability = []byte{1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}

func TestEverythingIsCopied(t *testing.T) {
	dir, target := image(t)
	file := func(name, text string, mode uint32, uid, gid int) string {
		path := filepath.Join(dir, name)
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		must(t, os.WriteFile(path, []byte(text), 0o600))
		must(t, os.Lchown(path, uid, gid))
		must(t, unix.Chmod(path, mode))
		return path
	}
	file("plain", "text", 0o644, 0, 0)
	file("empty", "", 0o000, 1, 2)
	file("setuid", "#!", 0o4755, 1000, 1000)
	file("setgid", "#!", 0o2711, 1000, 50)
	file("sub/sticky", "", 0o1600, 3, 4)
	attributed := file("attributed", "caps", 0o755, 0, 0)
	must(t, unix.Setxattr(attributed, "security.capability", capability, 0))
	must(t, unix.Setxattr(attributed, "user.note", []byte("v\x00w"), 0))
	must(t, unix.Setxattr(attributed, "trusted.note", []byte("t"), 0))
	must(t, unix.Setxattr(file("acl", "", 0o640, 7, 8), "system.posix_acl_access", acl(), 0))
	big := file("big", strings.Repeat("0123456789abcdef", 3<<16), 0o600, 0, 0)
	must(t, os.Truncate(big, 3<<20+17))
	must(t, os.Symlink("/etc/passwd", dir+"/absolute"))
	must(t, os.Symlink("../../outside", dir+"/dangling"))
	must(t, os.Lchown(dir+"/dangling", 11, 12))
	must(t, unix.Lsetxattr(dir+"/dangling", "trusted.note", []byte("on a link"), 0))
	must(t, unix.Mkfifo(dir+"/fifo", 0o622))
	must(t, unix.Mknod(dir+"/char", unix.S_IFCHR|0o660, int(unix.Mkdev(10, 229))))
	must(t, unix.Mknod(dir+"/block", unix.S_IFBLK|0o600, int(unix.Mkdev(7, 3))))
	must(t, unix.Mknod(dir+"/socket", unix.S_IFSOCK|0o755, 0))
	must(t, unix.Setxattr(dir+"/fifo", "system.posix_acl_access", acl(), 0))
	must(t, os.Link(dir+"/plain", dir+"/sub/plain-too"))
	must(t, os.Link(dir+"/dangling", dir+"/sub/dangling-too"))
	must(t, os.Link(dir+"/fifo", dir+"/sub/fifo-too"))
	must(t, os.MkdirAll(dir+"/ro/inner", 0o755))
	file("ro/inner/file", "below read-only directories", 0o444, 5, 6)
	must(t, unix.Setxattr(dir+"/ro", "user.note", []byte("on a directory"), 0))
	must(t, unix.Chmod(dir+"/ro/inner", 0o500))
	must(t, unix.Chmod(dir+"/ro", 0o2555))
	must(t, os.Lchown(dir+"/ro", 21, 22))
	must(t, unix.Chmod(dir+"/ro", 0o2555))
	must(t, unix.Chmod(dir, 0o1751))
	must(t, os.Lchown(dir, 31, 32))
	old := []unix.Timespec{{Sec: 1e9, Nsec: 123456789}, {Sec: 12e8, Nsec: 987654321}}
	for _, name := range []string{"plain", "dangling", "fifo", "ro/inner", "ro", ""} {
		must(t, unix.UtimesNanoAt(unix.AT_FDCWD, dir+"/"+name, old, unix.AT_SYMLINK_NOFOLLOW))
	}
	want := describe(t, dir)
	if _, err := unix.Getxattr(target, "user.note", nil); err == unix.EOPNOTSUPP { // a tmpfs before Linux 6.6
		note := regexp.MustCompile(` user\.note=\S+`)
		for i := range want {
			want[i] = note.ReplaceAllString(want[i], "")
		}
	}
	must(t, unix.UtimesNanoAt(unix.AT_FDCWD, dir+"/plain", old, 0)) // describe has read it
	must(t, copyDirs(dir, target))
	var st unix.Stat_t
	must(t, unix.Lstat(target+"/plain", &st))
	if st.Atim.Sec != 1e9 || st.Atim.Nsec != 123456789 {
		t.Errorf("access time: %+v", st.Atim)
	}
	got := describe(t, target)
	for i := range max(len(want), len(got)) {
		switch {
		case i >= len(got):
			t.Fatalf("missing: %s", want[i])
		case i >= len(want) || got[i] != want[i]:
			t.Fatalf("got  %s\nwant %s", got[i], want[min(i, len(want)-1)])
		}
	}
}

func TestHolesStayHoles(t *testing.T) {
	dir, target := image(t)
	sparse(t, dir)
	must(t, os.WriteFile(dir+"/hole", nil, 0o600))
	must(t, os.Truncate(dir+"/hole", 1<<40))
	must(t, copyDirs(dir, target))
	sameSparse(t, target)
	var st unix.Stat_t
	must(t, unix.Lstat(target+"/hole", &st))
	if st.Size != 1<<40 || st.Blocks != 0 {
		t.Errorf("size %d in %d blocks", st.Size, st.Blocks)
	}
}

// The ext4 driver does not tell of data that is not yet on the disk in a file that has block lists in place of extents. In an
// overlay the file is one of a lower layer, which fsync(2) does not reach.
func TestNothingIsLostBehindAHole(t *testing.T) {
	dir, target := image(t)
	disk := ext2(t)
	must(t, os.Mkdir(disk+"/lower", 0o755))
	must(t, os.Mkdir(dir+"/empty", 0o755))
	merged := t.TempDir()
	must(t, unix.Mount("overlay", merged, "overlay", 0, "lowerdir="+disk+"/lower:"+dir+"/empty"))
	t.Cleanup(func() { must(t, unix.Unmount(merged, 0)) })
	for _, from := range []string{disk + "/lower", merged} {
		sparse(t, disk+"/lower")
		must(t, copyDirs(from, target))
		sameSparse(t, target)
		must(t, os.Remove(target+"/sparse"))
		must(t, os.Remove(disk+"/lower/sparse"))
	}
}

// ext2 is an empty disk in the format of ext2, which the ext4 driver has mounted.
func ext2(t *testing.T) string {
	t.Helper()
	disk, dir := t.TempDir()+"/disk", t.TempDir()
	must(t, os.WriteFile(disk, nil, 0o600))
	must(t, os.Truncate(disk, 64<<20))
	// Files of more than 2 GiB need blocks of this size.
	if out, err := exec.Command("mke2fs", "-F", "-b", "4096", disk).CombinedOutput(); err != nil {
		t.Skipf("needs mke2fs: %v, %s", err, out)
	}
	backing, err := os.OpenFile(disk, os.O_RDWR, 0)
	must(t, err)
	defer backing.Close()
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("needs loop devices: %v", err)
	}
	defer control.Close()
	var loop *os.File
	for range 10 { // another process may be faster
		free, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		must(t, err)
		loop, err = os.OpenFile(fmt.Sprintf("/dev/loop%d", free), os.O_RDWR, 0)
		must(t, err)
		defer loop.Close()
		config := unix.LoopConfig{Fd: uint32(backing.Fd()), Info: unix.LoopInfo64{Flags: unix.LO_FLAGS_AUTOCLEAR}}
		if err = unix.IoctlLoopConfigure(int(loop.Fd()), &config); err == nil {
			break
		}
		if err != unix.EBUSY {
			t.Fatal(err)
		}
	}
	if err := unix.Mount(loop.Name(), dir, "ext4", 0, ""); err == unix.ENODEV {
		t.Skip("needs the ext4 driver")
	} else if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { must(t, unix.Unmount(dir, 0)) })
	return dir
}

// sparse makes a file of two holes, and a third at its end.
func sparse(t *testing.T, dir string) {
	t.Helper()
	must(t, os.WriteFile(dir+"/sparse", []byte("begin"), 0o600))
	f, err := os.OpenFile(dir+"/sparse", os.O_WRONLY, 0)
	must(t, err)
	for _, at := range []int64{1 << 30, 3 << 30} {
		_, err = f.WriteAt([]byte("here"), at)
		must(t, err)
	}
	must(t, f.Truncate(5<<30))
	must(t, f.Close())
}

func sameSparse(t *testing.T, dir string) {
	t.Helper()
	var st unix.Stat_t
	must(t, unix.Lstat(dir+"/sparse", &st))
	if st.Size != 5<<30 || st.Blocks*512 > 1<<20 {
		t.Errorf("size %d in %d blocks", st.Size, st.Blocks)
	}
	f, err := os.Open(dir + "/sparse")
	must(t, err)
	defer f.Close()
	for at, text := range map[int64]string{0: "begin", 1 << 30: "here", 3 << 30: "here", 1<<30 + 4: "\x00\x00"} {
		buf := make([]byte, len(text))
		_, err := f.ReadAt(buf, at)
		if must(t, err); string(buf) != text {
			t.Errorf("%s: at %d: %q", dir, at, buf)
		}
	}
}

func TestDeepTree(t *testing.T) {
	dir, target := image(t)
	deep := func(levels int) {
		t.Helper()
		at, err := unix.Open(dir, unix.O_PATH|unix.O_CLOEXEC, 0)
		must(t, err)
		for i := range levels {
			name := fmt.Sprintf("level-%03d-with-a-name-that-makes-the-path-long", i)
			if err := unix.Mkdirat(at, name, 0o755); err != unix.EEXIST {
				must(t, err)
			}
			next, err := unix.Openat(at, name, unix.O_PATH|unix.O_CLOEXEC, 0)
			must(t, err)
			unix.Close(at)
			at = next
		}
		unix.Close(at)
	}
	deep(200) // a path of 9 000 bytes
	must(t, copyDirs(dir, target))
	must(t, os.RemoveAll(target+"/level-000-with-a-name-that-makes-the-path-long"))
	deep(260)
	if err := copyDirs(dir, target); !errors.Is(err, unix.ELOOP) || !strings.Contains(err.Error(), "256") {
		t.Errorf("260 levels: %v", err)
	}
}

// While the image is copied somebody who shares it swaps entries: nothing outside is ever read, and nothing waits for ever.
func TestHostileImage(t *testing.T) {
	dir, target := image(t)
	outside := t.TempDir()
	must(t, os.WriteFile(outside+"/secret", []byte("secret"), 0o600))
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			for _, name := range []string{"a", "b", "c"} {
				path := dir + "/" + name
				os.RemoveAll(path)
				switch (i + len(name)) % 5 {
				case 0:
					os.WriteFile(path, []byte("plain"), 0o644)
				case 1:
					os.Symlink(outside, path)
				case 2:
					unix.Mkfifo(path, 0o644)
				case 3:
					os.Mkdir(path, 0o755)
				case 4:
					os.Symlink(outside+"/secret", path)
				}
			}
		}
	}()
	end := time.Now().Add(700 * time.Millisecond)
	runs := 0
	for ; time.Now().Before(end); runs++ {
		into := fmt.Sprintf("%s/%d", target, runs)
		must(t, os.Mkdir(into, 0o755))
		_ = copyDirs(dir, into) // it may well fail: entries vanish
		must(t, filepath.WalkDir(into, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				if text, _ := os.ReadFile(path); string(text) == "secret" {
					t.Errorf("%s has a file's text of outside", path)
				}
			}
			return err
		}))
		if t.Failed() {
			break
		}
	}
	close(stop)
	<-done
	t.Logf("%d copies", runs)
}

// In a user namespace: a device cannot be made, an owner may have no id, and the error says so.
var inUserNS = nstest.Define("copyup.userns", func(dirs [2]string) (string, error) {
	if err := unix.Mount("tmpfs", dirs[1], "tmpfs", 0, "mode=700"); err != nil {
		return "", err
	}
	if err := copyDirs(dirs[0], dirs[1]); err != nil {
		return "", err
	}
	buf := make([]byte, 200)
	n, err := unix.Lgetxattr(dirs[1]+"/program", "security.capability", buf)
	if err != nil {
		return "", err
	}
	return string(buf[:n]), nil
})

func TestInUserNamespace(t *testing.T) {
	dir, target := image(t)
	must(t, unix.Unmount(target, unix.MNT_DETACH))
	for _, d := range []string{filepath.Dir(target), target} {
		must(t, os.Chmod(d, 0o755))
	}
	spec := nstest.Spec{Namespaces: nstest.User | nstest.Mount}
	must(t, os.WriteFile(dir+"/program", nil, 0o755))
	must(t, os.WriteFile(dir+"/foreign-caps", nil, 0o755))
	nstest.GiveTo(t, dir, 100000)
	// A capability that counts in that namespace alone (VFS_CAP_REVISION_3, rootid 100000), and one of the host's.
	v3 := append(append([]byte{1, 0, 0, 3}, capability[4:]...), 0xa0, 0x86, 1, 0)
	must(t, unix.Setxattr(dir+"/program", "security.capability", v3, 0))
	must(t, unix.Setxattr(dir+"/foreign-caps", "security.capability", capability, 0))
	caps, err := inUserNS.Run(t, spec, [2]string{dir, target})
	if err != nil || len(caps) == 0 {
		t.Errorf("%q, %v", caps, err)
	}
	must(t, unix.Mknod(dir+"/device", unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3))))
	must(t, os.Lchown(dir+"/device", 100000, 100000))
	_, err = inUserNS.Run(t, spec, [2]string{dir, target})
	var e *errs.Error
	if !errors.As(err, &e) || e.Errno != unix.EPERM || !strings.Contains(e.Detail, "user namespace can make none") {
		t.Errorf("device: %v", err)
	}
	must(t, os.Remove(dir+"/device"))
	must(t, os.WriteFile(dir+"/unmapped", nil, 0o644))
	must(t, os.Lchown(dir+"/unmapped", 77, 77))
	one := nstest.Spec{Namespaces: nstest.User | nstest.Mount, UIDMap: idMap(0, 100000, 1), GIDMap: idMap(0, 100000, 1)}
	_, err = inUserNS.Run(t, one, [2]string{dir, target})
	if !errors.As(err, &e) || e.Errno != unix.EINVAL || !strings.Contains(e.Detail, "no id in the container's user namespace") {
		t.Errorf("owner without id: %v", err)
	}
}

func idMap(container, host, size int) []syscall.SysProcIDMap {
	return []syscall.SysProcIDMap{{ContainerID: container, HostID: host, Size: size}}
}
