package option

import (
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Error is an option that cannot be taken.
type Error struct {
	Index  int // in the list given to Parse
	Reason string
}

// Error is the reason alone; whoever knows the place of the list prefixes it.
func (e *Error) Error() string { return e.Reason }

// Parse gives a list of mount options its meaning. Names are looked up as they are; what is in no table is data for the
// file system. The error is an *Error.
func Parse(options []string) (Set, error) {
	var p parser
	for i, o := range options {
		if e := find(o); e != nil {
			p.apply(e)
			continue
		}
		if p.set.Data == nil {
			p.set.Data = make([]string, 0, len(options)-i)
		}
		if reason := p.data(o); reason != "" {
			return Set{}, &Error{i, reason}
		}
	}
	p.flags()
	if len(p.set.Data) == 0 {
		p.set.Data = nil
	}
	return p.set, nil
}

// parser holds flags as mount(2) would get them until all are known: which atime flag wins does not depend on their
// order there, so it must not here.
type parser struct {
	set         Set
	on, cleared uint64
}

func (p *parser) apply(e *Entry) {
	s := &p.set
	switch e.Class {
	case Flag:
		if e.Off {
			p.on &^= e.Bits
			p.cleared |= e.Bits
		} else {
			p.on |= e.Bits
			p.cleared &^= e.Bits
		}
	case Propagation:
		if s.Propagation == nil { // most often the only one, and the table has it already
			s.Propagation = unsafe.Slice(&e.Bits, 1)
		} else {
			s.Propagation = append(s.Propagation, e.Bits)
		}
	case Recursive:
		if e.Off {
			s.RecAttr &^= e.Bits
			s.RecClear |= e.Bits
		} else {
			s.RecAttr |= e.Bits
			s.RecClear &^= e.Bits
		}
	case RecursiveAtime:
		p.recursiveAtime(e)
	case IDMapping:
		s.RecursiveIDMap = e.Name == "ridmap"
		s.IDMap = !s.RecursiveIDMap
	case Extension:
		switch e.Name {
		case "tmpcopyup":
			s.CopyUp = true
		case "src-nofollow":
			s.SourceNoFollow = true
		case "dest-nofollow":
			s.TargetNoFollow = true
		case "z", "Z":
			s.Relabel = e.Name[0]
		}
	}
}

// recursiveAtime sets one value of several bits: mount_setattr(2) refuses to clear a part of MOUNT_ATTR__ATIME.
func (p *parser) recursiveAtime(e *Entry) {
	s := &p.set
	if e.Off {
		if e.Bits == unix.MOUNT_ATTR_RELATIME {
			return
		}
		// Only its own opposite is undone: "rstrictatime,ratime" stays strictatime.
		if s.RecClear&unix.MOUNT_ATTR__ATIME != 0 && s.RecAttr&unix.MOUNT_ATTR__ATIME != e.Bits {
			return
		}
		s.RecAttr &^= unix.MOUNT_ATTR__ATIME
	} else {
		s.RecAttr = s.RecAttr&^unix.MOUNT_ATTR__ATIME | e.Bits
	}
	s.RecClear |= unix.MOUNT_ATTR__ATIME
}

var flagAttrs = [...]struct{ flag, attr uint64 }{
	{unix.MS_RDONLY, unix.MOUNT_ATTR_RDONLY},
	{unix.MS_NOSUID, unix.MOUNT_ATTR_NOSUID},
	{unix.MS_NODEV, unix.MOUNT_ATTR_NODEV},
	{unix.MS_NOEXEC, unix.MOUNT_ATTR_NOEXEC},
	{unix.MS_NODIRATIME, unix.MOUNT_ATTR_NODIRATIME},
	{unix.MS_NOSYMFOLLOW, unix.MOUNT_ATTR_NOSYMFOLLOW},
}

var superFlags = [...]struct {
	flag uint64
	name string
}{
	{unix.MS_RDONLY, "ro"},
	{unix.MS_SYNCHRONOUS, "sync"},
	{unix.MS_DIRSYNC, "dirsync"},
	{unix.MS_MANDLOCK, "mand"},
	{unix.MS_LAZYTIME, "lazytime"},
	{unix.MS_I_VERSION, "iversion"},
	{unix.MS_SILENT, "silent"},
}

func (p *parser) flags() {
	s := &p.set
	s.Bind = p.on&unix.MS_BIND != 0
	s.Recursive = p.on&unix.MS_REC != 0
	s.Remount = p.on&unix.MS_REMOUNT != 0
	s.Touched = (p.on|p.cleared)&^(unix.MS_BIND|unix.MS_REC|unix.MS_REMOUNT) != 0
	if !s.Touched {
		return
	}
	for _, f := range flagAttrs {
		if p.on&f.flag != 0 {
			s.Attr |= f.attr
		}
		if p.cleared&f.flag != 0 {
			s.Clear |= f.attr
		}
	}
	for i := range superFlags {
		switch f := &superFlags[i]; {
		case p.on&f.flag == 0:
		case s.Super == nil:
			s.Super = unsafe.Slice(&f.name, 1)
		default:
			s.Super = append(s.Super, f.name)
		}
	}
	// As do_mount() reads the flags: strictatime beats noatime, noatime beats relatime. norelatime and nostrictatime
	// take back such a flag; the kernel has no way to say them of a source.
	switch {
	case p.on&unix.MS_STRICTATIME != 0:
		s.Attr |= unix.MOUNT_ATTR_STRICTATIME
	case p.on&unix.MS_NOATIME != 0:
		s.Attr |= unix.MOUNT_ATTR_NOATIME
	case p.on&unix.MS_RELATIME != 0, p.cleared&unix.MS_NOATIME != 0:
	default:
		return
	}
	s.Clear |= unix.MOUNT_ATTR__ATIME
}

// data takes an element that is no known option, and says why it cannot be taken.
func (p *parser) data(o string) (reason string) {
	if strings.IndexByte(o, 0) >= 0 {
		return "has a NUL byte"
	}
	if !strings.ContainsAny(o, `,"`) {
		if o != "" {
			p.set.Data = append(p.set.Data, o)
		}
		return ""
	}
	for rest := o; rest != ""; {
		var piece string
		if isContext(rest) {
			// SELinux's own parser takes commas between quotes as part of a level ("s0:c1,c2"), and the quotes off.
			end := contextEnd(rest)
			if end < 0 {
				return "has a quote that is not closed"
			}
			piece, rest = strings.ReplaceAll(rest[:end], `"`, ""), strings.TrimPrefix(rest[end:], ",")
		} else {
			end := pieceEnd(rest)
			piece, rest = rest[:end], strings.TrimPrefix(rest[end:], ",")
		}
		if piece != "" {
			p.set.Data = append(p.set.Data, piece)
		}
	}
	return ""
}

// pieceEnd is where the first comma is that no backslash escapes, as overlayfs splits its options.
func pieceEnd(s string) int {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case ',':
			return i
		}
	}
	return len(s)
}

func isContext(s string) bool {
	for _, name := range [...]string{"context=", "fscontext=", "defcontext=", "rootcontext="} {
		if strings.HasPrefix(s, name) {
			return true
		}
	}
	return false
}

// contextEnd is where the first comma outside of quotes is, or -1 where a quote is open at the end.
func contextEnd(s string) int {
	open := false
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '"':
			open = !open
		case s[i] == ',' && !open:
			return i
		}
	}
	if open {
		return -1
	}
	return len(s)
}
