package facts

import (
	"slices"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"github.com/librootfs/librootfs/rootfs/internal/errs"
	"github.com/librootfs/librootfs/rootfs/internal/plan"
)

// findUnified finds the unified hierarchy of a host that has v1 as well: "unified" below the usual mount point, or
// wherever the mount table has it.
func (p *places) findUnified(g *plan.Cgroup) error {
	usual := p.cgroup + "/unified"
	if magic, err := magicOf(usual); err == nil && magic == unix.CGROUP2_SUPER_MAGIC {
		g.Mountpoint = usual
		return nil
	}
	mounts, err := p.mountTable("cgroup2")
	if err == nil && len(mounts) > 0 {
		g.Mountpoint = mounts[0].Mountpoint
	}
	return err
}

// hierarchies finds where each hierarchy is mounted: by the names of the directories in the usual place, and only for one
// that has none there in the mount table. One that is mounted nowhere is left out, since nothing of it can be shown.
func (p *places) hierarchies(lines []line) ([]plan.Hierarchy, error) {
	found := make([]plan.Hierarchy, 0, len(lines))
	var names []string
	var table []*mountinfo.Info
	for i := range lines {
		l := &lines[i]
		mountpoint := p.mounted(l.usualName())
		var err error
		if mountpoint == "" {
			if names == nil {
				if names, err = p.directories(); err != nil {
					return nil, err
				}
			}
			mountpoint = p.conventional(l, names)
		}
		if mountpoint == "" {
			if table == nil {
				if table, err = p.mountTable("cgroup"); err != nil {
					return nil, err
				}
			}
			mountpoint = inTable(l, table)
		}
		if mountpoint == "" {
			continue
		}
		found = append(found, plan.Hierarchy{
			Name:       mountpoint[strings.LastIndexByte(mountpoint, '/')+1:],
			Data:       l.data(),
			Mountpoint: mountpoint,
			Own:        l.path,
		})
	}
	return found, nil
}

// mounted is the directory of this name in the usual place, if that is a v1 hierarchy.
func (p *places) mounted(name string) string {
	path := p.cgroup + "/" + name
	if magic, err := magicOf(path); err != nil || magic != unix.CGROUP_SUPER_MAGIC {
		return ""
	}
	return path
}

func (p *places) directories() ([]string, error) {
	names, err := readNames(p.cgroup)
	if err == unix.ENOENT || err == unix.ENOTDIR {
		return []string{}, nil
	}
	slices.Sort(names)
	return names, errs.Sys("getdents64", p.cgroup, err)
}

func (p *places) conventional(l *line, names []string) string {
	for _, name := range names {
		if l.named(name) {
			if path := p.mounted(name); path != "" {
				return path
			}
		}
	}
	return ""
}

// inTable finds the hierarchy by the options of its superblock, which name its controllers.
func inTable(l *line, table []*mountinfo.Info) string {
	for _, m := range table {
		options := strings.Split(m.VFSOptions, ",")
		if !slices.ContainsFunc(l.controllers, func(c string) bool { return !slices.Contains(options, c) }) {
			return m.Mountpoint
		}
	}
	return ""
}

// mountTable reads the host's mounts of one type. This is the only thing here that takes longer the more mounts the
// host has.
func (p *places) mountTable(kind string) ([]*mountinfo.Info, error) {
	// Read in one piece and without package os, whose poller would leave descriptors behind.
	text, err := readAll(p.mounts)
	if err != nil {
		return nil, err
	}
	table, err := mountinfo.GetMountsFromReader(strings.NewReader(text), mountinfo.FSTypeFilter(kind))
	return table, errs.Sys("parse", p.mounts, err)
}

// initialNS is the inode of the cgroup namespace that the kernel starts with (PROC_CGROUP_INIT_INO).
const initialNS = 0xEFFFFFFB

// inInitialNS tells whether the paths in /proc/self/cgroup are whole: any other namespace shows its own part.
func (p *places) inInitialNS() bool {
	var st unix.Stat_t
	return unix.Stat(p.ns, &st) == nil && st.Ino == initialNS
}

// rootInode is the inode of the root of a kernfs file system: they are numbered from 1.
const rootInode = 1

// whole tells whether the mount of the unified hierarchy at mountpoint shows what a new one by this process would: all of
// the hierarchy, which a cgroup namespace that begins there has, as the initial one does.
func (p *places) whole(mountpoint string) bool {
	root, ino, err := statmountRoot(mountpoint)
	if err != nil {
		var st unix.Stat_t
		return unix.Stat(mountpoint, &st) == nil && st.Ino == rootInode && p.inInitialNS()
	}
	// The kernel shows the root of the mount as a path of the caller's cgroup namespace. To look the namespace itself up would take
	// it longer than all of this: it makes four directories of /proc for that.
	return ino == rootInode && root == "/"
}

// below is a cgroup of this process as a path below a mount of its hierarchy, or "" where that is not to be found out.
func (p *places) below(mountpoint, path string, whole bool) (string, error) {
	if path == "" || strings.HasSuffix(path, " (deleted)") {
		return "", nil
	}
	if whole && (path == "/" || unix.Access(mountpoint+path, unix.F_OK) == nil) {
		return path, nil
	}
	root, err := p.mountRoot(mountpoint)
	if err != nil {
		return "", err
	}
	own := beneath(root, path)
	if own == "" || own == "/" {
		return own, nil
	}
	if unix.Access(mountpoint+own, unix.F_OK) != nil {
		return "", nil
	}
	return own, nil
}
