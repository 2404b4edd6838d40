package tree

import (
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/librootfs/librootfs/rootfs/internal/errs"
	"github.com/librootfs/librootfs/rootfs/internal/linux"
)

// overlayPath are overlay's options whose values are paths, often longer than fsconfig(2) takes as a string.
var overlayPath = map[string]bool{"lowerdir": true, "upperdir": true, "workdir": true}

// setOverlay sets one of overlay's paths. A short value goes as it is, escapes and all: overlay undoes them itself. A
// longer list of lower layers is given one by one with "lowerdir+" (Linux 6.8), which takes no escapes. Where the kernel has no such
// key, mount(2) has room for a page.
func setOverlay(fsfd int, key, value string) error {
	if len(value) <= maxValue {
		return linux.FsconfigString(fsfd, key, value)
	}
	if key != "lowerdir" {
		return setPath(fsfd, key, unescape(value))
	}
	layers, dataOnly := splitLower(value)
	for i, layer := range layers {
		key := "lowerdir+"
		if i >= len(layers)-dataOnly {
			key = "datadir+"
		}
		if err := setPath(fsfd, key, unescape(layer)); err != nil {
			if errs.Is(err, unix.EINVAL) && i == 0 {
				return errNotByFsconfig
			}
			return err
		}
	}
	return nil
}

// takesAnyKey tells whether the type is one that fsconfig(2) only collects text for, as overlay before Linux 6.5: it takes any key,
// and the error comes late and says little.
func takesAnyKey(fstype string) bool {
	fsfd, err := linux.Fsopen(fstype)
	if err != nil {
		return false
	}
	defer linux.Close(fsfd)
	return linux.FsconfigFlag(fsfd, "no-such-option-of-any") == nil
}

// longPaths tells whether setOverlay has paths to set that are longer than what fsconfig(2) takes.
func (fs *FS) longPaths() bool {
	return fs.Type == "overlay" && slices.ContainsFunc(fs.Data, func(opt string) bool {
		key, value, _ := strings.Cut(opt, "=")
		return overlayPath[key] && len(value) > maxValue
	})
}

// shortened opens the paths of an overlay whose options do not fit into the page of mount(2), and puts the descriptors in their place,
// named as byPath names them. The caller closes them.
func (fs FS) shortened() (FS, []int, error) {
	data := slices.Clone(fs.Data)
	var fds []int
	for i, opt := range data {
		key, value, _ := strings.Cut(opt, "=")
		if !overlayPath[key] {
			continue
		}
		paths, dataOnly := []string{value}, 0
		if key == "lowerdir" {
			paths, dataOnly = splitLower(value)
		}
		text := key + "="
		for k, path := range paths {
			fd, err := linux.Open(unescape(path), unix.O_PATH|unix.O_DIRECTORY)
			if err != nil {
				closeAll(fds)
				return fs, nil, err
			}
			fds = append(fds, fd)
			if k >= len(paths)-dataOnly {
				text += "::"
			} else if k > 0 {
				text += ":"
			}
			text += strconv.Itoa(fd)
		}
		data[i] = text
	}
	fs.Data = data
	return fs, fds, nil
}

func closeAll(fds []int) {
	for _, fd := range fds {
		linux.Close(fd)
	}
}

// setPath gives a path as a string where it fits, by descriptor where the kernel takes that (6.13), and through the
// descriptor's magic link below the host's /proc otherwise.
func setPath(fsfd int, key, path string) error {
	if len(path) <= maxValue {
		return linux.FsconfigString(fsfd, key, path)
	}
	fd, err := linux.Open(path, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer linux.Close(fd)
	err = linux.FsconfigFD(fsfd, key, fd)
	if errs.Is(err, unix.EINVAL) || errs.Is(err, unix.EBADF) { // the latter before the kernel takes descriptors of O_PATH there
		err = linux.FsconfigString(fsfd, key, linux.ProcFD(fd))
	}
	return err
}

// splitLower splits at the colons that no backslash escapes. Layers after a double colon are data-only.
func splitLower(value string) (layers []string, dataOnly int) {
	var cur strings.Builder
	data := false
	flush := func() {
		if cur.Len() > 0 {
			layers = append(layers, cur.String())
			if data {
				dataOnly++
			}
		}
		cur.Reset()
	}
	for i := 0; i < len(value); i++ {
		switch {
		case value[i] == '\\' && i+1 < len(value):
			cur.WriteString(value[i : i+2])
			i++
		case value[i] == ':':
			flush()
			if i+1 < len(value) && value[i+1] == ':' {
				data = true
				i++
			}
		default:
			cur.WriteByte(value[i])
		}
	}
	flush()
	return layers, dataOnly
}

func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
