package config

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/librootfs/librootfs/rootfs/internal/errs"
)

// everyMember is a pair of documents in which each member that is read occurs.
const (
	everyMember = `{"ociVersion": "1.2.0", "hostname": "h", "annotations": {"a": "b"},
		"root": {"path": "r", "readonly": true},
		"process": {"cwd": "/", "terminal": true, "user": {"umask": 18}},
		"mounts": [
			{"destination": "/t", "type": "tmpfs", "source": "t", "options": ["nosuid", "tmpcopyup", "size=1m"]},
			{"destination": "/b", "type": "bind", "source": "s", "options": ["rbind", "idmap", "src-nofollow"],
				"uidMappings": [{"containerID": 0, "hostID": 1, "size": 2}], "gidMappings": [{"containerID": 0, "hostID": 1, "size": 2}]},
			{"destination": "/c", "source": "/s", "options": ["bind", "remount"]}],
		"hooks": {"createContainer": [{"path": "/h", "args": ["h"], "env": ["A=1"], "timeout": 1}]},
		"linux": {"namespaces": [{"type": "network", "path": "/n"}, {"type": "user"}],
			"uidMappings": [{"containerID": 0, "hostID": 1, "size": 2}], "gidMappings": [{"containerID": 0, "hostID": 1, "size": 2}],
			"devices": [{"path": "/d", "type": "c", "major": 1, "minor": 2, "fileMode": 3, "uid": 4, "gid": 5}, {"path": "/p", "type": "p"}],
			"rootfsPropagation": "rslave", "maskedPaths": ["/m"], "readonlyPaths": ["/o"], "mountLabel": "l",
			"sysctl": {"net.ipv4.ip_forward": "1"}}}`
	everyOption = `{"bundle": "/bundle", "state": {"id": "i", "pid": 1, "annotations": {"c": "d"}}, "noPivotRoot": false, "rootless": true,
		"cgroup2Path": "/cg", "mountCommands": [{"mount": 1, "before": [{"path": "/x", "args": ["y"], "env": ["Z=1"], "dir": "/w"}],
			"after": [{"path": "/v"}]}]}`
)

// TestEveryMutation puts each of many values in place of each value of the two documents, drops each, and doubles each entry
// of a list: some 4 000 documents. The parser keeps its promises for all, and agrees with the schemas.
func TestEveryMutation(t *testing.T) {
	accepted(t, everyMember, everyOption)
	count, taken := 0, 0
	for _, ofOptions := range []bool{false, true} {
		text := everyMember
		if ofOptions {
			text = everyOption
		}
		mutations(t, text, func(mutant []byte) {
			config, options := mutant, []byte(everyOption)
			if ofOptions {
				config, options = []byte(everyMember), mutant
			}
			count++
			c, err := Parse(config, options)
			if err == nil {
				taken++
				invariants(t, c)
				schemaAccepts(t, config, options)
				return
			}
			var e *errs.Error
			if !errors.As(err, &e) || e.Code != errs.Invalid || e.Detail == "" {
				t.Errorf("%s: %#v", mutant, err)
				return
			}
			if slices.ContainsFunc(beyondSchema, func(reason string) bool { return strings.Contains(e.Detail, reason) }) {
				return
			}
			schema := schemas().config
			if ofOptions {
				schema = schemas().options
			}
			if _, schemaErr := valid(schema, mutant); schemaErr == nil {
				t.Errorf("%s: the schema accepts what the parser refuses: %v", mutant, err)
			}
		})
	}
	t.Logf("%d documents, %d of them accepted", count, taken)
	if count < 3000 || taken < count/20 || taken > count/2 {
		t.Errorf("%d documents, %d of them accepted: the mutations do not mutate", count, taken)
	}
}

// mutations calls f with every mutant of a document.
func mutations(t *testing.T, text string, f func([]byte)) {
	t.Helper()
	var values []any
	for _, v := range []string{`null`, `true`, `0`, `-1`, `1.5`, `2`, `511`, `4096`, `1048576`, `4294967295`, `4294967296`, `1e30`, `""`, `"/"`,
		`"/.."`, `"/a"`, `"a/b"`, `"../x"`, `"/a/../x//"`, `"a\u0000"`, `"/\u0000"`, `"bind"`, `"private"`, `"p"`, `"tmpfs"`, `"size=1,ro"`,
		`[]`, `{}`, `[null]`, `["/a"]`, `["ridmap"]`, `["bind"]`, `{"x": 1}`, `{"": ""}`, `{"path": "/x"}`} {
		var value any
		if err := json.Unmarshal([]byte(v), &value); err != nil {
			t.Fatal(err)
		}
		values = append(values, value)
	}
	var document any
	if err := json.Unmarshal([]byte(text), &document); err != nil {
		t.Fatal(err)
	}
	emit := func() {
		b, err := json.Marshal(document)
		if err != nil {
			t.Fatal(err)
		}
		f(b)
	}
	var walk func(v any, set func(any))
	walk = func(v any, set func(any)) {
		for _, other := range values {
			set(other)
			emit()
		}
		set(v)
		switch v := v.(type) {
		case map[string]any:
			for _, name := range slices.Sorted(maps.Keys(v)) {
				member := v[name]
				delete(v, name)
				emit()
				walk(member, func(other any) { v[name] = other })
			}
		case []any:
			for i, element := range v {
				set(append(slices.Clone(v), element))
				emit()
				set(slices.Delete(slices.Clone(v), i, i+1))
				emit()
				set(v)
				walk(element, func(other any) { v[i] = other })
			}
		}
	}
	walk(document, func(other any) { document = other })
}
