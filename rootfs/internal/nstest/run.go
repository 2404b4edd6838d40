package nstest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/librootfs/librootfs/rootfs/internal/errs"
	"golang.org/x/sys/unix"
)

// Namespaces are those that the new process gets new.
type Namespaces uintptr

// The namespaces, to be joined with |.
const (
	Mount  Namespaces = unix.CLONE_NEWNS
	PID    Namespaces = unix.CLONE_NEWPID
	IPC    Namespaces = unix.CLONE_NEWIPC
	UTS    Namespaces = unix.CLONE_NEWUTS
	Net    Namespaces = unix.CLONE_NEWNET
	User   Namespaces = unix.CLONE_NEWUSER
	Cgroup Namespaces = unix.CLONE_NEWCGROUP

	// Container are the namespaces of `runc spec`.
	Container = Mount | PID | IPC | UTS | Net
)

// Spec says what process to make.
type Spec struct {
	Namespaces Namespaces

	// UIDMap and GIDMap are the maps of a new user namespace; where both are empty, its ids 0 to 65535 are the host's
	// 100000 to 165535.
	UIDMap, GIDMap []syscall.SysProcIDMap

	Func  string // as registered; Define's Run fills it in
	Input []byte

	// KeepPropagation leaves "/" shared with the host, as an init child finds it. Otherwise it is made private first.
	KeepPropagation bool

	// Deny is in force before the function runs, beside what ROOTFS_TEST_DENY says.
	Deny []Denial

	// Files become descriptors 5, 6, ... of the new process.
	Files []*os.File

	Dir     string        // working directory; "" for the test's
	Env     []string      // added to the test's environment
	Timeout time.Duration // 0 means 30 seconds; a hang is a failure, with the stacks of the process
	Stdio   [3]*os.File   // nil: /dev/null, and two pipes whose text is shown when the test fails
}

// Run runs the function in a new process and gives what it returned. A panic, a hang or a death of the process fails the
// test at once. Without Mount in Spec.Namespaces the mount namespace is shared with the test.
func Run(t testing.TB, s Spec) ([]byte, error) {
	t.Helper()
	p := Start(t, s)
	return p.Wait()
}

// Process is a process under way.
type Process struct {
	Cmd    *exec.Cmd
	t      testing.TB
	name   string
	answer chan []byte
	stdout bytes.Buffer
	stderr bytes.Buffer
	limit  time.Duration
}

// Start begins what Run does. Wait must be called.
func Start(t testing.TB, s Spec) *Process {
	t.Helper()
	own := setup{KeepPropagation: s.KeepPropagation || s.Namespaces&Mount == 0, Deny: s.Deny}
	own.Deny = append(own.Deny, denialsOfEnvironment(t)...)
	text, err := json.Marshal(&own)
	if err != nil {
		t.Fatal(err)
	}
	inRead, inWrite := pipe(t)
	outRead, outWrite := pipe(t)

	p := &Process{t: t, name: s.Func, answer: make(chan []byte, 1), limit: s.Timeout}
	if p.limit == 0 {
		p.limit = 30 * time.Second
	}
	if times, err := strconv.Atoi(os.Getenv("ROOTFS_TEST_PATIENCE")); err == nil && times > 1 {
		p.limit *= time.Duration(times) // a kernel in an emulator takes its time
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = []string{os.Args[0]}
	cmd.Env = append(append(os.Environ(), s.Env...), envFunc+"="+s.Func, envSetup+"="+string(text), envHost+"=1")
	cmd.Dir = s.Dir
	cmd.ExtraFiles = append([]*os.File{inRead, outWrite}, s.Files...)
	cmd.Stdout, cmd.Stderr = &p.stdout, &p.stderr
	for i, f := range s.Stdio {
		if f == nil {
			continue
		}
		switch i {
		case 0:
			cmd.Stdin = f
		case 1:
			cmd.Stdout = f
		case 2:
			cmd.Stderr = f
		}
	}
	cmd.WaitDelay = 2 * time.Second // what the function left running must not hold the pipes for ever
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: uintptr(s.Namespaces)}
	if s.Namespaces&User != 0 {
		cmd.SysProcAttr.UidMappings, cmd.SysProcAttr.GidMappings = maps(s)
		cmd.SysProcAttr.GidMappingsEnableSetgroups = os.Geteuid() == 0
		if os.Geteuid() == 0 {
			cmd.SysProcAttr.Credential = &syscall.Credential{}
		}
	}
	p.Cmd = cmd
	err = cmd.Start()
	inRead.Close()
	outWrite.Close()
	if err != nil {
		inWrite.Close()
		outRead.Close()
		t.Fatalf("nstest: start %s: %v", s.Func, err)
	}
	go func() {
		inWrite.Write(s.Input) // a process that dies early gives EPIPE here, and its death is reported below
		inWrite.Close()
	}()
	go func() {
		b, _ := io.ReadAll(outRead)
		outRead.Close()
		p.answer <- b
	}()
	return p
}

// Wait gives what the function returned, as Run does. An error that says that a call of ROOTFS_TEST_DENY is needed skips the
// test.
func (p *Process) Wait() ([]byte, error) {
	p.t.Helper()
	timer := time.AfterFunc(p.limit, func() { p.Cmd.Process.Signal(syscall.SIGQUIT) }) // Go prints its stacks
	kill := time.AfterFunc(p.limit+3*time.Second, func() { p.Cmd.Process.Kill() })
	begin := time.Now()
	err := p.Cmd.Wait()
	timer.Stop()
	kill.Stop()
	text := p.texts()
	if time.Since(begin) > p.limit {
		p.t.Fatalf("nstest: %s hung for %v%s", p.name, p.limit, text)
	}
	var r reply
	var b []byte
	select {
	case b = <-p.answer:
	case <-time.After(5 * time.Second):
		p.t.Fatalf("nstest: %s left a process behind that holds its descriptors%s", p.name, text)
	}
	if json.Unmarshal(b, &r) != nil {
		p.t.Fatalf("nstest: %s died: %v%s", p.name, err, text)
	}
	if r.Panic != "" {
		p.t.Fatalf("nstest: %s: %s%s", p.name, r.Panic, text)
	}
	if text != "" {
		p.t.Logf("nstest: %s:%s", p.name, text)
	}
	switch {
	case r.Error != nil:
		if what := p.lacks(r.Error); what != "" {
			p.t.Skipf("%s: %v", what, r.Error)
		}
		return r.Output, r.Error
	case r.Plain != "":
		return r.Output, errors.New(r.Plain)
	}
	return r.Output, nil
}

// WaitDeath waits for a process that is to be killed, and tells whether it was: not where its function returned before.
func (p *Process) WaitDeath() bool {
	p.t.Helper()
	kill := time.AfterFunc(p.limit, func() { p.Cmd.Process.Kill() })
	begin := time.Now()
	p.Cmd.Wait()
	if !kill.Stop() {
		p.t.Fatalf("nstest: %s was to be killed, and went on for %v", p.name, time.Since(begin))
	}
	return len(<-p.answer) == 0
}

// lacks tells what an error says that this kernel cannot do: a call that ROOTFS_TEST_DENY denies, where the error is of the
// kind "unsupported" and names it; or idmapped mounts of a tmpfs, on which the tests work, before Linux 6.3.
func (p *Process) lacks(e *errs.Error) string {
	text := e.Error()
	for _, d := range denialsOfEnvironment(p.t) {
		for _, call := range d.Calls {
			if e.Code == errs.Unsupported && strings.Contains(text, call) {
				return "needs " + call + ", which is denied"
			}
		}
	}
	path, _, _ := strings.Cut(e.Args, ",")
	var st unix.Statfs_t
	onTmpfs := unix.Statfs(path, &st) == nil && st.Type == unix.TMPFS_MAGIC
	if strings.Contains(text, "may not support idmapped mounts") && KernelBefore(6, 3) && onTmpfs {
		return "tmpfs has idmapped mounts since Linux 6.3"
	}
	return ""
}

// NeedTmpfsIDMap skips the test where a tmpfs cannot be idmapped.
func NeedTmpfsIDMap(t testing.TB) {
	t.Helper()
	if KernelBefore(6, 3) {
		t.Skip("tmpfs has idmapped mounts since Linux 6.3")
	}
}

// KernelBefore tells whether the running kernel is older than a release.
func KernelBefore(major, minor int) bool {
	var name unix.Utsname
	var a, b int
	if unix.Uname(&name) != nil {
		return false
	}
	if _, err := fmt.Sscanf(unix.ByteSliceToString(name.Release[:]), "%d.%d", &a, &b); err != nil {
		return false
	}
	return a < major || (a == major && b < minor)
}

func (p *Process) texts() string {
	text := ""
	if p.stdout.Len() > 0 {
		text += "\nstdout: " + p.stdout.String()
	}
	if p.stderr.Len() > 0 {
		text += "\nstderr: " + p.stderr.String()
	}
	return text
}

func maps(s Spec) (uid, gid []syscall.SysProcIDMap) {
	uid, gid = s.UIDMap, s.GIDMap
	if len(uid) > 0 || len(gid) > 0 {
		return uid, gid
	}
	if os.Geteuid() != 0 {
		return []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}}, []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}}
	}
	all := []syscall.SysProcIDMap{{HostID: 100000, Size: 65536}}
	return all, all
}

func pipe(t testing.TB) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	return r, w
}

// Defined is a function with typed input and output, which travel as JSON.
type Defined[In, Out any] struct{ name string }

// Define registers f under a name. Called while the package is initialised.
func Define[In, Out any](name string, f func(In) (Out, error)) Defined[In, Out] {
	Register(name, func(raw []byte) ([]byte, error) {
		var in In
		if err := json.Unmarshal(raw, &in); err != nil {
			return nil, fmt.Errorf("nstest: input of %s: %w", name, err)
		}
		out, err := f(in)
		b, jerr := json.Marshal(out)
		return b, errors.Join(err, jerr)
	})
	return Defined[In, Out]{name}
}

// Run runs the function in a new process, as the package's Run does. The output is there even beside an error.
func (d Defined[In, Out]) Run(t testing.TB, s Spec, in In) (Out, error) {
	t.Helper()
	return d.Start(t, s, in).Wait()
}

// Started is a typed function under way.
type Started[Out any] struct{ *Process }

// Start begins what Run does. Wait must be called.
func (d Defined[In, Out]) Start(t testing.TB, s Spec, in In) Started[Out] {
	t.Helper()
	b, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	s.Func, s.Input = d.name, b
	return Started[Out]{Start(t, s)}
}

// Wait gives what the function returned.
func (s Started[Out]) Wait() (Out, error) {
	s.t.Helper()
	var out Out
	b, err := s.Process.Wait()
	if len(b) > 0 {
		if jerr := json.Unmarshal(b, &out); jerr != nil {
			s.t.Fatalf("nstest: output of %s: %v", s.name, jerr)
		}
	}
	return out, err
}
