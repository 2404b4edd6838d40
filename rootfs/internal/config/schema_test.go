package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/librootfs/librootfs/rootfs/internal/errs"
	"github.com/librootfs/librootfs/rootfs/internal/option"
)

// Every document that a test of this package gives to the parser is held against the schemas too, by accepted and check:
// what the parser accepts, the schema accepts; what it refuses, the schema refuses, but for the reasons of beyondSchema.

const schemaDir = "../../../schema/"

var schemas = sync.OnceValue(func() (s struct{ config, options *jsonschema.Schema }) {
	c := jsonschema.NewCompiler()
	c.AssertVocabs()
	s.config = c.MustCompile(schemaDir + "config.json")
	s.options = c.MustCompile(schemaDir + "options.json")
	return s
})

// beyondSchema are the parser's reasons that a JSON Schema has no words for, or only a part of them.
var beyondSchema = []string{
	"must be a whole number",           // 1e1 is an integer to a schema
	"is relative, and no bundle",       // two documents
	"the host's own root",              // "/a/..", and by the bundle
	"is the root itself",               // the same of a device
	"quote that is not closed",         // inside an option
	"it has none",                      // mounts and namespaces
	"meets the range",                  // two entries
	"past the last id",                 // a sum
	"namespace, and the container has", // sysctls and namespaces
	"it would change the host's",       // the list of sysctls
	"also set by the hostname",         // sysctls and hostname
	"no empty part",                    // inside a sysctl's name
	"are not safe together",            // two documents
	"the config has",                   // two documents
	"an earlier entry",                 // two entries
	"larger than",                      // the text itself
	"longer than",                      // bytes, where a schema counts characters; for joined paths
}

// valid holds a document against a schema. Text that is no JSON is told apart: a schema says nothing of it. So is text of
// which the validator, not made for such sizes, would take seconds; TestSchemasHaveTheLimits looks at those.
func valid(s *jsonschema.Schema, text []byte) (isJSON bool, err error) {
	if len(text) > 3*MaxString/2 || bytes.Count(text, []byte(`{`)) > MaxDepth+10 {
		return false, nil
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return false, err
	}
	return true, s.Validate(v)
}

// accepted is Parse for documents that it must accept.
func accepted(t *testing.T, config, options string) *Config {
	t.Helper()
	c, err := Parse([]byte(config), []byte(options))
	if err != nil {
		t.Errorf("%.200s %.200s: %v", config, options, err)
		return nil
	}
	schemaAccepts(t, []byte(config), []byte(options))
	return c
}

func schemaAccepts(t *testing.T, config, options []byte) {
	t.Helper()
	if isJSON, err := valid(schemas().config, config); isJSON && err != nil {
		t.Errorf("%.200q: the parser accepts it, the schema does not: %v", config, err)
	}
	if len(options) == 0 {
		return
	}
	if isJSON, err := valid(schemas().options, options); isJSON && err != nil {
		t.Errorf("%.200q: the parser accepts it, the schema does not: %v", options, err)
	}
}

// check is Parse for documents that it must refuse.
func check(t *testing.T, config, options []byte, pointer, message string) {
	t.Helper()
	c, err := Parse(config, options)
	text, schema := config, schemas().config
	if strings.HasPrefix(pointer, "options#") {
		text, schema = options, schemas().options
	}
	var e *errs.Error
	switch {
	case err == nil:
		t.Errorf("%.200s: accepted as %+v", text, c)
		return
	case c != nil:
		t.Errorf("%.200s: a config beside the error", text)
	case !errors.As(err, &e) || e.Code != errs.Invalid || e.Op == "" || e.Detail == "":
		t.Errorf("%.200s: error %#v", text, err)
		return
	case e.Pointer != pointer:
		t.Errorf("%.200s: the error points at %.200q, not %.200q: %.500v", text, e.Pointer, pointer, err)
	case !strings.Contains(e.Detail, message):
		t.Errorf("%.200s: the error says %q, not %q", text, e.Detail, message)
	}
	// An error of "parse" is one of the text, of which other readers of JSON may take more.
	beyond := e.Op == "parse" || slices.ContainsFunc(beyondSchema, func(reason string) bool { return strings.Contains(e.Detail, reason) })
	if isJSON, schemaErr := valid(schema, text); isJSON && schemaErr == nil && !beyond {
		t.Errorf("%.200s: the schema accepts what the parser refuses: %v", text, err)
	}
}

// TestSchemasAreClosedAndOpen: an unknown member is refused in the host options alone, however deep.
func TestSchemasAreClosedAndOpen(t *testing.T) {
	accepted(t, `{"root": {"path": "/r", "x": 1}, "x": 1, "mounts": [{"destination": "/a", "type": "tmpfs", "x": 1}], "linux": {"x": 1,
		"namespaces": [{"type": "pid", "x": 1}], "devices": [{"path": "/f", "type": "p", "x": 1}]}, "process": {"cwd": "/", "x": 1,
		"user": {"x": 1}}, "hooks": {"x": 1, "createContainer": [{"path": "/a", "x": 1}]}}`, ``)
	for _, options := range []string{`{"x": 1}`, `{"state": {"x": 1}}`, `{"mountCommands": [{"mount": 0, "x": 1}]}`,
		`{"mountCommands": [{"mount": 0, "before": [{"path": "/a", "x": 1}]}]}`} {
		if _, err := valid(schemas().options, []byte(options)); err == nil {
			t.Errorf("%s: the schema accepts it", options)
		}
	}
}

// TestSchemasHaveTheLimits: every limit in the schemas is one of the parser's, and no array, object or string is without.
func TestSchemasHaveTheLimits(t *testing.T) {
	allowed := map[string][]float64{"maxItems": {MaxEntries, MaxIDMaps, 0}, "maxProperties": {MaxEntries},
		"maxLength": {MaxPath, MaxString},
		"maximum":   {0o777, maxUint32, maxUint32 - 1, MaxMajor, MaxMinor, 0xffff, MaxTimeout, MaxPid, MaxEntries - 1}}
	var walk func(where string, v any)
	walk = func(where string, v any) {
		switch v := v.(type) {
		case []any:
			for _, e := range v {
				walk(where, e)
			}
		case map[string]any:
			for name, e := range v {
				walk(where+"/"+name, e)
			}
			for name, limits := range allowed {
				if n, ok := v[name].(float64); ok && !slices.Contains(limits, n) {
					t.Errorf("%s: %s %v is no limit of the parser", where, name, n)
				}
			}
			if _, ok := v["items"]; ok && v["type"] != nil && v["maxItems"] == nil {
				t.Errorf("%s has no maxItems", where)
			}
			if pattern, ok := v["pattern"]; ok && v["type"] != nil && v["maxLength"] == nil && where[len(where)-4:] != "/not" {
				t.Errorf("%s, a string of %v, has no maxLength", where, pattern)
			}
		}
	}
	for _, name := range []string{"config.json", "options.json"} {
		text, err := os.ReadFile(schemaDir + name)
		if err != nil {
			t.Fatal(err)
		}
		var v any
		if err := json.Unmarshal(text, &v); err != nil {
			t.Fatal(err)
		}
		walk(name+"#", v)
	}
}

// TestSchemaKnowsTheOptions compares the options that the schema allows on a bind with the table.
func TestSchemaKnowsTheOptions(t *testing.T) {
	text, err := os.ReadFile(schemaDir + "config.json")
	if err != nil {
		t.Fatal(err)
	}
	var schema struct {
		Defs struct {
			Mount struct {
				Then struct {
					Properties struct {
						Options struct {
							Items struct {
								AnyOf []struct{ Enum []string }
							}
						}
					}
				}
			}
		} `json:"$defs"`
	}
	if err := json.Unmarshal(text, &schema); err != nil {
		t.Fatal(err)
	}
	got := schema.Defs.Mount.Then.Properties.Options.Items.AnyOf[1].Enum
	want := slices.DeleteFunc(option.Names(), func(name string) bool { return name == "tmpcopyup" })
	equal(t, "options of a bind", got, want)
}

// TestEachOptionOnEachType puts every option of the table on a bind, a tmpfs and another file system.
func TestEachOptionOnEachType(t *testing.T) {
	for _, name := range append(option.Names(), "size=1", "", ",", `context=\"a\"`) {
		for _, kind := range []string{`"type": "bind", "source": "/s", `, `"type": "tmpfs", `, `"type": "proc", "source": "/s", `, ``} {
			config := `{"root": {"path": "/r"}, "linux": {"namespaces": [{"type": "user"}]},
				"mounts": [{` + kind + `"destination": "/a", "options": ["` + name + `"]}]}`
			_, err := Parse([]byte(config), nil)
			isJSON, schemaErr := valid(schemas().config, []byte(config))
			if !isJSON || (err == nil) != (schemaErr == nil) {
				t.Errorf("%s: the parser says %v, the schema %v", config, err, schemaErr)
			}
		}
	}
}
