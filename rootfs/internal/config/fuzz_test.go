package config

import (
	"errors"
	"os"
	"path"
	"reflect"
	"strings"
	"testing"

	"github.com/librootfs/librootfs/rootfs/internal/errs"
)

func FuzzParse(f *testing.F) {
	for _, file := range []string{"runc-spec.json", "runc-spec-rootless.json", "podman.json"} {
		text, err := os.ReadFile("testdata/" + file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text, []byte(`{"bundle": "/b", "state": {"id": "x", "pid": 1}}`))
	}
	for _, tt := range refused {
		config, options := documents(tt.text)
		f.Add(config, options)
	}
	f.Add([]byte(`{"root":{"path":"r"},"mounts":[{"destination":"a","type":"bind","source":"s/..","options":["idmap","ro"],
		"uidMappings":[{"containerID":0,"hostID":1,"size":2}],"gidMappings":[{"containerID":0,"hostID":1,"size":2}]}],
		"linux":{"sysctl":{"net.a.b/c":"1"},"namespaces":[{"type":"network"}],"devices":[{"path":"/d","type":"u","major":1,"minor":2}]},
		"hooks":{"createContainer":[{"path":"/h","args":["h"],"timeout":3}]}}`),
		[]byte(`{"bundle":"/b","mountCommands":[{"mount":0,"before":[{"path":"/c","dir":"/"}]}]}`))
	f.Fuzz(func(t *testing.T, config, options []byte) {
		c, err := Parse(config, options)
		again, err2 := Parse(config, options)
		if !reflect.DeepEqual(c, again) || !reflect.DeepEqual(err, err2) {
			t.Fatal("two results for one input")
		}
		if err != nil {
			var e *errs.Error
			if c != nil || !errors.As(err, &e) || e.Code != errs.Invalid || e.Detail == "" || e.Errno != 0 {
				t.Fatalf("error %#v beside %+v", err, c)
			}
			if p := strings.TrimPrefix(e.Pointer, "options#"); p != "" && p[0] != '/' {
				t.Fatalf("pointer %q", e.Pointer)
			}
			return
		}
		invariants(t, c)
		schemaAccepts(t, config, options)
	})
}

// invariants is what the doc comments of Config promise.
func invariants(t *testing.T, c *Config) {
	t.Helper()
	noNUL(t, reflect.ValueOf(c))
	inside := func(what, p string) {
		t.Helper()
		if len(p) > MaxPath || p == "" || p[0] != '/' || path.Clean(p) != p {
			t.Errorf("%s: %q", what, p)
		}
	}
	host := func(what, p string) {
		t.Helper()
		if len(p) > MaxPath || p == "" || p[0] != '/' || !strings.Contains(p, "..") && path.Clean(p) != p {
			t.Errorf("%s: %q", what, p)
		}
	}
	host("root", c.Root.Path)
	if path.Clean(c.Root.Path) == "/" {
		t.Errorf("root %q", c.Root.Path)
	}
	for _, m := range c.Mounts {
		inside("destination", m.Destination)
		set := &m.Options
		if set.Bind != (m.Type == "bind") && m.Type != "bind" || m.Type == "" && !set.Remount {
			t.Errorf("type %q with %+v", m.Type, *set)
		}
		if m.Type == "bind" {
			if !set.Remount || m.Source != "" {
				host("source", m.Source)
			}
			if len(set.Data) > 0 {
				t.Errorf("a bind with data %q", set.Data)
			}
		}
		if (len(m.UIDMappings) > 0) != (len(m.GIDMappings) > 0) {
			t.Errorf("one id map of two")
		}
		if (set.IDMap || set.RecursiveIDMap) && len(m.UIDMappings) == 0 && !c.Has("user") {
			t.Errorf("an idmap without any mapping")
		}
	}
	if c.Process.Cwd != "" {
		inside("cwd", c.Process.Cwd)
	}
	if c.Process.Umask != nil && *c.Process.Umask > 0o777 {
		t.Errorf("umask %o", *c.Process.Umask)
	}
	for _, d := range c.Devices {
		inside("device", d.Path)
		if strings.IndexByte("cbp", d.Type) < 0 || d.Mode > 0o7777 || d.Major > MaxMajor || d.Minor > MaxMinor || d.Path == "/" {
			t.Errorf("device %+v", d)
		}
	}
	for _, p := range append(c.MaskedPaths, c.ReadonlyPaths...) {
		inside("path", p)
	}
	for _, s := range c.Sysctls {
		inside("sysctl", "/proc/sys/"+s.File)
		if ns := sysctlNamespace(s.File); ns == "" || !c.Has(ns) {
			t.Errorf("sysctl %q of %q", s.File, ns)
		}
	}
	for _, h := range c.Hooks {
		host("hook", h.Path)
		if !strings.HasPrefix(h.Pointer, "/hooks/createContainer/") || h.Timeout < 0 {
			t.Errorf("hook %+v", h)
		}
	}
	seen := map[string]bool{}
	for _, n := range c.Namespaces {
		if seen[n.Type] || namespaceBit(n.Type) == 0 {
			t.Errorf("namespace %q", n.Type)
		}
		seen[n.Type] = true
	}
	for _, m := range c.Options.MountCommands {
		if m.Mount < 0 || m.Mount >= len(c.Mounts) {
			t.Errorf("commands of mount %d", m.Mount)
		}
		for _, command := range append(m.Before, m.After...) {
			host("command", command.Path)
		}
	}
	if c.Options.Bundle != "" {
		host("bundle", c.Options.Bundle)
	}
	if c.Options.CgroupPath != "" {
		inside("cgroup2Path", c.Options.CgroupPath)
	}
}

// noNUL walks every string of a value.
func noNUL(t *testing.T, v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		if strings.IndexByte(v.String(), 0) >= 0 || v.Len() > MaxString {
			t.Errorf("string %.100q", v.String())
		}
	case reflect.Pointer:
		if !v.IsNil() {
			noNUL(t, v.Elem())
		}
	case reflect.Slice:
		for i := range v.Len() {
			noNUL(t, v.Index(i))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			noNUL(t, v.Field(i))
		}
	}
}
