package rootfs_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// testsBelow are the names of the tests of each package: "" for this one, else the name of an internal one.
func testsBelow(t *testing.T) map[string]bool {
	t.Helper()
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	inner, err := filepath.Glob("internal/*/*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	function := regexp.MustCompile(`(?m)^func (Test\w+)\(t \*testing\.T\)`)
	found := map[string]bool{}
	for _, file := range append(files, inner...) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		prefix := ""
		if dir := filepath.Dir(file); dir != "." {
			prefix = filepath.Base(dir) + "."
		}
		for _, m := range function.FindAllStringSubmatch(string(text), -1) {
			found[prefix+m[1]] = true
		}
	}
	return found
}

// Every row of docs/features.md names tests, all of which exist, and none of the eighteen sections is missing.
func TestFeaturesPage(t *testing.T) {
	text, err := os.ReadFile("../docs/features.md")
	if err != nil {
		t.Fatal(err)
	}
	exists := testsBelow(t)
	name := regexp.MustCompile("`((?:[a-z0-9]+\\.)?Test\\w+)`")
	sections, rows := 0, 0
	for i, line := range strings.Split(string(text), "\n") {
		if rest, ok := strings.CutPrefix(line, "## "); ok {
			sections++
			if !strings.HasPrefix(rest, fmt.Sprintf("%d. ", sections)) {
				t.Errorf("line %d: %q is not section %d", i+1, rest, sections)
			}
		}
		cells := strings.Split(line, " | ")
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| ---") || strings.HasPrefix(line, "| what ") {
			continue
		}
		rows++
		tests := name.FindAllStringSubmatch(cells[len(cells)-1], -1)
		if len(tests) == 0 {
			t.Errorf("line %d names no test: %s", i+1, line)
		}
		for _, m := range tests {
			if !exists[m[1]] {
				t.Errorf("line %d: there is no test %s", i+1, m[1])
			}
		}
	}
	if sections != 18 || rows < 50 {
		t.Errorf("%d sections with %d rows", sections, rows)
	}
}
