//go:build !rootfs_fault

package main

/*
#include "engine.h"
*/
import "C"

// fault is where tests put defects in (fault_on.go); the product has none here.
func fault(*C.struct_engine_call) {}
