// Package e2e sets containers up through the public Go package, in a process or on a thread that nstest made for them,
// and reports what is then seen inside. The attack and fault tests below it are written with it. Only tests import it.
package e2e

import (
	"fmt"
	"os"
	"strings"

	"github.com/librootfs/librootfs/rootfs"
	"github.com/librootfs/librootfs/rootfs/internal/nstest"
	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// Request is a container to set up, and what to look at in it.
type Request struct {
	Config  []byte
	Options []byte

	Console bool
	Sources map[int]int // mount index -> descriptor
	// Between runs after rootfs_prepare and before rootfs_finalize: a name of Betweens.
	Between string
	NotOurs string // a place where others mount meanwhile
	// Write are paths to which a byte is written at the end: what is read-only or masked refuses.
	Write []string
	// HostRead are files to read at the end through a /proc that nothing in the container can cover.
	HostRead []string
	// Look are paths to describe at the end. None is followed where it is a symlink.
	Look []string
}

// Betweens are functions that stand for another container of the same host, which acts between the two calls.
var Betweens = map[string]func() error{}

// Node is what one path is.
type Node struct {
	Missing bool
	Mode    uint32
	Rdev    uint64
	UID     uint32
	GID     uint32
	Ino     uint64 `json:",omitempty"`
	Dev     uint64 `json:",omitempty"`
	Magic   int64  // statfs f_type
	Link    string // target of a symlink
	Text    string // the first bytes of a regular file
}

// Device tells whether the node is a character device of this number.
func (n Node) Device(major, minor uint32) bool {
	return n.Mode&unix.S_IFMT == unix.S_IFCHR && n.Rdev == unix.Mkdev(major, minor)
}

// Dir tells whether the node is a directory.
func (n Node) Dir() bool { return n.Mode&unix.S_IFMT == unix.S_IFDIR }

// Result is what was seen.
type Result struct {
	Stage   string            // the call that was made last: "parse", "plan", "prepare", "console", "finalize", then "done"
	Outside []string          // mounts that set-up made outside of the rootfs: always an attacker's win
	Mounts  []Mount           // the mount table inside
	Nodes   map[string]Node   // of Look
	Writes  map[string]string // of Write: "" for success, or the error
	Cwd     string
	FDs     map[int]string    // open at the end, and not at the beginning
	Host    map[string]string // of HostRead
	Deviate string            // Verify's report where it has deviations
}

// Mount is a line of the mount table.
type Mount struct {
	ID                              int
	Point, Type, Root, Source       string
	Options, SuperOptions, Optional string
}

// At is the topmost mount at a path, or nil.
func (r *Result) At(path string) *Mount {
	for i := len(r.Mounts) - 1; i >= 0; i-- {
		if r.Mounts[i].Point == path {
			return &r.Mounts[i]
		}
	}
	return nil
}

// Has tells whether a mount has an option, "ro" or "nosymfollow".
func (m *Mount) Has(option string) bool {
	return m != nil && strings.Contains(","+m.Options+",", ","+option+",")
}

// Container sets a container up in a new process.
var Container = nstest.Define("e2e.container", SetUp)

// SetUp sets a container up in this process, or on this thread.
func SetUp(in Request) (r Result, err error) {
	before, err := nstest.Descriptors()
	if err != nil {
		return r, err
	}
	prepared, err := r.calls(in)
	if err != nil {
		return r, err
	}
	r.Stage = "done"
	if r.Deviate, err = deviations(prepared); err != nil {
		return r, err
	}
	return r, r.look(in, before)
}

func (r *Result) calls(in Request) (*rootfs.Prepared, error) {
	r.Stage = "parse"
	config, err := rootfs.Parse(in.Config, in.Options)
	if err != nil {
		return nil, err
	}
	r.Stage = "plan"
	plan, err := rootfs.NewPlan(config)
	if err != nil {
		return nil, err
	}
	watch, err := WatchOutside(config.Root.Path, in.NotOurs)
	if err != nil {
		return nil, err
	}
	host := &rootfs.Host{Sources: in.Sources}
	switched := false
	host.Progress = func(p rootfs.Progress) {
		if !switched { // paths below the new root mean nothing to the watch
			r.Outside = append(r.Outside, watch()...)
		}
		switched = switched || p.Step.Op() == "switch-root"
	}
	r.Stage = "prepare"
	prepared, err := rootfs.Prepare(plan, host)
	if err != nil {
		if !switched {
			r.Outside = append(r.Outside, watch()...)
		}
		return nil, err
	}
	if in.Console {
		r.Stage = "console"
		master, err := prepared.Console(rootfs.Terminal{Rows: 24, Columns: 80})
		if err != nil {
			return nil, err
		}
		unix.Close(master)
	}
	if in.Between != "" {
		r.Stage = "between"
		if err := Betweens[in.Between](); err != nil {
			return nil, fmt.Errorf("between the calls: %w", err)
		}
	}
	r.Stage = "finalize"
	return prepared, prepared.Finalize()
}

// WatchOutside gives a function that names the mounts which came since and do not lie below the root. It is to be asked
// before the root is switched. notOurs is a place where others mount meanwhile, or "".
func WatchOutside(root, notOurs string) (func() []string, error) {
	start, err := nstest.Mounts()
	if err != nil {
		return nil, err
	}
	known := map[int]bool{}
	for _, m := range start {
		known[m.ID] = true
	}
	return func() (outside []string) {
		list, err := nstest.Mounts()
		if err != nil {
			return []string{err.Error()}
		}
		for _, m := range list {
			if !known[m.ID] && m.Mountpoint != notOurs && m.Mountpoint != root && !strings.HasPrefix(m.Mountpoint, root+"/") {
				outside = append(outside, fmt.Sprintf("%s of type %s on %s", m.Root, m.FSType, m.Mountpoint))
			}
			known[m.ID] = true // told once
		}
		return outside
	}, nil
}

func (r *Result) look(in Request, before map[int]string) error {
	after, err := nstest.Descriptors()
	if err != nil {
		return err
	}
	r.FDs = map[int]string{}
	for fd, what := range after {
		if before[fd] == "" {
			r.FDs[fd] = what
		}
	}
	if r.Cwd, err = unixGetwd(); err != nil {
		return err
	}
	list, err := nstest.Mounts()
	if err != nil {
		return err
	}
	for _, m := range list {
		r.Mounts = append(r.Mounts, Line(m))
	}
	r.Nodes = map[string]Node{}
	for _, path := range in.Look {
		r.Nodes[path] = Look(path)
	}
	r.Host = map[string]string{}
	for _, name := range in.HostRead {
		text, err := nstest.ReadProc(name)
		if err != nil {
			return err
		}
		r.Host[name] = string(text)
	}
	r.Writes = map[string]string{}
	for _, path := range in.Write {
		r.Writes[path] = write(path)
	}
	return nil
}

// Line is a line of mountinfo.
func Line(m *mountinfo.Info) Mount {
	return Mount{ID: m.ID, Point: m.Mountpoint, Type: m.FSType, Root: m.Root, Source: m.Source,
		Options: m.Options, SuperOptions: m.VFSOptions, Optional: m.Optional}
}

func unixGetwd() (string, error) {
	buf := make([]byte, unix.PathMax)
	n, err := unix.Getcwd(buf)
	if err != nil {
		return "", fmt.Errorf("getcwd: %w", err)
	}
	return string(buf[:n-1]), nil
}

// Look describes a path.
func Look(path string) (n Node) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		n.Missing = true
		return n
	}
	n.Mode, n.Rdev, n.UID, n.GID = st.Mode, st.Rdev, st.Uid, st.Gid
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFLNK:
		n.Link, _ = os.Readlink(path)
		return n
	case unix.S_IFREG:
		if f, err := os.Open(path); err == nil {
			buf := make([]byte, 200)
			k, _ := f.Read(buf)
			n.Text = string(buf[:k])
			f.Close()
		}
	}
	var fs unix.Statfs_t
	if unix.Statfs(path, &fs) == nil {
		n.Magic = int64(fs.Type)
	}
	return n
}

// write writes a byte to a file, or makes and removes a file in a directory.
func write(path string) string {
	st, err := os.Stat(path)
	if err != nil {
		return err.Error()
	}
	if st.IsDir() {
		path += "/.written"
		defer os.Remove(path)
	}
	flags := os.O_WRONLY | os.O_APPEND
	if st.IsDir() {
		flags |= os.O_CREATE
	}
	f, err := os.OpenFile(path, flags, 0o600)
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	if st.Mode()&os.ModeDevice == 0 {
		if _, err = f.WriteString("x"); err != nil {
			return err.Error()
		}
	}
	return ""
}

// deviations is Verify's report where it has any. Verify reads below /proc: where no procfs is mounted and the kernel has no
// mount API to make one of its own, there is nothing to report.
func deviations(prepared *rootfs.Prepared) (string, error) {
	report, err := prepared.Verify()
	if err != nil {
		if Look("/proc").Magic != unix.PROC_SUPER_MAGIC {
			return "", nil
		}
		return "Verify: " + err.Error(), nil
	}
	if len(report.Deviations) == 0 {
		return "", nil
	}
	return string(report.JSON()), nil
}
