package apply

import (
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"github.com/librootfs/librootfs/rootfs/internal/errs"
	"github.com/librootfs/librootfs/rootfs/internal/linux"
	"github.com/librootfs/librootfs/rootfs/internal/procfs"
	"github.com/librootfs/librootfs/rootfs/internal/tree"
)

// maxHidden bounds how many mounts are hidden: each is found by reading the mount table once more.
const maxHidden = 1000

// hideFull takes every whole procfs and sysfs outside of the root away, or covers it.
func (x *Executor) hideFull() error {
	root, err := procfs.Readlink(x.root.FD)
	if err != nil {
		return err
	}
	// What is hidden may be the very /proc that the mount table is read from: Prepare holds the way to it (procfs.Hold).
	for range maxHidden {
		table, err := mountTable()
		if err != nil {
			return err
		}
		m := exposed(table, root)
		if m == nil {
			return nil
		}
		if err := hide(m, table); err != nil {
			return err
		}
	}
	return errs.Refuse("umount2", "", "the host has more procfs and sysfs mounts than can be hidden")
}

func mountTable() (map[int]*mountinfo.Info, error) {
	text, err := procfs.Read("self/mountinfo")
	if err != nil {
		return nil, err
	}
	list, err := mountinfo.GetMountsFromReader(strings.NewReader(string(text)), nil)
	if err != nil {
		return nil, errs.Sys("mountinfo", "", err)
	}
	table := make(map[int]*mountinfo.Info, len(list))
	for _, m := range list {
		table[m.ID] = m
	}
	return table, nil
}

// exposed gives a whole procfs or sysfs outside of root with nothing mounted over all of it. What covers one is locked to
// it in every namespace that a process of the container could make, so that the kernel takes it for hidden.
func exposed(table map[int]*mountinfo.Info, root string) *mountinfo.Info {
	covered := map[int]bool{}
	for _, m := range table {
		if below := table[m.Parent]; below != nil && below.Mountpoint == m.Mountpoint {
			covered[m.Parent] = true
		}
	}
	for _, m := range table {
		inside := m.Mountpoint == root || strings.HasPrefix(m.Mountpoint, root+"/")
		if !inside && m.Root == "/" && (m.FSType == "proc" || m.FSType == "sysfs") && !covered[m.ID] {
			return m
		}
	}
	return nil
}

func hide(m *mountinfo.Info, table map[int]*mountinfo.Info) error {
	// What happens on a mount that is shared with the host happens there as well: the host would lose its /proc.
	if parent := table[m.Parent]; parent != nil && strings.Contains(parent.Optional, "shared:") {
		if err := enslave(parent, false); err != nil {
			return err
		}
	}
	if err := enslave(m, true); err != nil {
		return err
	}
	err := linux.Unmount(m.Mountpoint, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	if errs.Is(err, unix.EINVAL) || errs.Is(err, unix.EPERM) {
		// Locked by the user namespace that owns it: it cannot go, but it can be covered.
		err = linux.Mount("tmpfs", m.Mountpoint, "tmpfs", unix.MS_RDONLY, "")
	}
	return err
}

// enslave makes a mount a slave, so that the host gets nothing of what is done on it, if its path leads to it at all.
func enslave(m *mountinfo.Info, recursive bool) error {
	fd, err := linux.Open(m.Mountpoint, unix.O_PATH|unix.O_NOFOLLOW)
	if err != nil {
		return err
	}
	t := tree.At(fd, m.Mountpoint)
	defer t.Close()
	id, err := procfs.MountID(fd)
	if err != nil {
		return err
	}
	if id != m.ID {
		return errs.Refuse("umount2", m.Mountpoint, "the "+m.FSType+" there is below another mount and cannot be hidden from the container")
	}
	return t.Change(tree.Attr{Propagation: unix.MS_SLAVE, Recursive: recursive})
}
