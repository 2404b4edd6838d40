package rootfs_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"os/exec"
	"runtime"
	"syscall"

	"github.com/librootfs/librootfs/rootfs"
)

// A Go host runs itself once more, in the container's namespaces, to become the init child.
func Example() {
	if len(os.Args) < 2 || os.Args[1] != "init" {
		child := exec.Command("/proc/self/exe", "init")
		child.Stdin, child.Stdout, child.Stderr = os.Stdin, os.Stdout, os.Stderr
		child.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS,
		}
		if err := child.Run(); err != nil {
			log.Fatal(err)
		}
		return
	}
	runtime.LockOSThread()
	document, err := os.ReadFile("config.json")
	if err != nil {
		log.Fatal(err)
	}
	config, err := rootfs.Parse(document, []byte(`{"bundle": "/srv/container"}`))
	if err != nil {
		log.Fatal(err)
	}
	plan, err := rootfs.NewPlan(config)
	if err != nil {
		log.Fatal(err)
	}
	prepared, err := rootfs.Prepare(plan, &rootfs.Host{
		MountsReady: func() error { return nil }, // the time for createRuntime hooks
	})
	if err != nil {
		log.Fatal(err)
	}
	if err := prepared.Finalize(); err != nil {
		log.Fatal(err)
	}
	// Here the host sets user, capabilities and seccomp.
	log.Fatal(syscall.Exec("/bin/sh", []string{"sh"}, []string{"PATH=/bin:/usr/bin"}))
}

// An error says which field of which document is to be changed.
func ExampleParse() {
	_, err := rootfs.Parse([]byte(`{
		"root": {"path": "rootfs"},
		"mounts": [{"destination": "/data", "type": "bind", "source": "data", "options": ["bind", "size=1m"]}]
	}`), []byte(`{"bundle": "/srv/container"}`))
	var e *rootfs.Error
	if errors.As(err, &e) {
		fmt.Println(e.Pointer)
		fmt.Println(e.Detail)
	}
	// Output:
	// /mounts/0/options
	// "size=1m" is no option of a bind mount, which takes no data
}

// A plan can be looked at without anything being touched.
func ExampleNewPlan() {
	config, err := rootfs.Parse([]byte(`{
		"ociVersion": "1.0.2",
		"root": {"path": "/srv/rootfs", "readonly": true},
		"mounts": [
			{"destination": "/proc", "type": "proc", "source": "proc"},
			{"destination": "/dev", "type": "bind", "source": "/dev", "options": ["rbind", "ro"]}
		],
		"linux": {"namespaces": [{"type": "mount"}, {"type": "pid"}], "maskedPaths": ["/proc/kcore"]}
	}`), nil)
	if err != nil {
		log.Fatal(err)
	}
	plan, err := rootfs.NewPlan(config)
	if err != nil {
		log.Fatal(err)
	}
	prepare, finalize := plan.Steps()
	for _, s := range append(prepare, finalize...) {
		if s.Pointer() != "" { // the others are the library's own
			fmt.Println(s.Op(), s.Target(), s.Pointer())
		}
	}
	// Output:
	// root / /root/path
	// mount /proc /mounts/0
	// mount /dev /mounts/1
	// remount-readonly /dev /mounts/1
	// readonly-root / /root/readonly
	// mask-path /proc/kcore /linux/maskedPaths/0
}

// Validate is for whoever takes a config from somebody else, before any process is made.
func ExampleValidate() {
	err := rootfs.Validate([]byte(`{"root": {"path": "/not/there"}, "linux": {"namespaces": [{"type": "mount"}]}}`), nil)
	fmt.Println(err)
	// Output: /root/path: openat(/not/there): no such file or directory
}

// What this build takes, for a runtime's own features document.
func ExampleFeatures() {
	var features struct {
		MountOptions []string `json:"mountOptions"`
		Linux        struct {
			MountExtensions struct {
				IDMap struct{ Enabled bool } `json:"idmap"`
			} `json:"mountExtensions"`
		} `json:"linux"`
	}
	if err := json.Unmarshal(rootfs.Features(), &features); err != nil {
		log.Fatal(err)
	}
	fmt.Println(features.MountOptions[:4], features.Linux.MountExtensions.IDMap.Enabled)
	// Output: [Z async atime bind] true
}

// The terminal of a container: its master goes to whoever talks to it, most often over a socket (SCM_RIGHTS).
func ExamplePrepared_Console() {
	var prepared *rootfs.Prepared // of Prepare
	master, err := prepared.Console(rootfs.Terminal{Rows: 24, Columns: 80, UID: 1000})
	if err != nil {
		log.Fatal(err)
	}
	defer syscall.Close(master)
	if err := syscall.Sendmsg(3, nil, syscall.UnixRights(master), nil, 0); err != nil {
		log.Fatal(err)
	}
}

// After Finalize, or from another process in the container, with the same plan: is everything as it was promised?
func ExampleVerify() {
	var plan *rootfs.Plan // of NewPlan
	report, err := rootfs.Verify(plan)
	if err != nil {
		log.Fatal(err)
	}
	for _, d := range report.Deviations {
		fmt.Printf("%s: the %s of %s is %s and was to be %s\n", d.Pointer, d.Aspect, d.Target, d.Got, d.Want)
	}
}

// A privileged parent opens what its child in a user namespace cannot reach, and the child lends it to Prepare.
func ExampleOpenSources() {
	var config *rootfs.Config // of Parse
	userns, err := os.Open("/proc/4711/ns/user")
	if err != nil {
		log.Fatal(err)
	}
	defer userns.Close()
	sources, err := rootfs.OpenSources(config, int(userns.Fd()))
	if err != nil {
		log.Fatal(err)
	}
	defer rootfs.Close(sources)
	// They are sent to the child over a socket, which has other numbers for them then.
	var plan *rootfs.Plan
	host := &rootfs.Host{Sources: map[int]int{}}
	for _, s := range sources {
		host.Sources[s.Mount] = s.FD
	}
	if _, err := rootfs.Prepare(plan, host); err != nil {
		log.Fatal(err)
	}
}
