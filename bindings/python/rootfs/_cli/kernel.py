"""The few calls of Linux that Python 3.9's own library does not have. All of them act on the calling thread or process."""

from __future__ import annotations

import ctypes
import os
from typing import Any

libc = ctypes.CDLL(None, use_errno=True)

NAMESPACES = {
    # The user namespace comes first: it is what gives the right to the others.
    "user": 0x10000000,
    "cgroup": 0x02000000,
    "ipc": 0x08000000,
    "uts": 0x04000000,
    "network": 0x40000000,
    "pid": 0x20000000,
    "time": 0x00000080,
    "mount": 0x00020000,
}
"""OCI's names of namespaces and their CLONE_NEW* flags, in the order in which to enter them."""

PROC_NAMES = {"network": "net", "mount": "mnt"}
"""Names in /proc/PID/ns where they are not OCI's."""

# fmt: off
CAPABILITIES = (
    "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP",
    "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER", "SYS_MODULE",
    "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE", "SYS_RESOURCE", "SYS_TIME",
    "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP", "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG",
    "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF", "CHECKPOINT_RESTORE",
)
# fmt: on
"""Capabilities by number, from linux/capability.h, without ``CAP_``."""

PR_SET_KEEPCAPS = 8
PR_CAPBSET_READ = 23
PR_CAPBSET_DROP = 24
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
PR_CAP_AMBIENT_CLEAR_ALL = 4


def _call(name: str, *arguments: Any) -> None:
    if getattr(libc, name)(*arguments) == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def unshare(flags: int) -> None:
    """unshare(2)"""
    _call("unshare", ctypes.c_int(flags))


def setns(fd: int, flag: int) -> None:
    """setns(2)"""
    _call("setns", ctypes.c_int(fd), ctypes.c_int(flag))


def setdomainname(name: str) -> None:
    """setdomainname(2)"""
    _call("setdomainname", name.encode(), ctypes.c_size_t(len(name.encode())))


def prctl(option: int, second: int = 0, third: int = 0) -> None:
    """prctl(2); its last two arguments are 0 wherever they are used here."""
    _call("prctl", ctypes.c_int(option), *(ctypes.c_ulong(n) for n in (second, third, 0, 0)))


def capset(effective: int, permitted: int, inheritable: int) -> None:
    """capset(2) for the calling thread, version 3: each set as two words of 32 bits, low word first."""
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    sets = [s >> shift & 0xFFFFFFFF for shift in (0, 32) for s in (effective, permitted, inheritable)]
    _call("capset", header, (ctypes.c_uint32 * 6)(*sets))


def namespace_path(pid: int | str, name: str) -> str:
    """Where /proc shows the namespace ``name`` (OCI's name) of a process."""
    return f"/proc/{pid}/ns/{PROC_NAMES.get(name, name)}"
