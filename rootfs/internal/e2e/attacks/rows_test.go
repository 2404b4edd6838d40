// Package attacks has one test for each published attack on the set-up of a container's root file system, which really
// attacks: the image, a shared volume or the config is a trap, and for a race another process swaps paths all the while.
// docs/security.md has the results.
package attacks

import (
	"os"
	"strconv"
	"testing"

	"github.com/librootfs/librootfs/rootfs/internal/nstest"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { nstest.Main(m) }

// path is one of the two ways in which the library works: with the mount API of kernel 5.2 and later, or without.
type path struct {
	name string
	deny []nstest.Denial
}

var paths = []path{
	{name: "new-api"},
	{name: "fall-back", deny: []nstest.Denial{nstest.Deny(unix.ENOSYS)}},
}

// row is one line of the table of attacks.
type row struct {
	id   string
	trap string
	run  func(t *testing.T, p path)
}

// old tells whether the path is the one without the mount API.
func (p path) old() bool { return len(p.deny) > 0 }

var rows = []row{
	{"CVE-2015-3627", "a mount target is a symlink to a host path", linkAtMountTarget},
	{"CVE-2015-3629", "the console's target is a symlink to a host path", linkAtConsole},
	{"CVE-2015-3631", "a mount that is not procfs covers /proc or what lies below", mountsOverProc},
	{"CVE-2019-16884", "an image's volume covers /proc, under other names for it too", volumesOverProc},
	{"CVE-2019-19921", "/proc or /sys of the image is a symlink", linkAtProc},
	{"CVE-2023-27561", "/proc of the image is a symlink to a shared volume", linkAtProcToVolume},
	{"CVE-2023-28642", "a directory above the target of proc or sysfs is a symlink", linkAboveProc},
	{"CVE-2019-19921-race", "/proc of the image is swapped with a symlink", raceProc},
	{"CVE-2021-30465", "a directory of a shared volume is swapped with a symlink to / while mounted on", raceVolume},
	{"CVE-2023-25809", "cgroup2 asked read-only in a user namespace without a cgroup namespace", cgroupReadonly},
	{"CVE-2024-21626", "the working directory goes through a descriptor that the host leaked", leakedDescriptorCwd},
	{"CVE-2024-45310", "a component of a missing mount target is swapped while the target is made", raceMaking},
	{"CVE-2025-31133", "/dev/null of the image is a trap and a file is masked", maskThroughNull},
	{"CVE-2025-31133-race", "/dev/null of the image is swapped with a symlink while files are masked", raceNull},
	{"CVE-2025-52565", "/dev/console, /dev/null and /dev/pts of the image are swapped during set-up", raceConsole},
	{"opened-device", "/dev/null and /dev/pts/ptmx of the image are swapped with others between a look and the opening", raceOpened},
	{"CVE-2025-52881", "something else lies where /proc/sys is about to be written", fakeSysctl},
	{"CVE-2025-52881-race", "/proc/sys is swapped with a symlink while a sysctl is written", raceSysctl},
	{"CVE-2026-41579", "/dev of the image is a symlink to a host directory with a ptmx in it", linkAtDev},
	{"CVE-2026-41579-race", "/dev of the image is swapped with a symlink to a host directory", raceDev},
	{"runc-3511", "one mount by descriptor, the next by path", descriptorThenPath},
	{"reOpenDevNull", "/dev/null of the image is a regular file, standard streams are files and pipes", stdioRegularNull},
	{"getParentMount", "5 000 mounts on the host, the table changing under the reader", manyMountsPropagation},
	{"msMoveRoot", "a procfs in a directory whose name begins with the rootfs's", namePrefix},
	{"CVE-2026-88264", "/dev/console of a read-only image is a symlink", linkAtConsoleReadonly},
	{"CVE-2026-88265", "/dev/null is a symlink to a host file, or another device", stdioOtherNull},
	{"CVE-2026-47766", "as CVE-2026-41579, with devpts below /dev", linkAtDevWithPts},
	{"CVE-2025-24965", "files that the library reads or copies are symlinks to the host", copiedLinks},
	{"CVE-2025-24965-race", "a file is swapped with a symlink to the host while it is copied up", raceCopyUp},
	{"CVE-2025-54867", "/proc and /sys are both symlinks", linkAtProcAndSys},
	{"CVE-2025-62161", "no /dev/null in the image at all, and a file is masked", maskWithoutNull},
	{"CVE-2025-62596", "the image brings its own procfs files", fakeProcFiles},
	{"GHSA-3q8j-pf29-vwv8", "the directory of a masked or read-only path is swapped between bind and remount", raceProtected},
	{"CVE-2026-87766", "a component above the target is a symlink to the host", linkAboveTarget},
	{"CVE-2015-1335", "a relative bind source, and a target below symlinks", relativeSource},
	{"CVE-2026-41568", "a directory is swapped between resolving and making", raceParent},
	{"CVE-2026-42306", "a file is swapped between making and mounting", raceFileTarget},
	{"moby-second-look", "the target of a read-only bind is swapped with a way to another mount of the same source", raceSecondLook},
	{"bubblewrap-770", "a flag of a mount is dropped by a later remount", everyFlagStays},
	{"crun-2262", "move_mount fails, with a trap for a second look-up", moveMountFails},
	{"remount", "a remount without bind of what the host has mounted too", remountOfTheHosts},
	{"lent-peer", "a tree that the parent opened on a shared mount, for a user namespace, and a mount in it", lentPeer},
	{"descriptor", "descriptors of the host are open in the init child", noDescriptorLeft},
	{"propagation", "every mount of the host is shared", nothingPropagates},
	{"leftover", "set-up fails at the end", nothingLeftOver},
	{"config", "NUL bytes, very long strings, .., numbers past their range", hostileConfigs},
}

func TestAttacks(t *testing.T) {
	nstest.NeedRoot(t)
	for _, r := range rows {
		t.Run(r.id, func(t *testing.T) {
			for _, p := range paths {
				t.Run(p.name, func(t *testing.T) {
					nstest.HostUnchanged(t)
					r.run(t, p)
				})
			}
		})
	}
}

// rounds is how often each race is run on each path.
func rounds(t *testing.T) int {
	text := os.Getenv("ROOTFS_ATTACK_ROUNDS")
	if text == "" {
		return 50
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("ROOTFS_ATTACK_ROUNDS: %q", text)
	}
	return n
}
