// Command engine is the Go side of librootfs.so: built as librootfs-engine.so (-buildmode=c-shared), and entered
// through one function, rootfs_go_call. capi/start starts its runtime and guards what belongs to the host.
package main

/*
#include <stdint.h>
uint32_t engine_up;
*/
import "C"

import (
	"math"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

func init() {
	rehearse()
	announce()
}

// announce lets calls in (capi/start/start.c). By a raw system call: around any other, as around a call of C, the runtime would
// offer its P to others.
func announce() {
	up := (*uint32)(unsafe.Pointer(&C.engine_up))
	atomic.StoreUint32(up, 1)
	const wakePrivate = 1 | 128 // FUTEX_WAKE, FUTEX_PRIVATE_FLAG
	_, _, _ = unix.RawSyscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(up)), wakePrivate, math.MaxInt32, 0, 0, 0)
}

// main is never run: the host has one.
func main() {}
