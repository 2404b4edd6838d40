package rootfs_test

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/librootfs/librootfs/rootfs/internal/errs"
	"github.com/librootfs/librootfs/rootfs/internal/nstest"
)

// What is to be read-only in the end is known by its mount's id, which one of three tells: statx(2), name_to_handle_at(2) or /proc.
func TestReadonlyByMountID(t *testing.T) {
	handles := nstest.Deny(unix.ENOSYS, "name_to_handle_at")
	for name, c := range map[string]struct {
		deny []nstest.Denial
		proc bool
		fail bool
	}{
		"all":                    {},
		"no statx":               {deny: []nstest.Denial{nstest.Deny(unix.ENOSYS, "statx")}},
		"statx forbidden":        {deny: []nstest.Denial{nstest.Deny(unix.EPERM, "statx"), handles}},
		"no new call, no /proc":  {deny: []nstest.Denial{nstest.Deny(unix.ENOSYS)}},
		"no handles":             {deny: []nstest.Denial{nstest.Deny(unix.ENOSYS), handles}, proc: true},
		"no handles and no proc": {deny: []nstest.Denial{nstest.Deny(unix.ENOSYS), handles}, fail: true},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t)
			b.spec.Deny = c.deny
			for _, path := range []string{"/dir/sub", "/proc"} {
				if err := os.MkdirAll(b.rootfs+path, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.Symlink("dir", b.rootfs+"/link"); err != nil {
				t.Fatal(err)
			}
			b.mount("/dir/sub", "tmpfs", "tmpfs", "ro").mount("/ro", "tmpfs", "tmpfs", "ro").mount("/link", "tmpfs", "tmpfs", "ro", "mode=700").
				mount("/dir/new", "tmpfs", "tmpfs")
			if c.proc {
				b.mount("/proc", "proc", "proc")
			}
			if c.fail {
				if e := b.refused("/mounts/1", "statx(2)"); e.Code != errs.Unsupported {
					t.Errorf("%+v", e)
				}
				return
			}
			r := b.write("/ro", "/dir", "/dir/new").run()
			for path, readonly := range map[string]bool{"/ro": true, "/dir": true, "/dir/new": false} {
				if (r.Writes[path] != "") != readonly {
					t.Errorf("writing to %s: %q", path, r.Writes[path])
				}
			}
		})
	}
}
