package plan

import (
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/sys/unix"

	"github.com/librootfs/librootfs/rootfs/internal/option"
)

// JSON is the plan as docs/plan.md describes it: one line for each step, members always in the same order, and a member
// left out where it says nothing.
func (p *Plan) JSON() []byte {
	var out output
	out.add("{\n  \"prepare\": ")
	out.steps(p.Prepare)
	out.add(",\n  \"finalize\": ")
	out.steps(p.Finalize)
	out.add("\n}\n")
	return out
}

// output is what the encoder writes to, between what is written around its lines. (A bytes.Buffer would not do: the
// encoder writes ahead into its free space.)
type output []byte

// Write appends p; it never fails.
func (o *output) Write(p []byte) (int, error) {
	*o = append(*o, p...)
	return len(p), nil
}

func (o *output) add(s string) { *o = append(*o, s...) }

func (o *output) steps(steps []Step) {
	if len(steps) == 0 {
		o.add("[]")
		return
	}
	// Paths of the host need not be UTF-8; a replacement character is better there than no plan at all. The names that
	// are written are all this file's own, so that nothing is left that the encoder could refuse.
	w := &writer{jsontext.NewEncoder(o, jsontext.AllowInvalidUTF8(true), jsontext.SpaceAfterColon(true),
		jsontext.SpaceAfterComma(true), jsontext.Multiline(false))}
	separator := "[\n    "
	for _, s := range steps {
		o.add(separator)
		separator = ",\n    "
		w.step(s)
		*o = (*o)[:len(*o)-1] // the encoder ends each value with a newline
	}
	o.add("\n  ]")
}

// writer writes members of an object; those that end in "If" leave out what says nothing.
type writer struct{ enc *jsontext.Encoder }

func (w *writer) token(t jsontext.Token) { _ = w.enc.WriteToken(t) }

func (w *writer) text(name, value string) {
	w.token(jsontext.String(name))
	w.token(jsontext.String(value))
}

func (w *writer) textIf(name, value string) {
	if value != "" {
		w.text(name, value)
	}
}

func (w *writer) flagIf(name string, value bool) {
	if value {
		w.token(jsontext.String(name))
		w.token(jsontext.True)
	}
}

func (w *writer) number(name string, value int64) {
	w.token(jsontext.String(name))
	w.token(jsontext.Int(value))
}

func (w *writer) list(name string, values []string) {
	w.token(jsontext.String(name))
	w.token(jsontext.BeginArray)
	for _, v := range values {
		w.token(jsontext.String(v))
	}
	w.token(jsontext.EndArray)
}

func (w *writer) listIf(name string, values []string) {
	if len(values) > 0 {
		w.list(name, values)
	}
}

func (w *writer) step(s Step) {
	w.token(jsontext.BeginObject)
	w.text("op", s.Op())
	w.textIf("pointer", s.Pointer())
	w.textIf("target", s.Target())
	switch s := s.(type) {
	case *OpenRoot:
		w.text("source", s.Source)
		w.textIf("hostPropagation", option.PropagationName(s.HostPropagation))
		w.flagIf("sharedNamespace", !s.HasMountNS)
	case *Command:
		w.text("when", s.When)
		w.list("argv", s.Argv)
		w.listIf("env", s.Env)
		w.textIf("dir", s.Dir)
	case *Mount:
		w.mount(s)
	case *Device:
		w.device(s)
	case *Symlink:
		w.text("to", s.To)
		w.flagIf("replace", s.Replace)
	case *Hook:
		w.text("command", s.Command)
		w.listIf("args", s.Args)
		w.listIf("env", s.Env)
		if s.Timeout != 0 {
			w.number("timeout", int64(s.Timeout))
		}
	case *SwitchRoot:
		w.text("method", s.Method)
	case *Propagation:
		w.text("propagation", option.PropagationName(s.Flags))
	case *Umask:
		w.text("mask", octal(s.Mask))
	case *Sysctl:
		w.text("file", s.File)
		w.text("value", s.Value)
	case *MaskPath:
		w.textIf("label", s.Label)
	}
	w.token(jsontext.EndObject)
}

func (w *writer) device(d *Device) {
	w.text("type", string(rune(d.Type)))
	if d.Type != 'p' {
		w.number("major", int64(d.Major))
		w.number("minor", int64(d.Minor))
	}
	w.text("mode", octal(d.Mode))
	w.number("uid", int64(d.UID))
	w.number("gid", int64(d.GID))
	w.flagIf("bind", d.Bind)
}

func (w *writer) mount(m *Mount) {
	if m.Index >= 0 {
		w.number("index", int64(m.Index))
	}
	w.text("type", m.Type)
	w.text("source", m.Source)
	w.flagIf("recursive", m.Recursive)
	w.flagIf("remount", m.Remount)
	if m.ExactAttr {
		w.list("attributes", attributes(m.Attr))
	}
	// Which access time is wanted, "attributes" says; that it was asked for by name makes no difference.
	w.listIf("cleared", attributes(m.Clear&^unix.MOUNT_ATTR__ATIME))
	w.listIf("superblock", m.Super)
	w.listIf("data", m.Data)
	w.listIf("recursiveAttributes", attributes(m.RecAttr))
	w.listIf("recursiveCleared", attributes(m.RecClear))
	w.listIf("propagation", propagation(m.Propagation))
	w.flagIf("targetMode", m.TargetMode)
	w.flagIf("plainTarget", m.PlainTarget)
	w.flagIf("plainSource", m.PlainSource)
	w.flagIf("copyUp", m.CopyUp)
	if m.IDMap != nil {
		w.idmap(m.IDMap)
	}
	w.textIf("label", m.Label)
	w.textIf("fileLabel", m.FileLabel)
	if m.Relabel != 0 {
		w.text("relabel", string(rune(m.Relabel)))
	}
	if m.Fallback != nil {
		w.list("fallbackOn", m.FallbackOn)
		w.token(jsontext.String("fallback"))
		w.token(jsontext.BeginObject)
		w.mount(m.Fallback)
		w.token(jsontext.EndObject)
	}
}

func (w *writer) idmap(m *IDMap) {
	w.token(jsontext.String("idmap"))
	w.token(jsontext.BeginObject)
	w.flagIf("recursive", m.Recursive)
	w.flagIf("ofContainer", m.OfContainer)
	w.ranges("uid", m.UID)
	w.ranges("gid", m.GID)
	w.token(jsontext.EndObject)
}

func (w *writer) ranges(name string, ranges []Range) {
	if len(ranges) == 0 {
		return
	}
	w.token(jsontext.String(name))
	w.token(jsontext.BeginArray)
	for _, r := range ranges {
		w.token(jsontext.BeginArray)
		w.token(jsontext.Uint(uint64(r.Container)))
		w.token(jsontext.Uint(uint64(r.Host)))
		w.token(jsontext.Uint(uint64(r.Size)))
		w.token(jsontext.EndArray)
	}
	w.token(jsontext.EndArray)
}

func attributes(bits uint64) []string {
	if bits == 0 {
		return nil
	}
	return strings.Split(option.AttrNames(bits), ",")
}

func propagation(flags []uint64) []string {
	names := make([]string, len(flags))
	for i, f := range flags {
		names[i] = option.PropagationName(f)
	}
	return names
}

func octal(mode uint32) string {
	s := strconv.FormatUint(uint64(mode), 8)
	return strings.Repeat("0", max(0, 4-len(s))) + s
}
