package main

/*
#include <stdlib.h>
#include "engine.h"

static inline int call_ready(struct engine_call *c) { return c->ready(c); }
static inline void call_tell(struct engine_call *c, void (*f)(void *, const struct rootfs_progress *), void *user,
			     const struct rootfs_progress *p) { c->tell(f, user, p); }
*/
import "C"

import (
	"strconv"
	"syscall"
	"unsafe"

	"github.com/librootfs/librootfs/rootfs"
)

// host is what a request gives beside its documents: callbacks and sources.
func host(call *C.struct_engine_call) *rootfs.Host {
	r := &call.request
	h := &rootfs.Host{}
	if r.on_mounts_ready != nil {
		h.MountsReady = func() error { return ready(call) }
	}
	if r.on_progress != nil {
		// Copies: steps of rootfs_finalize are told too, when the request is gone.
		text := &progressText{to: r.on_progress, user: r.user}
		h.Progress = text.tell
	}
	if r.sources_len > 0 && r.sources != nil {
		h.Sources = map[int]int{}
		for _, s := range unsafe.Slice((*C.struct_rootfs_source)(r.sources), int(r.sources_len)) {
			index := int(s.mount)
			if s.mount == C.ROOTFS_SOURCE_ROOT {
				index = rootfs.SourceRoot
			}
			h.Sources[index] = int(s.fd)
		}
	}
	return h
}

// ready calls the host. What it returned need not be an errno, so it goes into errnum (in fail) without errno's text.
func ready(call *C.struct_engine_call) error {
	if result := C.call_ready(call); result != 0 {
		return &rootfs.Error{Code: C.ROOTFS_ERR_CALLBACK, Op: "on_mounts_ready", Detail: "returned " + strconv.Itoa(int(result))}
	}
	return nil
}

// progressText holds the strings of the progress callback, in memory of C and reused from step to step.
type progressText struct {
	to   *[0]byte
	user unsafe.Pointer
	buf  *C.char
	room int
}

func (t *progressText) tell(p rootfs.Progress) {
	op, target, pointer := p.Step.Op(), p.Step.Target(), p.Step.Pointer()
	need := len(op) + len(target) + len(pointer) + 3
	if need > t.room {
		C.free(unsafe.Pointer(t.buf))
		t.room = need + 256
		t.buf = (*C.char)(C.malloc(C.size_t(t.room)))
	}
	b := unsafe.Slice((*byte)(unsafe.Pointer(t.buf)), t.room)
	at := 0
	put := func(s string) *C.char {
		start := at
		at += copy(b[at:], s)
		b[at] = 0
		at++
		return (*C.char)(unsafe.Pointer(&b[start]))
	}
	c := C.struct_rootfs_progress{index: C.uint32_t(p.Index), count: C.uint32_t(p.Count)}
	c.size = C.uint32_t(unsafe.Sizeof(c))
	c.operation, c.target, c.pointer = put(op), put(target), put(pointer)
	C.call_tell(current, t.to, t.user, &c)
	if p.Index+1 == p.Count {
		C.free(unsafe.Pointer(t.buf))
		t.buf, t.room = nil, 0
	}
}

func closeFD(fd int) { _ = syscall.Close(fd) }
