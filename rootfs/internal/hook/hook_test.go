package hook

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/librootfs/librootfs/rootfs/internal/errs"
	"github.com/librootfs/librootfs/rootfs/internal/nstest"
)

func TestMain(m *testing.M) { nstest.Main(m) }

// shell is a program of one line; its argv is free to be chosen.
func shell(t *testing.T, text string) Program {
	t.Helper()
	path := filepath.Join(t.TempDir(), "hook")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return Program{Path: path, Argv: []string{path}, Env: []string{"PATH=/usr/bin:/bin"}}
}

// fails runs a program that must fail, with these words.
func fails(t *testing.T, p Program, words ...string) *errs.Error {
	t.Helper()
	err := Run(p)
	var e *errs.Error
	if !errors.As(err, &e) || e.Code != errs.Hook {
		t.Fatalf("want a hook error, got %v", err)
	}
	for _, w := range words {
		if !strings.Contains(e.Error(), w) {
			t.Errorf("%q does not say %q", e, w)
		}
	}
	return e
}

func TestWhatAProgramGets(t *testing.T) {
	p := shell(t, `[ "$1" = "a b" ] && [ "$2" = "" ] && [ "$VAR" = "x y" ] && [ -z "$HOME" ] && [ "$(pwd)" = /var ] && [ "$(cat)" = "state" ]`)
	p.Argv = []string{"any name", "a b", ""}
	p.Env = append(p.Env, "VAR=x y")
	p.Dir, p.Stdin = "/var", []byte("state\n")
	t.Setenv("HOME", "/root") // the environment is the config's, nothing of the host's
	if err := Run(p); err != nil {
		t.Error(err)
	}
}

func TestOutcomes(t *testing.T) {
	if err := Run(shell(t, "true")); err != nil {
		t.Error(err)
	}
	fails(t, shell(t, "echo out; echo err >&2; exit 3"), "exit status 3: out\nerr")
	fails(t, shell(t, "kill -9 $$"), "killed by signal 9")
	fails(t, shell(t, `printf '\377\376'; exit 1`), "exit status 1: ?")
	if e := fails(t, Program{Path: "/not/there", Argv: []string{"x"}}, "execve(/not/there)"); e.Errno != unix.ENOENT {
		t.Errorf("%+v", e)
	}
	plain := filepath.Join(t.TempDir(), "plain")
	if err := os.WriteFile(plain, []byte("#!/bin/sh\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if e := fails(t, Program{Path: plain, Argv: []string{"x"}}, "permission denied"); e.Errno != unix.EACCES {
		t.Errorf("%+v", e)
	}
	p := shell(t, "true")
	p.Dir = "/not/there"
	fails(t, p, "no such file")
}

func TestTimeout(t *testing.T) {
	for name, text := range map[string]string{"asleep": "exec sleep 60", "stopped": "kill -STOP $$", "deaf": "trap '' TERM INT HUP; exec sleep 60"} {
		p := shell(t, text)
		p.Timeout = 200 * time.Millisecond
		begin := time.Now()
		if e := fails(t, p, "killed after 200ms"); e.Errno != unix.ETIMEDOUT {
			t.Errorf("%s: %+v", name, e)
		}
		if d := time.Since(begin); d < p.Timeout || d > 10*time.Second {
			t.Errorf("%s: it took %v", name, d)
		}
	}
	p := shell(t, "exit 4") // in time, and its status is what counts
	p.Timeout = time.Minute
	fails(t, p, "exit status 4")
	// A child that the program leaves behind is not waited for, though it has the output open.
	p = shell(t, "sleep 5 & exit 0")
	begin := time.Now()
	if err := Run(p); err != nil || time.Since(begin) > 4*time.Second {
		t.Errorf("%v after %v", err, time.Since(begin))
	}
}

func TestMuchInputAndOutput(t *testing.T) {
	p := shell(t, `[ "$(wc -c)" = 8388608 ]`)
	p.Stdin = make([]byte, 8<<20)
	if err := Run(p); err != nil {
		t.Error(err)
	}
	p = shell(t, "true") // which does not read it
	p.Stdin = make([]byte, 8<<20)
	if err := Run(p); err != nil {
		t.Error(err)
	}
	e := fails(t, shell(t, "head -c 33554432 /dev/zero | tr '\\0' x; exit 1"), "exit status 1: xxx")
	if len(e.Detail) > maxOutput+100 {
		t.Errorf("an error of %d bytes", len(e.Detail))
	}
}

// No descriptor of the library's reaches a program, none stays open, and no child is left to be waited for.
func TestNothingIsLeft(t *testing.T) {
	before, err := nstest.Descriptors()
	if err != nil {
		t.Fatal(err)
	}
	// 0 to 2, the directory that ls reads, and what `go test` itself may hand on.
	fails(t, shell(t, "for fd in /proc/self/fd/*; do readlink $fd; done | grep -c rootfs- ; exit 1"), "exit status 1: 2")
	for _, text := range []string{"true", "exit 1", "kill -9 $$"} {
		p := shell(t, text)
		p.Timeout = time.Minute
		_ = Run(p)
	}
	p := shell(t, "exec sleep 60")
	p.Timeout = 10 * time.Millisecond
	_ = Run(p)
	after, err := nstest.Descriptors()
	if err != nil || len(after) != len(before) {
		t.Errorf("descriptors were %v and are %v, %v", before, after, err)
	}
	if pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); err != unix.ECHILD {
		t.Errorf("a child is left: %d, %v", pid, err)
	}
}

// The exit status arrives whatever the host does with SIGCHLD, and that is as it was afterwards.
var signals = nstest.Define("hook.signals", func(path string) (string, error) {
	run := func() error {
		return Run(Program{Path: path, Argv: []string{path}, Env: []string{"PATH=/usr/bin:/bin"}})
	}
	var said []string
	signal.Ignore(unix.SIGCHLD)
	said = append(said, fmt.Sprint(run()))
	if !signal.Ignored(unix.SIGCHLD) {
		return "", errors.New("SIGCHLD is no longer ignored")
	}
	var now sigaction
	if swap(nil, &now) != 0 || now[0] != sigIgn {
		return "", fmt.Errorf("the kernel has handler %x for SIGCHLD", now[0])
	}
	told := make(chan os.Signal, 1)
	signal.Notify(told, unix.SIGCHLD)
	stolen := make(chan int, 8)
	go func() { // as a host does that reaps all of its children when it is told of one
		for range told {
			pid, _ := unix.Wait4(-1, nil, unix.WNOHANG, nil)
			stolen <- pid
		}
	}()
	said = append(said, fmt.Sprint(run()))
	select {
	case pid := <-stolen:
		if pid > 0 {
			return "", fmt.Errorf("the handler took process %d", pid)
		}
	case <-time.After(5 * time.Second):
		return "", errors.New("the handler was not told of what it missed")
	}
	return strings.Join(said, "\n"), nil
})

func TestWhateverTheHostDoesWithSIGCHLD(t *testing.T) {
	p := shell(t, "exit 7")
	if os.Geteuid() == 0 {
		for d := filepath.Dir(p.Path); d != "/tmp" && d != "/"; d = filepath.Dir(d) {
			_ = os.Chmod(d, 0o755)
		}
	}
	said, err := signals.Run(t, nstest.Spec{}, p.Path)
	if err != nil || strings.Count(said, "exit status 7") != 2 {
		t.Errorf("%q, %v", said, err)
	}
}
