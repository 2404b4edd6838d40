// Package features writes the features document of the OCI runtime specification, as far as a library for root file
// systems has a say in it, for runtimes to build theirs on.
package features

import (
	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/sys/unix"

	"github.com/librootfs/librootfs/rootfs/internal/linux"
	"github.com/librootfs/librootfs/rootfs/internal/option"
)

// The versions of the specification whose config.json is taken. Every member written below is defined in the newer one.
const (
	ociVersionMin = "1.0.0"
	ociVersionMax = "1.2.1"
)

// prefix begins the names of this library's annotations.
const prefix = "org.librootfs."

// JSON is the document, for this version of the library. What it leaves out (capabilities, seccomp, AppArmor, cgroup
// managers) is the runtime's own; an absent member says nothing, where false would say no. The annotations tell what the
// document itself may not, since it is to describe the program and not the host: for each kernel call that the library
// uses and can be without, org.librootfs.kernel.NAME is
//
//	"available"
//	"missing"   the kernel has no such call, or a filter says so
//	"refused"   the call answers EPERM: a filter, or the privileges of the process
//
// It is found out by calling with arguments that cannot succeed; nothing is changed.
func JSON(version string) []byte {
	var d document
	d.enc = jsontext.NewEncoder(&d.text, jsontext.Multiline(true), jsontext.WithIndent("  "))
	d.begin("")
	d.str("ociVersionMin", ociVersionMin)
	d.str("ociVersionMax", ociVersionMax)
	d.list("hooks", "createContainer")
	d.list("mountOptions", option.Names()...)
	d.begin("linux")
	d.list("namespaces", "cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts")
	d.begin("selinux")
	d.yes("enabled")
	d.end()
	d.begin("mountExtensions")
	d.begin("idmap")
	d.yes("enabled")
	d.end()
	d.end()
	d.end()
	d.begin("annotations")
	d.str(prefix+"version", version)
	for _, c := range linux.Calls {
		d.str(prefix+"kernel."+c.Name, answer(c.Probe()))
	}
	d.end()
	d.end()
	return d.text
}

func answer(errno unix.Errno) string {
	switch errno {
	case unix.ENOSYS:
		return "missing"
	case unix.EPERM:
		return "refused"
	}
	return "available"
}

// document is the text and what writes it. All names and values are this library's own, so the encoder has nothing to
// refuse.
type document struct {
	enc  *jsontext.Encoder
	text text
}

type text []byte

// Write appends; it never fails.
func (t *text) Write(p []byte) (int, error) {
	*t = append(*t, p...)
	return len(p), nil
}

func (d *document) token(t jsontext.Token) { _ = d.enc.WriteToken(t) }

func (d *document) begin(name string) {
	if name != "" {
		d.token(jsontext.String(name))
	}
	d.token(jsontext.BeginObject)
}

func (d *document) end() { d.token(jsontext.EndObject) }

func (d *document) str(name, value string) {
	d.token(jsontext.String(name))
	d.token(jsontext.String(value))
}

func (d *document) yes(name string) {
	d.token(jsontext.String(name))
	d.token(jsontext.True)
}

func (d *document) list(name string, values ...string) {
	d.token(jsontext.String(name))
	d.token(jsontext.BeginArray)
	for _, v := range values {
		d.token(jsontext.String(v))
	}
	d.token(jsontext.EndArray)
}
