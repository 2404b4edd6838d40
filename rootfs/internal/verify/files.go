package verify

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/librootfs/librootfs/rootfs/internal/errs"
	"github.com/librootfs/librootfs/rootfs/internal/inroot"
	"github.com/librootfs/librootfs/rootfs/internal/linux"
	"github.com/librootfs/librootfs/rootfs/internal/plan"
	"github.com/librootfs/librootfs/rootfs/internal/procfs"
)

var formats = map[uint32]string{unix.S_IFCHR: "c", unix.S_IFBLK: "b", unix.S_IFIFO: "p"}

func (c *checker) device(d *plan.Device) {
	fd, err := c.root.Open(d.Path, unix.O_PATH|unix.O_NOFOLLOW, inroot.Follow)
	if err != nil {
		c.failed("device", "is there", err)
		return
	}
	defer linux.Close(fd)
	st, err := linux.Fstat(fd)
	if err != nil {
		c.failed("device", "is there", err)
		return
	}
	c.want("device type", string(d.Type), formats[st.Mode&unix.S_IFMT])
	if d.Type != 'p' {
		c.want("device number", number(d.Major)+":"+number(d.Minor), number(unix.Major(st.Rdev))+":"+number(unix.Minor(st.Rdev)))
	}
	// A node bound from the host keeps the host's owner and mode.
	if !c.isBound(fd) {
		c.want("mode", octal(d.Mode), octal(st.Mode&0o7777))
		c.want("owner", number(d.UID)+":"+number(d.GID), number(st.Uid)+":"+number(st.Gid))
	}
}

// isBound tells whether a descriptor stands for a mount. (What a chroot has in it, the mount table does not show.)
func (c *checker) isBound(fd int) bool {
	_, root, err := linux.MountID(fd)
	if err != nil || root != linux.Unknown {
		return err == nil && root == linux.Yes
	}
	id, err := procfs.MountID(fd)
	if err != nil || c.mounts[id] == nil {
		return false
	}
	bound, err := isRoot(fd, c.mounts[id])
	return err == nil && bound
}

func (c *checker) symlink(s *plan.Symlink) {
	dir, name, err := c.parent(s.Path)
	if err != nil {
		c.failed("symlink", s.To, err)
		return
	}
	defer linux.Close(dir)
	to, err := linux.Readlinkat(dir, name)
	if err != nil && s.Replace {
		c.failed("symlink", s.To, err)
	} else if err == nil && s.Replace {
		c.want("symlink", s.To, to)
	}
}

// parent opens the directory that path lies in, which must exist.
func (c *checker) parent(path string) (dir int, name string, err error) {
	i := strings.LastIndexByte(path, '/')
	dir, err = c.root.Open("/"+path[:max(i, 0)], unix.O_PATH|unix.O_DIRECTORY, inroot.Follow)
	return dir, path[i+1:], err
}

// cwd makes sure that the working directory is inside of the root: the kernel marks one that is not.
func (c *checker) cwd(s *plan.Chdir) {
	buf := make([]byte, unix.PathMax)
	n, err := unix.Getcwd(buf)
	if err != nil {
		c.failed("working directory", "inside of the root", err)
		return
	}
	got := string(buf[:max(n-1, 0)])
	c.want("working directory", "inside of the root", word(strings.HasPrefix(got, "/"), "inside of the root", got))
}

func (c *checker) umask(s *plan.Umask) {
	text, err := procfs.Read("self/status")
	if err != nil {
		c.failed("umask", octal(s.Mask), err)
		return
	}
	_, rest, found := strings.Cut(string(text), "\nUmask:\t")
	if !found {
		return // before Linux 4.7
	}
	line, _, _ := strings.Cut(rest, "\n")
	got, err := strconv.ParseUint(strings.TrimSpace(line), 8, 32)
	if err != nil {
		c.failed("umask", octal(s.Mask), err)
		return
	}
	c.want("umask", octal(s.Mask), octal(uint32(got)))
}

func (c *checker) sysctl(s *plan.Sysctl) {
	text, err := procfs.Read("sys/" + s.File)
	if err != nil {
		// There is only the container's own /proc, of which a read-only path may have bound a part onto itself.
		text, err = c.readCopied("/sys/"+s.File, s.Target())
	}
	if err != nil {
		c.failed("sysctl", s.Value, err)
		return
	}
	c.want("sysctl", strings.Join(strings.Fields(s.Value), " "), strings.Join(strings.Fields(string(text)), " "))
}

// readCopied reads the file of a procfs that the mount table says lies at a path.
func (c *checker) readCopied(file, path string) ([]byte, error) {
	fd, m, _, err := c.open(path)
	if err != nil {
		return nil, err
	}
	defer linux.Close(fd)
	real, err := procfs.Readlink(fd)
	if err != nil {
		return nil, err
	}
	inMount, inside := strings.CutPrefix(real, strings.TrimSuffix(m.Mountpoint, "/"))
	if !inside || m.FSType != "proc" || strings.TrimSuffix(m.Root, "/")+inMount != file {
		return nil, errs.Refuse("mountinfo", path, "is "+m.Root+" of a "+m.FSType+", mounted at "+m.Mountpoint)
	}
	return procfs.ReadFD(fd, file)
}

// mask makes sure that a masked file is the null device and a masked directory an empty read-only tmpfs.
func (c *checker) mask(s *plan.MaskPath) {
	fd, m, root, err := c.open(s.Path)
	if missing(err) {
		return
	}
	if err != nil {
		c.failed("mask", "covered", err)
		return
	}
	defer linux.Close(fd)
	st, err := linux.Fstat(fd)
	if err != nil {
		c.failed("mask", "covered", err)
		return
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		null := root && st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == unix.Mkdev(1, 3)
		c.want("mask", "the null device", word(null, "the null device", m.FSType))
		return
	}
	fs, err := linux.Fstatfs(fd)
	if err != nil {
		c.failed("mask", "covered", err)
		return
	}
	// It was made with one inode, that of its root.
	empty := root && m.FSType == "tmpfs" && attrOf(m)&unix.MOUNT_ATTR_RDONLY != 0 && fs.Files == 1
	c.want("mask", "an empty read-only tmpfs", word(empty, "an empty read-only tmpfs", m.FSType+", "+m.Options))
}

func number(n uint32) string { return strconv.FormatUint(uint64(n), 10) }
func octal(n uint32) string  { return "0" + strconv.FormatUint(uint64(n), 8) }
