"""How each runtime is told to run a case. A command is a list of arguments, or None where the runtime is not there."""

import os
import shutil

from .world import MINICTR, OUT, default_config

MINICTR_NAME, FLOOR, CRUN, RUNC, BWRAP = "minictr", "C floor", "crun", "runc", "bubblewrap"
ALL = (MINICTR_NAME, FLOOR, CRUN, RUNC, BWRAP)

# bubblewrap reads at most 9 000 arguments, three for a bind.
BWRAP_MOST = 2900


def command(world, runtime, case):
    return {MINICTR_NAME: _minictr, FLOOR: floor, CRUN: _crun, RUNC: _runc, BWRAP: _bwrap}[runtime](world, case)


def _minictr(world, case):
    if not MINICTR.exists():
        return None
    return [str(MINICTR), "--root", f"{world.state}/minictr", "run", "--bundle", str(world.bundle(case)), "{}"]


def _crun(world, case):
    if not shutil.which("crun"):
        return None
    return ["crun", "--root", f"{world.state}/crun", "--cgroup-manager=disabled", "run", "--bundle", str(world.bundle(case)), "{}"]


def _runc(world, case):
    # runc cannot be told to leave cgroups alone: one directory made and removed is in its time.
    if not shutil.which("runc"):
        return None
    return ["runc", "--root", f"{world.state}/runc", "run", "--bundle", str(world.bundle(case)), "{}"]


def floor(world, case, verb="run"):
    args = [str(OUT / "floor"), verb, str(world.rootfs)]
    if case.binds:
        args += ["--binds", str(case.binds), str(world.source)]
    if case.readonly:
        args += ["--readonly"]
    if not case.cgroup:
        args += ["--no-cgroup"]
    if case.masks:
        args += ["--masks", str(case.masks), case.mask_kind]
    return args


def _bwrap(world, case):
    """What bubblewrap can do of the default bundle: it has no fresh sysfs and cgroup2, so these are binds of the host's."""
    if not shutil.which("bwrap") or case.binds > BWRAP_MOST or case.masks:
        return None
    args = ["bwrap", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--hostname", "bench", "--cap-drop", "ALL",
            "--bind", str(world.rootfs), "/", "--proc", "/proc", "--dev", "/dev", "--mqueue", "/dev/mqueue",
            "--ro-bind", "/sys", "/sys"]
    config = default_config()["linux"]
    for path in filter(os.path.exists, config["readonlyPaths"]):
        args += ["--ro-bind", path, path]
    for path in filter(os.path.exists, config["maskedPaths"]):
        args += ["--tmpfs", path, "--remount-ro", path] if os.path.isdir(path) else ["--ro-bind", "/dev/null", path]
    for i in range(case.binds):
        args += ["--ro-bind" if case.readonly else "--bind", str(world.source), f"/m/{i:05}"]
    return [*args, "--remount-ro", "/", "/bin/true"]
