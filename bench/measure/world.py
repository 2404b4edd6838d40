"""The world that is measured in: cgroup2 alone, a root file system, bundles, and the measuring programs."""

import atexit
import dataclasses
import json
import os
import pathlib
import shutil
import subprocess
import tempfile

TREE = pathlib.Path(__file__).resolve().parent.parent.parent
BENCH = TREE / "bench"
BUILD = TREE / os.environ.get("BUILD", "build")
OUT = BUILD / "bench"
INSTALLED = OUT / "installed"
LIB, MINICTR = INSTALLED / "lib", INSTALLED / "bin" / "minictr"

MOST_BINDS = 10000
MOST_MASKS = 500


@dataclasses.dataclass(frozen=True)
class Case:
    """A container: the default bundle, and what is added to it."""

    binds: int = 0
    readonly: bool = False  # rbind,rprivate,ro in place of bind
    masks: int = 0
    mask_kind: str = "dirs"
    cgroup: bool = True

    @property
    def name(self):
        return f"b{self.binds}{'r' * self.readonly}-m{self.masks}{self.mask_kind[0]}{'' if self.cgroup else '-nocgroup'}"


def default_config():
    """What `runc spec` writes, without a terminal and a network namespace, and with /bin/true."""
    capabilities = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]
    hardened = ["nosuid", "noexec", "nodev"]

    def mount(destination, kind, source, *options):
        return {"destination": destination, "type": kind, "source": source, "options": list(options)}

    return {
        "ociVersion": "1.0.2",
        "process": {
            "terminal": False, "user": {"uid": 0, "gid": 0}, "args": ["/bin/true"], "env": ["PATH=/bin", "TERM=xterm"], "cwd": "/",
            "capabilities": {s: capabilities for s in ("bounding", "effective", "permitted", "ambient")},
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}], "noNewPrivileges": True,
        },
        "root": {"path": "rootfs", "readonly": True},
        "hostname": "bench",
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            mount("/dev", "tmpfs", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
            mount("/dev/pts", "devpts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"),
            mount("/dev/shm", "tmpfs", "shm", *hardened, "mode=1777", "size=65536k"),
            mount("/dev/mqueue", "mqueue", "mqueue", *hardened),
            mount("/sys", "sysfs", "sysfs", *hardened, "ro"),
            mount("/sys/fs/cgroup", "cgroup", "cgroup", *hardened, "relatime", "ro"),
        ],
        "linux": {
            "namespaces": [{"type": t} for t in ("pid", "ipc", "uts", "mount")],
            "maskedPaths": ["/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
                            "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/proc/scsi"],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
        },
    }


class World:
    """Fixtures in a tmpfs. Made inside the private mount namespace, so all of it goes with the last process of it."""

    def __init__(self):
        enter_cgroup2()
        OUT.mkdir(parents=True, exist_ok=True)
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="world-", dir=OUT))
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "bench", self.dir], check=True)
        atexit.register(self.close)
        self.rootfs, self.source, self.state = self.dir / "rootfs", self.dir / "source", self.dir / "state"
        inside = [self.rootfs / name for name in ("proc", "sys", "dev", "bin", "m", "mask/dirs", "mask/files")]
        for d in (self.source, self.state, *inside):
            d.mkdir(parents=True)
        for i in range(MOST_BINDS):
            (self.rootfs / "m" / f"{i:05}").mkdir()
        for i in range(MOST_MASKS):
            (self.rootfs / "mask/dirs" / f"{i:05}").mkdir()
            (self.rootfs / "mask/files" / f"{i:05}").touch()
        self.build()

    def close(self):
        subprocess.run(["umount", "-l", self.dir], check=False)
        self.dir.rmdir()

    def build(self):
        """What is measured, and the measuring programs. The one that links librootfs only where the library has been built."""
        install()
        cc = [os.environ.get("CC", "cc"), "-std=c11", "-O2", "-Wall", "-Wextra"]
        for name in ("spawn", "firstcall"):
            subprocess.run([*cc, BENCH / f"{name}.c", "-o", OUT / name], check=True)
        subprocess.run([*cc, "-static", BENCH / "floor.c", "-o", OUT / "floor"], check=True)
        subprocess.run([*cc, "-static", "-x", "c", "-", "-o", self.rootfs / "bin/true"], check=True,
                       input=b"int main(void) { return 0; }")
        self.empty = OUT / "empty.so"
        subprocess.run(["go", "build", "-buildmode=c-shared", "-trimpath", "-ldflags=-s -w", "-o", self.empty, "./bench/empty"],
                       check=True, cwd=TREE)
        self.prepare = None
        if (LIB / "librootfs/librootfs-engine.so").exists():
            self.prepare = OUT / "prepare"
            subprocess.run([*cc, f"-I{TREE}/include", BENCH / "prepare.c", f"-L{LIB}", f"-Wl,-rpath,{LIB}", "-lrootfs",
                            "-o", self.prepare], check=True)

    def bundle(self, case):
        """The OCI bundle of a case, made when it is first asked for."""
        path = self.dir / case.name
        if path.exists():
            return path
        config = default_config()
        config["root"]["path"] = str(self.rootfs)
        if not case.cgroup:
            config["mounts"].pop()
        options = ["rbind", "rprivate", "ro"] if case.readonly else ["bind"]
        for i in range(case.binds):
            config["mounts"].append({"destination": f"/m/{i:05}", "type": "bind", "source": str(self.source), "options": options})
        config["linux"]["maskedPaths"] += [f"/mask/{case.mask_kind}/{i:05}" for i in range(case.masks)]
        path.mkdir()
        (path / "config.json").write_text(json.dumps(config))
        return path


def install():
    """Copies what was built, each file in one piece, as installers write them. What a linker writes bit by bit stays in the page
    cache as pages of 4 KiB, and a start that maps those takes up to a tenth longer."""
    shutil.rmtree(INSTALLED, ignore_errors=True)
    for built in (path for name in ("bin", "lib") for path in (BUILD / name).rglob("*") if path.is_file()):
        copy = INSTALLED / built.relative_to(BUILD)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(built.read_bytes())
        copy.chmod(0o755)


def enter_cgroup2():
    """Without the cgroup v1 hierarchies that a hybrid host has: crun 1.8 and runc take /sys/fs/cgroup for what it is there."""
    with open("/proc/self/mountinfo", encoding="utf-8") as f:
        there = [line.split() for line in f if line.split()[4] == "/sys/fs/cgroup"]
    if there and there[-1][there[-1].index("-") + 1] == "cgroup2":
        return
    if there:
        subprocess.run(["umount", "-R", "/sys/fs/cgroup"], check=True)
    subprocess.run(["mount", "-t", "cgroup2", "cgroup2", "/sys/fs/cgroup"], check=True)
