package rootfs_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/librootfs/librootfs/rootfs/internal/nstest"
)

func write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

// shared is a directory that other user namespaces can reach.
func shared(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for d := dir; d != "/tmp" && d != "/"; d = filepath.Dir(d) {
		_ = os.Chmod(d, 0o755)
	}
	return dir
}

func TestDefaultConfig(t *testing.T) {
	nstest.NeedRoot(t)
	b := newBox(t)
	b.config = nstest.DefaultConfig(b.rootfs)
	b.look("/dev/null", "/dev/ptmx", "/dev/fd", "/proc/kcore", "/proc/acpi", "/sys/firmware")
	b.write("/", "/proc/sys/kernel", "/dev/shm", "/dev/null")
	r := b.run()
	for path, want := range map[string]string{"/proc": "proc", "/dev": "tmpfs", "/dev/pts": "devpts", "/dev/shm": "tmpfs",
		"/dev/mqueue": "mqueue", "/sys": "sysfs"} {
		if m := r.At(path); m == nil || m.Type != want {
			t.Errorf("%s: %+v, want %s", path, m, want)
		}
	}
	if !r.Nodes["/dev/null"].Device(1, 3) || r.Nodes["/dev/ptmx"].Link != "pts/ptmx" || r.Nodes["/dev/fd"].Link != "/proc/self/fd" {
		t.Errorf("/dev: %+v", r.Nodes)
	}
	hasOptions(t, r.At("/"), "ro")
	hasOptions(t, r.At("/sys"), "ro", "nosuid", "nodev", "noexec")
	for path, allowed := range map[string]bool{"/": false, "/proc/sys/kernel": false, "/dev/shm": true, "/dev/null": true} {
		if (r.Writes[path] == "") != allowed {
			t.Errorf("writing %s: %q, allowed is to be %v", path, r.Writes[path], allowed)
		}
	}
	if r.Cwd != "/" {
		t.Errorf("working directory %q", r.Cwd)
	}
}

func TestBindOptions(t *testing.T) {
	src := shared(t)
	write(t, src+"/file", "data", 0o644)
	b := newBox(t)
	b.mount("/plain", "bind", src, "bind")
	b.mount("/ro", "bind", src, "rbind", "ro", "nosuid", "nodev", "noexec", "nosymfollow")
	b.mount("/atime", "bind", src, "bind", "noatime", "nodiratime")
	b.mount("/strict", "bind", src, "bind", "strictatime")
	b.mount("/last", "bind", src, "bind", "ro", "rw", "noexec", "exec", "nosuid")
	b.mount("/deep/er/file", "bind", src+"/file", "bind", "ro")
	b.look("/deep", "/deep/er/file").write("/ro", "/plain")
	r := b.run()
	hasOptions(t, r.At("/plain"), "rw", "relatime")
	hasOptions(t, r.At("/ro"), "ro", "nosuid", "nodev", "noexec", "nosymfollow")
	hasOptions(t, r.At("/atime"), "noatime", "nodiratime", "rw")
	hasOptions(t, r.At("/strict"), "!relatime", "!noatime")
	hasOptions(t, r.At("/last"), "rw", "nosuid", "!noexec")
	if r.Nodes["/deep/er/file"].Text != "data" || r.Nodes["/deep"].Mode&0o777 != 0o755 {
		t.Errorf("%+v", r.Nodes)
	}
	if r.Writes["/ro"] == "" || r.Writes["/plain"] != "" {
		t.Errorf("writes: %v", r.Writes)
	}
}

// A bind that names any flag has just the flags that it names (mount(2), MS_REMOUNT|MS_BIND); one that names none keeps
// those of its source.
func TestBindKeepsOrReplacesFlags(t *testing.T) {
	b := newBox(t)
	b.mount("/a", "tmpfs", "tmpfs", "nosuid", "nodev")
	b.mount("/b", "bind", "none", "bind") // source set below: a mount of the container itself is no host path
	src := shared(t)
	if err := unix.Mount("tmpfs", src, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(src, unix.MNT_DETACH) })
	b.config.DropMount("/b")
	b.mount("/kept", "bind", src, "bind")
	b.mount("/replaced", "bind", src, "bind", "noexec")
	b.mount("/cleared", "bind", src, "bind", "suid")
	r := b.run()
	hasOptions(t, r.At("/kept"), "nosuid", "nodev")
	hasOptions(t, r.At("/replaced"), "noexec", "!nosuid", "!nodev")
	hasOptions(t, r.At("/cleared"), "!nosuid", "!nodev")
}

// An option of the access time replaces what the mount has of it, one that clears too: then it is relatime.
func TestAccessTimeIsReplaced(t *testing.T) {
	src := hostMount(t, unix.MS_NOATIME|unix.MS_NODIRATIME)
	want := map[string][]string{
		"nosuid": {"noatime", "nodiratime", "!relatime"}, "atime": {"relatime", "!noatime", "!nodiratime"},
		"diratime": {"relatime", "!noatime", "!nodiratime"}, "relatime": {"relatime", "!noatime", "!nodiratime"},
		"norelatime": {"noatime", "nodiratime", "!relatime"}, "strictatime": {"!relatime", "!noatime", "!nodiratime"},
		"nodiratime": {"relatime", "nodiratime", "!noatime"}, "noatime": {"noatime", "!relatime", "!nodiratime"},
	}
	for name, deny := range map[string][]nstest.Denial{"detached": nil, "mount(2)": {nstest.Deny(unix.ENOSYS)}} {
		b := newBox(t)
		b.spec.Deny = deny
		for option := range want {
			b.mount("/bind-"+option, "bind", src, "bind", option)
			b.mount("/fs-"+option, "tmpfs", "tmpfs", "noatime", "nodiratime")
			b.mount("/fs-"+option, "tmpfs", "tmpfs", "remount", option)
			b.mount("/mount-"+option, "tmpfs", "tmpfs", "noatime", "nodiratime")
			b.mount("/mount-"+option, "bind", src, "remount", "bind", option)
		}
		// One that names none, too: only a new bind keeps what its source has.
		b.mount("/bare", "bind", src, "bind", "nosuid", "noexec").mount("/bare", "bind", "", "remount", "bind")
		r := b.withProc().run()
		hasOptions(t, r.At("/bare"), "!nosuid", "!noexec")
		for option, list := range want {
			for _, kind := range []string{"/bind-", "/fs-", "/mount-"} {
				t.Run(name+kind+option, func(t *testing.T) { hasOptions(t, r.At(kind+option), list...) })
			}
		}
	}
}

func TestRecursiveBindAndAttributes(t *testing.T) {
	src := shared(t)
	if err := os.Mkdir(src+"/sub", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", src+"/sub", "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(src+"/sub", unix.MNT_DETACH) })
	b := newBox(t)
	b.mount("/one", "bind", src, "bind")
	b.mount("/all", "bind", src, "rbind", "ro")
	b.mount("/rec", "bind", src, "rbind", "rro", "rnosuid", "rnoexec", "rnodev", "rnosymfollow")
	b.mount("/time", "bind", src, "rbind", "rnoatime")
	r := b.run()
	if r.At("/one/sub") != nil {
		t.Error("bind took a mount below its source along")
	}
	hasOptions(t, r.At("/all"), "ro")
	hasOptions(t, r.At("/all/sub"), "rw")
	hasOptions(t, r.At("/rec"), "ro", "nosuid", "noexec", "nodev", "nosymfollow")
	hasOptions(t, r.At("/rec/sub"), "ro", "nosuid", "noexec", "nodev", "nosymfollow")
	hasOptions(t, r.At("/time/sub"), "noatime")
}

func TestPropagationOptions(t *testing.T) {
	src := shared(t)
	b := newBox(t)
	for _, p := range []string{"private", "rprivate", "slave", "rslave", "shared", "rshared", "unbindable", "runbindable"} {
		b.mount("/"+p, "bind", src, "bind", p)
	}
	b.mount("/both", "bind", src, "bind", "slave", "shared")
	r := b.run() // verify compares each of them
	for path, want := range map[string]string{"/private": "", "/shared": "shared:", "/unbindable": "unbindable"} {
		if m := r.At(path); m == nil || !strings.Contains(m.Optional, want) || (want == "" && m.Optional != "") {
			t.Errorf("%s: %+v, want %q", path, m, want)
		}
	}
	if m := r.At("/slave"); m == nil || !strings.Contains(m.Optional, "master:") && m.Optional != "" {
		t.Errorf("/slave: %+v", m)
	}
}

// Below a shared mount, attaching makes a mount shared, whatever it was before: the options count after that.
func TestPropagationBelowASharedMount(t *testing.T) {
	b := newBox(t).mount("/up", "tmpfs", "tmpfs", "shared").mount("/up/private", "tmpfs", "tmpfs", "private").
		mount("/up/bind", "bind", shared(t), "rbind", "rprivate").mount("/up/unbindable", "tmpfs", "tmpfs", "unbindable")
	b.mount("/later", "tmpfs", "tmpfs").mount("/later", "bind", "", "remount", "bind", "shared").
		mount("/later/bind", "bind", shared(t), "bind", "private").mount("/later/ro", "bind", shared(t), "rbind", "rprivate", "ro")
	r := b.run()
	for path, want := range map[string]string{"/up/private": "", "/up/bind": "", "/up/unbindable": "unbindable", "/later/bind": "", "/later/ro": ""} {
		if got := r.At(path).Optional; got != want {
			t.Errorf("%s is %q, want %q", path, got, want)
		}
	}
}

func TestTmpfsMode(t *testing.T) {
	b := newBox(t)
	if err := os.Mkdir(b.rootfs+"/kept", 0o751); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(b.rootfs+"/kept", 0o1751); err != nil {
		t.Fatal(err)
	}
	if err := unix.Chmod(b.rootfs+"/kept", 0o1751); err != nil {
		t.Fatal(err)
	}
	b.mount("/kept", "tmpfs", "tmpfs", "size=64k")
	b.mount("/asked", "tmpfs", "tmpfs", "mode=0700,size=64k")
	b.mount("/fresh", "tmpfs", "tmpfs")
	b.mount("/ro", "tmpfs", "tmpfs", "ro", "noexec")
	b.mount("/ro/below", "tmpfs", "tmpfs")
	b.look("/kept", "/asked", "/fresh").write("/ro", "/ro/below")
	r := b.run()
	for path, want := range map[string]uint32{"/kept": 0o1751, "/asked": 0o700, "/fresh": 0o1777} {
		if got := r.Nodes[path].Mode & 0o7777; got != want {
			t.Errorf("%s has mode %o, want %o", path, got, want)
		}
	}
	hasOptions(t, r.At("/ro"), "ro", "noexec")
	if r.Writes["/ro"] == "" || r.Writes["/ro/below"] != "" {
		t.Errorf("writes: %v", r.Writes)
	}
}

func TestDanglingSymlinkIsFollowedInside(t *testing.T) {
	src := shared(t)
	b := newBox(t)
	for link, to := range map[string]string{"/a": "/made/here", "/b": "../../made/there", "/c": "a", "/loop": "loop"} {
		if err := os.Symlink(to, b.rootfs+link); err != nil {
			t.Fatal(err)
		}
	}
	b.mount("/a", "bind", src, "bind")
	b.mount("/b/x", "tmpfs", "tmpfs")
	r := b.run()
	if r.At("/made/here") == nil || r.At("/made/there/x") == nil {
		t.Errorf("mounts: %+v", r.Mounts)
	}
	if _, err := os.Lstat("/made"); err == nil {
		t.Error("/made was made on the host")
	}
	b.mount("/loop/x", "tmpfs", "tmpfs").refused("/mounts/2", "too many levels of symbolic links")
}

func TestProcAndSysOnOrdinaryDirectoriesOnly(t *testing.T) {
	for _, kind := range []string{"proc", "sysfs"} {
		b := newBox(t)
		if err := os.Symlink("/elsewhere", b.rootfs+"/here"); err != nil {
			t.Fatal(err)
		}
		b.mount("/here", kind, kind).refused("/mounts/0", "ordinary directory")
	}
}

func TestWhatMayCoverProc(t *testing.T) {
	src := shared(t)
	write(t, src+"/cpuinfo", "none\n", 0o644)
	b := newBox(t).mount("/proc", "proc", "proc").mount("/proc/cpuinfo", "bind", src+"/cpuinfo", "bind").look("/proc/cpuinfo")
	if r := b.run(); r.Nodes["/proc/cpuinfo"].Text != "none\n" {
		t.Errorf("%+v", r.Nodes)
	}
	newBox(t).mount("/proc", "bind", "/proc", "rbind").run()
	newBox(t).mount("/proc", "tmpfs", "tmpfs").refused("/mounts/0", "only a procfs")
	newBox(t).mount("/proc", "bind", src, "bind").refused("/mounts/0", "only a procfs")
	newBox(t).mount("/proc", "proc", "proc").mount("/proc/sys/kernel", "tmpfs", "tmpfs").refused("/mounts/1", "below /proc")
	newBox(t).mount("/proc/sys", "tmpfs", "tmpfs").refused("/mounts/0", "below /proc")
	linked := newBox(t)
	if err := os.Symlink("/proc", linked.rootfs+"/p"); err != nil {
		t.Fatal(err)
	}
	linked.mount("/proc", "proc", "proc").mount("/p/sys", "tmpfs", "tmpfs").refused("/mounts/1", "below /proc")
}

func TestErrorsSayWhichFieldAndCall(t *testing.T) {
	if os.Getenv("ROOTFS_TEST_DENY") != "" {
		t.Skip("other calls are made where some are denied")
	}
	newBox(t).mount("/x", "tmpfs", "tmpfs", "size=nonsense").refused("/mounts/0", "fsconfig(tmpfs, size=nonsense)")
	newBox(t).mount("/x", "no-such-fs", "none").refused("/mounts/0", "fsopen(no-such-fs): no such device")
	newBox(t).mount("/x", "bind", "/no/such/source", "bind").refused("/mounts/0", "open_tree(/no/such/source): no such file or directory")
	b := newBox(t)
	write(t, b.rootfs+"/file", "", 0o644)
	e := b.mount("/file", "tmpfs", "tmpfs").refused("/mounts/0", "tmpfs -> /file")
	if e.Errno != unix.ENOTDIR || e.Op != "move_mount" {
		t.Errorf("%+v", e)
	}
}

func TestOverlayWithLongLowerList(t *testing.T) {
	dir := shared(t)
	var lower []string
	name := strings.Repeat("n", 150)
	for _, i := range strings.Split("abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNO", "") {
		layer := dir + "/" + name + "/" + i
		write(t, layer+"/from-"+i, i, 0o644)
		lower = append(lower, layer)
	}
	odd := dir + "/with:colon,comma"
	write(t, odd+"/from-odd", "odd", 0o644)
	lower = append(lower, strings.NewReplacer(":", `\:`, ",", `\,`).Replace(odd))
	long := dir + strings.Repeat("/"+strings.Repeat("d", 120), 3)
	write(t, long+"/from-long", "long", 0o644)
	lower = append(lower, long)
	for _, d := range []string{"/upper", "/work"} {
		if err := os.Mkdir(dir+d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	joined := strings.Join(lower, ":")
	if len(joined) < 2*os.Getpagesize() {
		t.Fatalf("only %d bytes of lower layers: this test is to need more than a page", len(joined))
	}
	b := newBox(t).mount("/merged", "overlay", "overlay", "lowerdir="+joined, "upperdir="+dir+"/upper", "workdir="+dir+"/work")
	r := b.look("/merged/from-a", "/merged/from-O", "/merged/from-odd", "/merged/from-long").write("/merged").run()
	for path, n := range r.Nodes {
		if want := path[strings.LastIndexByte(path, '-')+1:]; n.Text != want {
			t.Errorf("%s: %+v", path, n)
		}
	}
	if r.Writes["/merged"] != "" {
		t.Error(r.Writes)
	}
}

func TestRemount(t *testing.T) {
	b := newBox(t).mount("/x", "tmpfs", "tmpfs", "size=64k")
	b.mount("/x", "tmpfs", "tmpfs", "remount", "size=128k", "nosuid")
	r := b.run()
	hasOptions(t, r.At("/x"), "nosuid")
	if m := r.At("/x"); !strings.Contains(m.SuperOptions, "size=128k") {
		t.Errorf("%+v", m)
	}
	newBox(t).mount("/y", "tmpfs", "tmpfs", "remount", "ro").refused("/mounts/0", "no such file")
}

// A remount changes a file system wherever it is mounted (mount(2)): none that the host may have mounted too, whatever way leads there.
func TestRemountOfWhatTheHostUses(t *testing.T) {
	host := hostTmpfs(t, 0, "mode=755,size=64k")
	for name, c := range map[string]struct {
		kind    string // of the remount
		mounts  func(b *box) *box
		options []string
		allowed bool
	}{
		"a bind":                     {kind: "tmpfs", mounts: func(b *box) *box { return b.mount("/x", "bind", host, "bind") }},
		"a bind, of no type":         {kind: "none", mounts: func(b *box) *box { return b.mount("/x", "bind", host, "bind") }},
		"a bind behind a link":       {kind: "tmpfs", mounts: func(b *box) *box { return b.mount("/x", "tmpfs", "t").mount("/link", "bind", host, "bind") }},
		"nothing of the container's": {kind: "tmpfs", mounts: func(b *box) *box { b.rootfs = host; return b.set("path", host, "root").mount("/y", "tmpfs", "t") }},
		"the host's network":         {kind: "sysfs", mounts: func(b *box) *box { return b.mount("/x", "sysfs", "sysfs") }},
		"a bind, its mount alone":    {kind: "bind", mounts: func(b *box) *box { return b.mount("/x", "bind", host, "bind") }, options: []string{"bind"}, allowed: true},
		"the container's own":        {kind: "tmpfs", mounts: func(b *box) *box { return b.mount("/x", "tmpfs", "t", "size=64k") }, allowed: true},
		"its own behind a link":      {kind: "tmpfs", mounts: func(b *box) *box { return b.mount("/link", "tmpfs", "t", "size=64k") }, allowed: true},
	} {
		for _, deny := range [][]nstest.Denial{nil, {nstest.Deny(unix.ENOSYS)}} {
			b := newBox(t)
			b.spec.Deny = deny
			write(t, b.rootfs+"/x/file", "", 0o644)
			if err := os.Symlink("x", b.rootfs+"/link"); err != nil {
				t.Fatal(err)
			}
			target := "/x"
			if c.mounts(b); b.rootfs == host {
				target = "/"
			}
			last := len(b.config["mounts"].([]any))
			b.mount(target, c.kind, "", append(c.options, "remount", "ro")...)
			if c.allowed {
				r := b.run()
				hasOptions(t, r.At(target), "ro")
			} else {
				b.refused(fmt.Sprintf("/mounts/%d", last), "the host may use the file system")
			}
			if err := os.WriteFile(host+"/file", nil, 0o644); err != nil {
				t.Errorf("%s, without new calls %v: on the host: %v", name, deny != nil, err)
				unix.Mount("", host, "", unix.MS_REMOUNT, "")
			}
		}
	}
}

func TestNoFollowDemands(t *testing.T) {
	src := shared(t)
	if err := os.Symlink(src, src+"/link"); err != nil {
		t.Fatal(err)
	}
	newBox(t).mount("/x", "bind", src+"/link", "bind").run()
	newBox(t).mount("/x", "bind", src+"/link", "bind", "src-nofollow").refused("/mounts/0", "too many levels of symbolic links")
	b := newBox(t)
	if err := os.Symlink("/real", b.rootfs+"/target"); err != nil {
		t.Fatal(err)
	}
	b.mount("/target", "bind", src, "bind", "dest-nofollow").refused("/mounts/0", "symlink")
}

func TestFlagsThatFsconfigLacks(t *testing.T) {
	b := newBox(t).mount("/x", "tmpfs", "tmpfs", "silent", "iversion", "size=64k", "nosuid")
	r := b.mount("/y", "tmpfs", "tmpfs", "silent", "sync", "lazytime", "dirsync").run()
	hasOptions(t, r.At("/x"), "nosuid")
	if m := r.At("/y"); !strings.Contains(m.SuperOptions, "sync,dirsync,lazytime") {
		t.Errorf("%+v", m)
	}
}

// A tmpfs that is read-only in the end, and a remount of it before that: what the remount says holds, and nothing is left to be done.
func TestRemountOfAReadonlyTmpfs(t *testing.T) {
	for _, c := range []struct {
		kind    string
		options []string
		want    []string
	}{
		{"bind", []string{"remount", "bind", "ro", "nodev"}, []string{"ro", "nodev", "!nosuid"}},
		{"", []string{"remount", "bind", "ro"}, []string{"ro", "!nosuid"}},
		{"", []string{"remount", "ro"}, []string{"ro", "!nosuid"}},
		{"tmpfs", []string{"remount", "ro"}, []string{"ro", "!nosuid"}},
		{"", []string{"remount", "bind", "nodev"}, []string{"rw", "nodev"}},
	} {
		for _, remounted := range []string{"/data/sub", "/link/sub"} {
			b := newBox(t)
			if err := os.Symlink("/data", b.rootfs+"/link"); err != nil {
				t.Fatal(err)
			}
			r := b.mount(remounted, "tmpfs", "tmpfs", "ro", "nosuid").mount(remounted, c.kind, "", c.options...).run()
			hasOptions(t, r.At("/data/sub"), c.want...)
		}
	}
}
