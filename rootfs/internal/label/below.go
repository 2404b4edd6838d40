package label

import (
	"github.com/opencontainers/selinux/go-selinux"
	"golang.org/x/sys/unix"

	"github.com/librootfs/librootfs/rootfs/internal/errs"
	"github.com/librootfs/librootfs/rootfs/internal/linux"
)

// below labels everything in a directory, and nothing where path is none or a symlink: that selinux.Chcon has allowed it says
// nothing of where it leads. selinux.Chcon would do so by path, which somebody who has the tree can lead elsewhere.
func below(path, label string) error {
	dir, err := linux.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW)
	if errs.Is(err, unix.ENOTDIR) {
		return nil
	}
	if err != nil {
		return err
	}
	defer linux.Close(dir)
	return inDir(dir, label)
}

func inDir(dir int, label string) error {
	names, err := linux.Names(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := entry(dir, name, label); err != nil && !errs.Is(err, unix.ENOENT) { // it may go meanwhile
			return err
		}
	}
	return nil
}

func entry(dir int, name, label string) error {
	fd, err := linux.Openat(dir, name, unix.O_PATH|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer linux.Close(fd)
	st, err := linux.Fstat(fd)
	if err != nil {
		return err
	}
	// The magic link leads to the file itself, also where that is a symlink.
	self := linux.ProcFD(fd)
	if has, err := selinux.FileLabel(self); err != nil || has != label {
		if err := selinux.SetFileLabel(self, label); err != nil {
			return err
		}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return nil
	}
	sub, err := linux.Openat(fd, ".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer linux.Close(sub)
	return inDir(sub, label)
}
