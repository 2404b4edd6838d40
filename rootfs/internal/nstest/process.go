package nstest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	"github.com/librootfs/librootfs/rootfs/internal/errs"
	"golang.org/x/sys/unix"
)

// Func is what runs in the new process. An *errs.Error that it returns arrives as one.
type Func func(in []byte) ([]byte, error)

// The new process is told what to do in the environment, and talks through descriptors 3 and 4.
const (
	envFunc  = "ROOTFS_NSTEST_FUNC"
	envSetup = "ROOTFS_NSTEST_SETUP"
	envHost  = "ROOTFS_NSTEST_HOST"
	envTmp   = "ROOTFS_TEST_TMP"

	fdInput  = 3
	fdOutput = 4
	fdFiles  = 5 // Spec.Files begin here
)

var functions = map[string]Func{}

// procDir is the host's /proc, opened before a function can hide it: Mounts and Descriptors read through it.
var procDir = -1

func init() {
	// The main goroutine keeps the main thread: in a new process a signal, /proc/self and an exec then all mean the thread
	// that did the work, and in the test itself no Thread takes the thread that /proc/self shows.
	runtime.LockOSThread()
}

// Register names a function that Run can start. Called while the package is initialised.
func Register(name string, f Func) {
	if functions[name] != nil {
		panic("nstest: two functions are named " + name)
	}
	functions[name] = f
}

// Main is the TestMain of a package that uses nstest. It does not return.
func Main(m *testing.M) {
	if name := os.Getenv(envFunc); name != "" {
		child(name)
	}
	ownHost()
	os.Exit(m.Run())
}

// setup is what the new process does before the function runs.
type setup struct {
	KeepPropagation bool
	Deny            []Denial
}

// reply is what it sends back.
type reply struct {
	Output []byte
	Error  *errs.Error
	Plain  string // the text of an error that is not an *errs.Error
	Panic  string // with its stack
}

func child(name string) {
	var r reply
	in, err := io.ReadAll(os.NewFile(fdInput, "input"))
	if err == nil {
		err = prepareChild()
	}
	if err != nil {
		r.Panic = "nstest: before the function: " + err.Error()
	} else {
		r.call(name, in)
	}
	out, err := json.Marshal(&r)
	if err == nil {
		_, err = os.NewFile(fdOutput, "output").Write(out)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "nstest: cannot reply:", err)
		os.Exit(2)
	}
	os.Exit(0)
}

func prepareChild() error {
	unix.CloseOnExec(fdOutput)
	var s setup
	if err := json.Unmarshal([]byte(os.Getenv(envSetup)), &s); err != nil {
		return err
	}
	for _, name := range []string{envFunc, envSetup, envHost} {
		if err := os.Unsetenv(name); err != nil {
			return err
		}
	}
	fd, err := unix.Open("/proc", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open /proc: %w", err)
	}
	procDir = fd
	time.Sleep(time.Nanosecond) // the Go runtime opens its poller at the first timer; Descriptors is to see it from the start
	if !s.KeepPropagation {
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			return fmt.Errorf("make / private: %w", err)
		}
	}
	for _, d := range s.Deny {
		if err := DenyHere(d); err != nil {
			return err
		}
	}
	return nil
}

func (r *reply) call(name string, in []byte) {
	defer func() {
		if v := recover(); v != nil {
			r.Panic = fmt.Sprintf("panic: %v\n%s", v, debug.Stack())
		}
	}()
	f := functions[name]
	if f == nil {
		panic("no function is named " + name)
	}
	out, err := f(in)
	r.Output = out
	if err == nil {
		return
	}
	if !errors.As(err, &r.Error) {
		r.Plain = err.Error()
	}
}
