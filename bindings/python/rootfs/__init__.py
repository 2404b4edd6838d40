"""Set up the root file system of a container, with the semantics of the OCI runtime specification.

    pid = os.fork()
    if pid == 0:                                # the init child; see examples/python/init.py
        unshare(CLONE_NEWNS | ...)              # the host's business
        rootfs.prepare(Path("/run/bundle"))     # mounts, /dev, hooks, pivot_root, working directory
        rootfs.finalize()                       # read-only parts, sysctls, masked and read-only paths
        os.execv("/bin/app", ["app"])           # after setuid, capabilities, seccomp: the host's business

Importing the package loads a small C library that starts nothing: no thread, no handler, no descriptor. ``validate``, ``plan``,
``features`` and ``open_sources`` may be called in any process and thread. ``start``, ``prepare``, ``console``, ``finalize``
and ``verify`` load a Go runtime into the process that calls. It has no thread: it works on the caller's, and between two
calls it is memory, which a child that is forked has too. So a parent that calls ``start`` once saves each of its init
children the start. ``prepare`` is for the root of the process that calls it: call it in the init child, in its mount
namespace. Every error is a :class:`RootfsError` with code, errno, operation and JSON pointer.
"""

from ._abi import error_from_bytes, error_to_bytes
from ._calls import console, features, finalize, open_sources, plan, prepare, start, validate, verify, version
from ._documents import Deviation, Plan, Report
from ._errors import (
    CallbackError,
    Code,
    EngineError,
    ForkedError,
    HookError,
    InternalError,
    InvalidError,
    RootfsError,
    StateError,
    SyscallError,
    UnsafeError,
    UnsupportedError,
)
from ._request import SOURCE_ROOT, Config, Progress, Source
from ._sources import Sources

__all__ = [
    "SOURCE_ROOT",
    "CallbackError",
    "Code",
    "Config",
    "Deviation",
    "EngineError",
    "ForkedError",
    "HookError",
    "InternalError",
    "InvalidError",
    "Plan",
    "Progress",
    "Report",
    "RootfsError",
    "Source",
    "Sources",
    "StateError",
    "SyscallError",
    "UnsafeError",
    "UnsupportedError",
    "console",
    "error_from_bytes",
    "error_to_bytes",
    "features",
    "finalize",
    "open_sources",
    "plan",
    "prepare",
    "start",
    "validate",
    "verify",
    "version",
]
