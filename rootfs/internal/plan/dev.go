package plan

import (
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
func (b *builder) devices() (err error) {
	defaults := make([]Device, len(defaultDevices))
	list := make([]*Device, len(defaults))
	for i, d := range defaultDevices {
		defaults[i] = b.device("", d)
		list[i] = &defaults[i]
	}
	if len(b.c.Devices) > 0 {
		if list, err = b.withOwn(list); err != nil {
			return err
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

// withOwn adds the config's devices to the list, in place of those of the same path.
func (b *builder) withOwn(list []*Device) ([]*Device, error) {
	at := make(map[string]int, len(list)+len(b.c.Devices))
	for i, d := range list {
		at[d.Path] = i
	}
	own := make([]Device, len(b.c.Devices))
	for i, d := range b.c.Devices {
		step := &own[i]
		*step = b.device(b.entryPointer("/linux/devices/", i), d)
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
			return nil, errs.Bad(step.Ptr+"/path", "is that of "+list[known].Ptr+" too, which is a different device")
		}
	}
	return list, nil
}

func (b *builder) device(pointer string, d config.Device) Device {
	return Device{
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
	links := []Symlink{
		{Base: Base{Path: "/dev/ptmx"}, To: "pts/ptmx", Replace: true},
		{Base: Base{Path: "/dev/fd"}, To: "/proc/self/fd"},
		{Base: Base{Path: "/dev/stdin"}, To: "/proc/self/fd/0"},
		{Base: Base{Path: "/dev/stdout"}, To: "/proc/self/fd/1"},
		{Base: Base{Path: "/dev/stderr"}, To: "/proc/self/fd/2"},
		{Base: Base{Path: "/dev/core"}, To: "/proc/kcore"},
	}
	if !b.f.KCore {
		links = links[:len(links)-1]
	}
	for i := range links {
		b.do(&links[i])
	}
}
