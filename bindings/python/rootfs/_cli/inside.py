"""``python -m rootfs verify --pid``: looks at a container from inside, in a child that enters it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

import rootfs

from . import kernel


class CannotEnter(Exception):
    """The container of that process cannot be entered."""


def verify(pid: int, bundle: Path, options: Mapping[str, Any]) -> rootfs.Report:
    """The report of :func:`rootfs.verify` for the bundle's config, made in the namespaces and the root of process ``pid``.

    Raises :class:`rootfs.RootfsError`, or :class:`CannotEnter`.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        _guarded(writer, lambda: _inside(writer, pid, bundle, options))
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    kind, payload = answer[:1], answer[1:]
    if kind == b"r":
        report: rootfs.Report = json.loads(payload)
        return report
    if kind == b"e":
        raise rootfs.error_from_bytes(payload)
    raise CannotEnter(payload.decode() or "the child that entered it died")


def _guarded(writer: int, work: Callable[[], object]) -> NoReturn:
    try:
        work()
    except rootfs.RootfsError as error:
        os.write(writer, b"e" + rootfs.error_to_bytes(error))
    except BaseException as error:  # noqa: BLE001 - a forked child must not go on in its parent's code
        os.write(writer, b"f" + f"{type(error).__name__}: {error}".encode(errors="replace")[:4000])
    finally:
        os._exit(0)


def _inside(writer: int, pid: int, bundle: Path, options: Mapping[str, Any]) -> None:
    document = (bundle / "config.json").read_bytes()
    wanted = {"bundle": os.fspath(bundle), **options}
    root = os.open(f"/proc/{pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    # The umask is one of the promises, and a process has its own.
    status = Path(f"/proc/{pid}/status").read_text()
    os.umask(int(status.partition("\nUmask:")[2].split()[0], 8))
    # The engine is a file of the host, so it is loaded before the host's files are out of reach.
    rootfs.start()
    _enter(pid)
    os.fchdir(root)
    os.chroot(".")
    # A pid or time namespace is only entered by the next child; without it the container's /proc would not show us.
    member = os.fork()
    if member != 0:
        os.waitpid(member, 0)
        return
    report = b"r" + json.dumps(rootfs.verify(document, options=wanted)).encode()
    while report:
        report = report[os.write(writer, report) :]


def _enter(pid: int) -> None:
    """Enters those namespaces of the process that are not this one's already."""
    fds = {}
    for name in kernel.NAMESPACES:
        path = kernel.namespace_path(pid, name)
        if os.path.exists(path) and not os.path.samefile(path, kernel.namespace_path("self", name)):
            fds[name] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    for name, fd in fds.items():
        kernel.setns(fd, kernel.NAMESPACES[name])
        os.close(fd)
