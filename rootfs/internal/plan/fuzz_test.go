package plan_test

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/librootfs/librootfs/rootfs/internal/config"
	"github.com/librootfs/librootfs/rootfs/internal/plan"
)

// FuzzBuild plans whatever the parser takes, on each kind of host: it must not panic, and where there is a plan, it is
// JSON, begins by opening the root and switches to it once.
func FuzzBuild(f *testing.F) {
	text, err := os.ReadFile(docsPath)
	if err != nil {
		f.Fatal(err)
	}
	begin, end := block(f, string(text), "config")
	f.Add(text[begin:end], []byte(`{"bundle":"/b","rootless":true,"mountCommands":[{"mount":1,"before":[{"path":"/x"}]}]}`))
	f.Add([]byte(`{"root":{"path":"/r"},"mounts":[{"destination":"/c","type":"cgroup","options":["rro"]},`+
		`{"destination":"/c","type":"tmpfs","options":["remount","ro"]},{"destination":"/","type":"tmpfs","options":["ro"]}],`+
		`"linux":{"namespaces":[{"type":"mount"},{"type":"cgroup"}]}}`), []byte(nil))
	hosts := []*plan.Facts{nil, hybrid(), unified()}
	f.Fuzz(func(t *testing.T, document, options []byte) {
		c, err := config.Parse(document, options)
		if err != nil {
			return
		}
		for _, h := range hosts {
			p, err := plan.Build(c, h)
			if err != nil {
				continue
			}
			if !json.Valid(p.JSON()) {
				t.Fatalf("not JSON: %s", p.JSON())
			}
			if _, ok := p.Prepare[0].(*plan.OpenRoot); !ok || len(of[*plan.SwitchRoot](p.Prepare)) != 1 {
				t.Fatalf("%s", p.JSON())
			}
		}
	})
}
