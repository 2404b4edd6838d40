"""``python -m rootfs run``: a bundle's process in its own namespaces, with a terminal where the config asks for one.

Three processes. The caller stays outside; a *stage* enters the user namespace and makes or joins the others, and ends; the
*init child*, which the stage forks so that it lands in the new pid namespace, sets up the root and execs. The two talk
over a SOCK_SEQPACKET pair, one message each: a letter and its payload. The exec closes it.
"""

from __future__ import annotations

import array
import json
import os
import signal
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

import rootfs

from . import kernel, process, terminal

MAPS_WANTED, GO_ON, INIT_PID, CONSOLE, PROGRESS, ERROR, FAILURE = b"m", b"g", b"i", b"c", b"p", b"e", b"f"
FORWARDED = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)


class InitFailed(Exception):
    """The stage or the init child failed outside of librootfs."""


def run(bundle: Path, options: Mapping[str, Any], on_progress: Callable[[Mapping[str, Any]], None] | None) -> int:
    """Runs the bundle and returns its exit status, as a shell does (128 + number for a signal).

    Call it on the main thread, which alone may handle signals. Raises :class:`rootfs.RootfsError` with what the init child
    met, or :class:`InitFailed`.
    """
    config = json.loads((bundle / "config.json").read_bytes())
    if not (config.get("process") or {}).get("args"):
        raise InitFailed("config.json has no process.args")
    if "mount" not in {n["type"] for n in (config.get("linux") or {}).get("namespaces") or ()}:
        raise InitFailed("config.json asks for no mount namespace: what is mounted would stay in this one")
    # An init whose stage has ended becomes this process's child, and is waited for here.
    kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    stage = os.fork()
    if stage == 0:
        ours.close()
        _guarded(theirs, lambda: _stage(theirs, config, bundle, options, on_progress is not None))
    theirs.close()
    with ours:
        init, master, failure = _serve(ours, stage, config, on_progress)
    os.waitpid(stage, 0)
    if failure is None and init and master is not None:
        terminal.relay(master, init)
    status = _wait(init) if init else 1
    if failure is not None:
        raise failure
    return status


def _serve(
    sock: socket.socket, stage: int, config: Mapping[str, Any], on_progress: Callable[[Mapping[str, Any]], None] | None
) -> tuple[int, int | None, Exception | None]:
    """Answers the two children until the exec: init's pid, the terminal's master, what failed."""
    init = 0
    master: int | None = None
    failure: Exception | None = None
    while True:
        data, ancillary, _flags, _address = sock.recvmsg(8192, socket.CMSG_SPACE(4))
        kind, payload = data[:1], data[1:]
        if not kind:
            return init, master, failure
        if kind == MAPS_WANTED:
            _write_maps(stage, config.get("linux") or {})
            sock.send(GO_ON)
        elif kind == INIT_PID:
            init = int(payload)
            _forward_signals(init)
        elif kind == CONSOLE:
            master = array.array("i", ancillary[0][2])[0]
        elif kind == PROGRESS and on_progress is not None:
            on_progress(json.loads(payload))
        elif kind == ERROR:
            failure = rootfs.error_from_bytes(payload)
        elif kind == FAILURE:
            failure = InitFailed(payload.decode())


def _forward_signals(init: int) -> None:
    for number in FORWARDED:
        signal.signal(number, lambda got, _frame: os.kill(init, got))


def _wait(init: int) -> int:
    code = os.waitstatus_to_exitcode(os.waitpid(init, 0)[1])
    return 128 - code if code < 0 else code


def _guarded(sock: socket.socket, work: Callable[[], object]) -> NoReturn:
    """Ends this child with ``work``; what it raises goes to the caller's side, whole."""
    status = 1
    try:
        work()
        status = 0
    except rootfs.RootfsError as error:
        sock.send(ERROR + rootfs.error_to_bytes(error))
    except BaseException as error:  # noqa: BLE001 - a forked child must not go on in its parent's code
        sock.send(FAILURE + f"{type(error).__name__}: {error}".encode(errors="replace")[:4096])
    finally:
        os._exit(status)


def _stage(
    sock: socket.socket, config: Mapping[str, Any], bundle: Path, options: Mapping[str, Any], tell_progress: bool
) -> None:
    wanted = {n["type"]: n.get("path") for n in (config.get("linux") or {}).get("namespaces") or ()}
    if unknown := wanted.keys() - kernel.NAMESPACES.keys():
        raise InitFailed(f"no namespace {min(unknown)}")
    # The engine is a file of the host, which a namespace that is joined may not have; the init child has it from here.
    rootfs.start()
    for name, flag in kernel.NAMESPACES.items():
        if name not in wanted:
            continue
        if wanted[name]:
            fd = os.open(wanted[name], os.O_RDONLY | os.O_CLOEXEC)
            kernel.setns(fd, flag)
            os.close(fd)
        else:
            kernel.unshare(flag)
        if name == "user":
            if not wanted[name]:
                sock.send(MAPS_WANTED)
                if sock.recv(1) != GO_ON:
                    raise InitFailed("the user namespace was given no maps")
            os.setresgid(0, 0, 0)
            os.setresuid(0, 0, 0)
    init = os.fork()
    if init == 0:
        _guarded(sock, lambda: _init(sock, config, bundle, options, tell_progress))
    sock.send(INIT_PID + str(init).encode())


def _init(
    sock: socket.socket, config: Mapping[str, Any], bundle: Path, options: Mapping[str, Any], tell_progress: bool
) -> NoReturn:
    wanted = config["process"]
    if config.get("hostname"):
        socket.sethostname(config["hostname"])
    if config.get("domainname"):
        kernel.setdomainname(config["domainname"])

    def progress(step: rootfs.Progress) -> None:
        sock.send(PROGRESS + json.dumps(step.__dict__).encode("utf-8"))

    rootfs.prepare(bundle, options=options, on_progress=progress if tell_progress else None)
    os.setsid()
    if wanted.get("terminal"):
        size = wanted.get("consoleSize") or {}
        user = wanted.get("user") or {}
        master = rootfs.console(size.get("height", 0), size.get("width", 0), user.get("uid", 0))
        socket.send_fds(sock, [CONSOLE], [master])
        os.close(master)
        terminal.take_over()
    rootfs.finalize()
    process.apply(wanted)
    _exec(sock, wanted)


def _exec(sock: socket.socket, wanted: Mapping[str, Any]) -> NoReturn:
    environment = dict(entry.split("=", 1) for entry in wanted.get("env") or () if "=" in entry)
    # Python has these ignored, and execve(2) would hand that on.
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvpe(wanted["args"][0], wanted["args"], environment)
    except OSError as error:
        raise InitFailed(f"process.args: {wanted['args'][0]}: {error.strerror}") from error


def _write_maps(pid: int, linux: Mapping[str, Any]) -> None:
    if os.geteuid() != 0:
        # Without it the kernel takes no gid_map from an ordinary user.
        Path(f"/proc/{pid}/setgroups").write_text("deny")
    for file, member in (("uid_map", "uidMappings"), ("gid_map", "gidMappings")):
        lines = [f"{m['containerID']} {m['hostID']} {m['size']}\n" for m in linux.get(member) or ()]
        Path(f"/proc/{pid}/{file}").write_text("".join(lines))
