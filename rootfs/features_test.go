package rootfs_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/opencontainers/runtime-spec/specs-go/features"

	"github.com/librootfs/librootfs/rootfs"
	"github.com/librootfs/librootfs/rootfs/internal/nstest"
)

// The document is what the specification's own types read, with no member that they do not have.
func TestFeaturesDocument(t *testing.T) {
	var f features.Features
	d := json.NewDecoder(bytes.NewReader(rootfs.Features()))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		t.Fatalf("%v in %s", err, rootfs.Features())
	}
	if f.OCIVersionMin != "1.0.0" || f.OCIVersionMax != specs.Version {
		t.Errorf("versions %s to %s, and the types are of %s", f.OCIVersionMin, f.OCIVersionMax, specs.Version)
	}
	if f.Linux == nil || f.Linux.Selinux == nil || f.Linux.MountExtensions == nil || f.Linux.MountExtensions.IDMap == nil ||
		f.Linux.MountExtensions.IDMap.Enabled == nil || !*f.Linux.MountExtensions.IDMap.Enabled {
		t.Fatalf("%+v", f.Linux)
	}
	for _, option := range []string{"bind", "rbind", "ro", "rro", "tmpcopyup", "idmap", "ridmap", "nosymfollow", "rslave", "src-nofollow"} {
		if !slices.Contains(f.MountOptions, option) {
			t.Errorf("%s is not among the mount options", option)
		}
	}
	if f.Annotations["org.librootfs.version"] != rootfs.Version {
		t.Errorf("annotations: %v", f.Annotations)
	}
}

// A config that the specification's types write is taken as it is.
func TestConfigOfTheSpecificationsTypes(t *testing.T) {
	umask, mode, id := uint32(0o22), uint32(0), 0
	root := t.TempDir()
	c := specs.Spec{
		Version: specs.Version,
		Root:    &specs.Root{Path: root, Readonly: true},
		Process: &specs.Process{Cwd: "/", User: specs.User{Umask: &umask}},
		Mounts: []specs.Mount{
			{Destination: "/proc", Type: "proc", Source: "proc"},
			{Destination: "/x", Type: "bind", Source: "/tmp", Options: []string{"rbind", "rro"},
				UIDMappings: []specs.LinuxIDMapping{{HostID: 7, Size: 1}}, GIDMappings: []specs.LinuxIDMapping{{HostID: 7, Size: 1}}},
		},
		Hooks: &specs.Hooks{CreateContainer: []specs.Hook{{Path: "/bin/true", Timeout: &id}}},
		Linux: &specs.Linux{
			Namespaces:  []specs.LinuxNamespace{{Type: specs.MountNamespace}, {Type: specs.PIDNamespace}, {Type: specs.NetworkNamespace}},
			Devices:     []specs.LinuxDevice{{Path: "/dev/fuse", Type: "c", Major: 10, Minor: 229, UID: &mode}},
			Sysctl:      map[string]string{"net.ipv4.ip_forward": "1"},
			MaskedPaths: []string{"/proc/kcore"}, ReadonlyPaths: []string{"/proc/sys"}, RootfsPropagation: "rslave",
		},
	}
	*c.Hooks.CreateContainer[0].Timeout = 3
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := rootfs.Validate(text, nil); err != nil {
		t.Error(err)
	}
}

// The default config of the tests is the specification's: nothing of it goes unread by its types.
func TestDefaultConfigIsOfTheSpecification(t *testing.T) {
	d := json.NewDecoder(bytes.NewReader(nstest.DefaultConfig("/root").JSON()))
	d.DisallowUnknownFields()
	if err := d.Decode(&specs.Spec{}); err != nil {
		t.Error(err)
	}
}
