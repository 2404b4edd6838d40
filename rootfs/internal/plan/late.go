package plan

import (
	"strings"

	"golang.org/x/sys/unix"
)

// staysWritable tells whether the mount has to be writable until finalize, whatever its options say: mount points are
// made in a tmpfs, devices in /dev.
func staysWritable(m *mount) bool { return m.Type == "tmpfs" || m.Destination == "/dev" }

// attrNow is what the mount gets while it is made.
func attrNow(m *mount) uint64 {
	if staysWritable(m) {
		return m.Options.Attr &^ unix.MOUNT_ATTR_RDONLY
	}
	return m.Options.Attr
}

// late are the mounts that become read-only once nothing needs them writable any more, in their order. Finalize finds
// them by path, so one that another mount is about to cover has to become read-only before that.
type late struct {
	steps []*RemountReadonly // nil for one that has been covered
	at    map[string]int     // path -> its place in steps
	above map[string]int     // path -> how many of them lie below it
}

func (l *late) add(m *mount, s *Mount) {
	s.Late = true
	if _, known := l.at[m.Destination]; known {
		return // a remount that asks for read-only once more
	}
	if l.at == nil {
		l.at, l.above = map[string]int{}, map[string]int{}
	}
	l.at[m.Destination] = len(l.steps)
	l.steps = append(l.steps, &RemountReadonly{Base{m.pointer, m.Destination}})
	l.count(m.Destination, 1)
}

func (l *late) count(path string, n int) {
	for i := strings.LastIndexByte(path, '/'); i > 0; i = strings.LastIndexByte(path[:i], '/') {
		l.above[path[:i]] += n
	}
}

// covered gives, and forgets, what a mount at path is about to cover.
func (l *late) covered(path string) (steps []Step) {
	if i, here := l.at[path]; here {
		steps = append(steps, l.take(i))
	}
	if l.above[path] == 0 && path != "/" {
		return steps
	}
	for i, s := range l.steps {
		if s != nil && (path == "/" || strings.HasPrefix(s.Path, path+"/")) {
			steps = append(steps, l.take(i))
		}
	}
	return steps
}

func (l *late) take(i int) Step {
	s := l.steps[i]
	l.steps[i] = nil
	delete(l.at, s.Path)
	l.count(s.Path, -1)
	return s
}

// remounted says that the mount at path is what a remount makes of it now: writable after all, or read-only already.
func (l *late) remounted(path string) {
	if i, here := l.at[path]; here {
		l.take(i)
	}
}

// rest gives what nothing has covered.
func (l *late) rest() (steps []Step) {
	for _, s := range l.steps {
		if s != nil {
			steps = append(steps, s)
		}
	}
	return steps
}
