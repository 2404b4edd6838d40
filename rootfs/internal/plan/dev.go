package plan

import (
	"strconv"
	"strings"

	"github.com/librootfs/librootfs/rootfs/internal/config"
	"github.com/librootfs/librootfs/rootfs/internal/errs"
)

// The devices that every container has (runtime specification, config-linux.md "Default Devices").
var defaultDevices = []config.Device{
	{Path: "/dev/null", Type: 'c', Major: 1, Minor: 3, Mode: 0o666},
	{Path: "/dev/zero", Type: 'c', Major: 1, Minor: 5, Mode: 0o666},
	{Path: "/dev/full", Type: 'c', Major: 1, Minor: 7, Mode: 0o666},
	{Path: "/dev/tty", Type: 'c', Major: 5, Minor: 0, Mode: 0o666},
	{Path: "/dev/random", Type: 'c', Major: 1, Minor: 8, Mode: 0o666},
	{Path: "/dev/urandom", Type: 'c', Major: 1, Minor: 9, Mode: 0o666},
}

// devices adds the device nodes and links. In a /dev that is bound from the host nothing is made; a device elsewhere
// is, since the specification wants every one of linux.devices to be there.
func (b *builder) devices() error {
	list := make([]*Device, 0, len(defaultDevices)+len(b.c.Devices))
	at := make(map[string]int, cap(list))
	for _, d := range defaultDevices {
		at[d.Path] = len(list)
		list = append(list, b.device("", d))
	}
	for i, d := range b.c.Devices {
		step := b.device("/linux/devices/"+strconv.Itoa(i), d)
		known, taken := at[d.Path]
		switch {
		case d.Path == "/dev/ptmx":
			// The node of a host's devpts opens terminals of the host; the link below leads to the container's own.
		case !taken:
			at[d.Path] = len(list)
			list = append(list, step)
		case list[known].Ptr == "":
			list[known] = step
		case !sameNode(list[known], step):
			return errs.Bad(step.Ptr+"/path", "is that of "+list[known].Ptr+" too, which is a different device")
		}
	}
	for _, d := range list {
		if b.ownDev || !strings.HasPrefix(d.Path, "/dev/") {
			b.do(d)
		}
	}
	if b.ownDev {
		b.links()
	}
	return nil
}

func (b *builder) device(pointer string, d config.Device) *Device {
	return &Device{
		Base:  Base{pointer, d.Path},
		Type:  d.Type,
		Major: d.Major,
		Minor: d.Minor,
		Mode:  d.Mode,
		UID:   d.UID,
		GID:   d.GID,
		Bind:  b.c.Has("user"),
	}
}

func sameNode(a, b *Device) bool {
	x, y := *a, *b
	x.Base, y.Base = Base{}, Base{}
	return x == y
}

// links adds what programs expect in /dev beside devices.
func (b *builder) links() {
	b.do(&Symlink{Base: Base{Path: "/dev/ptmx"}, To: "pts/ptmx", Replace: true})
	b.do(&Symlink{Base: Base{Path: "/dev/fd"}, To: "/proc/self/fd"})
	b.do(&Symlink{Base: Base{Path: "/dev/stdin"}, To: "/proc/self/fd/0"})
	b.do(&Symlink{Base: Base{Path: "/dev/stdout"}, To: "/proc/self/fd/1"})
	b.do(&Symlink{Base: Base{Path: "/dev/stderr"}, To: "/proc/self/fd/2"})
	if b.f.KCore {
		b.do(&Symlink{Base: Base{Path: "/dev/core"}, To: "/proc/kcore"})
	}
}
