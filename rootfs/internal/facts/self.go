package facts

import (
	"slices"
	"strings"
)

// membership is this process's place in each hierarchy, as /proc/self/cgroup tells it.
type membership struct {
	unified string // "" where the kernel has no unified hierarchy
	v1      []line // in the order in which the hierarchies were made
}

// line is the place in one v1 hierarchy.
type line struct {
	controllers []string // "cpu", "cpuacct"; "name=systemd"
	path        string
}

// parseSelf reads /proc/self/cgroup, "4:cpu,cpuacct:/user.slice" a line. The kernel lists the youngest hierarchy
// first; the order kept here is the one in which they were made, which is that of their mounts on a host that mounted
// each once (mountinfo would have to be read to know better).
func parseSelf(text string) membership {
	var m membership
	for l := range strings.Lines(text) {
		id, rest, _ := strings.Cut(strings.TrimSuffix(l, "\n"), ":")
		controllers, path, found := strings.Cut(rest, ":")
		switch {
		case !found:
		case id == "0" && controllers == "":
			m.unified = path
		case controllers != "":
			m.v1 = append(m.v1, line{strings.Split(controllers, ","), path})
		}
	}
	slices.Reverse(m.v1)
	return m
}

// data is what mounts the hierarchy of these controllers.
func (l *line) data() []string {
	data := slices.Clone(l.controllers)
	for _, c := range data {
		if !strings.HasPrefix(c, "name=") {
			return data
		}
	}
	return append([]string{"none"}, data...) // a named hierarchy without a controller has to be asked for as such
}

// usualName is the directory in which it is most often mounted.
func (l *line) usualName() string {
	return strings.TrimPrefix(strings.Join(l.controllers, ","), "name=")
}

// named tells whether a directory of this name is where the hierarchy is mounted by convention: its controllers in any
// order ("cpuacct,cpu"), or its name.
func (l *line) named(dir string) bool {
	parts := strings.Split(dir, ",")
	if len(parts) != len(l.controllers) {
		return false
	}
	for _, c := range l.controllers {
		if !slices.Contains(parts, strings.TrimPrefix(c, "name=")) {
			return false
		}
	}
	return true
}

// beneath is path as seen from a mount whose root is root, both as this process's cgroup namespace shows them: "/" for
// the root itself, "" where the path does not lie beneath it or cannot be named. A path outside of the namespace begins
// with "/..", and what it leads down to again cannot be told from in here.
func beneath(root, path string) string {
	r, p := split(root), split(path)
	if len(p) < len(r) || !slices.Equal(p[:len(r)], r) || slices.Contains(p[len(r):], "..") {
		return ""
	}
	return "/" + strings.Join(p[len(r):], "/")
}

func split(path string) []string {
	return slices.DeleteFunc(strings.Split(path, "/"), func(s string) bool { return s == "" || s == "." })
}
