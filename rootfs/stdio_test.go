package rootfs_test

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/librootfs/librootfs/rootfs"
	"github.com/librootfs/librootfs/rootfs/internal/nstest"
)

type stdioRequest struct {
	Config []byte
	NoProc bool // the host has no /proc
}

// inode is what stat(2) knows a file by.
type inode struct{ Dev, Ino uint64 }

// stdio gives what descriptors 0 to 2 are after Prepare, and the container's null device.
var stdio = nstest.Define("rootfs.stdio", func(in stdioRequest) (list [4]inode, err error) {
	if in.NoProc {
		if err := unix.Unmount("/proc", unix.MNT_DETACH); err != nil {
			return list, err
		}
	}
	c, err := rootfs.Parse(in.Config, nil)
	if err != nil {
		return list, err
	}
	p, err := rootfs.NewPlan(c)
	if err != nil {
		return list, err
	}
	if _, err := rootfs.Prepare(p, nil); err != nil {
		return list, err
	}
	var st unix.Stat_t
	for fd := range 3 {
		if err := unix.Fstat(fd, &st); err != nil {
			return list, err
		}
		list[fd] = inode{st.Dev, st.Ino}
	}
	err = unix.Stat("/dev/null", &st)
	list[3] = inode{st.Dev, st.Ino}
	return list, err
})

// The host's null device does not stay open in the container: its own takes the place. Other files stay.
func TestStandardStreams(t *testing.T) {
	for name, c := range map[string]struct{ shared, noProc bool }{
		"own mount namespace":    {},
		"shared mount namespace": {shared: true},
		"no /proc":               {noProc: true},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t)
			if c.shared {
				b.config.Object("linux")["namespaces"] = []any{}
				b.spec.Namespaces = 0
			}
			null, err := os.OpenFile("/dev/null", os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer null.Close()
			out, err := os.Create(shared(t) + "/out")
			if err != nil {
				t.Fatal(err)
			}
			defer out.Close()
			b.spec.Stdio = [3]*os.File{null, out, null}
			list, err := stdio.Run(t, b.spec, stdioRequest{b.config.JSON(), c.noProc})
			if err != nil {
				t.Fatal(err)
			}
			var host, file unix.Stat_t
			if unix.Fstat(int(null.Fd()), &host) != nil || unix.Fstat(int(out.Fd()), &file) != nil {
				t.Fatal("fstat")
			}
			if list[0] != list[3] || list[2] != list[3] || list[3] == (inode{host.Dev, host.Ino}) {
				t.Errorf("descriptors 0 and 2 are %v and %v, the container's null device %v, the host's %v", list[0], list[2], list[3], host.Ino)
			}
			if list[1] != (inode{file.Dev, file.Ino}) {
				t.Errorf("descriptor 1 is %v", list[1])
			}
		})
	}
}
