package rootfs_test

import (
	"testing"

	"github.com/librootfs/librootfs/rootfs"
	"github.com/librootfs/librootfs/rootfs/internal/nstest"
)

type stepTold struct {
	Index, Count        int
	Op, Target, Pointer string
}

var progress = nstest.Define("rootfs.progress", func(config []byte) (told []stepTold, err error) {
	c, err := rootfs.Parse(config, nil)
	if err != nil {
		return nil, err
	}
	p, err := rootfs.NewPlan(c)
	if err != nil {
		return nil, err
	}
	prepared, err := rootfs.Prepare(p, &rootfs.Host{Progress: func(p rootfs.Progress) {
		told = append(told, stepTold{p.Index, p.Count, p.Step.Op(), p.Step.Target(), p.Step.Pointer()})
	}})
	if err != nil {
		return told, err
	}
	return told, prepared.Finalize()
})

// Progress tells each step before it is done, with its place among the steps of the call, and what the plan has is what it tells.
func TestProgress(t *testing.T) {
	b := newBox(t).mount("/x", "tmpfs", "tmpfs", "ro").mount("/dev", "tmpfs", "tmpfs", "mode=755")
	b.set("maskedPaths", []any{"/secret"}, "linux")
	r, err := progress.Run(t, b.spec, b.config.JSON())
	if err != nil {
		t.Fatal(err)
	}
	p, err := rootfs.NewPlan(parse(t, b))
	if err != nil {
		t.Fatal(err)
	}
	prepare, finalize := p.Steps()
	if len(r) != len(prepare)+len(finalize) {
		t.Fatalf("%d steps were told, and the plan has %d and %d", len(r), len(prepare), len(finalize))
	}
	for i, told := range r {
		steps, index := prepare, i
		if i >= len(prepare) {
			steps, index = finalize, i-len(prepare)
		}
		want := stepTold{index, len(steps), steps[index].Op(), steps[index].Target(), steps[index].Pointer()}
		if told != want {
			t.Errorf("step %d: %+v, want %+v", i, told, want)
		}
	}
}

// What a callback looks at costs no memory: it can be left on.
func TestProgressCostsNoMemory(t *testing.T) {
	b := newBox(t).mount("/x", "tmpfs", "tmpfs")
	p, err := rootfs.NewPlan(parse(t, b))
	if err != nil {
		t.Fatal(err)
	}
	steps, _ := p.Steps()
	count := 0
	report := func(p rootfs.Progress) { count += len(p.Step.Op()) + len(p.Step.Target()) + len(p.Step.Pointer()) }
	got := testing.AllocsPerRun(100, func() {
		for i, s := range steps {
			report(rootfs.Progress{Index: i, Count: len(steps), Step: s})
		}
	})
	if got != 0 || count == 0 {
		t.Errorf("%v allocations for %d steps", got, len(steps))
	}
}
