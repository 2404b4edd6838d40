"""Every difference that is allowed, and why: those of tests/compare/allowed.py that are about runc whatever the case, and the list
below. `only` names the runtime, "" any; `when` looks at the case, both outcomes and the mount or path that it is about.
"""

import re
from typing import Callable, NamedTuple

from allowed import ALLOWED as OF_RUNC
from judge import is_mask
from machine import OLDER

OPPOSITES = [("nosuid", "suid"), ("nodev", "dev"), ("noexec", "exec"), ("ro", "rw"), ("noatime", "atime"), ("nodiratime", "diratime"),
             ("relatime", "norelatime"), ("strictatime", "nostrictatime"), ("sync", "async"), ("nosuid", "rsuid"), ("nodev", "rdev"),
             ("noexec", "rexec"), ("ro", "rrw"), ("nodiratime", "rdiratime")]
RECURSIVE = [("rro", "rrw"), ("rnosuid", "rsuid"), ("rnodev", "rdev"), ("rnoexec", "rexec"), ("rnodiratime", "rdiratime")]
PROPAGATION = re.compile("r?(private|slave|shared|unbindable)")


class Context(NamedTuple):
    case: dict
    ours: dict  # facts
    theirs: dict
    subject: str

    @property
    def linux(self):
        return self.case["config"]["linux"]

    @property
    def readonly(self):
        return self.linux.get("readonlyPaths", [])

    @property
    def mounts(self):
        return self.case["config"]["mounts"]

    def fact(self, field):
        """Of the mount that it is about, as we have it."""
        return self.ours.get(("mount", self.subject, field), "")

    def options(self, *wanted):
        """Whether a mount asks for one of them."""
        return any(o.partition("=")[0] in wanted for m in self.mounts for o in m["options"])

    def options_of(self, kind):
        return any(m["type"] == kind for m in self.mounts)


class Allowed(NamedTuple):
    why: str
    only: str
    kind: str
    subject: str
    field: str
    ours: str = ".*"
    theirs: str = ".*"
    when: Callable = lambda context: True

    def covers(self, runtime, context, difference):
        wanted = (self.kind, self.subject, self.field, self.ours, self.theirs)
        return (self.only in ("", runtime) and all(re.fullmatch(w, d, re.S) for w, d in zip(wanted, difference))
                and self.when(context))


def masked(context):
    return is_mask(context.ours, context.subject) and is_mask(context.theirs, context.subject)


def asked_propagation(*values):
    return lambda context: context.linux.get("rootfsPropagation") in values


def tmpfs_point(context):
    """A tmpfs of the config lies there, perhaps by way of a link."""
    names = (context.subject, *(f"{context.subject}#{n}" for n in range(2, 9)))
    return any(context.ours.get(("mount", n, "fs type")) == "tmpfs" for n in names) or any(
        m["type"] == "tmpfs" and context.subject in (m["destination"], ".") for m in context.mounts)


def two_propagations(context):
    return any(sum(bool(PROPAGATION.fullmatch(o)) for o in m["options"]) > 1 for m in context.mounts)


def both_of_a_pair(context, pairs=None):
    return any(a in m["options"] and b in m["options"] for m in context.mounts for a, b in pairs or OPPOSITES)


def access_times(context):
    """A recursive attribute of the access time, beside which crun leaves the old one set."""
    return context.options("rnoatime", "ratime", "rrelatime", "rnorelatime", "rstrictatime", "rnostrictatime")


def links_of(context):
    return tuple(path for path, kind, *_ in context.case["image"] if kind == "link")


def readonly_nested(context):
    """A read-only path, and a read-only path or mount inside of it, or a link, behind which there may be one."""
    paths = context.readonly
    inner = paths + [m["destination"] for m in context.mounts if "ro" in m["options"]]
    links = links_of(context)
    return any(a != b and b.startswith((a + "/", *links)) for a in paths for b in inner)


def of_readonly_path(context):
    """The mount that a read-only path bound over another."""
    links = links_of(context)
    return any(p == context.subject.partition("#")[0] or "#" in context.subject or p.startswith(links) for p in context.readonly)


def covered_tmpfs(context):
    """A read-only tmpfs, and another mount over it or over the directory that it is in."""
    targets, links = [m["destination"] for m in context.mounts], links_of(context)
    return any(m["type"] == "tmpfs" and "ro" in m["options"] and any(
        (m["destination"] + "/").startswith(t + "/") or t.startswith(links) or m["destination"].startswith(links)
        for t in targets[i + 1:]) for i, m in enumerate(context.mounts))


def late(context):
    """A mount that no entry of mounts made: of a read-only or masked path."""
    return masked(context) or of_readonly_path(context)


def in_tmpfs(context):
    return any(m["type"] == "tmpfs" and context.subject.startswith(m["destination"] + "/") for m in context.mounts)


def both_covered(context):
    """A path is masked and read-only, or one of the two lies in the other, perhaps behind a link."""
    links = links_of(context)
    return any(a == b or a.startswith((b + "/", *links)) or b.startswith((a + "/", *links)) for a in context.readonly
               for b in context.linux.get("maskedPaths", []))


def listed_twice(context):
    masked_paths = context.linux.get("maskedPaths", [])
    return len(set(context.readonly)) < len(context.readonly) or len(set(masked_paths)) < len(masked_paths)


def user_namespace(context):
    return {"type": "user"} in context.linux["namespaces"]


def default_devices(context):
    return any(d["path"] in ("/dev/null", "/dev/tty") for d in context.linux.get("devices", []))


LAST_TIME = ("of the recursive options of the access time the last one counts; runc sets and clears all at once, which the kernel "
             "refuses or reads otherwise")
COVERED_TMPFS = ("a tmpfs that another mount covers becomes read-only before that; runc looks for it by its path at the end, and finds the "
                 "other or nothing")
TMPFS_MODE = "a tmpfs takes the mode of the directory that it covers, as runc does; crun's stay 1777"
NO_SOURCE = "a bind that is remounted has no source; runc and crun look for what the entry names"
STICKY = "directories that are made are 0755; crun gives them a sticky bit"

ALLOWED = [
    # --- remounts, user namespaces -------------------------------------------------------------------------------------
    Allowed(NO_SOURCE, "", "run", "", "refused", "no", ".*(stat'ing file `\\w+`|stat @/bundle/\\w+): [Nn]o such file or directory.*",
            lambda c: c.options("remount")),
    Allowed("a bind is given its flags where its source was opened, before the user namespace locked those of the access time",
            "runc", "run", "", "refused", "no", ".*error mounting .*flags: 0x\\w+: operation not permitted.*", user_namespace),
    Allowed("a sysfs shows the container's network, and in a user namespace there is none without a network namespace, as with runc; "
            "crun binds the host's", "crun", "run", "", "refused", ".*fsopen\\(sysfs\\): operation not permitted.*", "no", user_namespace),
    Allowed("in a user namespace a device is bound from the host only where that has it; runc and crun bind what has its path",
            "", "run", "", "refused", ".*the host's node, to be bound, is not the device.*", "no", user_namespace),
    Allowed("in a user namespace a fifo can be made; runc binds it like a device, or what has its path",
            "runc", "run", "", "refused", "no", ".*error creating device nodes: mount /.*no such file or directory.*", user_namespace),
    Allowed("a bind that leaves the mounts below its source behind is done where the source was opened; a user namespace may not",
            "runc", "run", "", "refused", "no", ".*error mounting .*@/sources/\\w+.*invalid argument.*", user_namespace),
    Allowed("the access time of a bind is set where its source was opened; where a user namespace has it locked, crun binds without any flag, "
            "and without what is mounted below", "crun", "(mount|node|path|unlisted)", ".*",
            "(present|mode|option (noexec|nosuid|nodev|relatime|noatime|nodiratime|strictatime))",
            when=lambda c: user_namespace(c) and c.options(*(o for pair in OPPOSITES for o in pair if "atime" in o))),
    Allowed("a device of the host that another mount in the container covers is bound from the host, in crun from there", "crun", "mount", "/dev/\\w+",
            "(superblock|fs type|root|source|super .*)", when=user_namespace),
    Allowed("a bound device covers a file that nobody can open", "", "image", ".*", "node", "---------- .*", "-.*", user_namespace),
    Allowed("what lies where is the same; sources and devices were opened in another order", "", "mount", "", "order", when=user_namespace),
    Allowed("a bound device has the flags that it has on the host; crun adds some", "crun", "mount", "/dev/.*", "option no(suid|exec)", "-", "set",
            lambda c: user_namespace(c) and c.fact("root").startswith("/")),
    Allowed("minictr makes the IPC namespace before ids are mapped, so the root of mqueue, which anyone may write to, shows as nobody's",
            "", "(node|path)", ".*", "owner", "65534:65534", when=lambda c: user_namespace(c) and c.options_of("mqueue")),
    Allowed("where a slave alone is asked for, the mount of the root is private, as is what is bound from there; in a user namespace all "
            "is a slave already, and runc and crun leave it so, and we what the parent opened", "", "mount", ".*", "propagation",
            when=lambda c: user_namespace(c) and asked_propagation("slave")(c)),
    Allowed("a sysctl is written at the end, through the container's own /proc; crun opens the host's before", "crun", "run", "", "refused",
            ".*/linux/sysctl/.*no safe way to it without a procfs.*", "no", user_namespace),
    Allowed("a bind takes along what a user namespace locks below it, and then its flags", "runc", "run", "", "refused", "no",
            ".*error mounting .*: operation not permitted.*", lambda c: user_namespace(c) and c.options(*(o for pair in RECURSIVE for o in pair))),
    Allowed("runc starts no user namespace without a /proc of its own", "runc", "run", "", "refused", "no", ".*can't get final child's PID.*",
            lambda c: user_namespace(c)),
    Allowed("a remount that says nothing of ro makes a tmpfs writable again, as with runc; in crun it becomes read-only at the end", "crun",
            "(mount|path)", ".*", "(option (r[ow]|nosuid|nodev|noexec)|write)", when=lambda c: c.options("remount") and tmpfs_point(c)),
    Allowed("atime and diratime speak of the access time, of which the rest is then the default; to mount(2) they say nothing", "", "mount", ".*",
            "option (relatime|noatime|strictatime)", when=lambda c: c.options("remount") and c.options("atime", "diratime")),
    Allowed("what a user namespace gets from the host is a slave, and shared besides where that is asked", "crun", "mount", "/dev/\\w+",
            "propagation", "master shared", "shared", when=lambda c: user_namespace(c) and asked_propagation("shared", "rshared")(c)),
    # --- masks ---------------------------------------------------------------------------------------------------------
    Allowed("masks differ in what they are made of: one tmpfs of one inode for all, one for each, the host's /dev/null or the container's",
            "", "mount", ".*", "(?!present|propagation|parent).*", when=masked),
    Allowed("crun's masks are binds of the host's null device, and have its propagation",
            "crun", "mount", ".*", "propagation", when=masked),
    Allowed("a mask below a shared mount is private where the others are copied from it", "", "mount", ".*", "propagation", "private", "shared",
            lambda c: is_mask(c.ours, c.subject)),
    # --- runc ----------------------------------------------------------------------------------------------------------
    Allowed("a shared root is so with all below it when that is asked (rshared), as later releases of runc have it",
            "runc", "mount", ".*", "propagation", "shared", "private|unbindable", asked_propagation("rshared")),
    Allowed("below a shared root, what covers a read-only path propagates into what that was bound from",
            "", "mount", ".*", "(present|parent|propagation)",
            when=lambda c: asked_propagation("shared", "rshared")(c) and (readonly_nested(c) or both_covered(c))),
    Allowed("rootfsPropagation shared makes / shared, as the specification says and later releases of runc do",
            "runc", "mount", "/", "propagation", "shared", "private", asked_propagation("shared")),
    Allowed("read-only and masked paths of a shared root are shared, as the kernel makes what is mounted there",
            "", "mount", ".*", "propagation", "shared", "private", lambda c: asked_propagation("shared")(c) and late(c)),
    Allowed("an unbindable root becomes so at the end; runc 1.1 can then not bind it at the beginning",
            "runc", "run", "", "refused", "no", ".*(error preparing rootfs: mount|failed to setup tmpdir: mount) .*invalid argu.*", asked_propagation("unbindable", "runbindable")),
    Allowed("an unbindable root becomes so at the end; runc 1.1 loses it",
            "runc", "mount", ".*", "propagation", "unbindable", "private|-",
            asked_propagation("unbindable", "runbindable")),
    Allowed("the same file system once more at the same place, where mount(2) says EBUSY, is a mount like others",
            "", "run", "", "refused", "no", ".*[Dd]evice or resource busy.*"),
    Allowed(LAST_TIME,
            "runc", "run", "", "refused", "no", ".*invalid argument.*", access_times),
    Allowed(LAST_TIME,
            "runc", "mount", ".*", "option (noatime|relatime|strictatime)", when=access_times),
    Allowed(COVERED_TMPFS,
            "runc", "(mount|path)", ".*", "(option (r[ow]|nosuid|nodev|noexec|.*time)|write)", when=covered_tmpfs),
    Allowed(COVERED_TMPFS,
            "runc", "run", "", "refused", "no", ".*error during container init: mount \\S+, flags: 0x\\S+: .*", covered_tmpfs),
    Allowed("without a cgroup namespace the host's cgroup2 is bound instead of mounted anew, which would change its options for the host",
            "", "mount", "/sys/fs/cgroup.*", "source", when=lambda c: {"type": "cgroup"} not in c.linux["namespaces"]),
    Allowed("the tmpfs that holds the v1 hierarchies is read-only where the cgroup mount is; runc 1.1 leaves it writable for root",
            "runc", "path", "/sys/fs/cgroup", "write", "EROFS", "yes"),
    Allowed("with tmpcopyup the tmpfs is like the directory that it covers, its mode and owner too; others copy only what is in it",
            "", "(node|path)", ".*", "(mode|owner)", when=lambda c: tmpfs_point(c) and c.options("tmpcopyup")),
    Allowed("as above, and what is made in the tmpfs takes over the set-group-id bit or the group",
            "runc", "(node|path)", ".*", "(mode|owner)", when=lambda c: in_tmpfs(c) and c.options("tmpcopyup", "mode")),
    Allowed("of a recursive option and its opposite the last one counts; with runc and crun the one that sets",
            "", "(mount|path)", ".*", "(option (r[ow]|nosuid|nodev|noexec|nodiratime)|write)", when=lambda c: both_of_a_pair(c, RECURSIVE)),
    Allowed("of a recursive option and its opposite the last one counts; with runc and crun the one that sets",
            "", "run", "", "refused", "no", ".*[Rr]ead-only file sy.*", lambda c: both_of_a_pair(c, RECURSIVE)),
    Allowed("a path that is listed twice is covered once; runc and crun cover it again",
            "", "mount", ".*", "(present|parent|propagation|order|option r[ow])", when=listed_twice),
    Allowed("the tmpfs that holds the v1 hierarchies is read-only where the cgroup mount is, in the copy below a read-only /sys too",
            "runc", "mount", "/sys/fs/cgroup#\\d+", "option r[ow]", when=lambda c: c.case["host"][0] == "v1"),
    Allowed("a shared root is so with all below it when that is asked (rshared), unbindable mounts too, which can then be bound",
            "runc", "run", "", "refused", "no", ".*can't make .* read-only: .*invalid argument.*", asked_propagation("rshared")),
    Allowed("a shared root is so with all below it when that is asked (rshared), unbindable mounts too, which can then be bound",
            "runc", "(node|path)", ".*", ".*", when=lambda c: asked_propagation("rshared")(c) and c.options("unbindable", "runbindable")),
    Allowed("a /dev that is bound read-only becomes so at the end, as one that is mounted; with runc nothing can be mounted in it",
            "runc", "run", "", "refused", "no", ".*bundle/rootfs/dev/\\S*: read-only file sy.*"),
    Allowed("runc tries the null device for a directory too, and fails where it cannot be bound",
            "runc", "run", "", "refused", "no", ".*can't mask path \\S+ mount /dev/null:.*invalid argument.*"),
    Allowed("runc writes sysctls through the container's /proc",
            "runc", "run", "", "refused", "no", ".*open /proc/sys/.*: (no such file or directory|read-only).*"),
    Allowed("a masked path that leads through a file is not there, and skipped",
            "runc", "run", "", "refused", "no", ".*can't mask path .*not a directory.*"),
    Allowed("files that are made are 0644, in the sources of mounts too", "", "(node|path)", ".*", "mode", "0644", "0755|0700",
            lambda c: any(m["source"].endswith("file") for m in c.mounts)),
    Allowed("proc and sysfs go on no target that a symlink leads to, wherever in the path it is: CVE-2019-19921",
            "", "run", "", "refused", ".*(proc|sysfs) must be mounted on an ordinary directory, without a symlink on the way", "no"),
    Allowed("a tmpfs takes its target's mode as a mount option, at once; runc changes the mode after mounting, to the same",
            "runc", "mount", ".*", "super mode=\\d+", "set", "-", lambda c: c.fact("fs type") == "tmpfs"),
    Allowed("mode= of a tmpfs counts; runc 1.1 gives it the mode of the directory that it covers all the same",
            "runc", "(node|path)", ".*", "mode", when=lambda c: tmpfs_point(c) and c.options("mode")),
    Allowed("runc starts no container without a /proc of its own", "runc", "run", "", "refused", "no", ".*open /proc/self/fd: .*"),
    Allowed("runc starts no container without a /dev/null that it can open, even where nothing needs one",
            "runc", "run", "", "refused", "no", ".*(stat|open) /dev/null: .*"),
    Allowed("runc cannot move a tmpfs with tmpcopyup that is unbindable onto a shared mount", "runc", "run", "", "refused", "no",
            ".*tmpcopyup: failed to move mount: .*invalid argument.*", lambda c: c.options("unbindable", "runbindable")),
    Allowed("runc cannot copy a /dev up that has other mounts in it", "runc", "run", "", "refused", "no", ".*tmpcopyup: failed to copy.*"),
    Allowed("runc does not find the working directory behind a link that dangles",
            "runc", "run", "", "refused", "no", ".*(mkdir \\S+: file exists|chdir to cwd .*).*"),
    Allowed("runc looks for its new mount by path once more, and does not find it where the mount covered a part of that path",
            "runc", "run", "", "refused", "no", ".*change mount propagation through procfd: .*"),
    # --- crun ----------------------------------------------------------------------------------------------------------
    Allowed("crun links /dev/core to /proc/kcore whether or not the host has one",
            "crun", "(node|image)", ".*/core", "present", "-", "yes"),
    Allowed("crun cuts the root off from the host's propagation, without being asked to; here as with runc it is a slave",
            "crun", "mount", ".*", "propagation", "master|shared|master shared", "private", lambda c: c.case["host"][1] == "shared"),
    Allowed("crun makes the root private whatever it is asked", "crun", "mount", ".*", "propagation", "master", "private"),
    Allowed("what the config says of a mount's propagation counts; crun makes all mounts private in the end",
            "crun", "mount", ".*", "propagation", ".*", "private", lambda c: any(PROPAGATION.fullmatch(o) for m in c.mounts for o in m["options"])),
    Allowed("an unbindable root becomes so at the end; crun's binds then lack what is mounted below their source",
            "crun", "(mount|node)", ".*", "(present|mode|owner|parent)", when=asked_propagation("unbindable", "runbindable")),
    Allowed("slave, shared, private and unbindable are about one mount; crun changes also what is mounted below",
            "crun", "mount", ".*/.*", "propagation", when=lambda c: any("rbind" in m["options"] and any(
                PROPAGATION.fullmatch(o) for o in m["options"]) for m in c.mounts)),
    Allowed("bind takes no mounts below along; in crun it does, where an option of propagation is recursive",
            "crun", "(mount|node)", ".*", "(present|mode|owner|parent)", when=lambda c: any("bind" in m["options"] and any(
                o.startswith("r") and PROPAGATION.fullmatch(o) for o in m["options"]) for m in c.mounts)),
    Allowed("a mask is the container's own null device, which cannot be bound from an unbindable /dev, as with runc; crun's is the host's",
            "crun", "run", "", "refused", ".*open_tree\\(/dev/null\\): invalid argument: the source is unbindable.*", "no"),
    Allowed("a masked path inside of a read-only one stays masked, and the other way round; crun masks first",
            "crun", "(mount|path|node)", ".*", ".*", when=both_covered),
    Allowed("what is unbindable cannot become a read-only path, as with runc; crun masks first, and binds the mask",
            "crun", "run", "", "refused", ".*open_tree.*: invalid argument: the source is unbindable.*", "no", both_covered),
    Allowed("crun mixes up a recursive option of the access time with nosymfollow",
            "crun", "mount", ".*", "option nosymfollow", "-", "set",
            access_times),
    Allowed("of noatime and rrelatime the later one counts; in crun the recursive one is forgotten", "crun", "mount", ".*",
            "option (noatime|relatime)", when=lambda c: c.options("noatime") and c.options("rrelatime")),
    Allowed("a mask is bound from inside of the root, also of an unbindable one; crun fails there", "crun", "run", "", "refused", "no",
            "mount `/dev/null` to .*: Invalid argument", asked_propagation("unbindable", "runbindable")),
    Allowed("crun makes read-only mounts so only at the end, and can make targets in them", "crun", "run", "", "refused",
            ".*(mkdirat|mknodat).*read-only file system", "no"),
    Allowed("nothing but a procfs goes on /proc", "crun", "run", "", "refused", ".*only a procfs may be mounted there.*", "no"),
    Allowed("crun starts no container without a /dev", "crun", "run", "", "refused", "no", "open /dev directory in .*"),
    Allowed("crun starts no container without a /dev/null, even where nothing needs one",
            "crun", "run", "", "refused", "no", "failed open\\(\\)ing /dev/null: .*"),
    Allowed("where no device node can be made or bound, an error says so; crun leaves an empty file",
            "crun", "run", "", "refused", ".*/linux/devices/\\d+: openat\\(.*no such file or directory", "no"),
    Allowed("crun does not make a working directory behind a link that dangles",
            "crun", "run", "", "refused", "no", "chdir .*No such file or directory"),
    Allowed(STICKY, "crun", "image", ".*", "node", "drwxr-xr-x .*", "drwxr-xr-t .*"),
    Allowed(STICKY, "crun", "(node|path)", ".*", "mode", "0755", "1755"),
    Allowed("files that are made are 0644; crun makes them 0700", "crun", "image", ".*", "node", "-rw-r--r-- .*", "-rwx------ .*"),
    Allowed("crun names the source of a cgroup mount cgroup2 whatever the config says",
            "crun", "mount", ".*", "source", "cgroup", "cgroup2"),
    Allowed("crun runs here with --cgroup-manager=disabled, so its cgroup is the root of the hierarchy",
            "crun", "(node|path)", ".*", "mode", "0755", "0555", lambda c: c.fact("fs type") == "cgroup2"),
    Allowed("a dangling link in a target is followed inside of the root, as runc does; crun gives up",
            "crun", "run", "", "refused", "no", "openat2 .*No such file or directory"),
    Allowed("crun mounts proc and sysfs only directly below the root",
            "crun", "run", "", "refused", ".*", ".*must be mounted at the root"),
    Allowed("crun sets two options of propagation in one call, which the kernel refuses",
            "crun", "run", "", "refused", "no", "set propagation for .*Invalid argument", two_propagations),
    Allowed("crun sets an attribute of the access time without clearing the old one, which the kernel refuses",
            "crun", "run", "", "refused", "no", "mount_setattr .*Invalid argument"),
    Allowed(TMPFS_MODE,
            "crun", "(node|path)", ".*", "mode", ".*", "1777", tmpfs_point),
    Allowed(TMPFS_MODE,
            "crun", "mount", ".*", "super mode=\\d+", "set", "-", lambda c: c.fact("fs type") == "tmpfs"),
    Allowed("of an option and its opposite the last one counts, as with runc; in crun 1.8 an option that clears clears nothing set before",
            "crun", "(mount|path)", ".*", "(option .*|super (r[ow]|sync)|write)", when=both_of_a_pair),
    Allowed("crun makes a file system read-only by its mount alone, not by its superblock", "crun", "mount", ".*", "super r[ow]",
            when=lambda c: c.fact("super ro") == "set"),
    Allowed("as before, of a second sysfs, which has the same superblock", "crun", "path", ".*", "write", "EROFS", "EACCES",
            lambda c: sum(m["type"] == "sysfs" for m in c.mounts) > 1),
    Allowed("an entry of linux.devices with the path of a default device changes its mode and owner; crun keeps its own",
            "crun", "(node|path|image)", ".*", "(node|mode|owner)", when=default_devices),
    Allowed("a read-only path keeps nosuid, nodev and noexec of what it binds; crun loses them",
            "crun", "mount", ".*", "option (nosuid|nodev|noexec|relatime|noatime|nodiratime)", when=of_readonly_path),
    Allowed("a read-only path inside of another stays read-only; in crun the outer one brings back the writable mount",
            "crun", "(mount|path)", ".*", "(option r[ow]|write)", when=readonly_nested),
]


# Our own set-up on older kernels, to which nothing of the above applies.
OF_OLDER = [
    Allowed("recursive attributes need mount_setattr(2), Linux 5.12", "", "run", "", "refused", "no", ".*recursive mount attributes need.*"),
    Allowed("the same file system once more at the same place, where mount(2) says EBUSY", "", "run", "", "refused", "no",
            ".*device or resource busy.*"),
    Allowed("after the switch there is the container's /proc alone, which is masked or has something else in it", "", "run", "", "refused", "no",
            ".*(mount\\(2\\) alone is not safe|there is no safe way to it) without a procfs.*"),
    Allowed("without open_tree(2) the child binds by path, what its user namespace locks: flags, and what is mounted below a source", "", "run", "",
            "refused", "no", ".*(locked by its user namespace|that its user namespace locked|mount_setattr.*operation not permitted).*",
            user_namespace),
    Allowed("with open_tree(2) the sources were opened earlier than the rest was mounted", "", "mount", "", "order", when=user_namespace),
    Allowed("what the parent opened is a slave of the host's, and shared besides where that is asked for; what the child binds by its path has what "
            "the mount has there", "", "mount", ".*", "propagation", when=user_namespace),
    Allowed("a mount that covers the way that leads to it is found again by its descriptor alone", "", "run", "", "refused", "no",
            ".*it covers the way that leads to it.*"),
    Allowed("sysctls are written through the container's /proc, which is read-only", "", "run", "", "refused", "no",
            ".*/linux/sysctl/.*: read-only file system"),
    Allowed("the container's program reads the mount table in /proc, which is masked", "", "mount", ".*", ".*", ".*", "-",
            lambda c: ("mount", "/", "present") not in c.theirs),
    Allowed("on a shared mount, what mount(2) mounts reaches the peers before it has its flags", "", "mount", ".*#\\d+", "option .*",
            when=lambda c: c.fact("propagation").startswith(("shared", "master"))),
]


def explain(runtime, case, ours, theirs, difference):
    """The reason that allows a difference, or None."""
    context = Context(case, ours.facts, theirs.facts, difference[1])
    for entry in OF_OLDER if runtime in OLDER else ALLOWED:
        if entry.covers(runtime, context, difference):
            return entry.why
    if runtime == "runc":
        for entry in OF_RUNC:
            if entry.case == ".*" and entry.covers("random", difference):
                return entry.why
    return None
