package rootfs_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/librootfs/librootfs/rootfs"
	"github.com/librootfs/librootfs/rootfs/internal/e2e"
	"github.com/librootfs/librootfs/rootfs/internal/nstest"
)

// consoles opens one terminal after the other and tells what each is, then finalizes.
var consoles = nstest.Define("rootfs.consoles", func(in consoleRequest) (consoleResult, error) {
	var r consoleResult
	c, err := rootfs.Parse(in.Config, nil)
	if err != nil {
		return r, err
	}
	p, err := rootfs.NewPlan(c)
	if err != nil {
		return r, err
	}
	prepared, err := rootfs.Prepare(p, nil)
	if err != nil {
		return r, err
	}
	for _, t := range in.Terminals {
		master, err := prepared.Console(t)
		if err != nil {
			return r, err
		}
		about, err := aboutConsole(master)
		if err != nil {
			return r, err
		}
		r.Consoles = append(r.Consoles, about)
	}
	if err := prepared.Finalize(); err != nil {
		return r, err
	}
	if _, err := prepared.Console(rootfs.Terminal{}); err != nil {
		var e *rootfs.Error
		if errors.As(err, &e) {
			r.After = int(e.Code)
		}
	}
	report, err := prepared.Verify()
	if err == nil && len(report.Deviations) > 0 {
		err = fmt.Errorf("verify: %s", report.JSON())
	}
	return r, err
})

type consoleRequest struct {
	Config    []byte
	Terminals []rootfs.Terminal
}

type consoleResult struct {
	Consoles []console
	After    int // code of the error once the root is finalized
}

type console struct {
	Node          e2e.Node
	Rows, Columns uint16
	CloseOnExec   bool
	Echo          string // what came through the terminal
}

func aboutConsole(master int) (c console, err error) {
	flags, err := unix.FcntlInt(uintptr(master), unix.F_GETFD, 0)
	if err != nil {
		return c, err
	}
	c.CloseOnExec = flags&unix.FD_CLOEXEC != 0
	c.Node = e2e.Look("/dev/console")
	size, err := unix.IoctlGetWinsize(master, unix.TIOCGWINSZ)
	if err != nil {
		return c, err
	}
	c.Rows, c.Columns = size.Row, size.Col
	slave, err := os.OpenFile("/dev/console", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return c, err
	}
	defer slave.Close()
	if _, err := slave.WriteString("hello\n"); err != nil {
		return c, err
	}
	for !strings.HasSuffix(c.Echo, "\n") {
		buf := make([]byte, 100)
		n, err := unix.Read(master, buf)
		if err != nil {
			return c, err
		}
		c.Echo += string(buf[:n])
	}
	return c, nil
}

func consoleBox(b *box, options ...string) *box {
	return b.withProc().mount("/dev", "tmpfs", "tmpfs", "mode=755").
		mount("/dev/pts", "devpts", "devpts", append(options, "newinstance", "ptmxmode=0666", "mode=0620")...)
}

func (b *box) consoles(terminals ...rootfs.Terminal) consoleResult {
	b.t.Helper()
	r, err := consoles.Run(b.t, b.spec, consoleRequest{b.config.JSON(), terminals})
	if err != nil || len(r.Consoles) != len(terminals) {
		b.t.Fatal(err, r)
	}
	for _, c := range r.Consoles {
		if !c.CloseOnExec || c.Echo != "hello\r\n" || c.Node.Mode&unix.S_IFMT != unix.S_IFCHR || unix.Major(c.Node.Rdev) != 136 {
			b.t.Errorf("%+v", c)
		}
	}
	if r.After != 7 {
		b.t.Errorf("after finalize: code %d, want ROOTFS_ERR_STATE", r.After)
	}
	return r
}

func TestConsoleSizeAndOwner(t *testing.T) {
	r := consoleBox(newBox(t), "gid=5").consoles(rootfs.Terminal{Rows: 50, Columns: 132, UID: 1000})
	c := r.Consoles[0]
	if c.Rows != 50 || c.Columns != 132 || c.Node.UID != 1000 || c.Node.GID != 5 || c.Node.Mode&0o777 != 0o620 {
		t.Errorf("%+v", c)
	}
	r = consoleBox(newBox(t), "gid=5").consoles(rootfs.Terminal{UID: 7, GID: 8})
	if c := r.Consoles[0]; c.Rows != 0 || c.Columns != 0 || c.Node.UID != 7 || c.Node.GID != 8 {
		t.Errorf("%+v", c)
	}
}

// A second terminal takes the place of the first, which goes on to work for who has it open.
func TestConsoleTwice(t *testing.T) {
	r := consoleBox(newBox(t)).consoles(rootfs.Terminal{Rows: 1, Columns: 2}, rootfs.Terminal{Rows: 3, Columns: 4})
	if a, b := r.Consoles[0], r.Consoles[1]; a.Node.Rdev == b.Node.Rdev || b.Rows != 3 || b.Columns != 4 {
		t.Errorf("%+v", r)
	}
}

func TestConsoleInUserNamespace(t *testing.T) {
	r := consoleBox(newBox(t).userns(), "gid=5").consoles(rootfs.Terminal{Rows: 24, Columns: 80, UID: 33})
	if c := r.Consoles[0]; c.Node.UID != 33 || c.Node.GID != 5 {
		t.Errorf("%+v", c)
	}
	b := consoleBox(newBox(t).userns())
	_, err := consoles.Run(t, b.spec, consoleRequest{b.config.JSON(), []rootfs.Terminal{{UID: 70000}}})
	var e *rootfs.Error
	if !errors.As(err, &e) || e.Op != "fchown" || e.Errno != unix.EINVAL || e.Detail == "" {
		t.Errorf("an owner that the namespace does not have: %v", err)
	}
}

// What the image has at /dev/console: a file is covered, a directory or a symlink refused.
func TestConsoleOverWhatIsThere(t *testing.T) {
	dev := func() *box {
		b := newBox(t).withProc().mount("/dev/pts", "devpts", "devpts", "newinstance", "ptmxmode=0666")
		if err := os.Mkdir(b.rootfs+"/dev", 0o755); err != nil {
			t.Fatal(err)
		}
		b.req.Console = true
		return b
	}
	b := dev()
	write(t, b.rootfs+"/dev/console", "the image's", 0o600)
	if r := b.look("/dev/console").run(); unix.Major(r.Nodes["/dev/console"].Rdev) != 136 {
		t.Errorf("%+v", r.Nodes)
	}
	if text, err := os.ReadFile(b.rootfs + "/dev/console"); err != nil || string(text) != "the image's" {
		t.Errorf("%q, %v", text, err)
	}
	b = dev()
	if err := unix.Mknod(b.rootfs+"/dev/console", unix.S_IFCHR|0o600, int(unix.Mkdev(5, 1))); err != nil {
		t.Fatal(err)
	}
	b.run()
	b = dev()
	if err := os.Mkdir(b.rootfs+"/dev/console", 0o755); err != nil {
		t.Fatal(err)
	}
	if e := b.refused("", "/dev/console"); e.Errno != unix.ENOTDIR {
		t.Errorf("%+v", e)
	}
	b = dev()
	b.config.DropMount("/dev/pts") // the image's own file in the multiplexer's place
	write(t, b.rootfs+"/dev/pts/ptmx", "", 0o666)
	b.refused("", "is not the multiplexer of a devpts")
}
