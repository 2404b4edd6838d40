package faults

import "golang.org/x/sys/unix"

// Newer machines have only ppoll(2).
func init() { watched[unix.SYS_POLL] = "poll" }
