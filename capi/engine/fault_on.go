//go:build rootfs_fault

package main

/*
#include "engine.h"
*/
import "C"

import (
	"os"
	"runtime"
	"syscall"
	"time"
	"unsafe"
)

var garbage []byte

// fault is a defect of the engine, by the name that a test gives in place of a config. Only in builds for tests.
func fault(call *C.struct_engine_call) {
	if call.request.config == nil {
		return
	}
	switch string(document(call.request.config, call.request.config_len)) {
	case "fault nil":
		var p *int
		*p = 1
	case "fault address":
		*(*int)(unsafe.Pointer(call.request.config)) = *(*int)(unsafe.Add(unsafe.Pointer(nil), 0xdead000))
	case "fault panic":
		panic("on purpose")
	case "fault division":
		zero := int(call.request.options_len)
		call.master = C.int32_t(1 / zero)
	case "fault collect":
		done := make(chan []byte)
		for i := range 10 {
			go func() { done <- make([]byte, 1<<20+i) }()
		}
		for range 10 {
			<-done
		}
		runtime.GC()
		panic("collected")
	case "fault garbage": // what a huge document makes: collections, and no goroutine of ours
		for range 300 {
			garbage = make([]byte, 1<<20)
		}
		var after runtime.MemStats
		runtime.ReadMemStats(&after)
		if after.NumGC < 3 {
			panic("not collected")
		}
		panic("garbage collected")
	case "fault exit":
		print("last words")
		os.Exit(3)
	case "fault hang":
		for {
			time.Sleep(time.Hour)
		}
	case "fault kill":
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}
