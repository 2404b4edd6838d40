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

// firstFile is the descriptor of the first of Spec.Files in the new process.
const firstFile = 5

func parse(t *testing.T, b *box) *rootfs.Config {
	t.Helper()
	c, err := rootfs.Parse(b.config.JSON(), b.req.Options)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// lend gives descriptors to the container as sources: those of OpenSources, for instance. They are closed here.
func (b *box) lend(sources ...rootfs.Source) *box {
	if b.req.Sources == nil {
		b.req.Sources = map[int]int{}
	}
	for _, s := range sources {
		b.req.Sources[s.Mount] = firstFile + len(b.spec.Files)
		f := os.NewFile(uintptr(s.FD), fmt.Sprintf("source %d", s.Mount))
		b.t.Cleanup(func() { f.Close() })
		b.spec.Files = append(b.spec.Files, f)
	}
	return b
}

// runLending is run in a process that then looks whether the sources are still its own.
func (b *box) runLending() e2e.Result {
	b.t.Helper()
	b.req.Config = b.config.JSON()
	r, err := lending.Run(b.t, b.spec, b.req)
	if err != nil || r.Deviate != "" || len(r.FDs) != 0 || len(r.Outside) != 0 {
		b.t.Fatalf("%s: %v %s %v %v", r.Stage, err, r.Deviate, r.FDs, r.Outside)
	}
	return r
}

var lending = nstest.Define("rootfs.lending", func(in e2e.Request) (e2e.Result, error) {
	r, err := e2e.SetUp(in)
	for mount, fd := range in.Sources {
		if _, ferr := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); ferr != nil {
			return r, fmt.Errorf("the source of mount %d was closed", mount)
		}
	}
	return r, err
})

func openTree(t *testing.T, path string, flags uint) int {
	t.Helper()
	fd, err := unix.OpenTree(unix.AT_FDCWD, path, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|flags)
	if err != nil {
		t.Fatal(err)
	}
	return fd
}

// Detached trees of another namespace, of a directory, of a file, with mounts below; beside ordinary sources.
func TestSourcesAmongPaths(t *testing.T) {
	src, other := shared(t), shared(t)
	write(t, src+"/file", "by descriptor", 0o644)
	write(t, other+"/file", "by path", 0o644)
	if err := os.MkdirAll(src+"/sub", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", src+"/sub", "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(src+"/sub", unix.MNT_DETACH) })
	write(t, src+"/sub/below", "below", 0o644)
	b := newBox(t)
	b.mount("/one", "bind", "/not/there", "bind", "ro", "nosuid")
	b.mount("/covered", "bind", other, "bind")
	b.mount("/file", "bind", "/not/there/either", "bind", "noexec")
	b.mount("/covered", "bind", "/nowhere", "rbind", "rro")
	b.mount("/one/inner", "bind", other, "bind") // made in the descriptor's directory: order counts
	write(t, src+"/inner/x", "", 0o644)
	b.lend(source(0, openTree(t, src, 0)), source(2, openTree(t, src+"/file", 0)),
		source(3, openTree(t, src, unix.AT_RECURSIVE)))
	r := b.look("/one/file", "/one/inner/file", "/file", "/covered/file", "/covered/sub/below").write("/covered/sub", "/one").runLending()
	for path, text := range map[string]string{"/one/file": "by descriptor", "/one/inner/file": "by path", "/file": "by descriptor",
		"/covered/file": "by descriptor", "/covered/sub/below": "below"} {
		if r.Nodes[path].Text != text {
			t.Errorf("%s: %+v", path, r.Nodes[path])
		}
	}
	hasOptions(t, r.At("/one"), "ro", "nosuid")
	hasOptions(t, r.At("/file"), "noexec", "rw")
	hasOptions(t, r.At("/covered/sub"), "ro")
}

// Descriptors that the child itself opened, in its own mount namespace: O_PATH of a directory and of a file, and an
// ordinary one. They can serve for several mounts.
var ownSources = nstest.Define("rootfs.own-sources", func(in ownRequest) (e2e.Result, error) {
	in.Request.Sources = map[int]int{}
	for mount, path := range in.Open {
		flags := unix.O_PATH
		if mount == 1 {
			flags = unix.O_RDONLY
		}
		fd, err := unix.Open(path, flags|unix.O_CLOEXEC, 0)
		if err != nil {
			return e2e.Result{}, err
		}
		in.Request.Sources[mount] = fd
	}
	in.Request.Sources[3] = in.Request.Sources[0]
	return e2e.SetUp(in.Request)
})

type ownRequest struct {
	Request e2e.Request
	Open    map[int]string
}

func TestSourcesThatTheChildOpened(t *testing.T) {
	src := shared(t)
	write(t, src+"/file", "text", 0o644)
	b := newBox(t).mount("/dir", "bind", "/-", "bind").mount("/ordinary", "bind", "/-", "rbind", "ro").mount("/file", "bind", "/-", "bind").
		mount("/again", "bind", "/-", "bind", "nodev").look("/dir/file", "/ordinary/file", "/file", "/again/file")
	b.req.Config = b.config.JSON()
	r, err := ownSources.Run(t, b.spec, ownRequest{b.req, map[int]string{0: src, 1: src, 2: src + "/file"}})
	if err != nil || r.Deviate != "" {
		t.Fatal(err, r.Deviate)
	}
	for path, n := range r.Nodes {
		if n.Text != "text" {
			t.Errorf("%s: %+v", path, n)
		}
	}
	hasOptions(t, r.At("/ordinary"), "ro")
	hasOptions(t, r.At("/again"), "nodev", "rw")
}

// A parent with privileges opens what its child in a user namespace cannot: below a directory of root's alone, idmapped by
// a mapping of the mount's own, and by that of the container.
func TestOpenSources(t *testing.T) {
	secret := onDisk(t)
	if err := os.Chmod(secret, 0o700); err != nil {
		t.Fatal(err)
	}
	owned(t, secret+"/dir/file", 1)
	b := newBox(t).userns().withProc()
	b.mount("/x", "bind", secret+"/dir", "bind", "ro").mount("/t", "tmpfs", "tmpfs")
	b.bindMapped("/mapped", secret+"/dir", firstID+300, "bind").mount("/container", "bind", secret+"/dir", "rbind", "ridmap")
	b.mount("/file", "bind", secret+"/dir/file", "bind", "nosuid")

	ns := asleep(t, firstID)
	before, err := nstest.Descriptors()
	if err != nil {
		t.Fatal(err)
	}
	sources, err := rootfs.OpenSources(parse(t, b), int(ns.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	if len(sources) != 4 || sources[0].Mount != 1 || sources[1].Mount != 3 || sources[2].Mount != 4 || sources[3].Mount != 5 {
		t.Fatalf("%+v", sources)
	}
	for _, s := range sources {
		if flags, err := unix.FcntlInt(uintptr(s.FD), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("%+v has no FD_CLOEXEC (%v)", s, err)
		}
	}
	r := b.lend(sources...).look("/x/file", "/mapped/file", "/container/file", "/file").write("/x").runLending()
	for path, id := range map[string]uint32{"/x/file": 65534, "/mapped/file": 301, "/container/file": 1, "/file": 65534} {
		if n := r.Nodes[path]; n.UID != id || n.Text != "owned" {
			t.Errorf("%s: %+v, want owner %d", path, n, id)
		}
	}
	hasOptions(t, r.At("/x"), "ro")
	hasOptions(t, r.At("/mapped"), "idmapped")
	hasOptions(t, r.At("/file"), "nosuid")
	for _, f := range b.spec.Files {
		f.Close()
	}
	after, err := nstest.Descriptors()
	if err != nil || len(after) != len(before) {
		t.Errorf("descriptors were %v and are %v, %v", before, after, err)
	}

	// Without the descriptors it is an error, and without the namespace's too; neither leaves a descriptor open.
	alone := newBox(t).userns().mount("/x", "bind", secret+"/dir", "bind")
	alone.refused("/mounts/0", "permission denied")
	if _, err := rootfs.OpenSources(parse(t, b), -1); err == nil || err.(*rootfs.Error).Pointer != "/mounts/4" {
		t.Errorf("a mapping of the container, and no descriptor of its namespace: %v", err)
	}
	after, err = nstest.Descriptors()
	if err != nil || len(after) != len(before) {
		t.Errorf("descriptors were %v and are %v, %v", before, after, err)
	}
}

// Only what the child cannot do itself is opened: nothing of a container without a user namespace but idmapped mounts, and
// never anything for a remount.
func TestOpenSourcesOpensWhatIsNeeded(t *testing.T) {
	src := shared(t)
	b := newBox(t).mount("/x", "bind", src, "bind").mount("/p", "proc", "proc").bindMapped("/m", src, 9, "bind")
	b.mount("/x", "bind", "", "remount", "bind", "ro").mount("/sys/fs/cgroup", "cgroup", "cgroup")
	var st unix.Statfs_t
	if err := unix.Statfs(src, &st); err == nil && st.Type == unix.TMPFS_MAGIC {
		nstest.NeedTmpfsIDMap(t)
	}
	for _, user := range []bool{false, true} {
		want := 1
		if user {
			want = 2
			b.userns()
		}
		sources, err := rootfs.OpenSources(parse(t, b), -1)
		if err != nil || len(sources) != want || sources[want-1].Mount != 2 {
			t.Errorf("user namespace %v: %+v, %v", user, sources, err)
		}
		rootfs.Close(sources)
	}
}

// Over a socket, as a supervisor hands them to a container of its own process tree.
var receiving = nstest.Define("rootfs.receiving", func(in e2e.Request) (e2e.Result, error) {
	buf, oob := make([]byte, 8), make([]byte, unix.CmsgSpace(8*4))
	n, oobn, _, _, err := unix.Recvmsg(firstFile, buf, oob, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return e2e.Result{}, err
	}
	messages, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil || len(messages) != 1 {
		return e2e.Result{}, fmt.Errorf("%v, %w", messages, err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != n {
		return e2e.Result{}, fmt.Errorf("%v for %d mounts, %w", fds, n, err)
	}
	in.Sources = map[int]int{}
	for i, fd := range fds {
		in.Sources[int(buf[i])] = fd
	}
	r, err := e2e.SetUp(in)
	for _, fd := range fds {
		if cerr := unix.Close(fd); cerr != nil {
			return r, cerr
		}
	}
	return r, err
})

var opening = nstest.Define("rootfs.opening", func(config []byte) (int, error) {
	c, err := rootfs.Parse(config, nil)
	if err != nil {
		return 0, err
	}
	sources, err := rootfs.OpenSources(c, -1)
	rootfs.Close(sources)
	return len(sources), err
})

// Where there is no open_tree(2), the child does what it can by itself.
func TestOpenSourcesWithoutOpenTree(t *testing.T) {
	src := shared(t)
	write(t, src+"/file", "by path", 0o644)
	b := newBox(t).userns().mount("/bound", "bind", src, "bind", "ro").withProc().look("/bound/file")
	b.spec.Deny = []nstest.Denial{nstest.Deny(unix.ENOSYS)}
	old := nstest.Spec{Deny: b.spec.Deny}
	if n, err := opening.Run(t, old, b.config.JSON()); err != nil || n != 0 {
		t.Errorf("%d sources, %v", n, err)
	}
	if r := b.run(); r.Nodes["/bound/file"].Text != "by path" {
		t.Errorf("%+v", r.Nodes)
	}
	b.bindMapped("/mapped", src, 5000, "bind")
	_, err := opening.Run(t, old, b.config.JSON())
	if err == nil || !strings.Contains(err.Error(), "/mounts/2: mount_setattr") {
		t.Errorf("idmapped: %v", err)
	}
}

func TestSourcesOverASocket(t *testing.T) {
	secret := onDisk(t)
	if err := os.Chmod(secret, 0o700); err != nil {
		t.Fatal(err)
	}
	owned(t, secret+"/dir/file", 5)
	b := newBox(t).userns().withProc().mount("/x", "bind", secret+"/dir", "bind").bindMapped("/m", secret+"/dir", firstID+40, "bind", "ro")
	sources, err := rootfs.OpenSources(parse(t, b), -1)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var mounts []byte
	var fds []int
	for _, s := range sources {
		mounts, fds = append(mounts, byte(s.Mount)), append(fds, s.FD)
	}
	if err := unix.Sendmsg(pair[0], mounts, unix.UnixRights(fds...), nil, 0); err != nil {
		t.Fatal(err)
	}
	rootfs.Close(sources)
	unix.Close(pair[0])
	socket := os.NewFile(uintptr(pair[1]), "socket")
	defer socket.Close()
	b.spec.Files = []*os.File{socket}
	b.req.Config = b.look("/x/file", "/m/file").config.JSON()
	r, err := receiving.Run(t, b.spec, b.req)
	if err != nil || r.Deviate != "" || len(r.FDs) != 0 {
		t.Fatal(err, r.Deviate, r.FDs)
	}
	if r.Nodes["/x/file"].Text != "owned" || r.Nodes["/m/file"].UID != 45 {
		t.Errorf("%+v", r.Nodes)
	}
}

func TestSourcesThatAreWrong(t *testing.T) {
	src := shared(t)
	write(t, src+"/file", "", 0o644)
	lent := func(fds map[int]int) *box {
		b := newBox(t).mount("/t", "tmpfs", "tmpfs").mount("/x", "bind", src, "bind").mount("/proc", "proc", "proc").
			mount("/t", "bind", "", "remount", "bind", "ro")
		b.req.Sources = fds
		return b
	}
	for _, index := range []int{-2, 4, 1 << 30} {
		lent(map[int]int{index: 0}).refused("/mounts", "does not exist")
	}
	for index, pointer := range map[int]string{0: "/mounts/0", 2: "/mounts/2", 3: "/mounts/3"} {
		lent(map[int]int{index: 0}).refused(pointer, "not a bind")
	}
	for _, fd := range []int{-1, 987} {
		if e := lent(map[int]int{1: fd}).refused("/mounts/1", "bad file descriptor"); e.Errno != unix.EBADF {
			t.Errorf("%+v", e)
		}
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	b := lent(map[int]int{1: firstFile})
	b.spec.Files = []*os.File{r}
	b.refused("/mounts/1", "invalid argument")
	// A descriptor that belongs to the mounts of another namespace, not detached from them.
	dir, err := os.Open(src)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	b = lent(map[int]int{1: firstFile})
	b.spec.Files = []*os.File{dir}
	b.refused("/mounts/1", "open_tree(2)")
	file := newBox(t).mount("/dir", "bind", "/-", "bind").lend(source(0, openTree(t, src+"/file", 0)))
	if err := os.Mkdir(file.rootfs+"/dir", 0o755); err != nil {
		t.Fatal(err)
	}
	file.refused("/mounts/0", "one of the two is a directory and the other is not")
}

// A tree that the parent opened is the host's peer. For a user namespace it becomes a slave, as all that is there already when the
// namespace begins (mount_namespaces(7)): what is mounted in it must not appear on the host, whatever propagation is asked for.
func TestLentTreesAreNoPeersOfTheHost(t *testing.T) {
	src := hostTmpfs(t, 0, "mode=755")
	if err := errors.Join(unix.Mount("", src, "", unix.MS_SHARED, ""), os.Mkdir(src+"/sub", 0o755)); err != nil {
		t.Fatal(err)
	}
	for _, value := range []string{"", "slave", "shared", "rshared", "private", "unbindable"} {
		for _, option := range []string{"rbind", "shared", "rshared", "slave"} {
			b := newBox(t).userns().withProc()
			b.spec.KeepPropagation = true
			if value != "" {
				b.set("rootfsPropagation", value, "linux")
			}
			b.mount("/b", "bind", src, "bind", option).mount("/b/sub", "tmpfs", "tmpfs")
			sources, err := rootfs.OpenSources(parse(t, b), -1)
			if err != nil {
				t.Fatal(err)
			}
			b.lend(sources...).runLending()
			noMountsBelow(t, src, fmt.Sprintf("%q, %s", value, option))
		}
	}
}

func source(mount, fd int) rootfs.Source { return rootfs.Source{Mount: mount, FD: fd} }
