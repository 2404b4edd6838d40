"""Every difference from Debian's runc that is allowed, and why. An entry that no case meets is itself a failure, so that
the list cannot outlive its reasons.

case, subject and field are regular expressions that must match as a whole; ours and theirs likewise.
"""

import re
from typing import NamedTuple


class Allowed(NamedTuple):
    why: str
    kind: str
    subject: str
    field: str
    ours: str = ".*"
    theirs: str = ".*"
    case: str = ".*"

    def covers(self, case, difference):
        wanted = (self.kind, self.subject, self.field, self.ours, self.theirs)
        return re.fullmatch(self.case, case) and all(re.fullmatch(w, d) for w, d in zip(wanted, difference))


ALLOWED = [
    # --- what librootfs does better, or as today's runc does it -------------------------------------------------------
    Allowed("masked directories share one tmpfs of one block and one inode, so that thousands of them cost one superblock",
            "mount", ".*", "super (size=4k|nr_inodes=1)", ours="set", theirs="-"),
    Allowed("masked directories share one tmpfs: who shares it",
            "mount", ".*", "superblock", ours=".*(/proc/acpi|/secret) .*/sys/firmware.*"),
    Allowed("a path that is listed twice is masked once; runc 1.1 mounts over its own mask",
            "mount", "/proc/uptime#2", "present", ours="-", theirs="yes", case="masks"),
    Allowed("a path that is listed twice is masked once: the superblock of /dev/null has one mount less",
            "mount", ".*", "superblock", theirs=".*/proc/uptime#2.*", case="masks"),
    Allowed("the tmpfs that holds the v1 hierarchies is read-only where the cgroup mount is; runc 1.1 leaves it writable for root",
            "mount", "/sys/fs/cgroup", "option r[ow]"),
    Allowed("as above: writing to it is refused by the mount, not only by the mode",
            "path", "/sys/fs/cgroup", "write", ours="EROFS", theirs="EACCES"),
    Allowed("the tmpfs that holds the v1 hierarchies has the mode 755 that it is mounted with; runc 1.1 changes it to that of sysfs's directory",
            "path", "/sys/fs/cgroup", "mode", ours="0755", theirs="0555"),
    Allowed("as above: with mode 755 its owner may write to it, when the config does not ask for ro",
            "path", "/sys/fs/cgroup", "write", ours="yes", theirs="EACCES", case="cgroup_writable"),
    Allowed("without a cgroup namespace the host's cgroup2 is bound, with the host's name for its source; runc mounts it anew, which resets its options for all",
            "mount", "/sys/fs/cgroup", "source", ours="cgroup2", theirs="cgroup", case="cgroup2_shared_namespace"),
    Allowed("an empty file made as the target of a bind is 0644; runc 1.1 makes it executable",
            "image", ".*", "node", ours="-rw-r--r-- .*", theirs="-rwxr-xr-x .*"),
    Allowed("a tmpfs takes its target's mode as a mount option, at once; runc changes the mode after mounting, to the same",
            "mount", "/private", "super mode=700", ours="set", theirs="-", case="tmpfs"),
    Allowed("mode= of a tmpfs holds with tmpcopyup too; runc's copy gives it the mode of the image's directory",
            "path", "/filled", "mode", ours="0711", theirs="0755", case="tmpfs"),
    Allowed("rootfsPropagation shared makes / shared, as the specification says and later releases of runc do; runc 1.1 loses it",
            "mount", "/", "propagation", ours="shared", theirs="private", case="propagation_shared"),
    # --- what the runtime does beside the root ------------------------------------------------------------------------
    Allowed("minictr hands its standard input on, which here is /dev/null and so becomes the container's own; runc copies it through a pipe",
            "stdio", "0", "present", ours="yes", theirs="-"),
    Allowed("minictr makes the IPC namespace before ids are mapped, so the root of mqueue, which anyone may write to, shows as nobody's",
            "(node|path)", "/dev/mqueue", "owner", ours="65534:65534", theirs="0:65534", case="user_namespace"),
]
