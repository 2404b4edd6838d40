"""``include/rootfs.h`` as ctypes sees it, and the library itself. Nothing here has an effect beyond dlopen(3)."""

from __future__ import annotations

import ctypes
import os
from ctypes import POINTER, c_char, c_char_p, c_int, c_int32, c_size_t, c_uint16, c_uint32, c_void_p
from pathlib import Path
from typing import Any

from ._errors import RootfsError

SONAME = "librootfs.so.0"


class Error(ctypes.Structure):
    """struct rootfs_error"""

    _fields_ = [
        ("size", c_uint32),
        ("code", c_int32),
        ("errnum", c_int32),
        ("reserved", c_uint32),
        ("operation", c_char * 64),
        ("pointer", c_char * 512),
        ("message", c_char * 3072),
    ]


class Progress(ctypes.Structure):
    """struct rootfs_progress"""

    _fields_ = [
        ("size", c_uint32),
        ("index", c_uint32),
        ("count", c_uint32),
        ("reserved", c_uint32),
        ("operation", c_char_p),
        ("target", c_char_p),
        ("pointer", c_char_p),
    ]


class Source(ctypes.Structure):
    """struct rootfs_source"""

    _fields_ = [("mount", c_uint32), ("fd", c_int32)]


MOUNTS_READY = ctypes.CFUNCTYPE(c_int, c_void_p)
ON_PROGRESS = ctypes.CFUNCTYPE(None, c_void_p, POINTER(Progress))


class Request(ctypes.Structure):
    """struct rootfs_request"""

    _fields_ = [
        ("size", c_uint32),
        ("reserved", c_uint32),
        ("config", c_char_p),
        ("config_len", c_size_t),
        ("options", c_char_p),
        ("options_len", c_size_t),
        ("on_mounts_ready", MOUNTS_READY),
        ("on_progress", ON_PROGRESS),
        ("user", c_void_p),
        ("sources", POINTER(Source)),
        ("sources_len", c_size_t),
    ]


class Terminal(ctypes.Structure):
    """struct rootfs_terminal"""

    _fields_ = [
        ("size", c_uint32),
        ("rows", c_uint16),
        ("columns", c_uint16),
        ("uid", c_uint32),
        ("gid", c_uint32),
    ]


_PROTOTYPES: dict[str, tuple[Any, list[Any]]] = {
    "rootfs_version": (c_char_p, []),
    "rootfs_start": (c_int, [POINTER(Error)]),
    "rootfs_prepare": (c_int, [POINTER(Request), POINTER(Error)]),
    "rootfs_console": (c_int, [POINTER(Terminal), POINTER(c_int), POINTER(Error)]),
    "rootfs_finalize": (c_int, [POINTER(Error)]),
    "rootfs_verify": (c_int, [POINTER(Request), POINTER(c_void_p), POINTER(Error)]),
    "rootfs_validate": (c_int, [POINTER(Request), POINTER(Error)]),
    "rootfs_plan": (c_int, [POINTER(Request), POINTER(c_void_p), POINTER(Error)]),
    "rootfs_features": (c_int, [POINTER(c_void_p), POINTER(Error)]),
    "rootfs_open_sources": (
        c_int,
        [POINTER(Request), c_int, POINTER(Source), POINTER(c_size_t), POINTER(Error)],
    ),
    "rootfs_free": (None, [c_void_p]),
}


def _find() -> str:
    """Path of the library: the wheel's own, the source tree's, or else whatever the system's linker knows.

    Neither the working directory nor a variable is asked: in a privileged process both may be someone else's.
    """
    package = Path(__file__).resolve().parent
    bundled = package / "lib" / SONAME
    if bundled.exists():
        return str(bundled)
    tree = package.parents[2]
    built = tree / "build" / "lib" / SONAME
    if (tree / "include" / "rootfs.h").exists() and built.exists():
        return str(built)
    return SONAME


def _load() -> ctypes.CDLL:
    path = _find()
    try:
        library = ctypes.CDLL(path)
    except OSError as error:
        raise ImportError(
            f"the library of package rootfs cannot be loaded: {error} (it comes with the wheel, from `make` in a source"
            f" tree, or as {SONAME} of the system)",
            name="rootfs",
            path=path,
        ) from error
    for name, (result, arguments) in _PROTOTYPES.items():
        function = getattr(library, name)
        function.restype = result
        function.argtypes = arguments
    return library


# At import, not at the first call: the import runs in the parent, where the file system is still the host's and no lock
# was taken over from a thread that fork(2) left behind. Loading the library starts nothing.
lib = _load()


def new_error() -> Error:
    """A struct rootfs_error as ROOTFS_ERROR_INIT makes it."""
    return Error(size=ctypes.sizeof(Error))


def exception(error: Error, code: int) -> RootfsError:
    """The exception for a call that returned ``code`` and filled ``error``."""
    return RootfsError.of(
        code,
        errno=error.errnum,
        operation=os.fsdecode(error.operation),
        pointer=error.pointer.decode("utf-8", "replace"),
        message=error.message.decode("utf-8", "replace"),
    )


def check(code: int, error: Error) -> None:
    """Raises what ``error`` says where a call did not return 0."""
    if code != 0:
        raise exception(error, code)


def take_string(pointer: c_void_p) -> str:
    """The text of a string that the library gave out, which is freed."""
    try:
        return ctypes.string_at(pointer.value or 0).decode("utf-8", "surrogateescape")
    finally:
        lib.rootfs_free(pointer)


def error_to_bytes(error: RootfsError) -> bytes:
    """``error`` as a ``struct rootfs_error``: the bytes for a parent that reads a pipe, in whatever language.

    They are fewer than PIPE_BUF, so that one ``os.write`` is atomic. Fields too long for the struct are cut at its end.
    Works in any process and thread.
    """

    def cut(text: str, room: int) -> bytes:
        raw = text.encode("utf-8", "surrogateescape")[: room - 1]
        return raw.decode("utf-8", "ignore").encode()

    return bytes(
        Error(
            size=ctypes.sizeof(Error),
            code=int(error.code),
            errnum=error.errno,
            operation=cut(error.operation, 64),
            pointer=cut(error.pointer, 512),
            message=cut(error.message, 3072),
        )
    )


def error_from_bytes(data: bytes) -> RootfsError:
    """The exception, not raised, for the bytes of a ``struct rootfs_error`` that a child wrote.

    Raises ValueError where ``data`` is shorter than the struct or holds no error.
    """
    if len(data) < ctypes.sizeof(Error):
        raise ValueError(f"an error has {ctypes.sizeof(Error)} bytes, these are {len(data)}")
    error = Error.from_buffer_copy(data)
    if error.code == 0:
        raise ValueError("these bytes are no error: code is 0")
    return exception(error, error.code)
