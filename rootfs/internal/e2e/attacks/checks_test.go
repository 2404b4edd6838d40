package attacks

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/librootfs/librootfs/rootfs/internal/e2e"
	"github.com/librootfs/librootfs/rootfs/internal/nstest"
	"golang.org/x/sys/unix"
)

// What is looked at inside, at the end of a round that set a container up. The attacker goes on meanwhile, so a path may
// be under either of its two names.

func init() {
	checks["procfs is reached"] = func() string {
		for point, kind := range map[string]string{"/proc": "proc", "/sys": "sysfs"} {
			list, err := mountsOf(func(m e2e.Mount) bool { return m.Type == kind })
			if err != nil || len(list) != 1 || (list[0].Point != point && list[0].Point != point+"2") {
				return fmt.Sprintf("%s is mounted %+v, %v", kind, list, err)
			}
		}
		return ""
	}
	checks["the secret is masked"] = func() string {
		if n := e2e.Look("/secret"); !n.Device(1, 3) {
			return fmt.Sprintf("the masked file is %+v", n)
		}
		return ""
	}
	checks["the console is a terminal"] = func() string {
		list, err := mountsOf(func(m e2e.Mount) bool { return strings.HasPrefix(m.Point, "/dev/console") })
		if err != nil || len(list) != 1 || list[0].Type != "devpts" || list[0].Root == "/" {
			return fmt.Sprintf("mounts on the console: %+v, %v", list, err)
		}
		return ""
	}
	checks["the sysctl is set"] = func() string {
		const file = "sys/net/ipv4/ip_forward"
		text, err := nstest.ReadProc(file)
		if err != nil || string(text) != "1\n" {
			return fmt.Sprintf("the kernel has %q, %v", text, err)
		}
		if err := nstest.WriteProc(file, "0"); err != nil {
			return err.Error()
		}
		return ""
	}
	checks["nothing of the host is copied"] = func() string {
		for _, path := range []string{"/data/file", "/data/file2", "/data/dir/sentinel", "/data/dir2/sentinel",
			"/top/sentinel", "/top2/sentinel", "/top/null", "/top2/null"} {
			if n := e2e.Look(path); n.Text == "host" {
				return path + " has what the host's file has"
			}
		}
		return ""
	}
	checks["what is asked read-only is"] = func() string {
		list, err := mountsOf(func(m e2e.Mount) bool { return strings.HasSuffix(m.Root, "-source") })
		if err != nil || len(list) != 2 {
			return fmt.Sprintf("mounts of the source: %+v, %v", list, err)
		}
		// The later of the two is the one that was asked read-only, wherever it went.
		if first, second := list[0], list[1]; first.Has("ro") || !second.Has("ro") || !second.Has("nosuid") {
			return fmt.Sprintf("the wrong mount is read-only: %+v", list)
		}
		return ""
	}
	checks["protections are whole, directory"] = func() string { return protections(1) }
	checks["protections are whole, link"] = func() string { return protections(0) }
}

// protections looks at all that was mounted below the volume: a read-only path is one read-only mount, a mask is the null
// device. least is how many of each there must be.
func protections(least int) string {
	marks := []string{"mark-a", "mark-b"}[:1+least] // where a link takes part there is only one directory
	if what := elsewhere(marks...); what != "" {
		return what
	}
	list, err := mountsOf(func(m e2e.Mount) bool {
		return strings.HasPrefix(m.Point, "/volume/") || strings.HasPrefix(m.Root, "/volume/")
	})
	if err != nil {
		return err.Error()
	}
	readonly, masks := 0, 0
	for _, m := range list {
		switch {
		case filepath.Base(m.Root) == "ro":
			readonly++
			if !m.Has("ro") {
				return fmt.Sprintf("a read-only path is writable: %+v", m)
			}
		case filepath.Base(m.Root) == "null":
			masks++
		default:
			return fmt.Sprintf("a protection that is none: %+v", m)
		}
	}
	if readonly < least || masks < least || readonly > 1 || masks > 1 {
		return fmt.Sprintf("%d read-only paths, %d masks: %+v", readonly, masks, list)
	}
	return ""
}

// elsewhere: a read-only path covers itself. Names say nothing while the attacker swaps them; so each of the two directories
// is recognised by a file in it, and its read-only "ro" must hold a file of the same name.
func elsewhere(marks ...string) string {
	for _, mark := range marks {
		dir := marked(mark)
		if dir < 0 {
			continue
		}
		ro, err := unix.Openat(dir, "ro", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		unix.Close(dir)
		if err != nil {
			return err.Error()
		}
		var fs unix.Statfs_t
		err = unix.Fstatfs(ro, &fs)
		own := unix.Faccessat(ro, mark, unix.F_OK, 0)
		unix.Close(ro)
		if err != nil || (fs.Flags&unix.ST_RDONLY != 0 && own != nil) {
			return fmt.Sprintf("what is read-only in the directory with %s is of another, %v", mark, err)
		}
	}
	return ""
}

// marked opens the directory that has a file, under whichever of its names, or gives -1.
func marked(file string) int {
	for range 1000 {
		for _, name := range []string{"/volume/a", "/volume/b"} {
			fd, err := unix.Open(name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
			if err != nil {
				continue
			}
			if unix.Faccessat(fd, file, unix.F_OK, 0) == nil {
				return fd
			}
			unix.Close(fd)
		}
	}
	return -1
}

func mountsOf(want func(e2e.Mount) bool) (list []e2e.Mount, err error) {
	all, err := nstest.Mounts()
	for _, m := range all {
		if m := e2e.Line(m); want(m) {
			list = append(list, m)
		}
	}
	return list, err
}
