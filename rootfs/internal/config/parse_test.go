package config

import (
	"os"
	"path"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/librootfs/librootfs/rootfs/internal/option"
)

func parseFile(t *testing.T, file, options string) *Config {
	t.Helper()
	text, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	c := accepted(t, string(text), options)
	if c == nil {
		t.FailNow()
	}
	return c
}

func equal[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s:\n got %+v\nwant %+v", what, got, want)
	}
}

func options(list ...string) option.Set {
	set, err := option.Parse(list)
	if err != nil {
		panic(err)
	}
	return set
}

// TestRuncSpec reads what `runc spec` writes, member by member.
func TestRuncSpec(t *testing.T) {
	got := parseFile(t, "runc-spec.json", `{"bundle": "/run/bundle"}`)
	equal(t, "config", got, &Config{
		OCIVersion: "1.0.2-dev",
		Root:       Root{Path: "/run/bundle/rootfs", Readonly: true},
		Process:    Process{Cwd: "/", Terminal: true},
		Mounts: []Mount{
			{Destination: "/proc", Type: "proc", Source: "proc"},
			{Destination: "/dev", Type: "tmpfs", Source: "tmpfs",
				Options: options("nosuid", "strictatime", "mode=755", "size=65536k")},
			{Destination: "/dev/pts", Type: "devpts", Source: "devpts",
				Options: options("nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5")},
			{Destination: "/dev/shm", Type: "tmpfs", Source: "shm",
				Options: options("nosuid", "noexec", "nodev", "mode=1777", "size=65536k")},
			{Destination: "/dev/mqueue", Type: "mqueue", Source: "mqueue", Options: options("nosuid", "noexec", "nodev")},
			{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: options("nosuid", "noexec", "nodev", "ro")},
			{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup",
				Options: options("nosuid", "noexec", "nodev", "relatime", "ro")},
		},
		Namespaces: []Namespace{{Type: "pid"}, {Type: "network"}, {Type: "ipc"}, {Type: "uts"}, {Type: "mount"}},
		MaskedPaths: []string{"/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
			"/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/proc/scsi"},
		ReadonlyPaths: []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"},
		Options:       Options{Bundle: "/run/bundle"},
	})
}

func TestRuncSpecRootless(t *testing.T) {
	c := parseFile(t, "runc-spec-rootless.json", `{"bundle": "/b", "rootless": true}`)
	equal(t, "uid maps", c.UIDMappings, []IDMap{{0, 0, 1}})
	equal(t, "gid maps", c.GIDMappings, []IDMap{{0, 0, 1}})
	equal(t, "/sys, a bind of type none", c.Mounts[5], Mount{Destination: "/sys", Type: "bind", Source: "/sys",
		Options: options("rbind", "nosuid", "noexec", "nodev", "ro")})
	if !c.Options.Rootless || !c.Has("user") || c.Has("network") {
		t.Errorf("got %+v", c)
	}
}

func TestCrunSpec(t *testing.T) {
	crun := parseFile(t, "crun-spec.json", `{"bundle": "/b"}`)
	runc := parseFile(t, "runc-spec.json", `{"bundle": "/b"}`)
	crun.OCIVersion = runc.OCIVersion
	equal(t, "crun's default config", crun, runc)
}

// TestPodman reads what podman wrote for a container with a volume, a tmpfs, a device and sysctls.
func TestPodman(t *testing.T) {
	c := parseFile(t, "podman.json", "")
	const run = "/run/containers/storage/vfs-containers/5b7bd2d9f389672d69b47e83bf3007b8761cfff1af3f392fd842b7753493d0ff"
	equal(t, "root", c.Root, Root{"/srv/web/rootfs", true})
	if len(c.Mounts) != 14 {
		t.Fatalf("%d mounts", len(c.Mounts))
	}
	equal(t, "volume", c.Mounts[3], Mount{Destination: "/vol", Type: "bind", Source: "/srv/web/vol",
		Options: options("ro", "rprivate", "rbind")})
	equal(t, "hosts", c.Mounts[10], Mount{Destination: "/etc/hosts", Type: "bind", Source: run + "/userdata/hosts",
		Options: options("bind", "rprivate", "ro", "nosuid", "noexec", "nodev")})
	// podman writes the file type into fileMode.
	equal(t, "devices", c.Devices, []Device{{Path: "/dev/fuse", Type: 'c', Major: 1, Minor: 3, Mode: 0o666}})
	equal(t, "sysctls", c.Sysctls, []Sysctl{{"kernel.msgmax", "65536", "kernel/msgmax"},
		{"net.ipv4.ping_group_range", "0 0", "net/ipv4/ping_group_range"}})
	if c.Process.Umask == nil || *c.Process.Umask != 0o027 {
		t.Errorf("umask %v", c.Process.Umask)
	}
	if len(c.Annotations) != 9 || c.Annotations[8] != (Pair{"run.example", "1"}) {
		t.Errorf("annotations %v", c.Annotations)
	}
}

// TestMinimal is the document of a host that has nothing to do with OCI.
func TestMinimal(t *testing.T) {
	c := accepted(t, `{"root": {"path": "/srv/r"}, "mounts": [{"destination": "/proc", "type": "proc"}]}`, "")
	equal(t, "config", c, &Config{Root: Root{Path: "/srv/r"}, Mounts: []Mount{{Destination: "/proc", Type: "proc"}}})
}

func TestAllMembers(t *testing.T) {
	c := accepted(t, `{
		"ociVersion": "1.2.0", "extra": [{"a": null}],
		"annotations": {"a": "1", "b": ""},
		"process": {"cwd": "/w/../x/", "user": {"uid": 1, "umask": 18}, "selinuxLabel": "x"},
		"root": {"path": "./r/./s//"},
		"hooks": {
			"prestart": [{"path": "relative"}],
			"createContainer": [
				{"path": "/bin/a"},
				{"path": "/bin/b", "args": ["b", "-x", ""], "env": ["A=1"], "timeout": 5}]},
		"linux": {
			"rootfsPropagation": "rslave", "mountLabel": "u:r:t:s0",
			"namespaces": [{"type": "mount"}, {"type": "user", "path": "/proc/1/ns/user"}, {"type": "time"}, {"type": "uts"},
				{"type": "network"}, {"type": "ipc"}, {"type": "cgroup"}],
			"devices": [
				{"path": "/dev/a", "type": "u", "major": 4095, "minor": 1048575, "uid": 7, "gid": 4294967294, "fileMode": 384},
				{"path": "/dev/./b/", "type": "b", "major": 8, "minor": 0, "fileMode": 25008},
				{"path": "/run/f", "type": "p"}],
			"maskedPaths": ["/a/../b"], "readonlyPaths": ["/o/"],
			"sysctl": {"net.ipv4.conf.eth0/100.forwarding": "1", "net/ipv4/conf/eth0.100/forwarding": "0",
				"fs.mqueue.msg_max": "10", "kernel/domainname": "d", "kernel.hostname": "h"},
			"uidMappings": [{"containerID": 0, "hostID": 1000, "size": 1}],
			"gidMappings": [{"containerID": 0, "hostID": 1000, "size": 1}, {"containerID": 1, "hostID": 100000, "size": 65536}]}
		}`, `{
		"bundle": "/b//c/", "noPivotRoot": true, "rootless": true, "cgroup2Path": "/sys/fs/cgroup/x/",
		"state": {"id": "c1", "pid": 42, "annotations": {"k": "v"}},
		"mountCommands": []}`)
	umask := uint32(18)
	equal(t, "config", c, &Config{
		OCIVersion:  "1.2.0",
		Annotations: []Pair{{"k", "v"}},
		Process:     Process{Cwd: "/x", Umask: &umask},
		Root:        Root{Path: "/b/c/r/s"},
		Mounts:      nil,
		Hooks: []Hook{{Path: "/bin/a", Pointer: "/hooks/createContainer/0"},
			{Path: "/bin/b", Args: []string{"b", "-x", ""}, Env: []string{"A=1"}, Timeout: 5, Pointer: "/hooks/createContainer/1"}},
		Propagation: unix.MS_SLAVE | unix.MS_REC, MountLabel: "u:r:t:s0",
		Namespaces: []Namespace{{Type: "mount"}, {"user", "/proc/1/ns/user"}, {Type: "time"}, {Type: "uts"}, {Type: "network"},
			{Type: "ipc"}, {Type: "cgroup"}},
		Devices: []Device{
			{Path: "/dev/a", Type: 'c', Major: 4095, Minor: 1048575, Mode: 0o600, UID: 7, GID: 4294967294},
			{Path: "/dev/b", Type: 'b', Major: 8, Mode: 0o660},
			{Path: "/run/f", Type: 'p', Mode: 0o666}},
		MaskedPaths: []string{"/b"}, ReadonlyPaths: []string{"/o"},
		Sysctls: []Sysctl{{"net.ipv4.conf.eth0/100.forwarding", "1", "net/ipv4/conf/eth0.100/forwarding"},
			{"net/ipv4/conf/eth0.100/forwarding", "0", "net/ipv4/conf/eth0.100/forwarding"},
			{"fs.mqueue.msg_max", "10", "fs/mqueue/msg_max"}, {"kernel/domainname", "d", "kernel/domainname"},
			{"kernel.hostname", "h", "kernel/hostname"}},
		UIDMappings: []IDMap{{0, 1000, 1}}, GIDMappings: []IDMap{{0, 1000, 1}, {1, 100000, 65536}},
		Options: Options{Bundle: "/b/c", ID: "c1", Pid: 42, NoPivotRoot: true, Rootless: true, CgroupPath: "/sys/fs/cgroup/x"},
	})
}

func TestMounts(t *testing.T) {
	maps := []IDMap{{0, 10, 5}}
	for _, tt := range []struct {
		mount string
		want  Mount
	}{
		{`"destination": "data/../x/", "type": "tmpfs"`, Mount{Destination: "/x", Type: "tmpfs"}},
		{`"destination": "/../..//a", "type": "tmpfs"`, Mount{Destination: "/a", Type: "tmpfs"}},
		{`"destination": "/a", "type": "bind", "source": "s"`, Mount{Destination: "/a", Type: "bind", Source: "/b/s"}},
		{`"destination": "/a", "source": "./s/", "options": ["rbind"]`,
			Mount{Destination: "/a", Type: "bind", Source: "/b/s", Options: options("rbind")}},
		{`"destination": "/a", "type": "ext4", "source": "/s", "options": ["bind", "ro"]`,
			Mount{Destination: "/a", Type: "bind", Source: "/s", Options: options("bind", "ro")}},
		// The host's own links decide what comes before a "..".
		{`"destination": "/a", "type": "none", "source": "l/../s", "options": ["bind"]`,
			Mount{Destination: "/a", Type: "bind", Source: "/b/l/../s", Options: options("bind")}},
		{`"destination": "/a", "type": "bind", "source": "/s..t/./..u/"`, Mount{Destination: "/a", Type: "bind", Source: "/s..t/..u"}},
		{`"destination": "/a", "options": ["remount", "ro"]`, Mount{Destination: "/a", Options: options("remount", "ro")}},
		{`"destination": "/a", "options": ["bind", "remount", "ro"]`,
			Mount{Destination: "/a", Type: "bind", Options: options("bind", "remount", "ro")}},
		{`"destination": "/a", "type": "overlay", "source": "overlay", "options": ["lowerdir=/x\\,y:/z,upperdir=/u"]`,
			Mount{Destination: "/a", Type: "overlay", Source: "overlay", Options: options(`lowerdir=/x\,y:/z,upperdir=/u`)}},
		{`"destination": "/a", "type": "bind", "source": "/s", "options": null, "uidMappings": null, "x": 1`,
			Mount{Destination: "/a", Type: "bind", Source: "/s"}},
		{`"destination": "/a", "type": "bind", "source": "/s", "options": ["ridmap"],
			"uidMappings": [{"containerID": 0, "hostID": 10, "size": 5}], "gidMappings": [{"containerID": 0, "hostID": 10, "size": 5}]`,
			Mount{Destination: "/a", Type: "bind", Source: "/s", Options: options("ridmap"), UIDMappings: maps, GIDMappings: maps}},
		{`"destination": "/a", "type": "bind", "source": "/s", "options": ["idmap"]`,
			Mount{Destination: "/a", Type: "bind", Source: "/s", Options: options("idmap")}},
		{`"destination": "/\u00e4\ud83d\ude00\"", "type": "tmpfs"`, Mount{Destination: "/ä😀\"", Type: "tmpfs"}},
	} {
		c := accepted(t, `{"mounts": [{`+tt.mount+`}], "root": {"path": "r"},
			"linux": {"namespaces": [{"type": "user"}]}}`, `{"bundle": "/b"}`)
		if c != nil {
			equal(t, tt.mount, c.Mounts, []Mount{tt.want})
		}
	}
}

func TestPropagation(t *testing.T) {
	for name, want := range map[string]uint64{
		"": 0, "private": unix.MS_PRIVATE, "rprivate": unix.MS_PRIVATE | unix.MS_REC, "slave": unix.MS_SLAVE,
		"rslave": unix.MS_SLAVE | unix.MS_REC, "shared": unix.MS_SHARED, "rshared": unix.MS_SHARED | unix.MS_REC,
		"unbindable": unix.MS_UNBINDABLE, "runbindable": unix.MS_UNBINDABLE | unix.MS_REC,
	} {
		c := accepted(t, `{"root": {"path": "/r"}, "linux": {"rootfsPropagation": "`+name+`"}}`, "")
		if c != nil && c.Propagation != want {
			t.Errorf("%s: %#x", name, c.Propagation)
		}
	}
}

func TestAnnotationsOfTheConfig(t *testing.T) {
	text := `{"root": {"path": "/r"}, "annotations": {"b": "2", "a": "1"}}`
	for options, want := range map[string][]Pair{
		``:                                       {{"b", "2"}, {"a", "1"}},
		`{"state": {"id": "x"}}`:                 {{"b", "2"}, {"a", "1"}},
		`{"state": {"annotations": {"c": "3"}}}`: {{"c", "3"}},
		`{"state": {"annotations": {}}}`:         nil,
	} {
		if c := accepted(t, text, options); c != nil {
			equal(t, options, c.Annotations, want)
		}
	}
}

func TestMountCommands(t *testing.T) {
	c := accepted(t, `{"root": {"path": "/r"}, "mounts": [
		{"destination": "/a", "type": "tmpfs"}, {"destination": "/b", "type": "tmpfs"}]}`,
		`{"mountCommands": [{"mount": 1, "before": [{"path": "/bin/x", "args": ["1"], "env": ["A=b"], "dir": "/tmp/"}]},
			{"mount": 0, "after": [{"path": "/bin/y"}, {"path": "/bin/z"}]}]}`)
	equal(t, "commands", c.Options.MountCommands, []MountCommands{
		{Mount: 1, Before: []Command{{"/bin/x", []string{"1"}, []string{"A=b"}, "/tmp"}}},
		{Mount: 0, After: []Command{{Path: "/bin/y"}, {Path: "/bin/z"}}}})
}

// TestNull holds that a null member is an absent one, wherever an absent one is allowed.
func TestNull(t *testing.T) {
	text := `{"root": {"path": "/r", "readonly": null}, "ociVersion": null, "hostname": null, "mounts": null, "process": null,
		"hooks": {"createContainer": null}, "annotations": null, "linux": {"namespaces": null, "devices": null,
		"uidMappings": null, "gidMappings": null, "rootfsPropagation": null, "maskedPaths": null, "readonlyPaths": null,
		"mountLabel": null, "sysctl": null}}`
	options := `{"bundle": null, "state": {"id": null, "pid": null, "annotations": null}, "noPivotRoot": null, "rootless": null,
		"cgroup2Path": null, "mountCommands": null}`
	c := accepted(t, text, options)
	c.Mounts, c.Namespaces, c.MaskedPaths, c.ReadonlyPaths = nil, nil, nil, nil // empty or nil is one
	equal(t, "config", c, &Config{Root: Root{Path: "/r"}})

	for _, member := range []string{"hooks", "linux"} {
		accepted(t, `{"root": {"path": "/r"}, "`+member+`": null}`, "")
	}
}

// TestInputIsLeftAlone: the caller owns its buffers, and what comes out does not point into them.
func TestInputIsLeftAlone(t *testing.T) {
	text, options := []byte(`{"root": {"path": "r\u0041"}, "ociVersion": "1.0"} `), []byte(`{"bundle": "/b"} `)
	before := string(text) + string(options)
	c, err := Parse(text[:len(text)-1], options[:len(options)-1])
	if err != nil {
		t.Fatal(err)
	}
	if string(text)+string(options) != before {
		t.Error("the input was written to")
	}
	for i := range text {
		text[i] = 'x'
	}
	for i := range options {
		options[i] = 'x'
	}
	if c.Root.Path != "/b/rA" || c.OCIVersion != "1.0" || !strings.HasPrefix(c.Options.Bundle, "/b") {
		t.Errorf("got %+v", c)
	}
}

// The strings are parts of a copy of the document: what the caller does with his own afterwards is not seen in them.
func TestParseKeepsNothingOfTheCaller(t *testing.T) {
	text := []byte(`{"root": {"path": "/srv/r\u006fot"}, "mounts": [{"destination": "/a", "type": "tmpfs", "source": "from", "options": ["mode=700"]}],
		"linux": {"namespaces": [{"type": "mount"}], "maskedPaths": ["/m"]}}`)
	c, err := Parse(text, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range text {
		text[i] = 'x'
	}
	m := c.Mounts[0]
	if c.Root.Path != "/srv/root" || m.Destination != "/a" || m.Type != "tmpfs" || m.Source != "from" || m.Options.Data[0] != "mode=700" ||
		c.MaskedPaths[0] != "/m" {
		t.Errorf("%+v", c)
	}
}

func TestClean(t *testing.T) {
	for _, p := range []string{"/", "//", "/a", "/a/", "/a//b", "/./a", "/a/.", "/a/..", "/../a", "/.a", "/a/.b", "/a/...", "/a/b.", "/...", "/.", "/..",
		"/a/b/c", "/a./b", "/a../b", "//a", "/a/b//", "/a/./b", "/a/../b"} {
		if got, want := clean(p), path.Clean(p); got != want {
			t.Errorf("%s: %s, want %s", p, got, want)
		}
	}
}

// Options that are written as those before are not read again: each mount has its own all the same.
func TestRepeatedOptions(t *testing.T) {
	lists := []string{`["rbind", "ro"]`, `["rbind", "ro"]`, `["rbind", "ro", "nosuid"]`, `["rbind","ro"]`, `["rbind", "ro"]`, `null`, `null`, `[]`, `["rbind", "ro"]`}
	var doc strings.Builder
	doc.WriteString(`{"root": {"path": "/r"}, "linux": {"namespaces": [{"type": "mount"}]}, "mounts": [`)
	for i, l := range lists {
		if i > 0 {
			doc.WriteString(", ")
		}
		doc.WriteString(`{"options": ` + l + `, "destination": "/a", "type": "bind", "source": "/b"}`)
	}
	c, err := Parse([]byte(doc.String()+"]}"), nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, l := range lists {
		m := &c.Mounts[i]
		if m.Options.Recursive != strings.Contains(l, "rbind") || m.Options.Attr&unix.MOUNT_ATTR_RDONLY != 0 != strings.Contains(l, "ro") ||
			m.Options.Attr&unix.MOUNT_ATTR_NOSUID != 0 != strings.Contains(l, "nosuid") {
			t.Errorf("%d: %s: %+v", i, l, m.Options)
		}
	}
	bad := strings.Replace(doc.String()+"]}", `["rbind","ro"]`, `["rbind","ro","x\u0000"]`, 1)
	if _, err := Parse([]byte(bad), nil); err == nil || !strings.Contains(err.Error(), "/mounts/3/options/2") {
		t.Error(err)
	}
}
