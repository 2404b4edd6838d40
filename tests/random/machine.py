"""Running one case with one runtime, in a directory of its own on a host of its own: a mount namespace with what the case wants.

Everything that a run can change lies on one tmpfs that is mounted for the run and dropped after it.
"""

import ctypes
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from facts import image_facts, parse
from generate import FIRST_ID
from runtimes import command

LIBC = ctypes.CDLL(None, use_errno=True)
MS_REC, MS_BIND, MS_PRIVATE, MS_SHARED, MNT_DETACH = 0x4000, 0x1000, 1 << 18, 1 << 20, 2
CLONE = {"mount": 0x00020000, "user": 0x10000000, "cgroup": 0x02000000, "uts": 0x04000000, "ipc": 0x08000000, "pid": 0x20000000, "network": 0x40000000}

# The files of the sources: [path, kind, argument, mode, owner] as in the image.
SOURCES = [
    ["dir", "dir", "", 0o755, 0], ["dir/file", "file", "of the source\n", 0o644, 2], ["dir/sub", "dir", "", 0o711, 6],
    ["dir/sub/inner", "file", "inner\n", 0o600, 6], ["dir/link", "link", "/srv", 0, 0], ["dir/deep", "dir", "", 0o700, 0],
    ["file", "file", "a file\n", 0o640, 3], ["link", "link", "dir", 0, 0], ["mounted", "dir", "", 0o755, 0],
    ["mounted/a", "dir", "", 0o755, 0], ["mounted/b", "dir", "", 0o755, 0], ["mounted/file", "file", "m\n", 0o644, 0],
    ["lower", "dir", "", 0o755, 0], ["lower/a", "file", "lower\n", 0o644, 0], ["lower/sub", "dir", "", 0o755, 0],
    ["lower2", "dir", "", 0o755, 0], ["lower2/a", "file", "lower2\n", 0o604, 0], ["lower2/file", "file", "2\n", 0o644, 0],
    ["upper", "dir", "", 0o751, 0], ["work", "dir", "", 0o755, 0],
]


class Outcome(NamedTuple):
    refused: str  # what the runtime said, or "" when the container ran
    facts: dict
    trouble: str = ""  # what must not be, whoever is compared with whom


def mount(source, target, kind="", flags=0, data=""):
    if LIBC.mount(str(source).encode(), str(target).encode(), kind.encode(), ctypes.c_ulong(flags), data.encode()):
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), f"mount {kind} {target}")


def unmount(target):
    if LIBC.umount2(str(target).encode(), MNT_DETACH):
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), f"umount {target}")


def enter_host(kind, propagation):
    """Makes this process's host: a mount namespace of its own, with the cgroup mounts and the propagation of the case."""
    if LIBC.unshare(CLONE["mount"]):
        raise OSError(ctypes.get_errno(), "unshare")
    mount("", "/", flags=MS_REC | MS_PRIVATE)
    if kind == "cgroup2":
        unmount("/sys/fs/cgroup")
        mount("cgroup2", "/sys/fs/cgroup", "cgroup2")
    if propagation == "shared":
        mount("", "/", flags=MS_REC | MS_SHARED)


def own_ipc():
    """A container without an IPC namespace of its own shares that of whoever starts it: its message queues would stay."""
    if LIBC.unshare(CLONE["ipc"]):
        os._exit(99)


def put(top, entries, first_id):
    for path, kind, argument, mode, owner in entries:
        place = f"{top}/{path}"
        if kind == "dir":
            os.mkdir(place)
        elif kind == "file":
            Path(place).write_text(argument)
        elif kind == "fifo":
            os.mkfifo(place)
        else:
            os.symlink(argument, place)
            os.lchown(place, first_id, first_id)
            continue
        os.chown(place, first_id + owner, first_id + owner)
        os.chmod(place, mode)


OLDER = ("older", "oldest")  # our own set-up on kernels that lack calls (older.c), seen as one more runtime


class Machine:
    """Runs cases below work, a directory of this process's own. programs has paths by name: minictr, runc, crun; probe, the container's
    program; host, which has the root verified; older."""

    def __init__(self, work, programs):
        self.work, self.programs = work, programs
        self.probe = Path(programs["probe"]).read_bytes()
        self.place = work / "run"
        self.place.mkdir(exist_ok=True)

    def build(self, case):
        os.umask(0)
        bundle, sources = self.place / "bundle", self.place / "sources"
        for directory in (bundle / "rootfs", sources):
            directory.mkdir(parents=True)
        first_id = FIRST_ID if {"type": "user"} in case["config"]["linux"]["namespaces"] else 0
        os.chown(bundle / "rootfs", first_id, first_id)
        put(bundle / "rootfs", case["image"], first_id)
        put(sources, SOURCES, first_id)
        # What an rbind takes along, and a recursive attribute has to reach.
        mount("below", sources / "mounted/a", "tmpfs", 2, "size=32k,mode=751")
        mount(sources / "dir", sources / "mounted/b", flags=MS_BIND)
        (bundle / "rootfs/probe").write_bytes(self.probe)
        (bundle / "rootfs/probe").chmod(0o755)
        (bundle / "config.json").write_text(self.config(case))
        return bundle

    def config(self, case):
        config = json.loads(json.dumps(case["config"]).replace("@/", f"{self.place}/"))
        linux = config["linux"]
        linux["cgroupsPath"] = f"/rootfs-random-{self.work.name}-{os.getpid()}"
        process = config["process"]
        process["capabilities"] = dict.fromkeys(("bounding", "effective", "permitted"), ["CAP_SYS_ADMIN", "CAP_DAC_OVERRIDE", "CAP_MKNOD"])
        paths = [*(m["destination"] for m in config["mounts"]), *linux.get("maskedPaths", []), *linux.get("readonlyPaths", []),
                 *("/proc/sys/" + key.replace(".", "/") for key in linux.get("sysctl", {}))]
        process["args"] = ["/probe", "--tree", "/", ".", *dict.fromkeys(paths)]
        return json.dumps(config, indent=1)

    def run(self, name, case, verify=False):
        """The Outcome of one case with one runtime; of ours also what the library says that verifies its own work."""
        before = Path("/proc/self/mountinfo").read_text()
        mount("run", self.place, "tmpfs", 0, "mode=755")
        try:
            bundle = self.build(case)
            ready = Path("/proc/self/mountinfo").read_text()
            done = subprocess.run(self.command(name, case, bundle, verify), input="", capture_output=True, text=True,
                                  timeout=60, check=False, env={"PATH": os.environ["PATH"], "LC_ALL": "C"}, preexec_fn=own_ipc)
            trouble = ""
            if Path("/proc/self/mountinfo").read_text() != ready:
                trouble = f"{name} left the host's mounts changed"
            if verify and done.returncode not in (0, 3):
                trouble = f"the library failed: {done.stderr.strip()}"
            if done.returncode:
                said = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
                return Outcome(said[-1].replace(str(self.place), "@"), {}, trouble)
            if verify:
                return Outcome("", json.loads(done.stdout), trouble)
            facts = parse(done.stdout)
            facts.update(image_facts(bundle / "rootfs"))
            return Outcome("", facts, trouble)
        finally:
            unmount(self.place)
            # Where the host's mounts are shared, crun sometimes leaves some of the container's there.
            left = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines() if line not in before.splitlines()]
            for point in reversed(left):
                unmount(point)
            if Path("/proc/self/mountinfo").read_text() != before:
                sys.exit(f"{name}: mounts stay on the host: {left}")

    def command(self, name, case, bundle, verify):
        before = [self.programs["older"], name] if name in OLDER else []
        if verify:
            flags = sum(CLONE[n["type"]] for n in case["config"]["linux"]["namespaces"])
            return [*before, self.programs["host"], str(bundle / "config.json"), json.dumps({"bundle": str(bundle)}), str(flags)]
        program = self.programs["minictr" if before else name]
        return [*before, *command(program, [], bundle, self.place / f"state-{name}")]
