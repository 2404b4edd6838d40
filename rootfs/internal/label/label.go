// Package label puts SELinux labels on mounts and files, through opencontainers/selinux.
package label

import (
	"github.com/opencontainers/selinux/go-selinux"
	"golang.org/x/sys/unix"

	"github.com/librootfs/librootfs/rootfs/internal/errs"
	"github.com/librootfs/librootfs/rootfs/internal/linux"
)

// Context gives a file system's options with the mount's label among them. Without SELinux it is an error: a label that
// was asked for by name and is not there would be a protection that is silently missing.
func Context(data []string, label string) ([]string, error) {
	if err := enabled(label); err != nil {
		return nil, err
	}
	return append(data[:len(data):len(data)], "context="+label), nil
}

// Set labels the file that fd, which may be an O_PATH descriptor, stands for.
func Set(fd int, label string) error {
	if err := enabled(label); err != nil {
		return err
	}
	return errs.Sys("setxattr", "security.selinux, "+label, selinux.SetFileLabel(linux.ProcFD(fd), label))
}

// Relabel gives everything below path the label: how 'z' (shared between containers) or 'Z' (private).
func Relabel(path, label string, how byte) error {
	if label == "" {
		return nil
	}
	if err := enabled(label); err != nil {
		return err
	}
	label, err := forMount(label, how)
	if err == nil {
		err = selinux.Chcon(path, label, false) // which refuses the directories that hold the host itself
	}
	if err == nil {
		err = below(path, label)
	}
	if err == nil {
		return nil
	}
	return &errs.Error{Code: errs.System, Op: "relabel", Args: path + ", " + label, Detail: err.Error(), Errno: errnoOf(err)}
}

// forMount is the label that a source gets: without the container's own categories where others share it.
func forMount(label string, how byte) (string, error) {
	if how != 'z' {
		return label, nil
	}
	c, err := selinux.NewContext(label)
	if err != nil {
		return "", err
	}
	c["level"] = "s0"
	return c.Get(), nil
}

func errnoOf(err error) unix.Errno {
	if e, ok := errs.Sys("relabel", "", err).(*errs.Error); ok {
		return e.Errno
	}
	return 0
}

func enabled(label string) error {
	if selinux.GetEnabled() {
		return nil
	}
	// Whichever step comes upon it first, the field to be changed is the label's.
	return errs.At("/linux/mountLabel", errs.Cannot("selinux", label, "a label was asked for and the kernel has no SELinux enabled"))
}
