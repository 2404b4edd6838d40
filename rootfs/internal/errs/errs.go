// Package errs is the one error type of the library. It crosses the C ABI as a plain struct, so it holds nothing but
// what fits there.
package errs

import (
	"errors"
	"strings"
	"syscall"
)

// Code is the kind of an error; the numbers are those of ROOTFS_ERR_* in include/rootfs.h.
type Code int32

// The kinds of error, as documented in include/rootfs.h.
const (
	Invalid     Code = 1
	System      Code = 2
	Unsafe      Code = 3
	Unsupported Code = 4
	Callback    Code = 5
	Hook        Code = 6
	State       Code = 7
	Engine      Code = 8
	Forked      Code = 9
	Internal    Code = 10
)

// Error says what failed, where in the configuration it was asked for, and which system call refused it.
type Error struct {
	Code    Code
	Errno   syscall.Errno // 0 where no system call is to blame
	Op      string        // "move_mount", "mknodat", "parse"
	Args    string        // what the operation was about: "tmpfs -> /dev/shm"
	Pointer string        // RFC 6901, "options#/..." for host options
	Detail  string        // what a reader needs beyond the errno's own text
}

// Error prints "/mounts/3: move_mount(tmpfs -> /dev/shm): no space left on device: detail".
func (e *Error) Error() string {
	var b strings.Builder
	if e.Pointer != "" {
		b.WriteString(e.Pointer + ": ")
	}
	b.WriteString(e.Op)
	if e.Args != "" {
		b.WriteString("(" + e.Args + ")")
	}
	if e.Errno != 0 {
		b.WriteString(": " + e.Errno.Error())
	}
	if e.Detail != "" {
		b.WriteString(": " + e.Detail)
	}
	return b.String()
}

// Unwrap gives the errno, so that errors.Is(err, unix.EPERM) works.
func (e *Error) Unwrap() error {
	if e.Errno == 0 {
		return nil
	}
	return e.Errno
}

// Sys is the error of a failed system call. An err that is an *Error already keeps its own operation and errno.
func Sys(op, args string, err error) error {
	if err == nil {
		return nil
	}
	// Nearly all are one of these two, and errors.As is slow where it is used for the first time: an init child meets a dozen
	// paths that are not there, and asks each time.
	switch err := err.(type) {
	case *Error:
		return err
	case syscall.Errno:
		return &Error{Code: System, Op: op, Args: args, Errno: err}
	}
	var known *Error
	if errors.As(err, &known) {
		return err
	}
	e := &Error{Code: System, Op: op, Args: args}
	if !errors.As(err, &e.Errno) {
		e.Detail = err.Error()
	}
	return e
}

// Is is errors.Is for an errno, without what that costs where it is used for the first time: an init child does all things for
// the first time.
func Is(err error, errno syscall.Errno) bool {
	switch err := err.(type) {
	case nil:
		return false
	case *Error:
		return err.Errno == errno
	case syscall.Errno:
		return err == errno
	}
	return errors.Is(err, errno)
}

// At is err with the JSON pointer of the field that asked for the failing operation, unless it names one already.
func At(pointer string, err error) error {
	var e *Error
	if err == nil || !errors.As(err, &e) || e.Pointer != "" {
		return err
	}
	e.Pointer = pointer
	return err
}

// Bad is an invalid field.
func Bad(pointer, detail string) error {
	return &Error{Code: Invalid, Op: "config", Pointer: pointer, Detail: detail}
}

// Refuse is a refusal for safety's sake: what is there is not what it must be.
func Refuse(op, args, detail string) error {
	return &Error{Code: Unsafe, Op: op, Args: args, Detail: detail}
}

// Cannot is something that this kernel or build has no means for.
func Cannot(op, args, detail string) error {
	return &Error{Code: Unsupported, Op: op, Args: args, Detail: detail}
}
