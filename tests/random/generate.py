"""Random valid configs. A case is plain data (JSON), made from its seed alone, so that it can be printed, made smaller and run
again:

	host    "v1" or "cgroup2", and "private" or "shared": the host on which it runs
	image   what the root file system holds: [path, kind, argument, mode, owner]
	config  config.json, with "@" for the directory that holds the bundle and the sources of mounts
"""

import random

# What every image has. The walk of a mount's target meets directories of several modes, and links of every kind: relative,
# absolute, upwards, to a file, dangling in one and in two steps.
IMAGE = [
    ["/etc", "dir", "", 0o755, 0], ["/etc/file", "file", "of the image\n", 0o644, 0], ["/srv", "dir", "", 0o755, 0],
    ["/srv/deep", "dir", "", 0o750, 0], ["/srv/deep/er", "dir", "", 0o755, 3], ["/srv/f", "file", "f\n", 0o640, 4],
    ["/data", "dir", "", 0o700, 7], ["/data/file", "file", "data\n", 0o600, 7], ["/sticky", "dir", "", 0o1777, 0],
    ["/group", "dir", "", 0o2775, 5], ["/tool", "file", "#!\n", 0o4755, 0], ["/pipe", "fifo", "", 0o622, 1],
    ["/link", "link", "srv", 0, 0], ["/absolute", "link", "/srv/deep", 0, 0], ["/srv/up", "link", "../../../data", 0, 0],
    ["/flink", "link", "/srv/f", 0, 0], ["/dangling", "link", "/made/by/link", 0, 0], ["/srv/lost", "link", "nothing", 0, 0],
    ["/twice", "link", "dangling/more", 0, 0],
]
SYSTEM = [["/proc", "dir", "", 0o755, 0], ["/sys", "dir", "", 0o555, 0], ["/dev", "dir", "", 0o755, 0], ["/run", "dir", "", 0o755, 0],
          ["/tmp", "dir", "", 0o1777, 0]]

PLACES = ["/etc", "/srv", "/srv/deep", "/srv/deep/er", "/data", "/sticky", "/group", "/new", "/new/below/it", "/srv/new", "/link/x",
          "/absolute", "/absolute/y", "/srv/up", "/srv/up/z", "/run", "/tmp", "/run/lock"]
FILES = ["/etc/file", "/srv/f", "/flink", "/new/file", "/link/file", "/data/file", "/etc/new", "/tool"]
NAMES = ["a", "b", "deep", "sub", "c", "d"]
# Rarer, since they make most configs a refused one: crun follows no dangling link, and what is a file takes no directory.
RARE_PLACES, RARE_NAMES = ["/dangling", "/srv/lost", "/twice"], ["file", "link"]

FLAGS = ["ro", "rw", "nosuid", "suid", "nodev", "dev", "noexec", "exec", "noatime", "atime", "nodiratime", "diratime", "relatime",
         "norelatime", "strictatime", "nostrictatime"]
FS_FLAGS = ["sync", "async", "dirsync"]
PROPAGATION = ["private", "rprivate", "slave", "rslave", "shared", "rshared", "unbindable", "runbindable"]
# The kernel takes those of the access time from neither runc nor crun in every mixture.
RECURSIVE = ["rro", "rrw", "rnosuid", "rsuid", "rnodev", "rdev", "rnoexec", "rexec", "rnodiratime", "rdiratime", "rrelatime",
             "rnorelatime", "rnoatime", "ratime", "rstrictatime", "rnostrictatime"]

FIRST_ID = 100000  # on the host, of a container's user namespace
SYSCTLS = [("kernel.shmmni", "ipc", ["1024", "2048"]), ("kernel.msgmnb", "ipc", ["4096"]), ("fs.mqueue.msg_max", "ipc", ["12", "15"]),
           ("kernel.domainname", "uts", ["example"]), ("net.ipv4.ip_forward", "network", ["1"])]
DEVICES = [("c", 10, 229), ("c", 1, 3), ("c", 1, 5), ("b", 7, 3), ("b", 259, 70000), ("c", 511, 1048575), ("u", 1, 8), ("p", 0, 0)]
PROC_FILES = ["/proc/cpuinfo", "/proc/meminfo", "/proc/uptime", "/proc/loadavg", "/proc/stat", "/proc/diskstats", "/proc/swaps"]
MASKED = ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/acpi", "/proc/scsi", "/sys/firmware", "/sys/kernel", "/proc/asound"]
READONLY = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger", "/proc/sys/kernel"]


class Generator:
    def __init__(self, seed):
        self.r = random.Random(seed)
        self.mounts = []

    def maybe(self, probability):
        return self.r.random() < probability

    def some(self, population, most):
        return self.r.sample(population, min(len(population), self.r.randint(0, most)))

    def case(self):
        host = ["cgroup2" if self.maybe(0.8) else "v1", "shared" if self.maybe(0.5) else "private"]
        image = []
        for entry in SYSTEM + IMAGE:
            if entry[0].rpartition("/")[0] in {"", *(e[0] for e in image)} and self.maybe(0.9):
                image.append(entry)
        self.system_mounts()
        for _ in range(self.r.choice([0, 1, 2, 2, 3, 3, 4, 5, 6, 8])):
            self.mounts.append(self.mount())
        case = {"host": host, "image": image, "config": self.config()}
        if self.maybe(0.15):
            self.remount()
        if self.maybe(0.15):
            self.user_namespace(case["config"]["linux"])
        return case

    def config(self):
        namespaces = ["pid", "mount"] + [n for n, p in (("ipc", 0.8), ("uts", 0.8), ("cgroup", 0.6), ("network", 0.15)) if self.maybe(p)]
        linux = {"namespaces": [{"type": n} for n in namespaces],
                 "resources": {"devices": [{"allow": True, "access": "rwm"}]}}
        places = [m["destination"] for m in self.mounts] + PLACES + FILES
        if self.maybe(0.6):
            linux["maskedPaths"] = self.some(MASKED, 4) + self.some(places, 3)
        if self.maybe(0.6):
            linux["readonlyPaths"] = self.some(READONLY, 4) + self.some(places, 3)
        if self.maybe(0.3):
            linux["rootfsPropagation"] = self.r.choice(PROPAGATION[:6] if self.maybe(0.9) else PROPAGATION)
        if self.maybe(0.4):
            linux["devices"] = self.devices()
        if self.maybe(0.3):
            linux["sysctl"] = {k: self.r.choice(v) for k, ns, v in self.some(SYSCTLS, 2) if ns in namespaces}
        process = {"user": {"uid": 0, "gid": 0}, "args": ["/probe"], "env": ["PATH=/"], "cwd": "/", "noNewPrivileges": True}
        if self.maybe(0.3):
            process["user"]["umask"] = self.r.choice([0o027, 0o077, 0o002, 0])
        if self.maybe(0.3):
            process["cwd"] = self.r.choice(["/srv", "/link", "/new/cwd", "/data", "/absolute/er", "/run/made", "/proc/sys/kernel", "/tmp"])
        config = {"ociVersion": "1.0.2", "process": process, "root": {"path": "rootfs", "readonly": self.maybe(0.4)},
                  "mounts": self.mounts, "linux": linux}
        if "uts" in namespaces:
            config["hostname"] = "random"
        return config

    def system_mounts(self):
        """Those that nearly every container has, in their usual order, each of them sometimes missing or with other options."""
        def add(probability, destination, kind, source, *options):
            if self.maybe(probability):
                options = [o for o in options if self.maybe(0.95)] + (self.some(FLAGS, 2) if self.maybe(0.15) else [])
                self.mounts.append({"destination": destination, "type": kind, "source": source, "options": options})
        add(0.98, "/proc", "proc", "proc")
        add(0.9, "/dev", "tmpfs", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k")
        add(0.8, "/dev/pts", "devpts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620")
        add(0.6, "/dev/shm", "tmpfs", "shm", "nosuid", "noexec", "nodev", "mode=1777", "size=65536k")
        add(0.5, "/dev/mqueue", "mqueue", "mqueue", "nosuid", "noexec", "nodev")
        add(0.7, "/sys", "sysfs", "sysfs", "nosuid", "noexec", "nodev", "ro")
        if self.mounts and self.mounts[-1]["destination"] == "/sys":
            add(0.4, "/sys/fs/cgroup", "cgroup", "cgroup", "nosuid", "noexec", "nodev", "relatime", "ro")

    def place(self):
        """A target: of the image, missing, or in an earlier mount; the same one as before too."""
        earlier = [m["destination"] for m in self.mounts
                   if not m["destination"].startswith(("/proc", "/sys"))  # crun leaves directories in the host's cgroups
                   and (m["type"] in ("tmpfs", "bind", "none", "overlay") or self.maybe(0.02))]
        earlier = [e for e in earlier if e not in FILES or self.maybe(0.05)]
        if earlier and self.maybe(0.35):
            return self.r.choice(earlier) + "".join("/" + self.name() for _ in range(self.r.choice([0, 1, 1, 2])))
        return self.r.choice(RARE_PLACES if self.maybe(0.04) else PLACES)

    def name(self):
        return self.r.choice(RARE_NAMES if self.maybe(0.05) else NAMES)

    def flags(self, *more):
        options = self.some([*FLAGS, *more], self.r.choice([0, 1, 2, 3, 5]))
        if self.maybe(0.25):
            options += self.r.sample(PROPAGATION, 2 if self.maybe(0.2) else 1)
        return options

    def mount(self):
        kind = self.r.choice([self.tmpfs, self.tmpfs, self.bind, self.bind, self.bind, self.bind_file, self.bind_file, self.overlay, self.api])
        return kind()

    def tmpfs(self):
        options = self.flags(*FS_FLAGS) + self.some(["mode=0750", "size=64k", "nr_inodes=99", "uid=7", "gid=8", "mode=1777"], 2)
        if self.maybe(0.1):
            options.append("tmpcopyup")
        self.r.shuffle(options)
        return {"destination": self.place(), "type": "tmpfs", "source": self.r.choice(["tmpfs", "named"]), "options": options}

    def bind(self):
        options = [self.r.choice(["bind", "rbind", "rbind"]), *self.flags()]
        if self.maybe(0.25):
            options += self.some(RECURSIVE if self.maybe(0.2) else RECURSIVE[:RECURSIVE.index("rdiratime") + 1], 3)
        source = self.r.choice(["@/sources/dir", "@/sources/dir/sub", "@/sources/mounted", "@/sources/link", "../sources/dir"])
        return {"destination": self.place(), "type": self.r.choice(["bind", "none"]), "source": source, "options": options}

    def bind_file(self):
        destination = self.r.choice(PROC_FILES) if self.maybe(0.15) else self.r.choice(RARE_PLACES if self.maybe(0.05) else FILES)
        if self.maybe(0.2):
            destination = self.place() + "/file"
        return {"destination": destination, "type": "bind", "source": self.r.choice(["@/sources/file", "@/sources/dir/file"]),
                "options": [self.r.choice(["bind", "rbind"]), *self.flags()]}

    def overlay(self):
        data = ["lowerdir=@/sources/lower2:@/sources/lower"]
        if self.maybe(0.6):
            data += ["upperdir=@/sources/upper", "workdir=@/sources/work"]
        return {"destination": self.place(), "type": "overlay", "source": "overlay", "options": [*self.flags(), *data]}

    def api(self):
        kind = self.r.choice(["proc", "sysfs", "mqueue", "mqueue", "devpts", "devpts"])
        destination = self.place()
        if kind in ("proc", "sysfs") and self.maybe(0.8):  # crun mounts these only directly below the root
            destination = self.r.choice(["/proc", "/sys", "/run", "/new", "/tmp"])
        data = {"devpts": ["newinstance", "ptmxmode=0666", "gid=5"], "proc": ["hidepid=2"]}.get(kind, [])
        return {"destination": destination, "type": kind, "source": kind, "options": self.flags() + self.some(data, 2)}

    def remount(self):
        """A change of a mount that is there, somewhere after it."""
        i = self.r.randrange(len(self.mounts) + 1)
        if not self.mounts[:i]:
            return
        of = self.r.choice(self.mounts[:i])
        # Without "bind" the file system gets the flags: that of sysfs, mqueue and cgroup may be the host's.
        kind = ["remount"] if of["type"] in ("tmpfs", "devpts", "overlay") and self.maybe(0.5) else ["remount", "bind"]
        self.mounts.insert(i, {"destination": of["destination"], "type": of["type"], "source": of["source"], "options": [*kind, *self.flags()]})

    def user_namespace(self, linux):
        linux["namespaces"].append({"type": "user"})
        linux["uidMappings"] = linux["gidMappings"] = [{"containerID": 0, "hostID": FIRST_ID, "size": 65536}]

    def devices(self):
        """Nodes of every kind, below /dev and elsewhere; default ones too, with an owner of their own."""
        paths = ["/dev/fuse", "/dev/deep/er/node", "/dev/null", "/dev/tty", "/outside", "/srv/node", "/new/device", "/dev/ptmx", "/dev/shm/node"]
        numbers = {"/dev/null": (1, 3), "/dev/tty": (5, 0)}
        devices = []
        for path in self.some(paths, 4):
            kind, major, minor = ("c", *numbers[path]) if path in numbers else self.r.choice(DEVICES)
            device = {"path": path, "type": kind}
            if kind != "p":
                device.update(major=major, minor=minor)
            for key, values in (("fileMode", [0o600, 0o660, 0o644, 0o444]), ("uid", [0, 5]), ("gid", [0, 6])):
                if self.maybe(0.8):
                    device[key] = self.r.choice(values)
            devices.append(device)
        return devices


def generate(seed):
    return Generator(seed).case()
