package config

import (
	"strings"
	"testing"
)

// refused are documents that Parse refuses, with the pointer and a part of the message. Where config has no root, the test
// puts one before it; "#" in front of a document says that it is host options.
var refused = []struct {
	text, pointer, message string
}{
	// Not a document.
	{``, ``, "the document is empty"},
	{" \n\t\r", ``, "the document is empty"},
	{`null`, ``, "must be an object, not null"},
	{`[]`, ``, "must be an object, not an array"},
	{`"x"`, ``, "must be an object, not a string"},
	{`7`, ``, "must be an object, not a number"},
	{`true`, ``, "must be an object, not a boolean"},
	{`root`, ``, "byte 0, line 1"},
	{`{`, ``, "ends too early"},
	{`{"root"`, `/root`, "ends too early"},
	{`{"root": {"path": "/r`, `/root/path`, "ends too early"},
	{"{\n\"root\": {\"path\": \"/r\"}\n\"a\": 1}", ``, "(byte 25, line 3)"},
	{`{"root": {"path": "/r"}} {}`, ``, "data after the end of the document (byte 25, line 1)"},
	{`{"root": {"path": "/r"}}` + "\x00", ``, "data after the end of the document (byte 24, line 1)"},
	{"\xef\xbb\xbf{}", ``, "invalid character"},
	{`{"root": {"path": "/r",}}`, `/root`, "invalid character"},
	{`{'root': 1}`, ``, "invalid character"},
	{`{"root": {"path": "/r"}, "linux": {"maskedPaths": ["/a" "/b"]}}`, `/linux/maskedPaths`, "invalid character"},
	{"{\"root\": {\"path\": \"/r\x00\"}}", `/root/path`, `invalid character '\x00'`},
	{"{\"root\": {\"path\": \"/r\xff\"}}", `/root/path`, "invalid UTF-8"},
	{`{"root": {"path": "/\ud800"}}`, `/root/path`, "surrogate"},
	{`{"root": {"path": "/r"}, "root": {"path": "/s"}}`, `/root`, "there twice (byte 25, line 1)"},
	{`{"root": {"path": "/r", "p\u0061th": "/s"}}`, `/root/path`, "there twice"},
	{`{"root": {"path": "/r"}, "ignored": {"a": [{"b": 1, "b": 2}]}}`, `/ignored/a/0/b`, "there twice"},
	{`{"root": {"path": "/r"}, "ignored": nul}`, `/ignored`, "invalid character"},
	{`{"root": {"readonly": tru}}`, `/root/readonly`, "invalid character"},
	{`{"process": {"user": {"umask": 0x1}}}`, `/process/user`, "invalid character"},
	{`{"mounts": nope}`, `/mounts`, "invalid character"},

	// root
	{`{}`, `/root`, "is missing"},
	{`{"mounts": []}`, `/root`, "is missing"},
	{`{"root": null}`, `/root/path`, "is missing"},
	{`{"root": {}}`, `/root/path`, "is missing"},
	{`{"root": {"path": ""}}`, `/root/path`, "is missing"},
	{`{"root": "/r"}`, `/root`, "must be an object, not a string"},
	{`{"root": {"path": ["/r"]}}`, `/root/path`, "must be a string, not an array"},
	{`{"root": {"path": "rootfs"}}`, `/root/path`, "is relative, and no bundle is given"},
	{`{"root": {"path": "/"}}`, `/root/path`, "the host's own root"},
	{`{"root": {"path": "//./"}}`, `/root/path`, "the host's own root"},
	{`{"root": {"path": "/a/.."}}`, `/root/path`, "the host's own root"},
	{`{"root": {"path": "/../.."}}`, `/root/path`, "the host's own root"},
	{`{"root": {"path": "/r\u0000"}}`, `/root/path`, "has a NUL byte"},
	{"{\"root\": {\"path\": \"/r\x00\"}}", `/root/path`, "invalid character"},
	{`{"root": {"path": "/r", "readonly": "yes"}}`, `/root/readonly`, "must be true or false, not a string"},
	{`{"root": {"path": "/r", "readonly": 1}}`, `/root/readonly`, "must be true or false, not a number"},

	// version, hostname, annotations
	{`{"ociVersion": "2.0.0"}`, `/ociVersion`, `version "2.0.0"`},
	{`{"ociVersion": "1"}`, `/ociVersion`, `version "1"`},
	{`{"ociVersion": 1.0}`, `/ociVersion`, "must be a string"},
	{`{"hostname": {}}`, `/hostname`, "must be a string"},
	{`{"annotations": []}`, `/annotations`, "must be an object"},
	{`{"annotations": {"a": 1}}`, `/annotations/a`, "must be a string"},
	{`{"annotations": {"a": null}}`, `/annotations/a`, "must be a string, not null"},
	{`{"annotations": {"": "x"}}`, `/annotations/`, "must have a name"},
	{`{"annotations": {"a/b~": "\u0000"}}`, `/annotations/a~1b~0`, "has a NUL byte"},
	{`{"annotations": {"a\u0000": "x"}}`, "/annotations/a\x00", "has a NUL byte"},

	// process
	{`{"process": []}`, `/process`, "must be an object"},
	{`{"process": {}}`, `/process/cwd`, "is missing"},
	{`{"process": {"cwd": "tmp"}}`, `/process/cwd`, "must be an absolute path"},
	{`{"process": {"cwd": "/\u0000"}}`, `/process/cwd`, "has a NUL byte"},
	{`{"process": {"cwd": "/", "terminal": 0}}`, `/process/terminal`, "must be true or false"},
	{`{"process": {"cwd": "/", "user": 0}}`, `/process/user`, "must be an object"},
	{`{"process": {"cwd": "/", "user": {"umask": 512}}}`, `/process/user/umask`, "must be between 0 and 511"},
	{`{"process": {"cwd": "/", "user": {"umask": -1}}}`, `/process/user/umask`, "must be between 0 and 511"},
	{`{"process": {"cwd": "/", "user": {"umask": 1.5}}}`, `/process/user/umask`, "must be a whole number"},
	{`{"process": {"cwd": "/", "user": {"umask": 1e1}}}`, `/process/user/umask`, "must be a whole number"},
	{`{"process": {"cwd": "/", "user": {"umask": "18"}}}`, `/process/user/umask`, "must be a number, not a string"},

	// mounts
	{`{"mounts": {}}`, `/mounts`, "must be an array, not an object"},
	{`{"mounts": [null]}`, `/mounts/0/destination`, "is missing"},
	{`{"mounts": ["/a"]}`, `/mounts/0`, "must be an object, not a string"},
	{`{"mounts": [{}]}`, `/mounts/0/destination`, "is missing"},
	{`{"mounts": [{"destination": "/a", "type": "tmpfs"}, {"type": "proc"}]}`, `/mounts/1/destination`, "is missing"},
	{`{"mounts": [{"destination": "", "type": "proc"}]}`, `/mounts/0/destination`, "is missing"},
	{`{"mounts": [{"destination": 1}]}`, `/mounts/0/destination`, "must be a string"},
	{`{"mounts": [{"destination": "/a\u0000b", "type": "proc"}]}`, `/mounts/0/destination`, "has a NUL byte"},
	{`{"mounts": [{"destination": "/a", "type": "pr\u0000oc"}]}`, `/mounts/0/type`, "has a NUL byte"},
	{`{"mounts": [{"destination": "/a", "type": "tmpfs", "source": "\u0000"}]}`, `/mounts/0/source`, "has a NUL byte"},
	{`{"mounts": [{"destination": "/a", "type": "tmpfs", "options": ["ro", "x\u0000"]}]}`, `/mounts/0/options/1`, "has a NUL byte"},
	{`{"mounts": [{"destination": "/a", "type": "tmpfs", "options": "ro"}]}`, `/mounts/0/options`, "must be an array"},
	{`{"mounts": [{"destination": "/a", "type": "tmpfs", "options": [["ro"]]}]}`, `/mounts/0/options/0`, "must be a string"},
	{`{"mounts": [{"destination": "/a", "type": "tmpfs", "options": [null]}]}`, `/mounts/0/options/0`, "must be a string, not null"},
	{`{"mounts": [{"destination": "/a", "type": "tmpfs", "options": ["ro", "context=\"a,b"]}]}`, `/mounts/0/options/1`,
		"quote that is not closed"},
	{`{"mounts": [{"destination": "/a"}]}`, `/mounts/0/type`, "is missing"},
	{`{"mounts": [{"destination": "/a", "source": "/b", "options": ["ro", "rprivate"]}]}`, `/mounts/0/type`, "is missing"},
	{`{"mounts": [{"destination": "/a", "type": "bind"}]}`, `/mounts/0/source`, "is missing"},
	{`{"mounts": [{"destination": "/a", "type": "tmpfs", "options": ["rbind"]}]}`, `/mounts/0/source`, "is missing"},
	{`{"mounts": [{"destination": "/a", "type": "bind", "source": "b"}]}`, `/mounts/0/source`, "is relative, and no bundle"},
	{`{"mounts": [{"destination": "/a", "type": "bind", "source": "/b", "options": ["ro", "mode=755"]}]}`, `/mounts/0/options`,
		`"mode=755" is no option of a bind mount`},
	{`{"mounts": [{"destination": "/a", "type": "tmpfs", "options": ["idmap"]}]}`, `/mounts/0/options`, "only a bind mount"},
	{`{"mounts": [{"destination": "/a", "type": "tmpfs", "options": ["ridmap"]}]}`, `/mounts/0/options`, "only a bind mount"},
	{`{"mounts": [{"destination": "/a", "type": "tmpfs", "options": ["src-nofollow"]}]}`, `/mounts/0/options`, "src-nofollow"},
	{`{"mounts": [{"destination": "/a", "type": "tmpfs", "options": ["Z"]}]}`, `/mounts/0/options`, "Z: only"},
	{`{"mounts": [{"destination": "/a", "type": "proc", "options": ["tmpcopyup"]}]}`, `/mounts/0/options`, "tmpcopyup"},
	{`{"mounts": [{"destination": "/a", "type": "bind", "source": "/b", "options": ["idmap"]}]}`, `/mounts/0/options`,
		"it has none"},
	{`{"mounts": [{"destination": "/a", "type": "bind", "source": "/b",
		"uidMappings": [{"containerID": 0, "hostID": 0, "size": 1}]}]}`, `/mounts/0/gidMappings`, "is missing"},
	{`{"mounts": [{"destination": "/a", "type": "bind", "source": "/b", "options": ["idmap"], "uidMappings": [],
		"gidMappings": [{"containerID": 0, "hostID": 0, "size": 1}]}]}`, `/mounts/0/uidMappings`, "is missing"},
	{`{"mounts": [{"destination": "/a", "type": "tmpfs", "uidMappings": [{"containerID": 0, "hostID": 0, "size": 1}],
		"gidMappings": [{"containerID": 0, "hostID": 0, "size": 1}]}]}`, `/mounts/0/uidMappings`, "only a bind mount"},

	// linux
	{`{"linux": 1}`, `/linux`, "must be an object"},
	{`{"linux": {"uidMappings": [{"hostID": 0, "size": 1}]}}`, `/linux/uidMappings/0/containerID`, "is missing"},
	{`{"linux": {"uidMappings": [{"containerID": 0, "size": 1}]}}`, `/linux/uidMappings/0/hostID`, "is missing"},
	{`{"linux": {"gidMappings": [{"containerID": 0, "hostID": 0}]}}`, `/linux/gidMappings/0/size`, "is missing"},
	{`{"linux": {"gidMappings": [{"containerID": 0, "hostID": 0, "size": 0}]}}`, `/linux/gidMappings/0/size`, "between 1 and"},
	{`{"linux": {"gidMappings": [{"containerID": -1, "hostID": 0, "size": 1}]}}`, `/linux/gidMappings/0/containerID`, "between 0"},
	{`{"linux": {"gidMappings": [{"containerID": 4294967296, "hostID": 0, "size": 1}]}}`, `/linux/gidMappings/0/containerID`,
		"must be between 0 and 4294967295"},
	{`{"linux": {"gidMappings": [{"containerID": 1e99, "hostID": 0, "size": 1}]}}`, `/linux/gidMappings/0/containerID`, "whole number"},
	{`{"linux": {"gidMappings": [{"containerID": 99999999999999999999, "hostID": 0, "size": 1}]}}`,
		`/linux/gidMappings/0/containerID`, "must be between 0 and 4294967295"},
	{`{"linux": {"gidMappings": [{"containerID": 0, "hostID": 4294967295, "size": 1}]}}`, `/linux/gidMappings/0/size`,
		"past the last id"},
	{`{"linux": {"uidMappings": [{"containerID": 0, "hostID": 0, "size": 10}, {"containerID": 9, "hostID": 50, "size": 1}]}}`,
		`/linux/uidMappings/1`, "meets the range"},
	{`{"linux": {"uidMappings": [{"containerID": 0, "hostID": 5, "size": 10}, {"containerID": 10, "hostID": 0, "size": 6}]}}`,
		`/linux/uidMappings/1`, "meets the range"},
	{`{"linux": {"namespaces": [{}]}}`, `/linux/namespaces/0/type`, "is missing"},
	{`{"linux": {"namespaces": [{"type": "net"}]}}`, `/linux/namespaces/0/type`, `"net" is no type`},
	{`{"linux": {"namespaces": [{"type": "pid"}, {"type": "uts"}, {"type": "pid"}]}}`, `/linux/namespaces/2/type`, "earlier"},
	{`{"linux": {"namespaces": [{"type": "pid", "path": "proc/1/ns/pid"}]}}`, `/linux/namespaces/0/path`, "absolute"},
	{`{"linux": {"rootfsPropagation": "bind"}}`, `/linux/rootfsPropagation`, `"bind" is no propagation`},
	{`{"linux": {"rootfsPropagation": "` + strings.Repeat("x", 70) + `"}}`, `/linux/rootfsPropagation`,
		`"` + strings.Repeat("x", 64) + `"... is no propagation`},
	{`{"linux": {"rootfsPropagation": "Private"}}`, `/linux/rootfsPropagation`, `"Private" is no propagation`},
	{`{"linux": {"devices": [{"type": "c", "major": 1, "minor": 3}]}}`, `/linux/devices/0/path`, "is missing"},
	{`{"linux": {"devices": [{"path": "dev/null", "type": "c", "major": 1, "minor": 3}]}}`, `/linux/devices/0/path`, "absolute"},
	{`{"linux": {"devices": [{"path": "/x/..", "type": "p"}]}}`, `/linux/devices/0/path`, "is the root itself"},
	{`{"linux": {"devices": [{"path": "/dev/null", "major": 1, "minor": 3}]}}`, `/linux/devices/0/type`, "is missing"},
	{`{"linux": {"devices": [{"path": "/dev/null", "type": "s", "major": 1, "minor": 3}]}}`, `/linux/devices/0/type`, `"s" is no`},
	{`{"linux": {"devices": [{"path": "/dev/null", "type": "a", "major": 1, "minor": 3}]}}`, `/linux/devices/0/type`, `"a" is no`},
	{`{"linux": {"devices": [{"path": "/dev/null", "type": "c", "minor": 3}]}}`, `/linux/devices/0/major`, "is missing"},
	{`{"linux": {"devices": [{"path": "/dev/null", "type": "b", "major": 3}]}}`, `/linux/devices/0/minor`, "is missing"},
	{`{"linux": {"devices": [{"path": "/d", "type": "c", "major": 4096, "minor": 3}]}}`, `/linux/devices/0/major`, "0 and 4095"},
	{`{"linux": {"devices": [{"path": "/d", "type": "c", "major": -1, "minor": 3}]}}`, `/linux/devices/0/major`, "0 and 4095"},
	{`{"linux": {"devices": [{"path": "/d", "type": "c", "major": 1, "minor": 1048576}]}}`, `/linux/devices/0/minor`, "1048575"},
	{`{"linux": {"devices": [{"path": "/d", "type": "p", "fileMode": 65536}]}}`, `/linux/devices/0/fileMode`, "0 and 65535"},
	{`{"linux": {"devices": [{"path": "/d", "type": "p", "fileMode": "0666"}]}}`, `/linux/devices/0/fileMode`, "a number"},
	{`{"linux": {"devices": [{"path": "/d", "type": "p", "uid": 4294967295}]}}`, `/linux/devices/0/uid`, "4294967294"},
	{`{"linux": {"devices": [{"path": "/d", "type": "p", "gid": -1}]}}`, `/linux/devices/0/gid`, "4294967294"},
	{`{"linux": {"maskedPaths": ["/a", "b"]}}`, `/linux/maskedPaths/1`, "must be an absolute path"},
	{`{"linux": {"maskedPaths": [""]}}`, `/linux/maskedPaths/0`, "is missing"},
	{`{"linux": {"maskedPaths": ["/a/.."]}}`, `/linux/maskedPaths/0`, "is the root itself"},
	{`{"linux": {"readonlyPaths": ["../a"]}}`, `/linux/readonlyPaths/0`, "must be an absolute path"},
	{`{"linux": {"readonlyPaths": ["/\u0000"]}}`, `/linux/readonlyPaths/0`, "has a NUL byte"},
	{`{"linux": {"readonlyPaths": [{}]}}`, `/linux/readonlyPaths/0`, "must be a string"},
	{`{"linux": {"mountLabel": "\u0000"}}`, `/linux/mountLabel`, "has a NUL byte"},

	// hooks
	{`{"hooks": []}`, `/hooks`, "must be an object"},
	{`{"hooks": {"createContainer": {}}}`, `/hooks/createContainer`, "must be an array"},
	{`{"hooks": {"createContainer": [{}]}}`, `/hooks/createContainer/0/path`, "is missing"},
	{`{"hooks": {"createContainer": [{"path": "/a"}, {"path": "a"}]}}`, `/hooks/createContainer/1/path`, "absolute"},
	{`{"hooks": {"createContainer": [{"path": "/a", "timeout": 0}]}}`, `/hooks/createContainer/0/timeout`, "between 1 and"},
	{`{"hooks": {"createContainer": [{"path": "/a", "timeout": 2147483648}]}}`, `/hooks/createContainer/0/timeout`, "2147483647"},
	{`{"hooks": {"createContainer": [{"path": "/a", "args": [1]}]}}`, `/hooks/createContainer/0/args/0`, "must be a string"},
	{`{"hooks": {"createContainer": [{"path": "/a", "env": ["A=\u0000"]}]}}`, `/hooks/createContainer/0/env/0`, "NUL"},

	// Host options.
	{`# `, `options#`, "the document is empty"},
	{`#null`, `options#`, "must be an object, not null"},
	{`#[]`, `options#`, "must be an object, not an array"},
	{`#{"bundle"}`, `options#/bundle`, "invalid character"},
	{`#{"bundle": "/b"} 1`, `options#`, "data after the end"},
	{`#{"bundle": "/b", "bundle": "/c"}`, `options#/bundle`, "there twice"},
	{`#{"Bundle": "/b"}`, `options#/Bundle`, "is no host option"},
	{`#{"a/b": "/b"}`, `options#/a~1b`, "is no host option"},
	{`#{"bundle": "b"}`, `options#/bundle`, "must be an absolute path"},
	{`#{"bundle": "/b\u0000"}`, `options#/bundle`, "has a NUL byte"},
	{`#{"noPivotRoot": "true"}`, `options#/noPivotRoot`, "must be true or false"},
	{`#{"rootless": 1}`, `options#/rootless`, "must be true or false"},
	{`#{"cgroup2Path": "x"}`, `options#/cgroup2Path`, "must be an absolute path"},
	{`#{"cgroup2Path": "/sys/fs/cgroup/../../x"}`, `options#/cgroup2Path`, "may not have a .. component"},
	{`#{"state": []}`, `options#/state`, "must be an object"},
	{`#{"state": {"status": "x"}}`, `options#/state/status`, "is no host option"},
	{`#{"state": {"id": 1}}`, `options#/state/id`, "must be a string"},
	{`#{"state": {"pid": 4194305}}`, `options#/state/pid`, "between 0 and 4194304"},
	{`#{"state": {"annotations": {"": ""}}}`, `options#/state/annotations/`, "must have a name"},
	{`#{"mountCommands": {}}`, `options#/mountCommands`, "must be an array"},
	{`#{"mountCommands": [{}]}`, `options#/mountCommands/0/mount`, "is missing"},
	{`#{"mountCommands": [{"mount": 0}]}`, `options#/mountCommands/0/mount`, "the config has 0 mounts"},
	{`#{"mountCommands": [{"mount": -1}]}`, `options#/mountCommands/0/mount`, "must be between 0 and 65535"},
	{`#{"mountCommands": [{"mount": 1}, {"mount": 1}]}`, `options#/mountCommands/1/mount`, "an earlier entry"},
	{`#{"mountCommands": [{"mount": 1, "during": []}]}`, `options#/mountCommands/0/during`, "is no host option"},
	{`#{"mountCommands": [{"mount": 0, "before": [{}]}]}`, `options#/mountCommands/0/before/0/path`, "is missing"},
	{`#{"mountCommands": [{"mount": 0, "after": [{"path": "true"}]}]}`, `options#/mountCommands/0/after/0/path`, "absolute"},
	{`#{"mountCommands": [{"mount": 0, "after": [{"path": "/a", "dir": "."}]}]}`, `options#/mountCommands/0/after/0/dir`, "absolute"},
	{`#{"mountCommands": [{"mount": 0, "after": [{"path": "/a", "x": 1}]}]}`, `options#/mountCommands/0/after/0/x`, "no host option"},
}

// documents splits an entry of a table as refused is.
func documents(text string) (config, options []byte) {
	if rest, ok := strings.CutPrefix(text, "#"); ok {
		return []byte(`{"root": {"path": "/r"}}`), []byte(rest)
	}
	if strings.HasPrefix(text, `{"`) && !strings.Contains(text, `"root"`) && text != `{"mounts": []}` {
		text = `{"root": {"path": "/r"}, ` + text[1:]
	}
	return []byte(text), nil
}

func TestRefused(t *testing.T) {
	for _, tt := range refused {
		config, options := documents(tt.text)
		check(t, config, options, tt.pointer, tt.message)
	}
}

func TestRefusedTogether(t *testing.T) {
	const userNS = `"namespaces": [{"type": "user"}]`
	for _, tt := range []struct{ config, options, pointer, message string }{
		{`{"root": {"path": "."}}`, `{"bundle": "/"}`, `/root/path`, "the host's own root"},
		{`{"root": {"path": "../"}}`, `{"bundle": "/b"}`, `/root/path`, "the host's own root"},
		{`{"root": {"path": "/r"}, "linux": {"rootfsPropagation": "private"}}`, `{"noPivotRoot": true}`,
			`/linux/rootfsPropagation`, "noPivotRoot"},
		{`{"root": {"path": "/r"}, "linux": {"rootfsPropagation": "rprivate"}}`, `{"noPivotRoot": true}`,
			`/linux/rootfsPropagation`, "noPivotRoot"},
		{`{"root": {"path": "/r"}, "mounts": [{"destination": "/a", "type": "proc"}]}`,
			`{"mountCommands": [{"mount": 0}, {"mount": 1}]}`, `options#/mountCommands/1/mount`, "the config has 1 mounts"},
		{`{"root": {"path": "/r"}, "linux": {` + userNS + `}, "mounts": [{"destination": "/a", "type": "bind", "source": "/b",
			"options": ["idmap", "ro"], "gidMappings": [{"containerID": 0, "hostID": 0, "size": 1}]}]}`, ``,
			`/mounts/0/uidMappings`, "is missing"},
		{`{"mounts": [{"destination": "/a", "type": "proc"}, {"destination": "/a", "type": "bind", "source": "/b",
			"options": ["ridmap"]}], "root": {"path": "/r"}}`, ``, `/mounts/1/options`, "it has none"},
	} {
		check(t, []byte(tt.config), []byte(tt.options), tt.pointer, tt.message)
	}
	// The same with what was missing.
	for _, tt := range [][2]string{
		{`{"root": {"path": "/r"}, "linux": {"rootfsPropagation": "rslave"}}`, `{"noPivotRoot": true}`},
		{`{"root": {"path": "/r"}, "mounts": [{"destination": "/a", "type": "bind", "source": "/b", "options": ["idmap"]}],
			"linux": {` + userNS + `}}`, ``},
	} {
		accepted(t, tt[0], tt[1])
	}
}

func TestSysctlNames(t *testing.T) {
	for key, want := range map[string]string{
		"net.ipv4.ip_forward":              "net/ipv4/ip_forward",
		"net/ipv4/ip_forward":              "net/ipv4/ip_forward",
		"net/ipv4.conf/x":                  "net/ipv4.conf/x",
		"net.ipv4.conf.eth0/100.proxy":     "net/ipv4/conf/eth0.100/proxy",
		"net/ipv4/conf/eth0.100/proxy":     "net/ipv4/conf/eth0.100/proxy",
		"net.ipv4/conf":                    "net/ipv4.conf",
		"fs.mqueue.msg_max":                "fs/mqueue/msg_max",
		"kernel.shm_rmid_forced":           "kernel/shm_rmid_forced",
		"":                                 "",
		"hostname":                         "",
		"kernel.":                          "",
		".kernel":                          "",
		"/kernel/x":                        "",
		"net..x":                           "",
		"net/ipv4/../../kernel/core":       "",
		"net/./x":                          "",
		"net.a.//.b":                       "", // "//" between dots is the name ".."
		"net.ipv4.x\n":                     "",
		"net.ip v4":                        "",
		"net.\x7f":                         "",
		"net." + strings.Repeat("a", 5000): "",
	} {
		got, problem := sysctlFile(key)
		if got != want || (want == "") != (problem != "") {
			t.Errorf("%.60q: %q, %q", key, got, problem)
		}
	}
}

// TestSysctlNamespaces walks runc's rules: which parameters a namespace of the container's makes its own.
func TestSysctlNamespaces(t *testing.T) {
	needs := map[string]string{
		"kernel.msgmax": "ipc", "kernel.msgmnb": "ipc", "kernel.msgmni": "ipc", "kernel.sem": "ipc", "kernel.shmall": "ipc",
		"kernel.shmmax": "ipc", "kernel.shmmni": "ipc", "kernel.shm_rmid_forced": "ipc", "kernel/msgmax": "ipc",
		"fs.mqueue.queues_max": "ipc", "fs/mqueue/queues_max": "ipc",
		"net.core.somaxconn": "network", "net/ipv4/conf/eth0.1/x": "network", "net/ipv4.conf": "network",
		"kernel.domainname": "uts", "kernel.hostname": "uts", "kernel/hostname": "uts",
		"kernel.core_pattern": "", "kernel/core_pattern": "", "vm.swappiness": "", "fs.file-max": "", "kernel.msg_max": "",
		"fs.mqueue": "", "fs.mqueuex.y": "", "network.x": "", "user.max_user_namespaces": "", "kernel.msgmax.x": "",
	}
	for key, need := range needs {
		pointer := "/linux/sysctl/" + strings.ReplaceAll(key, "/", "~1")
		for _, has := range []string{"ipc", "network", "uts", "user"} {
			text := `{"linux": {"sysctl": {"` + key + `": "1"}, "namespaces": [{"type": "` + has + `"}]}, "root": {"path": "/r"}}`
			switch {
			case has == need:
				accepted(t, text, "")
			case need == "":
				check(t, []byte(text), nil, pointer, "the host's")
			default:
				check(t, []byte(text), nil, pointer, "of the "+need+" namespace")
			}
		}
	}
	check(t, []byte(`{"root": {"path": "/r"}, "linux": {"sysctl": {"kernel.hostname": "a"}, "namespaces": [{"type": "uts"}]},
		"hostname": "b"}`), nil, "/linux/sysctl/kernel.hostname", "also set by the hostname")
	check(t, []byte(`{"root": {"path": "/r"}, "linux": {"sysctl": {"net/../kernel/core_pattern": "|/x"},
		"namespaces": [{"type": "network"}]}}`), nil, "/linux/sysctl/net~1..~1kernel~1core_pattern", "no empty part")
	check(t, []byte(`{"root": {"path": "/r"}, "linux": {"sysctl": {"a": "b"}}}`), nil, "/linux/sysctl/a", "is named as")
	check(t, []byte(`{"root": {"path": "/r"}, "linux": {"sysctl": {"net.a": 1}}}`), nil, "/linux/sysctl/net.a", "must be a string")
	check(t, []byte(`{"root": {"path": "/r"}, "linux": {"sysctl": {"net.a": "\u0000"}}}`), nil, "/linux/sysctl/net.a", "NUL")
}
