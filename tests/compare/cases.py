"""The bundles that are compared. Each case changes what `runc spec` writes; its docstring says what it is about.

A case is a function of the config, which it changes, and of the bundle's directory, where it may put files. What a run
needs beside the config is in the case's `needs`: "shared" (the host's mounts are shared with a peer group), "cgroup2" (the
host has cgroup2 alone), "no-pivot", "tty" (the runtime is started on a terminal).
"""

CASES = []


def case(*needs):
    def add(function):
        function.needs = needs
        CASES.append(function)
        return function
    return add


def mount(config, destination, kind, source, *options):
    config["mounts"].append({"destination": destination, "type": kind, "source": str(source), "options": list(options)})


def at(config, destination):
    return next(m for m in config["mounts"] if m["destination"] == destination)


def without(config, *namespaces):
    config["linux"]["namespaces"] = [n for n in config["linux"]["namespaces"] if n["type"] not in namespaces]


def put(bundle, name, text="from the host\n", mode=0o644):
    path = bundle / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


@case()
def default(config, bundle):
    """The config as `runc spec` writes it."""


@case("cgroup2")
def default_cgroup2(config, bundle):
    """The same on a host with cgroup v2 alone, where `runc spec` asks for a cgroup namespace too."""
    config["linux"]["namespaces"].append({"type": "cgroup"})


@case("shared")
def default_shared_host(config, bundle):
    """The same on a host whose mounts are shared, as systemd makes them."""


@case()
def writable_root(config, bundle):
    """A root that stays writable."""
    config["root"]["readonly"] = False


@case()
def binds(config, bundle):
    """Bind mounts: directories, files, relative sources, missing targets, a symlink in the target, each flag."""
    put(bundle, "volume/file")
    put(bundle, "volume/script", "#!/bin/sh\n", 0o755)
    (bundle / "rootfs/link").symlink_to("/etc/../linked")
    (bundle / "rootfs/linked").mkdir()
    source = bundle / "volume"
    mount(config, "/plain", "bind", source, "bind")
    mount(config, "/relative/deep/target", "bind", "volume", "bind")
    mount(config, "/typeless", "none", source, "rbind", "ro")
    mount(config, "/link/below", "bind", source, "bind", "ro")
    mount(config, "/file", "bind", source / "file", "bind", "ro", "nosuid")
    mount(config, "/etc/new/file", "bind", source / "file", "rbind")
    for flags in (["nosuid"], ["nodev", "noexec"], ["noatime"], ["strictatime"], ["nodiratime"], ["relatime"],
                  ["ro", "nosuid", "nodev", "noexec"], ["ro", "rw"], ["noexec", "exec"], ["nosuid", "suid", "nodev"]):
        mount(config, "/with-" + "-".join(flags), "bind", source, "bind", *flags)


@case()
def recursive_binds(config, bundle):
    """Recursive attributes on a source that has mounts below it (runc's own /dev inside the container serves)."""
    for flag in ("rro", "rnosuid", "rnodev", "rnoexec", "rnoatime", "rstrictatime", "rnodiratime"):
        mount(config, f"/sys-{flag}", "bind", "/dev", "rbind", flag)
    mount(config, "/dev-plain", "bind", "/dev", "rbind", "ro")


@case()
def tmpfs(config, bundle):
    """tmpfs with data, on an existing directory whose mode it takes, on a new one, read-only, and with copy-up."""
    (bundle / "rootfs/private").mkdir(mode=0o700)
    (bundle / "rootfs/sticky").mkdir()
    (bundle / "rootfs/sticky").chmod(0o1777)
    put(bundle, "rootfs/filled/file")
    mount(config, "/private", "tmpfs", "tmpfs")
    mount(config, "/sticky", "tmpfs", "tmpfs", "nosuid", "nodev")
    mount(config, "/new/below", "tmpfs", "tmpfs")
    mount(config, "/mode", "tmpfs", "named", "mode=0750", "size=16k", "nr_inodes=99", "uid=7", "gid=8")
    mount(config, "/readonly", "tmpfs", "tmpfs", "ro", "noexec")
    mount(config, "/filled", "tmpfs", "tmpfs", "tmpcopyup", "mode=0711")
    mount(config, "/sync", "tmpfs", "tmpfs", "sync", "dirsync", "noatime")


@case()
def readonly_mounts(config, bundle):
    """ro on /dev, on proc, and on the file systems below /dev."""
    at(config, "/dev")["options"].append("ro")
    at(config, "/dev/shm")["options"].append("ro")
    at(config, "/proc")["options"] = ["ro", "nosuid", "nodev", "noexec"]


@case()
def devices(config, bundle):
    """Device nodes and fifos beside the default ones."""
    config["linux"]["devices"] = [
        {"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 0o640, "uid": 5, "gid": 6},
        {"path": "/dev/deep/loop7", "type": "b", "major": 7, "minor": 7, "fileMode": 0o600, "uid": 0, "gid": 0},
        {"path": "/dev/pipe", "type": "p", "fileMode": 0o622, "uid": 1, "gid": 2},
        {"path": "/dev/unbuffered", "type": "u", "major": 1, "minor": 9, "fileMode": 0o666, "uid": 0, "gid": 0},
        {"path": "/outside", "type": "c", "major": 1, "minor": 3, "fileMode": 0o444, "uid": 0, "gid": 0},
    ]


@case()
def host_dev(config, bundle):
    """The host's /dev bound: no device, link or /dev/null of the container's own."""
    config["mounts"] = [m for m in config["mounts"] if not m["destination"].startswith("/dev")]
    mount(config, "/dev", "bind", "/dev", "rbind", "ro")


@case()
def no_dev_mount(config, bundle):
    """No mount on /dev: the nodes and links go into the image's directory."""
    config["mounts"] = [m for m in config["mounts"] if not m["destination"].startswith("/dev")]
    config["root"]["readonly"] = False


@case("shared")
def propagation_shared(config, bundle):
    """rootfsPropagation shared on a shared host."""
    config["linux"]["rootfsPropagation"] = "shared"


@case("shared")
def propagation_private(config, bundle):
    """rootfsPropagation private on a shared host."""
    config["linux"]["rootfsPropagation"] = "private"


@case("shared")
def propagation_slave(config, bundle):
    """rootfsPropagation rslave, with mounts that say otherwise for themselves."""
    config["linux"]["rootfsPropagation"] = "rslave"
    put(bundle, "volume/file")
    for flag in ("private", "rprivate", "slave", "rslave", "shared", "rshared", "unbindable", "runbindable"):
        mount(config, f"/p-{flag}", "bind", bundle / "volume", "rbind", flag)
        mount(config, f"/t-{flag}", "tmpfs", "tmpfs", flag)
    mount(config, "/two", "bind", bundle / "volume", "bind", "slave", "shared", "ro")


@case()
def masks(config, bundle):
    """Masked and read-only paths: files, directories, missing ones, duplicates, one below another."""
    put(bundle, "rootfs/secret/file")
    put(bundle, "rootfs/visible/file")
    config["root"]["readonly"] = False
    config["linux"]["maskedPaths"] = ["/secret", "/visible/file", "/missing", "/proc/uptime", "/sys/firmware", "/proc/uptime"]
    config["linux"]["readonlyPaths"] = ["/visible", "/proc/sys", "/gone", "/dev/shm", "/dev/null"]


@case()
def no_masks(config, bundle):
    """Nothing masked, nothing read-only."""
    config["linux"]["maskedPaths"] = []
    config["linux"]["readonlyPaths"] = []


@case()
def proc_files(config, bundle):
    """Files over those under /proc that may be covered, as lxcfs does."""
    for name in ("cpuinfo", "meminfo", "uptime", "loadavg", "stat", "diskstats", "swaps"):
        mount(config, f"/proc/{name}", "bind", put(bundle, f"lxcfs/{name}", f"false {name}\n"), "bind", "ro")


@case()
def few_namespaces(config, bundle):
    """No network, IPC or UTS namespace of its own; sysfs bound from the host instead of mounted."""
    without(config, "network", "ipc", "uts")
    config.pop("hostname", None)
    config["mounts"] = [m for m in config["mounts"] if m["destination"] not in ("/sys", "/sys/fs/cgroup", "/dev/mqueue")]
    mount(config, "/sys", "bind", "/sys", "rbind", "ro", "nosuid", "nodev", "noexec")


@case()
def cgroup_namespace(config, bundle):
    """A cgroup namespace, where v1 hierarchies are mounted instead of bound."""
    config["linux"]["namespaces"].append({"type": "cgroup"})


@case()
def cgroup_writable(config, bundle):
    """A cgroup mount without ro."""
    at(config, "/sys/fs/cgroup")["options"] = ["nosuid", "noexec", "nodev"]


@case("cgroup2")
def cgroup2_shared_namespace(config, bundle):
    """cgroup v2 without a cgroup namespace."""
    without(config, "cgroup")


@case()
def process(config, bundle):
    """A working directory that is missing, a umask, and sysctls of the container's namespaces."""
    config["root"]["readonly"] = False
    config["process"]["cwd"] = "/made/by/the/runtime"
    config["process"]["user"]["umask"] = 0o027
    config["linux"]["sysctl"] = {"net.ipv4.ip_forward": "1", "kernel.shmmni": "2048", "fs.mqueue.msg_max": "12"}


@case()
def user_namespace(config, bundle):
    """A user namespace: devices are bound from the host's nodes."""
    config["linux"]["namespaces"].append({"type": "user"})
    for key in ("uidMappings", "gidMappings"):
        config["linux"][key] = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    put(bundle, "volume/file")
    mount(config, "/volume", "bind", bundle / "volume", "bind", "ro")
    mount(config, "/scratch", "tmpfs", "tmpfs", "mode=0750")


@case("tty")
def terminal(config, bundle):
    """A terminal: /dev/console and the pty of the container's own devpts."""
    config["process"]["terminal"] = True
    config["process"]["consoleSize"] = {"height": 40, "width": 200}


@case("no-pivot")
def no_pivot(config, bundle):
    """The root moved to "/" instead of pivot_root."""


@case("cgroup2", "shared")
def minimal(config, bundle):
    """Only root, proc and a mount namespace."""
    config["mounts"] = [at(config, "/proc")]
    config["linux"] = {"namespaces": [{"type": "mount"}, {"type": "pid"}]}
    config.pop("hostname", None)
