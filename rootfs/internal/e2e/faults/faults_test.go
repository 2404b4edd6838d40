// Package faults makes every system call of rootfs_prepare, rootfs_console and rootfs_finalize fail in turn, with each
// errno that may come, and kills the process at each of them: what is left of the host must be what it was.
package faults

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/librootfs/librootfs/rootfs"
	"github.com/librootfs/librootfs/rootfs/internal/errs"
	"github.com/librootfs/librootfs/rootfs/internal/nstest"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { nstest.Main(m) }

// outcome is what the init child saw.
type outcome struct {
	Failed   bool // set-up returned an error
	FDs      map[int]string
	Deviates string // Verify's deviations, where set-up said that it succeeded
}

// request is what the init child is given.
type request struct {
	Config, Options []byte
	Lend            bool // the root is a descriptor
}

// initChild sets a container up with its calls watched; descriptor 5 is the socket to the supervisor.
var initChild = nstest.Define("faults.init", func(in request) (o outcome, err error) {
	socket := 5
	unix.CloseOnExec(socket)
	config, err := rootfs.Parse(in.Config, in.Options)
	if err != nil {
		return o, err
	}
	plan, err := rootfs.NewPlan(config)
	if err != nil {
		return o, err
	}
	host := &rootfs.Host{}
	if in.Lend {
		root, err := unix.Open(config.Root.Path, unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil {
			return o, err
		}
		host.Sources = map[int]int{rootfs.SourceRoot: root}
	}
	before, err := nstest.Descriptors()
	if err != nil {
		return o, err
	}
	if err := watchThread(socket); err != nil {
		return o, err
	}
	mark(begins)
	prepared, err := setUp(plan, host)
	mark(ends)
	after, listErr := nstest.Descriptors()
	if listErr != nil {
		return o, listErr
	}
	o.FDs = map[int]string{}
	for fd, what := range after {
		if before[fd] == "" {
			o.FDs[fd] = what
		}
	}
	if err != nil {
		o.Failed = true
		return o, err
	}
	report, err := prepared.Verify()
	if err != nil {
		return o, err
	}
	for _, d := range report.Deviations {
		o.Deviates += fmt.Sprintf("%+v\n", d)
	}
	return o, nil
})

func setUp(plan *rootfs.Plan, host *rootfs.Host) (*rootfs.Prepared, error) {
	prepared, err := rootfs.Prepare(plan, host)
	if err != nil {
		return nil, err
	}
	master, err := prepared.Console(rootfs.Terminal{Rows: 24, Columns: 80, UID: 1})
	if err != nil {
		return nil, err
	}
	unix.Close(master)
	return prepared, prepared.Finalize()
}

// stage is a container that uses every feature, and what the host had before.
type stage struct {
	t      *testing.T
	deny   []nstest.Denial
	in     request
	dir    string
	before []string
	calls  int // of a set-up without a fault
}

func newStage(t *testing.T, w way) *stage {
	t.Helper()
	root := nstest.Rootfs(t)
	dir := filepath.Dir(root)
	for _, name := range []string{"volume/sub", "lower", "upper", "work", "rootfs/data/deep", "rootfs/secrets", "rootfs/srv"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"volume/file", "lower/f", "rootfs/data/deep/f", "rootfs/secrets/s", "rootfs/secret"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("text"), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("/srv", root+"/alias"); err != nil {
		t.Fatal(err)
	}
	c := everything(root, dir, len(w.deny) > 0)
	options, err := json.Marshal(map[string]any{"bundle": dir, "state": map[string]any{"id": "faults"},
		"mountCommands": []any{map[string]any{"mount": 0, "before": []any{map[string]any{"path": "/bin/true"}}}}})
	if err != nil {
		t.Fatal(err)
	}
	s := &stage{t: t, deny: w.deny, dir: dir, in: request{c.JSON(), options, w.lend}}
	// Targets that are missing are made by the first round, and stay.
	for range 2 {
		o, calls, err := s.round(plot{at: -1})
		if err != nil || o.Failed {
			t.Fatalf("without a fault: %v", err)
		}
		s.calls = len(calls)
	}
	if s.before, err = nstest.Tree(dir); err != nil {
		t.Fatal(err)
	}
	return s
}

// everything is a config with each kind of step. Without the mount API some features cannot be had.
func everything(root, dir string, old bool) nstest.Config {
	c := nstest.DefaultConfig(root)
	c.Object("process")["terminal"] = true
	c.Object("process")["cwd"] = "/alias/work"
	c.Object("process", "user")["umask"] = 0o27
	c.DropMount("/sys/fs/cgroup")
	c.AddMount("/volume", "bind", dir+"/volume", "rbind", "ro", "nosuid", "nodev", "rprivate").
		AddMount("/etc/hostname", "bind", dir+"/volume/file", "bind").
		AddMount("/relative", "bind", "volume/sub", "bind", "noexec").
		AddMount("/merged", "overlay", "overlay", "lowerdir="+dir+"/lower", "upperdir="+dir+"/upper", "workdir="+dir+"/work").
		AddMount("/alias/shm", "tmpfs", "shm", "size=64k", "mode=1777", "ro").
		AddMount("/tmp", "tmpfs", "tmpfs", "nosuid", "strictatime")
	if !old {
		c.AddMount("/data", "tmpfs", "tmpfs", "tmpcopyup").
			AddMount("/recursive", "bind", dir+"/volume", "rbind", "rro", "rnosuid")
	}
	if !old && !nstest.KernelBefore(6, 3) { // the files are on a tmpfs, which has idmapped mounts since then
		c.AddMount("/mapped", "bind", dir+"/lower", "bind", "idmap")
		mounts := c["mounts"].([]any)
		ids := []any{map[string]any{"containerID": 0, "hostID": 100000, "size": 65536}}
		mapped := mounts[len(mounts)-1].(map[string]any)
		mapped["uidMappings"], mapped["gidMappings"] = ids, ids
	}
	linux := c.Object("linux")
	linux["devices"] = []any{map[string]any{"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 0o640, "uid": 7, "gid": 8}}
	// No sysctl that takes the lock of all network devices: the kernel lets its write begin again and again while others have it.
	linux["sysctl"] = map[string]any{"net.ipv4.ip_default_ttl": "65", "kernel.domainname": "faults"}
	linux["maskedPaths"] = []any{"/proc/kcore", "/sys/firmware", "/secret", "/secrets", "/not/there"}
	linux["readonlyPaths"] = []any{"/proc/sys", "/proc/bus", "/root"}
	linux["rootfsPropagation"] = "rslave"
	c["hooks"] = map[string]any{"createContainer": []any{map[string]any{"path": "/bin/true"}}}
	return c
}

// strike is a round with a fault, and the name of the call that it struck.
func (s *stage) strike(p plot) (outcome, string, error) {
	s.t.Helper()
	// The mount table is read in pieces, whose number depends on how long the numbers in it are.
	for range 20 {
		if o, calls, err := s.round(p); p.at < len(calls) {
			return o, calls[p.at], err
		}
	}
	s.t.Fatalf("no set-up came to call %d", p.at)
	return outcome{}, "", nil
}

// round sets the container up once, and gives the names of its calls.
func (s *stage) round(p plot) (outcome, []string, error) {
	s.t.Helper()
	socket, file, err := pair()
	if err != nil {
		s.t.Fatal(err)
	}
	defer unix.Close(socket)
	type watch struct {
		calls []string
		err   error
	}
	done := make(chan watch, 1)
	go func() {
		calls, err := supervise(socket, p)
		done <- watch{calls, err}
	}()
	process := initChild.Start(s.t, nstest.Spec{Namespaces: nstest.Container, KeepPropagation: true, Deny: s.deny,
		Files: []*os.File{file}, Timeout: 20 * time.Second, Env: []string{"GOGC=off"}}, s.in)
	file.Close()
	var o outcome
	killed := false
	if p.at >= 0 && p.errno == 0 {
		killed = process.WaitDeath()
	} else {
		o, err = process.Wait()
	}
	w := <-done
	if killed != (p.errno == 0 && p.at >= 0 && p.at < len(w.calls)) {
		s.t.Fatalf("killed: %v, at call %d of %d", killed, p.at, len(w.calls))
	}
	if w.err != nil {
		s.t.Fatalf("the supervisor: %v", w.err)
	}
	return o, w.calls, err
}

// hostIsClean looks at what a round left behind. Other stages play meanwhile; what is mounted for this one has its directory
// in it, and HostUnchanged looks at the whole in the end.
func (s *stage) hostIsClean(what string) {
	s.t.Helper()
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		s.t.Fatal(err)
	}
	for line := range strings.Lines(string(table)) {
		if strings.Contains(line, s.dir) {
			s.t.Errorf("%s: on the host is mounted: %s", what, line)
		}
	}
	after, err := nstest.Tree(s.dir)
	if err != nil {
		s.t.Fatal(err)
	}
	if !slices.Equal(s.before, after) {
		for _, line := range s.before {
			if !slices.Contains(after, line) {
				s.t.Errorf("%s: changed or gone: %s", what, line)
			}
		}
		for _, line := range after {
			if !slices.Contains(s.before, line) {
				s.t.Errorf("%s: new: %s", what, line)
			}
		}
	}
}

var errnos = []syscall.Errno{unix.EPERM, unix.ENOMEM, unix.EINTR, unix.EBUSY, unix.ENOSPC, unix.EIO, unix.EMFILE}

// way is how a set-up is done.
type way struct {
	deny []nstest.Denial
	lend bool // the root by descriptor
}

var ways = map[string]way{"new-api": {}, "fall-back": {deny: []nstest.Denial{nstest.Deny(unix.ENOSYS)}}, "lent-root": {lend: true}}

// every thins the faults out for the short form: every n-th call, from ROOTFS_FAULTS_EVERY (1 for all of them).
func every(t *testing.T) int {
	text := os.Getenv("ROOTFS_FAULTS_EVERY")
	if text == "" {
		return 100
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("ROOTFS_FAULTS_EVERY: %q", text)
	}
	return n
}

// plots are the faults that are tried on a set-up of so many calls. Each errno goes through all of them; thinned out, through its
// own share of them.
func plots(t *testing.T, calls int, errnos []syscall.Errno) (list []plot) {
	step := every(t)
	for i, errno := range errnos {
		for at := i * step / len(errnos); at < calls; at += step {
			list = append(list, plot{at: at, errno: errno})
		}
	}
	return list
}

// play tries the plots, several at a time on a stage each: most of a round is waiting for the kernel, which lets mounts and
// namespaces go in its own time. (go test -parallel says how many.)
func play(t *testing.T, w way, errnos []syscall.Errno, act func(*stage, plot)) (calls, rounds int) {
	nstest.NeedRoot(t)
	nstest.HostUnchanged(t)
	calls = newStage(t, w).calls
	list := plots(t, calls, errnos)
	var next atomic.Int64
	ended := make(chan struct{})
	go func() {
		for tick := time.Tick(20 * time.Second); ; {
			select {
			case <-tick:
				t.Logf("PROGRESS %d of %d rounds", min(int(next.Load()), len(list)), len(list))
			case <-ended:
				return
			}
		}
	}()
	t.Run("stages", func(t *testing.T) {
		for i := range min(stages, len(list)) {
			t.Run(strconv.Itoa(i), func(t *testing.T) {
				t.Parallel()
				s := newStage(t, w)
				for n := int(next.Add(1)) - 1; n < len(list); n = int(next.Add(1)) - 1 {
					act(s, list[n])
				}
				s.nothingRuns()
			})
		}
	})
	close(ended)
	return calls, len(list)
}

// stages is how many there are at most.
const stages = 16

func TestEachCallFails(t *testing.T) {
	for name, w := range ways {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			succeeded, survived := 0, map[string]int{}
			calls, rounds := play(t, w, errnos, func(s *stage, p plot) {
				o, call, err := s.strike(p)
				what := fmt.Sprintf("%s (call %d of %d) fails with %s", call, p.at, s.calls, unix.ErrnoName(p.errno))
				s.judge(what, o, err)
				s.hostIsClean(what)
				if err == nil {
					mu.Lock()
					defer mu.Unlock()
					succeeded++
					survived[call+" "+unix.ErrnoName(p.errno)]++
				}
			})
			// A cost that multiplies on one of the paths shows here first: the way to /proc, taken for each mount, was thousands.
			if calls > 1000 {
				t.Errorf("a set-up makes %d calls", calls)
			}
			t.Logf("FAULTS calls=%d rounds=%d errors=%d successes=%d %v", calls, rounds, rounds-succeeded, succeeded, survived)
		})
	}
}

// judge: a clear error, or a success that is one.
func (s *stage) judge(what string, o outcome, err error) {
	s.t.Helper()
	var e *errs.Error
	switch {
	case err == nil:
		if o.Deviates != "" {
			s.t.Errorf("%s: set-up says that it succeeded, but: %s", what, o.Deviates)
		}
	case !o.Failed || !errors.As(err, &e):
		s.t.Errorf("%s: not an error of the library's own: %v", what, err)
	case e.Op == "" || e.Code == errs.Internal || e.Code == errs.Invalid || len(e.Error()) > 3071:
		s.t.Errorf("%s: not a clear error: %v (code %d)", what, err, e.Code)
	}
	if len(o.FDs) > 0 {
		s.t.Errorf("%s: descriptors left open: %v (%v)", what, o.FDs, err)
	}
}

func TestKilledAtEachCall(t *testing.T) {
	for name, w := range ways {
		t.Run(name, func(t *testing.T) {
			calls, rounds := play(t, w, []syscall.Errno{0}, func(s *stage, p plot) {
				_, call, _ := s.strike(p)
				s.hostIsClean(fmt.Sprintf("killed at %s (call %d of %d)", call, p.at, s.calls))
			})
			t.Logf("KILLS calls=%d rounds=%d", calls, rounds)
		})
	}
}

// nothingRuns: no process is left that has the stage's directory in its mount table: hooks, or an init child that hangs.
func (s *stage) nothingRuns() {
	s.t.Helper()
	deadline := time.Now().Add(5 * time.Second)
	for {
		tables, err := filepath.Glob("/proc/[0-9]*/mountinfo")
		if err != nil {
			s.t.Fatal(err)
		}
		var left []string
		for _, file := range tables {
			if text, err := os.ReadFile(file); err == nil && strings.Contains(string(text), s.dir+"/rootfs") {
				left = append(left, file)
			}
		}
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			s.t.Errorf("processes are left: %v", left)
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
}
