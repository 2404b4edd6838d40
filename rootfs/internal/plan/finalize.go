package plan

import (
	"slices"

	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/sys/unix"
)

// finalize adds what takes away from the root: each step would be in the way of one before it.
func (b *builder) finalize() {
	p := &b.plan
	p.Finalize = make([]Step, 0, len(b.c.ReadonlyPaths)+len(b.c.MaskedPaths)+usualSteps)
	do := func(s Step) { p.Finalize = append(p.Finalize, s) }
	p.Finalize = append(p.Finalize, b.late.rest()...)
	if b.c.Root.Readonly {
		do(&ReadonlyRoot{Base{"/root/readonly", "/"}})
	}
	umask := &Umask{Mask: 0o022}
	if b.c.Process.Umask != nil {
		umask = &Umask{Base{Ptr: "/process/user/umask"}, *b.c.Process.Umask}
	}
	do(umask)
	for _, s := range b.c.Sysctls {
		pointer := string(jsontext.Pointer("/linux/sysctl").AppendToken(s.Key))
		do(&Sysctl{Base{pointer, "/proc/sys/" + s.File}, s.File, s.Value})
	}
	readonly := make([]ReadonlyPath, len(b.c.ReadonlyPaths))
	once(b.c.ReadonlyPaths, func(i int, path string) {
		readonly[i] = ReadonlyPath{Base{b.entryPointer("/linux/readonlyPaths/", i), path}}
		do(&readonly[i])
	})
	masks := make([]MaskPath, len(b.c.MaskedPaths))
	once(b.c.MaskedPaths, func(i int, path string) {
		masks[i] = MaskPath{Base{b.entryPointer("/linux/maskedPaths/", i), path}, b.c.MountLabel}
		do(&masks[i])
	})
	// Nothing can be bound from what is unbindable, and both steps above bind.
	if p := rootPropagation(b.c.Propagation); p&unix.MS_UNBINDABLE != 0 {
		do(&Propagation{Base{"/linux/rootfsPropagation", "/"}, p})
	}
	// A working directory that was entered before it was covered would show, as ".", what lies below the cover.
	if cwd := b.c.Process.Cwd; cwd != "" && cwd != "/" && len(b.c.ReadonlyPaths)+len(b.c.MaskedPaths) > 0 {
		do(&Chdir{Base{"/process/cwd", cwd}, true})
	}
}

// once calls f for the first of each path. A set costs a process that makes its first one more than a look through a short
// list, and a list can be long.
func once(paths []string, f func(i int, path string)) {
	const short = 32
	var seen map[string]bool
	if len(paths) > short {
		seen = make(map[string]bool, len(paths))
	}
	for i, p := range paths {
		if seen[p] || seen == nil && slices.Contains(paths[:i], p) {
			continue
		}
		if seen != nil {
			seen[p] = true
		}
		f(i, p)
	}
}
