package main

/*
#cgo CFLAGS: -I${SRCDIR}/.. -I${SRCDIR}/../../include
#include <stdlib.h>
#include "engine.h"
*/
import "C"

import (
	"runtime/debug"
	"strconv"
	"unsafe"

	"github.com/librootfs/librootfs/rootfs"
)

// prepared is the one root of this process: a process has one root directory, so it sets up one container.
var prepared *rootfs.Prepared

// begun tells that Prepare was entered: a second one, also after a failure, would work on a root that is half switched.
var begun, finalized bool

// current is the call that is being done: one at a time, by the lock of librootfs.so.
var current *C.struct_engine_call

// rootfs_go_call does one call. A panic becomes an error, so that a defect of the library is a failed container and not
// a dead host.
//
//export rootfs_go_call
func rootfs_go_call(call *C.struct_engine_call) (code C.int) {
	current = call
	defer func() {
		if r := recover(); r != nil {
			code = fail(call, &rootfs.Error{Code: C.ROOTFS_ERR_INTERNAL, Op: "panic", Detail: panicText(r)})
		}
	}()
	// A fault at an address that is not nil, such as a wrong pointer of the host's, is a panic too.
	debug.SetPanicOnFault(true)
	fault(call)
	if err := dispatch(call); err != nil {
		return fail(call, err)
	}
	return 0
}

func dispatch(call *C.struct_engine_call) error {
	switch call.op {
	case C.ENGINE_PREPARE:
		return prepare(call)
	case C.ENGINE_CONSOLE:
		return console(call)
	case C.ENGINE_FINALIZE:
		return finalize()
	case C.ENGINE_VERIFY:
		return verify(call)
	case C.ENGINE_VALIDATE:
		if call.request.sources_len > 0 { // the root is a source: only the child need have a directory at its path
			_, err := plan(call)
			return err
		}
		return rootfs.Validate(document(call.request.config, call.request.config_len),
			document(call.request.options, call.request.options_len))
	case C.ENGINE_PLAN:
		p, err := plan(call)
		if err != nil {
			return err
		}
		return give(call, p.JSON())
	case C.ENGINE_FEATURES:
		return give(call, rootfs.Features())
	case C.ENGINE_OPEN_SOURCES:
		return openSources(call)
	case C.ENGINE_REHEARSE:
		rehearse()
		return nil
	}
	return &rootfs.Error{Code: C.ROOTFS_ERR_INTERNAL, Op: "call", Detail: "unknown operation " + strconv.Itoa(int(call.op))}
}

func prepare(call *C.struct_engine_call) error {
	if begun {
		return wrongOrder("rootfs_prepare", "was called before in this process")
	}
	p, err := plan(call)
	if err != nil {
		return err
	}
	begun, call.begun = true, 1
	prepared, err = rootfs.Prepare(p, host(call))
	return err
}

func console(call *C.struct_engine_call) error {
	if err := between("rootfs_console"); err != nil {
		return err
	}
	fd, err := prepared.Console(rootfs.Terminal{
		Rows: uint16(call.terminal.rows), Columns: uint16(call.terminal.columns),
		UID: uint32(call.terminal.uid), GID: uint32(call.terminal.gid),
	})
	if err != nil {
		return err
	}
	call.master = C.int32_t(fd)
	return nil
}

func finalize() error {
	if err := between("rootfs_finalize"); err != nil {
		return err
	}
	finalized = true
	return prepared.Finalize()
}

func verify(call *C.struct_engine_call) error {
	var report *rootfs.Report
	var err error
	if call.has_request != 0 {
		var p *rootfs.Plan
		if p, err = plan(call); err == nil {
			report, err = rootfs.Verify(p)
		}
	} else if prepared == nil {
		return wrongOrder("rootfs_verify", "needs a request, or rootfs_prepare before it in this process")
	} else {
		report, err = prepared.Verify()
	}
	if err != nil {
		return err
	}
	return give(call, report.JSON())
}

func openSources(call *C.struct_engine_call) error {
	c, err := rootfs.Parse(document(call.request.config, call.request.config_len),
		document(call.request.options, call.request.options_len))
	if err != nil {
		return err
	}
	sources, err := rootfs.OpenSources(c, int(call.userns))
	if err != nil {
		return err
	}
	room := unsafe.Slice((*C.struct_rootfs_source)(call.sources), int(call.sources_room))
	call.sources_count = C.size_t(len(sources))
	if len(sources) > len(room) {
		for _, s := range sources {
			closeFD(s.FD)
		}
		return &rootfs.Error{Code: C.ROOTFS_ERR_INVALID, Op: "rootfs_open_sources",
			Detail: "there are " + strconv.Itoa(len(sources)) + " sources, and room for " + strconv.Itoa(len(room))}
	}
	for i, s := range sources {
		room[i].mount, room[i].fd = C.uint32_t(s.Mount), C.int32_t(s.FD)
	}
	return nil
}

func plan(call *C.struct_engine_call) (*rootfs.Plan, error) {
	c, err := rootfs.Parse(document(call.request.config, call.request.config_len),
		document(call.request.options, call.request.options_len))
	if err != nil {
		return nil, err
	}
	return rootfs.NewPlan(c)
}

// between is the error of a call that belongs after rootfs_prepare and before rootfs_finalize, made elsewhere.
func between(call string) error {
	switch {
	case prepared == nil && begun:
		return wrongOrder(call, "needs a rootfs_prepare that succeeded")
	case prepared == nil:
		return wrongOrder(call, "needs rootfs_prepare before it in this process")
	case finalized:
		return wrongOrder(call, "comes after rootfs_finalize")
	}
	return nil
}

func wrongOrder(call, why string) error {
	return &rootfs.Error{Code: C.ROOTFS_ERR_STATE, Op: call, Detail: why}
}

// document is a document of the caller's, without a copy: it lives until the call returns, and the parser copies what
// it keeps.
func document(text *C.char, length C.size_t) []byte {
	if text == nil {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(text)), int(length))
}

// give hands a result to C as a string for rootfs_free.
func give(call *C.struct_engine_call, text []byte) error {
	p := (*byte)(C.malloc(C.size_t(len(text) + 1)))
	out := unsafe.Slice(p, len(text)+1)
	copy(out, text)
	out[len(text)] = 0
	call.text = (*C.char)(unsafe.Pointer(p))
	return nil
}

// panicText is the panic's value and, after it, the stack: its head is what the reader of a cut message needs.
func panicText(r any) string {
	var text string
	switch v := r.(type) {
	case error:
		text = v.Error()
	case string:
		text = v
	default:
		text = "a value that is neither error nor string"
	}
	return text + "\n" + string(debug.Stack())
}
