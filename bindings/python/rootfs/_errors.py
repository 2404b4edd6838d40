"""The exceptions of the package: one class for each kind of error that ``include/rootfs.h`` names."""

from __future__ import annotations

import enum
from typing import ClassVar


class Code(enum.IntEnum):
    """What went wrong, by kind; the numbers are those of ``ROOTFS_ERR_*``."""

    INVALID = 1
    SYSTEM = 2
    UNSAFE = 3
    UNSUPPORTED = 4
    CALLBACK = 5
    HOOK = 6
    STATE = 7
    ENGINE = 8
    FORKED = 9
    INTERNAL = 10


class RootfsError(Exception):
    """A call of the library failed. What is raised is one of the subclasses; catch this one for all of them.

    Instances can be pickled, and so cross ``multiprocessing`` and ``concurrent.futures``; to hand one over a plain pipe,
    also to a parent that is not Python, see :func:`rootfs.error_to_bytes`.
    """

    code: int
    """The kind: a :class:`Code`, or a plain number where the library is newer than this package."""
    errno: int
    """errno of the system call that failed, or of what a callback raised; 0 where there is none."""
    operation: str
    """The operation that failed: ``"move_mount"``, ``"mknodat"``, ``"parse"``."""
    pointer: str
    """RFC 6901 pointer of the field: ``"/mounts/3/source"``, ``"options#/bundle"`` for host options; or ``""``."""
    message: str
    """All of it as one sentence, which is also ``str(error)``."""

    _code: ClassVar[int] = 0
    _classes: ClassVar[dict[int, type[RootfsError]]] = {}

    def __init_subclass__(cls) -> None:
        RootfsError._classes[cls._code] = cls

    def __init__(
        self, message: str, *, code: int | None = None, errno: int = 0, operation: str = "", pointer: str = ""
    ) -> None:
        super().__init__(message)
        number = self._code if code is None else code
        self.code = Code(number) if number in Code._value2member_map_ else number
        self.errno = errno
        self.operation = operation
        self.pointer = pointer
        self.message = message

    @staticmethod
    def of(code: int, *, errno: int = 0, operation: str = "", pointer: str = "", message: str = "") -> RootfsError:
        """The exception for ``code``, not raised yet."""
        cls = RootfsError._classes.get(code, RootfsError)
        return cls(message, code=code, errno=errno, operation=operation, pointer=pointer)

    def as_dict(self) -> dict[str, int | str]:
        """The fields as a dict that ``json`` takes; ``code`` is the kind's name in lower case."""
        code = self.code.name.lower() if isinstance(self.code, Code) else str(self.code)
        return {
            "code": code,
            "errno": self.errno,
            "operation": self.operation,
            "pointer": self.pointer,
            "message": self.message,
        }

    def __reduce__(self) -> tuple[object, tuple[int, int, str, str, str]]:
        return _rebuild, (int(self.code), self.errno, self.operation, self.pointer, self.message)


def _rebuild(code: int, errno: int, operation: str, pointer: str, message: str) -> RootfsError:
    return RootfsError.of(code, errno=errno, operation=operation, pointer=pointer, message=message)


class InvalidError(RootfsError, ValueError):
    """The configuration or an argument is wrong; ``pointer`` names the field."""

    _code = Code.INVALID


class SyscallError(RootfsError):
    """A system call failed; ``errno`` and ``operation`` say which."""

    _code = Code.SYSTEM


class UnsafeError(RootfsError):
    """Refused, because what the image or the kernel shows there is not what it must be."""

    _code = Code.UNSAFE


class UnsupportedError(RootfsError):
    """This kernel, or this build of the library, cannot do what was asked."""

    _code = Code.UNSUPPORTED


class CallbackError(RootfsError):
    """A callback of the host ended the call. This package re-raises what a Python callback raised instead."""

    _code = Code.CALLBACK


class HookError(RootfsError):
    """A hook or a command failed, or ran out of time."""

    _code = Code.HOOK


class StateError(RootfsError):
    """Called in the wrong order, or twice."""

    _code = Code.STATE


class EngineError(RootfsError):
    """The engine is missing, is not of the library's build, or cannot be started here."""

    _code = Code.ENGINE


class ForkedError(RootfsError):
    """This process was forked during a call, or after its parent had called ``prepare``, which is for the parent's root."""

    _code = Code.FORKED


class InternalError(RootfsError):
    """A defect of the library; the tail of ``message`` has the stack."""

    _code = Code.INTERNAL
