package nstest

import (
	_ "embed"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Rootfs makes a small root file system in a directory of the test's own: a static busybox with its usual names, /etc, and
// the empty directories of a distribution. It gives the path.
func Rootfs(t testing.TB) string {
	t.Helper()
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		t.Skip("needs busybox-static")
	}
	dir := EmptyRootfs(t)
	for _, name := range []string{"bin", "dev", "etc", "proc", "root", "run", "sys", "tmp", "usr", "var"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Join(dir, "tmp"), 0o777|os.ModeSticky); err != nil {
		t.Fatal(err)
	}
	binary, err := os.ReadFile(busybox)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "bin/busybox"), binary, 0o755)
	for _, name := range []string{"cat", "echo", "grep", "id", "ls", "mount", "readlink", "sh", "sleep", "stat", "test", "touch", "true"} {
		if err := os.Symlink("busybox", filepath.Join(dir, "bin", name)); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(dir, "etc/passwd"), []byte("root:x:0:0:root:/root:/bin/sh\n"), 0o644)
	write(t, filepath.Join(dir, "etc/group"), []byte("root:x:0:\n"), 0o644)
	write(t, filepath.Join(dir, "etc/hostname"), []byte("container\n"), 0o644)
	return dir
}

// EmptyRootfs makes an empty root file system in a directory of the test's own and gives its path.
func EmptyRootfs(t testing.TB) string {
	t.Helper()
	temp := t.TempDir()
	// Another user namespace's root must get through; testing makes the outer directory for its own user alone.
	for _, outer := range []string{filepath.Dir(temp), temp} {
		if err := os.Chmod(outer, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	dir := filepath.Join(temp, "rootfs")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// GiveTo makes all below a directory the property of this user and group: the rootfs of a container with a user namespace.
func GiveTo(t testing.TB, dir string, id int) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, id, id)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func write(t testing.TB, path string, content []byte, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, content, mode); err != nil {
		t.Fatal(err)
	}
}

//go:embed testdata/config.json
var runcSpec []byte

// Config is a config.json to be changed by a test.
type Config map[string]any

// DefaultConfig is what `runc spec` writes, with the path of the root.
func DefaultConfig(rootfs string) Config {
	var c Config
	if err := json.Unmarshal(runcSpec, &c); err != nil {
		panic(err)
	}
	c.Object("root")["path"] = rootfs
	return c
}

// BareConfig has a root, which is writable, and a new mount namespace; nothing is mounted and nothing is masked.
func BareConfig(rootfs string) Config {
	return Config{
		"ociVersion": "1.0.2",
		"root":       map[string]any{"path": rootfs},
		"process":    map[string]any{"cwd": "/", "args": []any{"sh"}},
		"linux":      map[string]any{"namespaces": []any{map[string]any{"type": "mount"}}},
	}
}

// Object gives the object at these keys, made where it is missing.
func (c Config) Object(keys ...string) map[string]any {
	o := map[string]any(c)
	for _, key := range keys {
		next, found := o[key].(map[string]any)
		if !found {
			next = map[string]any{}
			o[key] = next
		}
		o = next
	}
	return o
}

// AddMount appends to mounts.
func (c Config) AddMount(destination, kind, source string, options ...string) Config {
	mounts, _ := c["mounts"].([]any)
	m := map[string]any{"destination": destination, "type": kind, "source": source}
	if len(options) > 0 {
		m["options"] = options
	}
	c["mounts"] = append(mounts, m)
	return c
}

// DropMount takes the mounts at a destination away.
func (c Config) DropMount(destination string) Config {
	mounts, _ := c["mounts"].([]any)
	var kept []any
	for _, m := range mounts {
		if o, _ := m.(map[string]any); o["destination"] != destination {
			kept = append(kept, m)
		}
	}
	c["mounts"] = kept
	return c
}

// JSON is the document.
func (c Config) JSON() []byte {
	b, err := json.Marshal(c)
	if err != nil {
		panic(err)
	}
	return b
}
