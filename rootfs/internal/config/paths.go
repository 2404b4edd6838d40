package config

import (
	"path"
	"strconv"
	"strings"
)

// inside cleans a path of the container, which must be absolute, or says what is wrong with it.
func inside(p string) (cleaned, problem string) {
	switch {
	case p == "":
		return "", "is missing"
	case p[0] != '/':
		return "", "must be an absolute path"
	case len(p) > MaxPath:
		return short(p)
	}
	return clean(p), ""
}

// onHost makes a path of the host absolute. One with ".." is not cleaned: where a component before it is a symbolic link,
// only the kernel knows what it means.
func onHost(bundle, p string) (absolute, problem string) {
	switch {
	case p == "":
		return "", "is missing"
	case len(p) > MaxPath || p[0] == '/':
	case bundle == "":
		return "", "is relative, and no bundle is given"
	default:
		p = bundle + "/" + p
	}
	if len(p) <= MaxPath && !hasDotDot(p) {
		p = clean(p)
	}
	return short(p)
}

// absolute is onHost for what must not depend on a bundle: programs, which are never looked up, and the bundle itself.
func absolute(p string) (same, problem string) {
	if p != "" && p[0] != '/' {
		return "", "must be an absolute path"
	}
	return onHost("", p)
}

// short refuses what the kernel takes for too long, whether or not it would be shorter when cleaned.
func short(p string) (same, problem string) {
	if len(p) > MaxPath {
		return "", "is longer than " + strconv.Itoa(MaxPath) + " bytes"
	}
	return p, ""
}

// clean is path.Clean for an absolute path, of which most are clean: that is seen in a third of the time.
func clean(p string) string {
	for i := 0; i < len(p); {
		next := strings.IndexByte(p[i+1:], '/') + i + 1
		if next == i {
			next = len(p)
		}
		// An empty component, or one that may be "." or "..".
		if next == i+1 && len(p) > 1 || next > i+1 && p[i+1] == '.' {
			return path.Clean(p)
		}
		i = next
	}
	return p
}

func hasDotDot(p string) bool {
	if !strings.Contains(p, "..") {
		return false
	}
	for component := range strings.SplitSeq(p, "/") {
		if component == ".." {
			return true
		}
	}
	return false
}

// quoted is a value as an error shows it: a long one cut.
func quoted(s string) string {
	const most = 64
	if len(s) > most {
		return strconv.Quote(s[:most]) + "..."
	}
	return strconv.Quote(s)
}
