package attacks

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/librootfs/librootfs/rootfs/internal/e2e"
	"github.com/librootfs/librootfs/rootfs/internal/nstest"
	"golang.org/x/sys/unix"
)

// Attacks through the image's /dev/null: what masks a file, and what takes the place of the host's standard streams.

// nullTraps are what an image may have as /dev/null.
func (x *trap) nullTraps() map[string]func() {
	null := x.rootfs + "/dev/null"
	traps := map[string]func(){
		"missing":       func() { os.RemoveAll(null) },
		"regular file":  func() { x.file(null, "image") },
		"directory":     func() { x.mkdir(null) },
		"fifo":          func() { x.node(null, unix.S_IFIFO|0o666, 0) },
		"block 1:3":     func() { x.node(null, unix.S_IFBLK|0o666, unix.Mkdev(1, 3)) },
		"/dev/zero":     func() { x.node(null, unix.S_IFCHR|0o666, unix.Mkdev(1, 5)) },
		"dangling link": func() { x.link("/nowhere", null) },
		"link to secret": func() {
			x.link("/secret", null)
		},
	}
	for _, way := range ways {
		traps["link out, "+way] = func() { x.link(x.to(way, "/null"), null) }
	}
	return traps
}

func (x *trap) node(path string, mode uint32, dev uint64) {
	x.t.Helper()
	if err := unix.Mknod(path, mode, int(dev)); err != nil {
		x.t.Fatal(err)
	}
}

func maskThroughNull(t *testing.T, p path) {
	for name := range newTrap(t, p).nullTraps() {
		x := newTrap(t, p)
		x.nullTraps()[name]()
		x.masks(name, x.withProc())
		// And with a /dev whose null is bound from the trap: the config's own doing, but no reason to mask with it.
		if strings.HasPrefix(name, "regular") || strings.HasPrefix(name, "/dev/zero") {
			if err := os.Rename(x.rootfs+"/dev/null", x.volume+"/null"); err != nil {
				t.Fatal(err)
			}
			c := withDev(x.config()).AddMount("/dev/null", "bind", x.volume+"/null", "bind")
			x.masks(name+" bound over a good one", c)
		}
	}
}

func maskWithoutNull(t *testing.T, p path) {
	x := newTrap(t, p)
	if err := os.RemoveAll(x.rootfs + "/dev"); err != nil {
		t.Fatal(err)
	}
	x.masks("no /dev at all", x.withProc())
	x = newTrap(t, p)
	x.file(x.volume+"/plain", "")
	x.masks("/dev is an empty volume", x.withProc().AddMount("/dev", "bind", x.volume, "bind"))
}

// masks sets up a container with a masked file and directory: both are covered, or set-up failed.
func (x *trap) masks(what string, c nstest.Config) {
	x.t.Helper()
	x.file(x.rootfs+"/secret", "secret")
	x.mkdir(x.rootfs + "/secrets")
	x.file(x.rootfs+"/secrets/one", "secret")
	c.Object("linux")["maskedPaths"] = []any{"/secret", "/secrets", "/not-there"}
	// Standard input is no null device: the streams are not to refuse the trap before masking meets it.
	in, err := os.Open(x.outside + "/sentinel")
	if err != nil {
		x.t.Fatal(err)
	}
	defer in.Close()
	r, err := x.runIn(nstest.Spec{Namespaces: nstest.Container, Stdio: [3]*os.File{in}}, c,
		e2e.Request{Look: []string{"/secret", "/secrets/one", "/secrets"}, Write: []string{"/secrets"}})
	if text, readErr := os.ReadFile(x.rootfs + "/secret"); readErr != nil || string(text) != "secret" {
		x.t.Errorf("ATTACK WON: %s: the masked file was changed: %q, %v", what, text, readErr)
	}
	if err != nil {
		x.t.Logf("%s: refused: %v", what, err)
		return
	}
	if n := r.Nodes["/secret"]; !n.Device(1, 3) {
		x.t.Errorf("ATTACK WON: %s: the masked file is %+v", what, n)
	}
	if !r.Nodes["/secrets/one"].Missing || !r.Nodes["/secrets"].Dir() || r.Writes["/secrets"] == "" {
		x.t.Errorf("ATTACK WON: %s: the masked directory shows %+v, write: %q", what, r.Nodes, r.Writes["/secrets"])
	}
}

var streamsThen = nstest.Define("attacks.streams", func(in e2e.Request) ([3]e2e.Node, error) {
	var nodes [3]e2e.Node
	_, err := e2e.SetUp(in)
	for fd := range nodes {
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			return nodes, err
		}
		nodes[fd] = e2e.Node{Mode: st.Mode, Rdev: st.Rdev, Ino: st.Ino, Dev: st.Dev}
		if st.Mode&unix.S_IFMT != unix.S_IFREG || fd == 0 {
			continue
		}
		if _, err := unix.Write(fd, []byte("output\n")); err != nil {
			return nodes, err
		}
	}
	return nodes, err
})

// stdioRegularNull: streams that are not the null device stay what they are, whatever the image's /dev/null is.
func stdioRegularNull(t *testing.T, p path) {
	for name := range newTrap(t, p).nullTraps() {
		x := newTrap(t, p)
		x.nullTraps()[name]()
		x.streams(name)
	}
}

// stdioOtherNull: the host's null device as a stream is replaced by the container's, or kept; never by the trap.
func stdioOtherNull(t *testing.T, p path) {
	null, err := os.OpenFile("/dev/null", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	for name := range newTrap(t, p).nullTraps() {
		x := newTrap(t, p)
		x.nullTraps()[name]()
		in := e2e.Request{Config: x.config().JSON()}
		nodes, err := streamsThen.Run(t, nstest.Spec{Namespaces: nstest.Container, Deny: p.deny,
			Stdio: [3]*os.File{null, null, null}}, in)
		if err != nil {
			t.Logf("%s: refused: %v", name, err)
		}
		for fd, n := range nodes {
			if !n.Device(1, 3) {
				t.Errorf("ATTACK WON: %s: descriptor %d is now %+v", name, fd, n)
			}
		}
	}
}

func (x *trap) streams(name string) {
	t := x.t
	dir := filepath.Dir(x.rootfs)
	x.file(dir+"/in", "input")
	var files [3]*os.File
	for i, n := range []string{"in", "out", "err"} {
		f, err := os.OpenFile(filepath.Join(dir, n), os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		files[i] = f
	}
	nodes, err := streamsThen.Run(t, nstest.Spec{Namespaces: nstest.Container, Deny: x.p.deny, Stdio: files},
		e2e.Request{Config: x.config().JSON()})
	if err != nil {
		t.Logf("%s: refused: %v", name, err)
	}
	for fd, n := range nodes {
		var st unix.Stat_t
		if err := unix.Fstat(int(files[fd].Fd()), &st); err != nil {
			t.Fatal(err)
		}
		if n.Ino != st.Ino || n.Dev != st.Dev {
			t.Errorf("ATTACK WON: %s: descriptor %d is now %+v", name, fd, n)
		}
	}
	if out, err := os.ReadFile(dir + "/out"); err != nil || string(out) != "output\n" {
		t.Errorf("ATTACK WON: %s: standard output went elsewhere: %q, %v", name, out, err)
	}
}
