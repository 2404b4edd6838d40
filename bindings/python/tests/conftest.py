"""Bundles, and init children that are forked for one function."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import pickle
import traceback
from pathlib import Path

import pytest

NEWNS, NEWUTS, NEWIPC, NEWUSER, NEWPID = 0x20000, 0x4000000, 0x8000000, 0x10000000, 0x20000000
MS_REC, MS_PRIVATE, MNT_DETACH = 0x4000, 1 << 18, 2
libc = ctypes.CDLL(None, use_errno=True)

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def check(result):
    """Raises for a C call that failed."""
    if result == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def forked(function):
    """Runs ``function`` in a forked child; gives what it returns, or raises what it raised."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            try:
                answer = pickle.dumps((True, function()))
            except BaseException as error:  # noqa: BLE001 - also what pytest.fail raises
                with contextlib.suppress(Exception):
                    error.add_note(traceback.format_exc())
                answer = pickle.dumps((False, error))
            while answer:
                answer = answer[os.write(writer, answer) :]
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        answer = pipe.read()
    status = os.waitpid(pid, 0)[1]
    assert answer, f"the child died with wait status {status:#x}"
    worked, value = pickle.loads(answer)
    if not worked:
        raise value
    return value


def enter_namespaces(flags=NEWNS | NEWUTS | NEWIPC | NEWPID):
    """Gives this process new namespaces, the pid namespace to its next child."""
    check(libc.unshare(flags))
    # Whatever a test does wrong stays in here.
    check(libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None))


def init_child(function):
    """Runs ``function`` as pid 1 of a pid namespace, with a mount, uts and ipc namespace of its own."""

    def stage():
        enter_namespaces()
        return forked(function)

    return forked(stage)


class Bundle:
    """A bundle directory with a small root, and its config."""

    def __init__(self, path: Path) -> None:
        self.path = path
        for name in ("bin", "dev", "etc", "proc", "sys", "tmp"):
            (path / "rootfs" / name).mkdir(parents=True)
        (path / "rootfs/etc/hostname").write_text("container\n")
        self.config = {
            "ociVersion": "1.2.0",
            "root": {"path": "rootfs", "readonly": True},
            "process": {"cwd": "/tmp", "args": ["true"], "user": {"umask": 0o27}},
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc"},
                {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
                {
                    "destination": "/dev/pts",
                    "type": "devpts",
                    "source": "devpts",
                    "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"],
                },
                {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev"]},
            ],
            "linux": {
                "namespaces": [{"type": "mount"}, {"type": "pid"}, {"type": "uts"}, {"type": "ipc"}],
                "maskedPaths": ["/proc/keys", "/proc/scsi"],
                "readonlyPaths": ["/proc/sys"],
            },
        }

    def write(self) -> Path:
        """Writes config.json; gives the bundle's path."""
        (self.path / "config.json").write_text(json.dumps(self.config))
        return self.path

    def mount(self, **mount) -> int:
        """Adds a mount; gives its index."""
        self.config["mounts"].append(mount)
        return len(self.config["mounts"]) - 1

    def volume(self) -> Path:
        """A directory beside the root, with one file."""
        volume = self.path / "volume"
        volume.mkdir(exist_ok=True)
        (volume / "data").write_text("of the host\n")
        return volume


@pytest.fixture
def bundle(tmp_path):
    """A bundle without config.json; see :meth:`Bundle.write`."""
    # pytest's own directories are for this user only; a container's user is someone else.
    for directory in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        directory.chmod(0o755)
    return Bundle(tmp_path / "bundle")


@pytest.fixture
def shell_bundle(bundle):
    """A bundle whose process is a static busybox's shell; set its script by ``config["process"]["args"][2]``."""
    busybox = next((p for p in (Path("/bin/busybox"), Path("/usr/bin/busybox")) if p.exists()), None)
    if busybox is None:
        pytest.skip("needs busybox")
    target = bundle.path / "rootfs/bin/sh"
    target.write_bytes(busybox.read_bytes())
    target.chmod(0o755)
    for name in ("cat", "id", "sleep", "stty", "kill", "grep"):
        (bundle.path / "rootfs/bin" / name).symlink_to("sh")
    bundle.config["process"].update(cwd="/", args=["sh", "-c", "true"], env=["PATH=/bin", "NAME=value"])
    return bundle
