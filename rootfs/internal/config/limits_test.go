package config

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const rootR = `"root": {"path": "/r"}`

func repeat(count int, entry string) string {
	return strings.TrimSuffix(strings.Repeat(entry+",", count), ",")
}

func TestLimits(t *testing.T) {
	numbered := func(count int, format string) string {
		var b strings.Builder
		for i := range count {
			fmt.Fprintf(&b, format+",", i)
		}
		return strings.TrimSuffix(b.String(), ",")
	}
	path := func(length int) string { return "/" + strings.Repeat("a", length-1) }
	tests := []struct {
		name, config, options string
		edge                  int // config and options hold %s, filled for this many ...
		fill                  func(n int) string
		pointer, message      string // ... and refused so for one more
	}{
		{name: "mounts", config: `{` + rootR + `, "mounts": [%s]}`, edge: MaxEntries,
			fill:    func(n int) string { return repeat(n, `{"destination":"/a","type":"tmpfs"}`) },
			pointer: "/mounts", message: "more than 65536 entries"},
		{name: "options of a mount", config: `{` + rootR + `, "mounts": [{"destination": "/a", "type": "tmpfs", "options": [%s]}]}`,
			edge: MaxEntries, fill: func(n int) string { return repeat(n, `"a"`) },
			pointer: "/mounts/0/options", message: "more than 65536 entries"},
		{name: "devices", config: `{` + rootR + `, "linux": {"devices": [%s]}}`, edge: MaxEntries,
			fill:    func(n int) string { return repeat(n, `{"path":"/dev/f","type":"p"}`) },
			pointer: "/linux/devices", message: "more than 65536 entries"},
		{name: "maskedPaths", config: `{` + rootR + `, "linux": {"maskedPaths": [%s]}}`, edge: MaxEntries,
			fill: func(n int) string { return repeat(n, `"/a"`) }, pointer: "/linux/maskedPaths", message: "more than 65536 entries"},
		{name: "readonlyPaths", config: `{` + rootR + `, "linux": {"readonlyPaths": [%s]}}`, edge: MaxEntries,
			fill: func(n int) string { return repeat(n, `"/a"`) }, pointer: "/linux/readonlyPaths", message: "more than 65536 entries"},
		{name: "sysctls", config: `{` + rootR + `, "linux": {"namespaces": [{"type": "network"}], "sysctl": {%s}}}`, edge: MaxEntries,
			fill:    func(n int) string { return numbered(n, `"net.x%d":"1"`) },
			pointer: "/linux/sysctl", message: "more than 65536 entries"},
		{name: "annotations", config: `{` + rootR + `, "annotations": {%s}}`, edge: MaxEntries,
			fill: func(n int) string { return numbered(n, `"x%d":"1"`) }, pointer: "/annotations", message: "more than 65536"},
		{name: "hooks", config: `{` + rootR + `, "hooks": {"createContainer": [%s]}}`, edge: MaxEntries,
			fill:    func(n int) string { return repeat(n, `{"path":"/a"}`) },
			pointer: "/hooks/createContainer", message: "more than 65536 entries"},
		{name: "commands", config: `{` + rootR + `, "mounts": [{"destination": "/a", "type": "tmpfs"}]}`,
			options: `{"mountCommands": [{"mount": 0, "after": [%s]}]}`, edge: MaxEntries,
			fill:    func(n int) string { return repeat(n, `{"path":"/a"}`) },
			pointer: "options#/mountCommands/0/after", message: "more than 65536 entries"},
		{name: "id maps", config: `{` + rootR + `, "linux": {"uidMappings": [%s]}}`, edge: MaxIDMaps,
			fill:    func(n int) string { return numbered(n, `{"containerID":%d,"hostID":%[1]d,"size":1}`) },
			pointer: "/linux/uidMappings", message: "more than 340 entries"},
		{name: "last id", config: `{` + rootR + `, "linux": {"uidMappings": [{"containerID": 0, "hostID": 1, "size": %s}]}}`,
			edge: 4294967294, fill: func(n int) string { return fmt.Sprint(n) },
			pointer: "/linux/uidMappings/0/size", message: "past the last id"},

		{name: "config", config: `{` + rootR + `%s}`, edge: MaxDocument - len(`{`+rootR+`}`),
			fill: func(n int) string { return strings.Repeat(" ", n) }, message: "larger than 8388608 bytes"},
		{name: "options", config: `{` + rootR + `}`, options: `{%s}`, edge: MaxDocument - len(`{}`),
			fill: func(n int) string { return strings.Repeat(" ", n) }, pointer: "options#", message: "larger than 8388608"},
		{name: "depth", config: `{` + rootR + `, "x": %s}`, edge: MaxDepth - 1,
			fill:    func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) },
			pointer: "/x" + strings.Repeat("/0", MaxDepth-1), message: "exceeded max depth"},
		{name: "depth of objects", config: `{` + rootR + `, "x": %s}`, edge: MaxDepth - 1,
			fill:    func(n int) string { return strings.Repeat(`{"y":`, n) + "1" + strings.Repeat("}", n) },
			pointer: "/x" + strings.Repeat("/y", MaxDepth-1), message: "exceeded max depth"},

		{name: "string", config: `{` + rootR + `, "mounts": [{"destination": "/a", "type": "tmpfs", "options": ["%s"]}]}`,
			edge: MaxString, fill: func(n int) string { return strings.Repeat("a", n) },
			pointer: "/mounts/0/options/0", message: "longer than 1048576 bytes"},
		{name: "escaped string", config: `{` + rootR + `, "mounts": [{"destination": "/a", "type": "tmpfs", "options": ["%s"]}]}`,
			edge: MaxString, fill: func(n int) string { return strings.Repeat(`\t`, n) },
			pointer: "/mounts/0/options/0", message: "longer than 1048576 bytes"},
		{name: "annotation's name", config: `{` + rootR + `, "annotations": {"%s": ""}}`, edge: MaxString,
			fill:    func(n int) string { return strings.Repeat("a", n) },
			pointer: "/annotations/" + strings.Repeat("a", MaxString+1), message: "longer than 1048576 bytes"},
		{name: "root", config: `{"root": {"path": "%s"}}`, edge: MaxPath, fill: path,
			pointer: "/root/path", message: "longer than 4095 bytes"},
		{name: "root in the bundle", config: `{"root": {"path": "r"}}`, options: `{"bundle": "%s"}`, edge: MaxPath - 2, fill: path,
			pointer: "/root/path", message: "longer than 4095 bytes"},
		{name: "bundle", config: `{` + rootR + `}`, options: `{"bundle": "%s"}`, edge: MaxPath, fill: path,
			pointer: "options#/bundle", message: "longer than 4095 bytes"},
		{name: "destination", config: `{` + rootR + `, "mounts": [{"destination": "%s", "type": "tmpfs"}]}`, edge: MaxPath, fill: path,
			pointer: "/mounts/0/destination", message: "longer than 4095 bytes"},
		{name: "bind source", config: `{` + rootR + `, "mounts": [{"destination": "/a", "type": "bind", "source": "%s"}]}`,
			edge: MaxPath, fill: path, pointer: "/mounts/0/source", message: "longer than 4095 bytes"},
		{name: "source", config: `{` + rootR + `, "mounts": [{"destination": "/a", "type": "x", "source": "%s"}]}`,
			edge: MaxPath, fill: path, pointer: "/mounts/0/source", message: "longer than 4095 bytes"},
		{name: "type", config: `{` + rootR + `, "mounts": [{"destination": "/a", "type": "%s"}]}`,
			edge: MaxPath, fill: path, pointer: "/mounts/0/type", message: "longer than 4095 bytes"},
		{name: "cwd", config: `{` + rootR + `, "process": {"cwd": "%s"}}`, edge: MaxPath, fill: path,
			pointer: "/process/cwd", message: "longer than 4095 bytes"},
		{name: "device", config: `{` + rootR + `, "linux": {"devices": [{"path": "%s", "type": "p"}]}}`, edge: MaxPath, fill: path,
			pointer: "/linux/devices/0/path", message: "longer than 4095 bytes"},
		{name: "mask", config: `{` + rootR + `, "linux": {"maskedPaths": ["%s"]}}`, edge: MaxPath, fill: path,
			pointer: "/linux/maskedPaths/0", message: "longer than 4095 bytes"},
		{name: "namespace", config: `{` + rootR + `, "linux": {"namespaces": [{"type": "pid", "path": "%s"}]}}`, edge: MaxPath, fill: path,
			pointer: "/linux/namespaces/0/path", message: "longer than 4095 bytes"},
		{name: "hook", config: `{` + rootR + `, "hooks": {"createContainer": [{"path": "%s"}]}}`, edge: MaxPath, fill: path,
			pointer: "/hooks/createContainer/0/path", message: "longer than 4095 bytes"},
		{name: "umask", config: `{` + rootR + `, "process": {"cwd": "/", "user": {"umask": %s}}}`, edge: 0o777,
			fill: func(n int) string { return fmt.Sprint(n) }, pointer: "/process/user/umask", message: "between 0 and 511"},
		{name: "timeout", config: `{` + rootR + `, "hooks": {"createContainer": [{"path": "/a", "timeout": %s}]}}`, edge: MaxTimeout,
			fill: func(n int) string { return fmt.Sprint(n) }, pointer: "/hooks/createContainer/0/timeout", message: "2147483647"},
		{name: "pid", config: `{` + rootR + `}`, options: `{"state": {"pid": %s}}`, edge: MaxPid,
			fill: func(n int) string { return fmt.Sprint(n) }, pointer: "options#/state/pid", message: "4194304"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			at := func(n int) (config, options []byte) {
				fill := tt.fill(n)
				return []byte(strings.Replace(tt.config, "%s", fill, 1)), []byte(strings.Replace(tt.options, "%s", fill, 1))
			}
			config, options := at(tt.edge)
			accepted(t, string(config), string(options))
			config, options = at(tt.edge + 1)
			check(t, config, options, tt.pointer, tt.message)
		})
	}
}

// TestHostileSizes are documents that cost a careless reader minutes: each is answered in a time that does not show.
func TestHostileSizes(t *testing.T) {
	var maps strings.Builder
	for i := range MaxIDMaps {
		fmt.Fprintf(&maps, `{"containerID":%d,"hostID":%[1]d,"size":1},`, i)
	}
	list := `[` + strings.TrimSuffix(maps.String(), ",") + `]`
	for name, text := range map[string]string{
		"100 000 mounts": `{` + rootR + `, "mounts": [` + repeat(100000, `{"destination":"/a","type":"tmpfs"}`) + `]}`,
		"10 MB":          `{` + rootR + `, "x": "` + strings.Repeat("a", 10<<20) + `"}`,
		"many names": `{` + func() string {
			var b strings.Builder
			for i := range 400000 {
				fmt.Fprintf(&b, `"n%d":0,`, i)
			}
			return b.String()
		}() + rootR + `}`,
		"id maps": `{` + rootR + `, "mounts": [` + repeat(280, `{"destination":"/a","type":"bind","source":"/s","uidMappings":`+
			list+`,"gidMappings":`+list+`}`) + `]}`,
		"deep":            strings.Repeat(`{"root":`, 1000000),
		"slashes":         `{"root": {"path": "` + strings.Repeat("/", 1<<20) + `"}}`,
		"dots":            `{` + rootR + `, "mounts": [{"type": "tmpfs", "destination": "` + strings.Repeat("/..", 300000) + `"}]}`,
		"escapes":         `{` + rootR + `, "mounts": [{"type": "tmpfs", "destination": "/a", "options": ["` + strings.Repeat(`\\`, 1<<20) + `"]}]}`,
		"commas":          `{` + rootR + `, "mounts": [{"type": "tmpfs", "destination": "/a", "options": ["` + strings.Repeat(`,a`, 1<<19) + `"]}]}`,
		"contexts":        `{` + rootR + `, "mounts": [{"type": "tmpfs", "destination": "/a", "options": ["` + strings.Repeat(`context=\"a\",`, 80000) + `"]}]}`,
		"open namespaces": `{` + rootR + `, "linux": {"namespaces": [` + repeat(300000, `{"type":"pid"}`) + `]}}`,
	} {
		start := time.Now()
		_, err := Parse([]byte(text), nil)
		if took := time.Since(start); took > 3*time.Second {
			t.Errorf("%s: took %v", name, took)
		} else {
			t.Logf("%s: %v, %.150v", name, took, err)
		}
	}
}

// TestLinear: ten times the document may not take much more than ten times as long.
func TestLinear(t *testing.T) {
	const entry = `{"destination":"/a/b","type":"bind","source":"/s","options":["rbind","ro","nosuid"]}`
	// The thread's own CPU time: wall time says more of the machine's other work than of the parser.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cpu := func() time.Duration {
		var now unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &now); err != nil {
			t.Fatal(err)
		}
		return time.Duration(now.Nano())
	}
	best := func(n int) time.Duration {
		text := []byte(`{` + rootR + `, "mounts": [` + repeat(n, entry) + `]}`)
		least := time.Hour
		for range 5 {
			start := cpu()
			if _, err := Parse(text, nil); err != nil {
				t.Fatal(err)
			}
			least = min(least, cpu()-start)
		}
		return least
	}
	small, large := best(5000), best(50000)
	t.Logf("5 000 mounts %v, 50 000 mounts %v", small, large)
	if large > 40*small {
		t.Errorf("5 000 mounts take %v, 50 000 take %v", small, large)
	}
}
