package main

import (
	"testing"

	"github.com/librootfs/librootfs/rootfs"
)

// TestRehearsal: what is planned at the start is planned to the end.
func TestRehearsal(t *testing.T) {
	c, err := rootfs.Parse([]byte(rehearsal), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := rootfs.NewPlan(c); err != nil {
		t.Fatal(err)
	}
}
