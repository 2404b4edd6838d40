package tree

import (
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/librootfs/librootfs/rootfs/internal/errs"
	"github.com/librootfs/librootfs/rootfs/internal/linux"
)

// FS says what file system to make.
type FS struct {
	Type, Source string
	Super        []string // "ro", "sync", ...: flags of the superblock
	Data         []string // "mode=755", "xino"
	Attr         uint64   // MOUNT_ATTR_*
}

// maxValue is the longest string that fsconfig(2) takes: 255 bytes and the NUL.
const maxValue = 255

// New makes a file system and a detached mount of it.
func New(fs FS) (*Tree, error) {
	if !detachable() {
		return newLegacy(fs)
	}
	fsfd, err := linux.Fsopen(fs.Type)
	if err != nil {
		if linux.CallFsopen.Refused(err) {
			return newLegacy(fs)
		}
		return nil, why(&fs, noSuchType(fs.Type, err))
	}
	defer linux.Close(fsfd)
	if err := configure(fsfd, fs); err != nil {
		if err == errNotByFsconfig || linux.CallFsconfig.Refused(err) ||
			errs.Is(err, unix.EINVAL) && fs.longPaths() && takesAnyKey(fs.Type) {
			return newLegacy(fs)
		}
		return nil, why(&fs, named(fs.Type, err))
	}
	fd, err := linux.Fsmount(fsfd, fs.Attr)
	if err != nil {
		if linux.CallFsmount.Refused(err) {
			return newLegacy(fs)
		}
		return nil, why(&fs, named(fs.Type, err))
	}
	return &Tree{FD: fd, name: fs.Type}, nil
}

// errNotByFsconfig: an option that fsconfig(2) cannot carry, but mount(2) may: one longer than 255 bytes, or a flag that the
// kernel's table for fsconfig lacks (fs/fs_context.c, common_set_sb_flag).
var errNotByFsconfig = &errs.Error{Code: errs.Unsupported, Op: "fsconfig", Detail: "an option that fsconfig(2) cannot carry"}

func configure(fsfd int, fs FS) error {
	if err := setOptions(fsfd, fs); err != nil {
		return err
	}
	return linux.FsconfigCreate(fsfd)
}

// Reconfigure gives the file system of an attached mount other options (mount(2) with MS_REMOUNT).
func (t *Tree) Reconfigure(fs FS) error {
	fsfd, err := linux.Fspick(t.FD)
	if err == nil {
		defer linux.Close(fsfd)
		if !slices.Contains(fs.Super, "ro") {
			fs.Super = append([]string{"rw"}, fs.Super...)
		}
		if err = setOptions(fsfd, fs); err == nil {
			err = linux.FsconfigReconfigure(fsfd)
		}
		if err == nil || (err != errNotByFsconfig && !linux.CallFsconfig.Refused(err)) {
			return named(fs.Type, err)
		}
	} else if !linux.CallFspick.Refused(err) {
		return renamed(err, t.name)
	}
	return byPath(func(path []string) error {
		flags, data := fs.legacy()
		return renamed(linux.Mount("", path[0], "", flags|unix.MS_REMOUNT, data), t.name)
	}, t.FD)
}

func setOptions(fsfd int, fs FS) error {
	if fs.Source != "" {
		if len(fs.Source) > maxValue {
			return errNotByFsconfig
		}
		if err := linux.FsconfigString(fsfd, "source", fs.Source); err != nil {
			return err
		}
	}
	for _, flag := range fs.Super {
		switch flag {
		case "silent":
			continue // it only keeps file systems quiet that would speak to the console in mount(2)
		case "iversion":
			return errNotByFsconfig
		}
		if err := linux.FsconfigFlag(fsfd, flag); err != nil {
			return err
		}
	}
	for _, opt := range fs.Data {
		if err := setOption(fsfd, fs.Type, opt); err != nil {
			return err
		}
	}
	return nil
}

func setOption(fsfd int, fstype, opt string) error {
	key, value, has := strings.Cut(opt, "=")
	switch {
	case !has:
		return linux.FsconfigFlag(fsfd, key)
	case fstype == "overlay" && overlayPath[key]:
		return setOverlay(fsfd, key, value)
	case len(value) > maxValue:
		return errNotByFsconfig
	}
	return linux.FsconfigString(fsfd, key, value)
}

// noSuchType turns ENODEV of fsopen(2) into words.
func noSuchType(fstype string, err error) error {
	if e, ok := err.(*errs.Error); ok && e.Errno == unix.ENODEV {
		e.Detail = "this kernel has no file system of that name"
	}
	return err
}

// named puts the file system's type into an error of fsconfig(2) or fsmount(2), whose arguments are bare numbers.
func named(fstype string, err error) error {
	if e, ok := err.(*errs.Error); ok {
		if e.Op == "fsconfig" && e.Args != "create" {
			e.Args = fstype + ", " + e.Args
		} else {
			e.Args = fstype
		}
	}
	return err
}
