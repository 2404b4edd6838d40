package rootfs_test

import (
	"os"
	"strconv"
	"strings"
	"testing"
)

// A state far larger than a pipe holds reaches the hook whole.
func TestHookWithALargeState(t *testing.T) {
	out := shared(t)
	write(t, out+"/hook", "#!/bin/sh\nwc -c > "+out+"/size\n", 0o755)
	b := newBox(t)
	b.config.Object("annotations")["org.example.large"] = strings.Repeat("x", 900_000)
	b.config.Object("hooks")["createContainer"] = []any{map[string]any{"path": out + "/hook", "env": []any{"PATH=/usr/bin:/bin"}}}
	b.run()
	text, err := os.ReadFile(out + "/size")
	if n, _ := strconv.Atoi(strings.TrimSpace(string(text))); err != nil || n < 900_000 {
		t.Errorf("%q, %v", text, err)
	}
}

// Hooks run in the order of the config, in the container's namespaces, and before the root is switched; the first that fails
// ends it, and the others are not run.
func TestHooksInOrder(t *testing.T) {
	out := shared(t)
	script := func(name, text string) map[string]any {
		write(t, out+"/"+name, "#!/bin/sh\n"+text+"\n", 0o755)
		return map[string]any{"path": out + "/" + name, "env": []any{"PATH=/usr/bin:/bin"}}
	}
	b := newBox(t).mount("/x", "tmpfs", "tmpfs")
	log := ">> " + out + "/log"
	b.config.Object("hooks")["createContainer"] = []any{
		script("one", "grep -c "+b.rootfs+"/x /proc/self/mountinfo "+log), script("two", "readlink /proc/self/ns/mnt "+log),
		script("three", "echo three "+log+"; exit 9"), script("four", "echo four "+log)}
	b.refused("/hooks/createContainer/2", "exit status 9")
	text, err := os.ReadFile(out + "/log")
	lines := strings.Fields(string(text))
	here, _ := os.Readlink("/proc/self/ns/mnt")
	if err != nil || len(lines) != 3 || lines[0] != "1" || lines[1] == here || lines[2] != "three" {
		t.Errorf("%q, %v", lines, err)
	}
}

func TestCommandsThatFail(t *testing.T) {
	out := shared(t)
	write(t, out+"/ran", "#!/bin/sh\ntouch "+out+"/$1\n", 0o755)
	command := func(path string, args ...any) []any {
		return []any{map[string]any{"path": path, "args": args, "env": []any{"PATH=/usr/bin:/bin"}, "dir": out}}
	}
	b := newBox(t).mount("/x", "tmpfs", "tmpfs").mount("/y", "tmpfs", "tmpfs")
	b.options(map[string]any{"mountCommands": []any{
		map[string]any{"mount": 1, "before": command("/bin/false")},
		map[string]any{"mount": 0, "after": command(out+"/ran", "after-x")}}})
	if e := b.refused("options#/mountCommands/0/before/0", "exit status 1"); e.Code != 6 {
		t.Errorf("%+v", e)
	}
	if _, err := os.Stat(out + "/after-x"); err != nil {
		t.Error("the command of the mount before it did not run")
	}
	b.options(map[string]any{"mountCommands": []any{map[string]any{"mount": 0, "after": command(out + "/missing")}}})
	b.refused("options#/mountCommands/0/after/0", "no such file")
}

// Hooks run with the ids that the container has.
func TestHooksInUserNamespace(t *testing.T) {
	out := shared(t)
	write(t, out+"/hook", "#!/bin/sh\nid -u\nexit 5\n", 0o755)
	b := newBox(t).userns()
	b.config.Object("hooks")["createContainer"] = []any{map[string]any{"path": out + "/hook", "timeout": 5, "env": []any{"PATH=/usr/bin:/bin"}}}
	b.refused("/hooks/createContainer/0", "exit status 5: 0")
}
