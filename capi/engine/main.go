// Command engine is the Go side of librootfs.so: built as librootfs-engine.so (-buildmode=c-shared), and entered
// through one function, rootfs_go_call. capi/start starts its runtime and guards what belongs to the host.
package main

// main is never run: the host has one.
func main() {}
