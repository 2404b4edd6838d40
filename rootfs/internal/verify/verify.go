// Package verify holds a plan against what the kernel reports in a process that stands in the finished root. It reads
// only: the mount table, stat(2) and the files below /proc tell, not what the executor believed. Of that it takes, where there
// is one in the same process, only the ids of the mounts, to find those that are covered.
package verify

import (
	"slices"
	"strconv"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"github.com/librootfs/librootfs/rootfs/internal/errs"
	"github.com/librootfs/librootfs/rootfs/internal/inroot"
	"github.com/librootfs/librootfs/rootfs/internal/linux"
	"github.com/librootfs/librootfs/rootfs/internal/plan"
	"github.com/librootfs/librootfs/rootfs/internal/procfs"
)

// Report is the outcome: how many promises were looked at, and those that do not hold.
type Report struct {
	Checked    int
	Deviations []Deviation
}

// Deviation is one promise of the config that the kernel does not confirm.
type Deviation struct {
	Pointer string // the field of the config
	Target  string // path in the container
	Aspect  string // "type", "flags", "propagation", "mode", "mask", ...
	Want    string
	Got     string
}

// Run checks every step of a plan whose outcome can be seen afterwards. made are ids in the mount table, by step, or nil.
func Run(p *plan.Plan, made map[plan.Step]int) (*Report, error) {
	defer procfs.Hold()()
	fd, err := linux.Open("/", unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	defer linux.Close(fd)
	c := &checker{root: inroot.Root{FD: fd}, readonly: map[string]bool{}, covered: coveredBy(p), made: made}
	for _, s := range slices.Concat(p.Prepare, p.Finalize) {
		c.targets = append(c.targets, s.Target())
	}
	if err := c.readMounts(); err != nil {
		return nil, err
	}
	c.numberSteps(p)
	for _, s := range p.Finalize {
		switch s := s.(type) {
		case *plan.RemountReadonly:
			c.readonly[s.Path] = true
		case *plan.ReadonlyPath:
			c.readonlyPaths = append(c.readonlyPaths, s.Path)
		}
	}
	for _, s := range slices.Concat(p.Prepare, p.Finalize) {
		// It reaches every mount that was made before it.
		if all, ok := s.(*plan.Propagation); ok && all.Flags&unix.MS_REC != 0 && all.Path == "/" {
			c.everywhere = all.Flags
		}
	}
	for i, s := range p.Prepare {
		c.index = i
		c.step(s)
	}
	for i, s := range p.Finalize {
		c.index = len(p.Prepare) + i
		c.step(s)
	}
	c.outside()
	return &c.report, nil
}

type checker struct {
	report Report
	root   inroot.Root
	mounts map[int]*mountinfo.Info
	// readonly are the targets that become read-only in finalize.
	readonly map[string]bool
	// readonlyPaths are those of the plan: what is mounted there or below is seen as a copy.
	readonlyPaths []string
	// everywhere is what the root's recursive propagation gave to all mounts, or 0.
	everywhere uint64
	// covered tells for each step whether a later one lies over its target.
	covered map[int]bool
	// made are the mounts' ids by step, and steps the other way round: id to index.
	made  map[plan.Step]int
	steps map[int]int
	// stepAt is the last step that made a mount at a place of the mount table, mountAt the last one that mounts at a path of the config.
	stepAt, mountAt map[string]int
	index           int
	current         plan.Step
	// targets are the paths of all steps, by index.
	targets []string
}

// readMounts reads the mount table through a procfs of the library's own.
func (c *checker) readMounts() error {
	text, err := procfs.Read("self/mountinfo")
	if err != nil {
		return procfs.IfNone("mountinfo", "", "the mount table cannot be read without a procfs", err)
	}
	infos, err := mountinfo.GetMountsFromReader(strings.NewReader(string(text)), nil)
	if err != nil {
		return errs.Sys("mountinfo", "", err)
	}
	c.mounts = make(map[int]*mountinfo.Info, len(infos))
	for _, m := range infos {
		c.mounts[m.ID] = m
	}
	return nil
}

// want notes a promise, and a deviation where it is not kept.
func (c *checker) want(aspect, want, got string) {
	c.report.Checked++
	if want != got {
		c.report.Deviations = append(c.report.Deviations,
			Deviation{c.current.Pointer(), c.current.Target(), aspect, want, got})
	}
}

// failed notes that something could not even be looked at.
func (c *checker) failed(aspect, want string, err error) {
	c.want(aspect, want, err.Error())
}

func (c *checker) step(s plan.Step) {
	c.current = s
	if c.covered[c.index] {
		return
	}
	switch m := s.(type) {
	case *plan.Mount:
		if c.idOf(m) == 0 && c.under(m.Path, c.index+1) {
			return
		}
	case *plan.Device, *plan.Symlink, *plan.ReadonlyPath, *plan.MaskPath:
		if c.under(s.Target(), c.index+1) {
			return
		}
	case *plan.RemountReadonly:
		// Its mount is looked at by that one's own step, also where it is covered.
		if c.under(s.Target(), c.mountAt[s.Target()]+1) {
			return
		}
	}
	switch s := s.(type) {
	case *plan.Mount:
		c.mount(s)
	case *plan.Device:
		c.device(s)
	case *plan.Symlink:
		c.symlink(s)
	case *plan.Propagation:
		c.propagation(s)
	case *plan.Chdir:
		c.cwd(s)
	case *plan.RemountReadonly, *plan.ReadonlyRoot:
		c.isReadonly(s)
	case *plan.Umask:
		c.umask(s)
	case *plan.Sysctl:
		c.sysctl(s)
	case *plan.ReadonlyPath:
		c.isReadonly(s)
	case *plan.MaskPath:
		c.mask(s)
	}
}

// open opens a target (O_PATH) and gives the mount that it lies on.
func (c *checker) open(path string) (fd int, m *mountinfo.Info, root bool, err error) {
	fd, err = c.root.Open(path, unix.O_PATH, inroot.Follow)
	if err != nil {
		return -1, nil, false, err
	}
	id, err := procfs.MountID(fd)
	if err == nil {
		if m = c.mounts[id]; m == nil {
			err = errs.Refuse("mountinfo", path, "mount "+strconv.Itoa(id)+" is not in the mount table")
		}
	}
	if err == nil {
		root, err = isRoot(fd, m)
	}
	if err != nil {
		linux.Close(fd)
		return -1, nil, false, err
	}
	return fd, m, root, nil
}

// isRoot tells whether a descriptor stands for the root of the mount that it lies on. Where the kernel does not say (before
// 5.8), its path does.
func isRoot(fd int, m *mountinfo.Info) (bool, error) {
	_, root, err := linux.MountID(fd)
	if err != nil || root != linux.Unknown {
		return root == linux.Yes, err
	}
	path, err := procfs.Readlink(fd)
	return path == m.Mountpoint, err
}

// outside looks for mounts that do not belong to the root: what pivot_root(2) should have left behind.
func (c *checker) outside() {
	c.current = &plan.SwitchRoot{Base: plan.Base{Path: "/"}}
	for _, m := range c.mounts {
		if _, known := c.mounts[m.Parent]; known || m.Mountpoint == "/" {
			continue
		}
		c.want("mount table", "every mount hangs on the root", m.Mountpoint+" ("+m.FSType+") does not")
	}
}

func missing(err error) bool { return errs.Is(err, unix.ENOENT) || errs.Is(err, unix.ENOTDIR) }
