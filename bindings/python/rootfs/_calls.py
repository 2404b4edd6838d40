"""The calls of ``include/rootfs.h``, in the order in which a host makes them."""

from __future__ import annotations

import ctypes
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

from . import _abi
from ._abi import lib, new_error
from ._documents import Plan, Report
from ._errors import Code, RootfsError
from ._request import Config, Progress, Request, Source
from ._sources import Sources

_prepared: Request | None = None
"""What was prepared, until it is finalized: rootfs_finalize calls its on_progress."""


def version() -> str:
    """The version of the library that is loaded, ``"0.1.0"``. Starts nothing; any process, any thread."""
    return str(lib.rootfs_version().decode())


def validate(config: Config, *, options: Mapping[str, Any] | None = None) -> None:
    """Checks a request without touching anything.

    Arguments: as for :func:`prepare`.

    Raises: :class:`InvalidError` with the ``pointer`` of the wrong field, or another :class:`RootfsError`.

    Threads and forks: any process, any thread, also one that forks later: the work is done in a short-lived helper process.
    Only not where the helper would be the init of a pid namespace that was unshared or entered (:class:`StateError`), nor
    once the root is switched, where it cannot be found.
    """
    error = new_error()
    _abi.check(lib.rootfs_validate(ctypes.byref(Request(config, options).struct), ctypes.byref(error)), error)


def plan(config: Config, *, options: Mapping[str, Any] | None = None) -> Plan:
    """The steps that :func:`prepare` and :func:`finalize` would do on this host, without doing them.

    Arguments: as for :func:`prepare`.

    Returns: the :class:`Plan`, with the lists ``prepare`` and ``finalize``.

    Raises: as :func:`validate`. Threads and forks: as :func:`validate`.
    """
    error, out = new_error(), ctypes.c_void_p()
    request = Request(config, options)
    _abi.check(lib.rootfs_plan(ctypes.byref(request.struct), ctypes.byref(out), ctypes.byref(error)), error)
    return cast(Plan, _document(out))


def features() -> dict[str, Any]:
    """The OCI features document for this kernel and this build.

    Raises: :class:`EngineError` where the helper cannot be run. Threads and forks: as :func:`validate`.
    """
    error, out = new_error(), ctypes.c_void_p()
    _abi.check(lib.rootfs_features(ctypes.byref(out), ctypes.byref(error)), error)
    return _document(out)


def open_sources(config: Config, *, userns: int = -1, options: Mapping[str, Any] | None = None) -> Sources:
    """Opens, in a privileged parent, the mount sources that the child cannot reach by itself.

    These are the sources of idmapped mounts and, when the config has a user namespace, of every bind. Where the kernel has no
    open_tree(2) (before Linux 5.2), binds that are not idmapped are left out, and the child takes their sources by path.

    Arguments: ``userns`` is a descriptor of the container's user namespace (``/proc/PID/ns/user``; it stays the caller's),
    or -1 for none; the others are those of :func:`prepare`.

    Returns: the sources, which own their descriptors (O_CLOEXEC): close them when the child has them.

    Raises: :class:`RootfsError`; then nothing stays open. Threads and forks: as :func:`validate`.
    """
    error, request = new_error(), Request(config, options)
    room = _mounts(request.document)
    found, count = (_abi.Source * max(room, 1))(), ctypes.c_size_t(room)
    code = lib.rootfs_open_sources(ctypes.byref(request.struct), userns, found, ctypes.byref(count), ctypes.byref(error))
    _abi.check(code, error)
    return Sources(Source(entry.mount, entry.fd) for entry in found[: count.value])


def start() -> None:
    """Loads and starts the engine in this process, and makes it read a config of its own, so that the next is faster: about 1 ms.

    The calls that need the engine load and start it where this was not called. In a parent, it is done for all children that
    are forked afterwards. To have other work overlap with it, call it on a thread of your own: a call that comes meanwhile
    waits for it. A child whose parent did not call it, and that has nothing else to wait for, is faster without.

    Raises: :class:`EngineError` where the engine is missing or cannot be started here, :class:`ForkedError`.

    Threads and forks: any process, before or after it entered its namespaces, as long as the engine's file can be reached.
    Not in a process that was forked during a call, or after :func:`prepare` (:class:`ForkedError`).
    """
    error = new_error()
    _abi.check(lib.rootfs_start(ctypes.byref(error)), error)


def prepare(
    config: Config,
    *,
    options: Mapping[str, Any] | None = None,
    on_mounts_ready: Callable[[], object] | None = None,
    on_progress: Callable[[Progress], object] | None = None,
    sources: Mapping[int, int] | Iterable[Source] = (),
) -> None:
    """Mounts, devices, hooks, switch of the root, working directory: up to a root in which the host can still write.

    Arguments:
        config: an OCI config.json as a dict, as JSON text (``str``, ``bytes``), or as a ``Path`` to the file or to the bundle
            directory that holds it. A ``Path`` also sets the option ``bundle``, unless ``options`` has one.
        options: host options (``schema/options.json``): ``bundle``, ``state``, ``noPivotRoot``, ``rootless``, ...
        on_mounts_ready: called once, after all mounts and /dev, before createContainer hooks and the switch of the root: the
            time to have createRuntime hooks run. What it returns does not matter.
        on_progress: called before each step, also before those of :func:`finalize`.
        sources: mounts whose source is a descriptor: a dict of index to descriptor, or what :func:`open_sources` gave. With
            :data:`SOURCE_ROOT` as the index it is the root itself. The descriptors stay the caller's, and open.

    Raises:
        RootfsError: the subclass says the kind. The process is to exit; with a mount namespace of its own nothing stays
            behind.
        Exception: what a callback raised, as it was. Raised in ``on_mounts_ready``, it ends the call there. Raised in
            ``on_progress`` it ends the call when ``on_mounts_ready`` is due, or, where that is past, is raised after the last
            step; the process is to exit then too.

    Threads and forks: call it in the init child, after the ``os.fork`` that made it and after it entered its user, mount
    and pid namespaces. It is for the root of this process: one that is forked from it afterwards, or from a callback, cannot
    use the engine (:class:`ForkedError`). The parent may have threads when it forks, and may have called :func:`start`;
    only a child that is forked while another thread is in a call that uses the engine is refused too. All work and all
    callbacks are on the calling thread; other Python threads run meanwhile.

    Afterwards ``/`` and the working directory are the container's: Python modules not imported by now cannot be found.
    """
    global _prepared
    error = new_error()
    request = Request(config, options, sources, on_mounts_ready, on_progress)
    code = lib.rootfs_prepare(ctypes.byref(request.struct), ctypes.byref(error))
    if code == 0:
        _prepared = request
    request.check(code, error)


def console(rows: int = 0, columns: int = 0, uid: int = 0, gid: int = 0) -> int:
    """Opens a terminal of the container's own devpts and binds it over /dev/console.

    Arguments: ``rows`` and ``columns`` in characters (0, 0 leaves the size as the kernel makes it); ``uid`` and ``gid`` of
    the owner of the terminal's device, as seen in the container.

    Returns: the master, a descriptor that the caller owns and closes (O_CLOEXEC).

    Raises: :class:`StateError` when not between :func:`prepare` and :func:`finalize`, :class:`RootfsError`; ValueError for a
    number that the ABI has no room for. Threads and forks: as :func:`prepare`, in the same process.
    """
    for name, value, limit in (
        ("rows", rows, 1 << 16),
        ("columns", columns, 1 << 16),
        ("uid", uid, 1 << 32),
        ("gid", gid, 1 << 32),
    ):
        if not 0 <= value < limit:
            raise ValueError(f"{name} must be from 0 to {limit - 1}, not {value}")
    error, master = new_error(), ctypes.c_int(-1)
    terminal = _abi.Terminal(ctypes.sizeof(_abi.Terminal), rows, columns, uid, gid)
    _abi.check(lib.rootfs_console(ctypes.byref(terminal), ctypes.byref(master), ctypes.byref(error)), error)
    return master.value


def finalize() -> None:
    """Read-only mounts and root, umask, sysctls, read-only and masked paths. Once, after :func:`prepare`.

    Sets the umask of the process to the container's.

    Raises: :class:`RootfsError`, or after the last step what ``on_progress`` raised; the process is to exit then. Threads and
    forks: as :func:`prepare`, in the same process.
    """
    global _prepared
    error = new_error()
    code = lib.rootfs_finalize(ctypes.byref(error))
    request, _prepared = _prepared, None
    if request is not None:
        request.check(code, error)
    _abi.check(code, error)


def verify(config: Config | None = None, *, options: Mapping[str, Any] | None = None) -> Report:
    """Compares what the kernel reports with what the config promised.

    Arguments: none for what this process has set up (after :func:`finalize`); otherwise a request as for
    :func:`prepare`, in a process that stands in the container's root and namespaces. A process from outside gets there with
    :func:`start`, since the engine's file cannot be reached from inside, and then setns(2).

    Returns: the :class:`Report`; its list ``deviations`` is empty where all is as promised.

    Raises: :class:`RootfsError` where the comparison could not be made. Threads and forks: as :func:`start`.
    """
    error, out = new_error(), ctypes.c_void_p()
    request = None if config is None else Request(config, options)
    code = lib.rootfs_verify(None if request is None else ctypes.byref(request.struct), ctypes.byref(out), ctypes.byref(error))
    _abi.check(code, error)
    return cast(Report, _document(out))


def _document(out: ctypes.c_void_p) -> dict[str, Any]:
    parsed = json.loads(_abi.take_string(out))
    if not isinstance(parsed, dict):
        raise RootfsError.of(
            Code.INTERNAL, operation="parse", message=f"the library gave a {type(parsed).__name__}, not an object"
        )
    return parsed


def _mounts(document: bytes) -> int:
    """How many mounts a config has; 0 for one that is wrong, which is the library's to refuse."""
    try:
        return len(json.loads(document)["mounts"])
    except (ValueError, KeyError, TypeError):
        return 0
