package main

/*
#include "engine.h"
*/
import "C"

import (
	"errors"
	"unicode/utf8"
	"unsafe"

	"github.com/librootfs/librootfs/rootfs"
)

// fail writes err into the call's error and gives its code.
func fail(call *C.struct_engine_call, err error) C.int {
	out := &call.error
	var e *rootfs.Error
	if !errors.As(err, &e) {
		e = &rootfs.Error{Code: C.ROOTFS_ERR_INTERNAL, Op: "error", Detail: err.Error()}
		err = e
	}
	out.code = C.int32_t(e.Code)
	out.errnum = C.int32_t(e.Errno)
	if e.Code == C.ROOTFS_ERR_CALLBACK {
		out.errnum = call.ready_result
	}
	put(unsafe.Slice((*byte)(unsafe.Pointer(&out.operation)), len(out.operation)), e.Op)
	put(unsafe.Slice((*byte)(unsafe.Pointer(&out.pointer)), len(out.pointer)), e.Pointer)
	put(unsafe.Slice((*byte)(unsafe.Pointer(&out.message)), len(out.message)), err.Error())
	return C.int(e.Code)
}

// put copies a string and its NUL, cut where it is too long, but never inside a character: a reader that decodes UTF-8
// gets valid UTF-8. A NUL byte of a hostile document would end the string early, so it is shown instead.
func put(dst []byte, s string) {
	n := min(len(s), len(dst)-1)
	for n > 0 && n < len(s) && !utf8.RuneStart(s[n]) {
		n--
	}
	copy(dst, s[:n])
	dst[n] = 0
	for i := range dst[:n] {
		if dst[i] == 0 {
			dst[i] = '?'
		}
	}
}
