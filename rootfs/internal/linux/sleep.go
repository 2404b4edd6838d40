package linux

import (
	"time"

	"golang.org/x/sys/unix"
)

// Sleep lets the calling thread sleep. Not time.Sleep: for its first timer the Go runtime opens an epoll and an event
// descriptor, which stay open in the host's process.
func Sleep(d time.Duration) {
	left := unix.NsecToTimespec(int64(d))
	for unix.Nanosleep(&left, &left) == unix.EINTR {
	}
}
