package apply

import (
	"slices"

	"golang.org/x/sys/unix"

	"github.com/librootfs/librootfs/rootfs/internal/errs"
	"github.com/librootfs/librootfs/rootfs/internal/inroot"
	"github.com/librootfs/librootfs/rootfs/internal/linux"
	"github.com/librootfs/librootfs/rootfs/internal/plan"
	"github.com/librootfs/librootfs/rootfs/internal/procfs"
)

// Whoever verifies the root finds its mounts by their paths. From when a symlink has led a mount or a mask somewhere, paths do not
// tell any more which mount covers which: from then on each is noted by its number in the mount table. In most containers that is
// never, and a system call for each mount is saved.

// Made gives the numbers of what the steps of mounts and masks have mounted or remounted, as far as they were traced.
func (x *Executor) Made() map[plan.Step]int { return x.made }

// trace begins, with what has been mounted so far. As no symlink was on the way, the paths lead there still, or to what was
// mounted over it since.
func (x *Executor) trace() {
	if x.made != nil {
		return
	}
	x.made = map[plan.Step]int{}
	taken := map[int]bool{}
	var copied []string // to what a read-only path shows, another mount's path leads
	for _, steps := range [][]plan.Step{x.done[1], x.done[0]} {
		for _, s := range slices.Backward(steps) {
			if r, is := s.(*plan.ReadonlyPath); is {
				copied = append(copied, r.Path)
			}
			if slices.ContainsFunc(copied, func(path string) bool { return inroot.Within(s.Target(), path) }) {
				continue
			}
			m, isMount := s.(*plan.Mount)
			if _, isMask := s.(*plan.MaskPath); !isMount && !isMask {
				continue
			}
			fd, err := x.root.Open(s.Target(), unix.O_PATH, inroot.Plain)
			if err != nil {
				continue
			}
			if id, err := procfs.MountID(fd); err == nil && !taken[id] {
				taken[id] = !isMount || !m.Remount // an earlier step has made what is remounted
				x.made[s] = id
			}
			linux.Close(fd)
		}
	}
}

// note remembers the mount that fd lies on as that of a step.
func (x *Executor) note(s plan.Step, fd int) {
	if x.made == nil {
		return
	}
	if id, err := procfs.MountID(fd); err == nil {
		x.made[s] = id
	}
}

// openTracing opens what a path stands for, wherever symlinks lead.
func (x *Executor) openTracing(path string) (int, error) {
	fd, err := x.root.Open(path, unix.O_PATH, inroot.Plain)
	if !errs.Is(err, unix.ELOOP) {
		return fd, err
	}
	x.trace()
	return x.root.Open(path, unix.O_PATH, inroot.Follow)
}
