package plan_test

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/librootfs/librootfs/rootfs/internal/config"
	"github.com/librootfs/librootfs/rootfs/internal/plan"
)

const docsPath = "../../../docs/plan.md"

// block finds a fenced block of docs/plan.md: where its text begins and ends.
func block(t testing.TB, docs, kind string) (begin, end int) {
	t.Helper()
	fence := "```json " + kind + "\n"
	begin = strings.Index(docs, fence)
	if begin < 0 {
		t.Fatalf("%s has no block %q", docsPath, kind)
	}
	begin += len(fence)
	return begin, begin + strings.Index(docs[begin:], "```\n")
}

// The example of docs/plan.md is what the library makes of it. "go test -update" writes it.
func TestDocsExample(t *testing.T) {
	text, err := os.ReadFile(docsPath)
	if err != nil {
		t.Fatal(err)
	}
	docs := string(text)
	begin, end := block(t, docs, "config")
	c, err := config.Parse([]byte(docs[begin:end]), []byte(`{"bundle": "/bundle"}`))
	if err != nil {
		t.Fatal(err)
	}
	p := build(t, c, unified())
	begin, end = block(t, docs, "plan")
	want := string(p.JSON())
	if *update {
		docs = docs[:begin] + want + docs[end:]
		if err := os.WriteFile(docsPath, []byte(docs), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if docs[begin:end] != want {
		t.Errorf("the example of %s is out of date (go test -update writes it); now it is\n%s", docsPath, want)
	}
}

// Every kind of step, and every member, is explained.
func TestDocsAreComplete(t *testing.T) {
	text, err := os.ReadFile(docsPath)
	if err != nil {
		t.Fatal(err)
	}
	_, docs, _ := strings.Cut(string(text), "## All steps")
	names := map[string]bool{}
	for _, c := range []struct {
		c *config.Config
		f *plan.Facts
	}{{everything(), unified()}, {rootless(standard()), unified()}, {&config.Config{}, nil}, {fallbacks(), hybrid()}} {
		p := build(t, c.c, c.f)
		for _, steps := range [][]plan.Step{p.Prepare, p.Finalize} {
			for _, s := range steps {
				names[s.Op()] = true
			}
		}
		for _, m := range regexp.MustCompile(`"(\w+)": `).FindAllStringSubmatch(string(p.JSON()), -1) {
			names[m[1]] = true
		}
	}
	if len(names) < 60 {
		t.Errorf("only %d names were found: %v", len(names), names)
	}
	for n := range names {
		if n != "prepare" && n != "finalize" && !strings.Contains(docs, "`"+n+"`") {
			t.Errorf("%s does not explain %q", docsPath, n)
		}
	}
}

// fallbacks has what the others lack.
func fallbacks() *config.Config {
	c := with(bare(m("/i", "bind", "/i", "idmap")), "user")
	c.Options.NoPivotRoot = true
	return c
}

// What is read back from the JSON is what the plan has: one line for one step, in order.
func TestJSONHasAllSteps(t *testing.T) {
	p := build(t, everything(), unified())
	var got struct {
		Prepare, Finalize []struct{ Op, Pointer, Target string }
	}
	if err := json.Unmarshal(p.JSON(), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Prepare) != len(p.Prepare) || len(got.Finalize) != len(p.Finalize) {
		t.Fatalf("%d and %d steps", len(got.Prepare), len(got.Finalize))
	}
	for i, s := range append(p.Prepare, p.Finalize...) {
		g := append(got.Prepare, got.Finalize...)[i]
		if g.Op != s.Op() || g.Pointer != s.Pointer() || g.Target != s.Target() {
			t.Errorf("step %d: %+v", i, g)
		}
	}
	if lines := strings.Count(string(p.JSON()), "\n    {"); lines != len(p.Prepare)+len(p.Finalize) {
		t.Errorf("%d lines", lines)
	}
}

// Bytes that are no UTF-8, which a path of the host may have, do not break the document.
func TestJSONOfOddPaths(t *testing.T) {
	f := unified()
	f.Cgroup.Own = "/a\xff\"\\\n"
	text := build(t, with(cgroup("cgroup2"), "cgroup"), f).JSON()
	if !json.Valid(text) || !strings.Contains(string(text), `/a\ufffd\"\\\n`) && !strings.Contains(string(text), "/a\uFFFD\\\"\\\\\\n") {
		t.Errorf("%s", text)
	}
}
