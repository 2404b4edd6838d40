package rootfs_test

import (
	"errors"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/librootfs/librootfs/rootfs/internal/e2e"
)

func init() {
	busy := func(path string, closed bool) func() error {
		return func() error {
			f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o600)
			if err == nil && closed {
				go func() {
					time.Sleep(150 * time.Millisecond)
					f.Close()
				}()
			}
			return err
		}
	}
	e2e.Betweens["rootfs.busy-tmpfs"] = busy("/x/file", true)
	e2e.Betweens["rootfs.busy-root"] = busy("/file", true)
	e2e.Betweens["rootfs.busy-dev"] = busy("/dev/file", true)
	e2e.Betweens["rootfs.busy-for-ever"] = busy("/x/file", false)
}

// A mount with a file that is open for writing cannot become read-only; who writes may be about to close it.
func TestBusyMounts(t *testing.T) {
	busyBox := func(between string) *box {
		b := newBox(t).mount("/x", "tmpfs", "tmpfs", "ro").mount("/dev", "tmpfs", "tmpfs", "ro", "mode=755")
		b.config.Object("root")["readonly"] = true
		b.req.Between = between
		return b
	}
	for _, between := range []string{"rootfs.busy-tmpfs", "rootfs.busy-root", "rootfs.busy-dev"} {
		r := busyBox(between).write("/", "/x", "/dev").run()
		for path, problem := range r.Writes {
			if problem == "" {
				t.Errorf("%s: %s can be written", between, path)
			}
		}
	}
	begin := time.Now()
	if e := busyBox("rootfs.busy-for-ever").refused("/mounts/0", "busy"); !errors.Is(e, unix.EBUSY) {
		t.Errorf("%+v", e)
	}
	if d := time.Since(begin); d > 3*time.Second {
		t.Errorf("it took %v to give up", d)
	}
}
