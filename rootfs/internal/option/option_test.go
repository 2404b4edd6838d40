package option

import (
	"errors"
	"reflect"
	"slices"
	"sort"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

const (
	ro, nosuid, nodev, noexec = unix.MOUNT_ATTR_RDONLY, unix.MOUNT_ATTR_NOSUID, unix.MOUNT_ATTR_NODEV, unix.MOUNT_ATTR_NOEXEC
	noatime, strictatime      = unix.MOUNT_ATTR_NOATIME, unix.MOUNT_ATTR_STRICTATIME
	atime                     = unix.MOUNT_ATTR__ATIME
	nodiratime                = unix.MOUNT_ATTR_NODIRATIME
	nosymfollow               = unix.MOUNT_ATTR_NOSYMFOLLOW
)

func TestParse(t *testing.T) {
	tests := []struct {
		options string // separated by blanks
		want    Set
	}{
		{"", Set{}},
		{"defaults", Set{}},
		{"bind", Set{Bind: true}},
		{"rbind", Set{Bind: true, Recursive: true}},
		{"rbind bind", Set{Bind: true, Recursive: true}},
		{"remount", Set{Remount: true}},
		{"bind remount ro", Set{Bind: true, Remount: true, Touched: true, Attr: ro, Super: []string{"ro"}}},

		{"ro", Set{Touched: true, Attr: ro, Super: []string{"ro"}}},
		{"ro rw", Set{Touched: true, Clear: ro}},
		{"rw ro", Set{Touched: true, Attr: ro, Super: []string{"ro"}}},
		{"nosuid", Set{Touched: true, Attr: nosuid}},
		{"suid", Set{Touched: true, Clear: nosuid}},
		{"nodev", Set{Touched: true, Attr: nodev}},
		{"nodev dev", Set{Touched: true, Clear: nodev}},
		{"noexec", Set{Touched: true, Attr: noexec}},
		{"noexec exec noexec", Set{Touched: true, Attr: noexec}},
		{"exec", Set{Touched: true, Clear: noexec}},
		{"nodiratime", Set{Touched: true, Attr: nodiratime}},
		{"diratime", Set{Touched: true, Clear: nodiratime}},
		{"nosymfollow", Set{Touched: true, Attr: nosymfollow}},
		{"symfollow", Set{Touched: true, Clear: nosymfollow}},
		{"nosuid nodev noexec", Set{Touched: true, Attr: nosuid | nodev | noexec}},

		{"sync", Set{Touched: true, Super: []string{"sync"}}},
		{"sync async", Set{Touched: true}},
		{"dirsync mand lazytime iversion silent sync",
			Set{Touched: true, Super: []string{"sync", "dirsync", "mand", "lazytime", "iversion", "silent"}}},
		{"mand lazytime iversion silent nomand nolazytime noiversion loud", Set{Touched: true}},

		// The access time: one of three values, by the kernel's order and not by that of the list.
		{"noatime", Set{Touched: true, Attr: noatime, Clear: atime}},
		{"relatime", Set{Touched: true, Clear: atime}},
		{"strictatime", Set{Touched: true, Attr: strictatime, Clear: atime}},
		{"strictatime noatime", Set{Touched: true, Attr: strictatime, Clear: atime}},
		{"noatime strictatime", Set{Touched: true, Attr: strictatime, Clear: atime}},
		{"noatime relatime", Set{Touched: true, Attr: noatime, Clear: atime}},
		{"noatime atime", Set{Touched: true, Clear: atime}},
		{"atime", Set{Touched: true, Clear: atime}},
		{"atime noatime", Set{Touched: true, Attr: noatime, Clear: atime}},
		{"strictatime atime", Set{Touched: true, Attr: strictatime, Clear: atime}},
		{"strictatime nostrictatime", Set{Touched: true}},
		{"noatime strictatime nostrictatime", Set{Touched: true, Attr: noatime, Clear: atime}},
		{"relatime norelatime", Set{Touched: true}},
		{"norelatime", Set{Touched: true}},
		{"nostrictatime", Set{Touched: true}},
		{"nodiratime noatime", Set{Touched: true, Attr: noatime | nodiratime, Clear: atime}},

		{"private", Set{Propagation: []uint64{unix.MS_PRIVATE}}},
		{"rslave shared", Set{Propagation: []uint64{unix.MS_SLAVE | unix.MS_REC, unix.MS_SHARED}}},
		{"rprivate slave rshared unbindable runbindable", Set{Propagation: []uint64{unix.MS_PRIVATE | unix.MS_REC,
			unix.MS_SLAVE, unix.MS_SHARED | unix.MS_REC, unix.MS_UNBINDABLE, unix.MS_UNBINDABLE | unix.MS_REC}}},

		{"rro", Set{RecAttr: ro}},
		{"rrw", Set{RecClear: ro}},
		{"rro rrw", Set{RecClear: ro}},
		{"rrw rro", Set{RecAttr: ro}},
		{"rnosuid rnodev rnoexec rnodiratime rnosymfollow",
			Set{RecAttr: nosuid | nodev | noexec | nodiratime | nosymfollow}},
		{"rsuid rdev rexec rdiratime rsymfollow", Set{RecClear: nosuid | nodev | noexec | nodiratime | nosymfollow}},
		{"rnoatime", Set{RecAttr: noatime, RecClear: atime}},
		{"rrelatime", Set{RecClear: atime}},
		{"rstrictatime", Set{RecAttr: strictatime, RecClear: atime}},
		{"rnoatime rstrictatime", Set{RecAttr: strictatime, RecClear: atime}},
		{"rstrictatime rrelatime", Set{RecClear: atime}},
		{"ratime", Set{RecClear: atime}},
		{"rnoatime ratime", Set{RecClear: atime}},
		{"rstrictatime ratime", Set{RecAttr: strictatime, RecClear: atime}},
		{"rstrictatime rnostrictatime", Set{RecClear: atime}},
		{"rnoatime rnostrictatime", Set{RecAttr: noatime, RecClear: atime}},
		{"rnostrictatime", Set{RecClear: atime}},
		{"rnorelatime", Set{}},
		{"ro rnoexec", Set{Touched: true, Attr: ro, Super: []string{"ro"}, RecAttr: noexec}},

		{"tmpcopyup", Set{CopyUp: true}},
		{"idmap", Set{IDMap: true}},
		{"ridmap", Set{RecursiveIDMap: true}},
		{"idmap ridmap", Set{RecursiveIDMap: true}},
		{"ridmap idmap", Set{IDMap: true}},
		{"src-nofollow", Set{SourceNoFollow: true}},
		{"dest-nofollow", Set{TargetNoFollow: true}},
		{"z", Set{Relabel: 'z'}},
		{"z Z", Set{Relabel: 'Z'}},
		{"Z z", Set{Relabel: 'z'}},

		{"mode=755 size=65536k", Set{Data: []string{"mode=755", "size=65536k"}}},
		{"mode=755,size=1m,,nr_inodes=1k,", Set{Data: []string{"mode=755", "size=1m", "nr_inodes=1k"}}},
		{",", Set{}},
		{"nosuid,nodev", Set{Data: []string{"nosuid", "nodev"}}},
		{"RO Bind", Set{Data: []string{"RO", "Bind"}}},
		{`lowerdir=/a\,b:/c,upperdir=/u`, Set{Data: []string{`lowerdir=/a\,b:/c`, "upperdir=/u"}}},
		{`lowerdir=/a\\,upperdir=/u\`, Set{Data: []string{`lowerdir=/a\\`, `upperdir=/u\`}}},
		{`context="u:r:t:s0:c1,c2"`, Set{Data: []string{"context=u:r:t:s0:c1,c2"}}},
		{`size=1m,rootcontext="u:r:t:s0:c1,c2",mode=700`,
			Set{Data: []string{"size=1m", "rootcontext=u:r:t:s0:c1,c2", "mode=700"}}},
		{`context=u:r:t:s0`, Set{Data: []string{"context=u:r:t:s0"}}},
		{`x="a,b"`, Set{Data: []string{`x="a`, `b"`}}},
	}
	seen := map[string]bool{}
	for _, tt := range tests {
		options := strings.Fields(tt.options)
		got, err := Parse(options)
		if err != nil {
			t.Errorf("%s: %v", tt.options, err)
		} else if !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s:\n got %+v\nwant %+v", tt.options, got, tt.want)
		}
		for _, o := range options {
			seen[o] = true
		}
	}
	for _, e := range Table() {
		if !seen[e.Name] {
			t.Errorf("option %s has no test", e.Name)
		}
	}
}

func TestParseEmptyElement(t *testing.T) {
	got, err := Parse([]string{"", "size=1"})
	if err != nil || !slices.Equal(got.Data, []string{"size=1"}) {
		t.Fatalf("got %+v, %v", got, err)
	}
}

func TestParseErrors(t *testing.T) {
	for _, tt := range []struct {
		options []string
		index   int
		reason  string
	}{
		{[]string{"ro", "a\x00b"}, 1, "has a NUL byte"},
		{[]string{"ro\x00"}, 0, "has a NUL byte"},
		{[]string{"ro", "rw", `mode=1,context="u:r:t,x`}, 2, "has a quote that is not closed"},
	} {
		set, err := Parse(tt.options)
		var e *Error
		if !errors.As(err, &e) || e.Index != tt.index || err.Error() != tt.reason {
			t.Errorf("%q: got %v", tt.options, err)
		}
		if !reflect.DeepEqual(set, Set{}) {
			t.Errorf("%q: a set beside the error: %+v", tt.options, set)
		}
	}
}

func TestTable(t *testing.T) {
	if !sort.SliceIsSorted(table[:], func(i, j int) bool { return table[i].Name < table[j].Name }) {
		t.Error("the table is not sorted by name")
	}
	for i, e := range Table() {
		if i > 0 && table[i-1].Name == e.Name {
			t.Errorf("%s is in the table twice", e.Name)
		}
		if got, ok := FromName(e.Name); !ok || got != e {
			t.Errorf("FromName(%s) is %v, %v", e.Name, got, ok)
		}
		if e.Text == "" || e.Class.String() == "" {
			t.Errorf("%s has no text", e.Name)
		}
		if strings.ContainsAny(e.Name, `,"\`) {
			t.Errorf("%s could not be told from data", e.Name)
		}
	}
	for _, name := range []string{"", "RO", "ro ", "aaa", "zz", "size=1"} {
		if e, ok := FromName(name); ok {
			t.Errorf("FromName(%q) is %v", name, e)
		}
	}
	if names := Names(); len(names) != len(table) || !slices.IsSorted(names) {
		t.Errorf("names: %v", names)
	}
}

func TestAttrNames(t *testing.T) {
	for bits, want := range map[uint64]string{
		0:                             "",
		ro | nosuid | nodev | noexec:  "ro,nosuid,nodev,noexec",
		nosymfollow | nodiratime:      "nodiratime,nosymfollow",
		ro | noatime:                  "ro,noatime",
		strictatime:                   "strictatime",
		atime | nosuid:                "nosuid,atime",
		unix.MOUNT_ATTR_IDMAP | 1<<40: "idmap,0x10000000000",
		0x40:                          "0x40",
	} {
		if got := AttrNames(bits); got != want {
			t.Errorf("AttrNames(%#x) is %q, not %q", bits, got, want)
		}
	}
}

func TestPropagationNames(t *testing.T) {
	count := 0
	for _, e := range Table() {
		if e.Class != Propagation {
			continue
		}
		count++
		if PropagationName(e.Bits) != e.Name || PropagationFlags(e.Name) != e.Bits {
			t.Errorf("%s: %q, %#x", e.Name, PropagationName(e.Bits), PropagationFlags(e.Name))
		}
	}
	if count != 8 {
		t.Errorf("%d values of propagation", count)
	}
	if PropagationName(unix.MS_BIND) != "" || PropagationFlags("bind") != 0 || PropagationFlags("") != 0 {
		t.Error("a flag is taken for a propagation")
	}
}

// FuzzOptions splits its input at line ends into a list of options.
func FuzzOptions(f *testing.F) {
	for _, e := range Table() {
		f.Add(e.Name)
	}
	f.Add("nosuid\nstrictatime\nmode=755\nsize=65536k")
	f.Add("lowerdir=/a\\,b:/c,upperdir=/u\ncontext=\"u:r:t:s0:c1,c2\"")
	f.Add("a\x00b\n,,\n\\")
	f.Fuzz(func(t *testing.T, text string) {
		options := strings.Split(text, "\n")
		set, err := Parse(options)
		again, err2 := Parse(options)
		if !reflect.DeepEqual(set, again) || (err == nil) != (err2 == nil) {
			t.Fatal("two results for one input")
		}
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Index < 0 || e.Index >= len(options) || e.Reason == "" {
				t.Fatalf("error %#v", err)
			}
			return
		}
		if set.Attr&set.Clear&^atime != 0 || set.RecAttr&set.RecClear&^atime != 0 {
			t.Fatalf("a bit is both on and off: %+v", set)
		}
		for _, clear := range []uint64{set.Clear, set.RecClear} {
			if clear&atime != 0 && clear&atime != atime {
				t.Fatalf("a part of MOUNT_ATTR__ATIME: %#x", clear)
			}
		}
		if set.Attr&atime != 0 && set.Clear&atime == 0 || set.RecAttr&atime != 0 && set.RecClear&atime == 0 {
			t.Fatalf("an atime value is set without clearing the others: %+v", set)
		}
		if set.Recursive && !set.Bind || set.IDMap && set.RecursiveIDMap || !set.Touched && set.Attr|set.Clear != 0 {
			t.Fatalf("contradiction: %+v", set)
		}
		for _, d := range set.Data {
			if d == "" || strings.IndexByte(d, 0) >= 0 {
				t.Fatalf("data %q", set.Data)
			}
		}
	})
}

func BenchmarkParse(b *testing.B) {
	options := []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(options); err != nil {
			b.Fatal(err)
		}
	}
}
