package main

import "github.com/librootfs/librootfs/rootfs"

// rehearsal is a config with a little of everything that most have.
const rehearsal = `{"ociVersion":"1.0.2","root":{"path":"/r","readonly":true},"hostname":"h",
"process":{"cwd":"/","args":["/"],"env":["PATH=/"],"user":{"uid":0,"gid":0},"noNewPrivileges":true,
"capabilities":{"bounding":["CAP_KILL"]},"rlimits":[{"type":"RLIMIT_NOFILE","hard":1,"soft":1}]},
"mounts":[{"destination":"/proc","type":"proc","source":"proc"},
{"destination":"/dev","type":"tmpfs","source":"tmpfs","options":["nosuid","strictatime","mode=755","size=65536k"]},
{"destination":"/b","type":"bind","source":"/","options":["rbind","rprivate","ro"]}],
"linux":{"namespaces":[{"type":"pid"},{"type":"mount"}],
"maskedPaths":["/proc/acpi"],"readonlyPaths":["/proc/bus"]}}`

// An init child does everything for the first time in its life: what takes 15 us the second time takes 70 the first, in page
// faults and cold code. So rootfs_start, called before a fork for all children, or beside other work, reads a config and makes a
// plan once. It has no effect on anything: the plan is thrown away. A call that starts the engine for itself does without.
func rehearse() {
	if c, err := rootfs.Parse([]byte(rehearsal), nil); err == nil {
		_, _ = rootfs.NewPlan(c)
	}
}
