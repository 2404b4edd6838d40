// Command engine is the Go side of librootfs.so: built as librootfs-engine.so (-buildmode=c-shared), and entered
// through one function, rootfs_go_call. capi/start starts its runtime and guards what belongs to the host.
//
// The two go:debug lines keep the runtime from opening the host's cgroup files: their descriptors would stay open in a
// container's init, which is the shape of CVE-2024-21626. They count only above the package clause.
//
//go:debug containermaxprocs=0
//go:debug updatemaxprocs=0
package main

// main is never run: the host has one.
func main() {}
