"""What ``process`` of a config asks for and has nothing to do with the root file system: the init child's last steps."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Iterable, Mapping
from typing import Any

from . import kernel

UNHANDLED = {
    "hooks": ("prestart", "createRuntime", "startContainer", "poststart", "poststop"),
    "linux": ("resources", "cgroupsPath", "seccomp", "timeOffsets", "intelRdt", "netDevices", "personality", "memoryPolicy"),
    "process": ("apparmorProfile", "selinuxLabel", "oomScoreAdj", "scheduler", "ioPriority", "execCPUAffinity"),
}


def not_applied(config: Mapping[str, Any]) -> list[str]:
    """The members of a config that ``run`` leaves aside, so that it can say so."""
    return [
        f"{part}.{name}"
        for part, names in UNHANDLED.items()
        for name in names
        if isinstance(config.get(part), Mapping) and config[part].get(name)
    ]


def apply(process: Mapping[str, Any]) -> None:
    """Limits, user, groups, capabilities and no_new_privs, in the order that keeps the right for each next step."""
    for limit in process.get("rlimits") or ():
        kind = getattr(resource, limit["type"], None)
        if kind is None:
            raise ValueError(f"process.rlimits: no limit {limit['type']}")
        resource.setrlimit(kind, (_signed(limit["soft"]), _signed(limit["hard"])))
    wanted = process.get("capabilities")
    sets = {name: _mask(names or ()) for name, names in (wanted or {}).items()}
    if wanted is not None:
        for number in range(len(kernel.CAPABILITIES)):
            if not sets.get("bounding", 0) >> number & 1:
                _drop_bound(number)
        kernel.prctl(kernel.PR_SET_KEEPCAPS, 1)
    user = process.get("user") or {}
    groups = user.get("additionalGids") or []
    try:
        os.setgroups(groups)
    except PermissionError:
        # A user namespace that an ordinary user made forbids it for good; then only "none" can be had.
        if groups:
            raise
    gid, uid = user.get("gid", 0), user.get("uid", 0)
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    if wanted is not None:
        kernel.capset(sets.get("effective", 0), sets.get("permitted", 0), sets.get("inheritable", 0))
        kernel.prctl(kernel.PR_CAP_AMBIENT, kernel.PR_CAP_AMBIENT_CLEAR_ALL)
        # The kernel takes only what is permitted and inheritable. Configs that ask for more are common (that of `runc spec`
        # does), and other runtimes run them.
        ambient = sets.get("ambient", 0) & sets.get("permitted", 0) & sets.get("inheritable", 0)
        for number in range(len(kernel.CAPABILITIES)):
            if ambient >> number & 1:
                kernel.prctl(kernel.PR_CAP_AMBIENT, kernel.PR_CAP_AMBIENT_RAISE, number)
    if process.get("noNewPrivileges"):
        kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)


def _signed(value: int) -> int:
    """RLIM_INFINITY is 2^64-1 in OCI and -1 in Python."""
    return -1 if value == 2**64 - 1 else value


def _drop_bound(number: int) -> None:
    try:
        kernel.prctl(kernel.PR_CAPBSET_DROP, number)
    except OSError as error:
        # EINVAL: this kernel is older than the capability.
        if error.errno != errno.EINVAL:
            raise


def _mask(names: Iterable[str]) -> int:
    mask = 0
    for name in names:
        short = name.removeprefix("CAP_")
        if short not in kernel.CAPABILITIES:
            raise ValueError(f"process.capabilities: no capability {name}")
        mask |= 1 << kernel.CAPABILITIES.index(short)
    return mask
