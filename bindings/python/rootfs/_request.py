"""From what a Python host has (a dict, a path, functions) to a ``struct rootfs_request`` and back to its exceptions."""

from __future__ import annotations

import ctypes
import errno
import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Union

from . import _abi

Config = Union[Mapping[str, Any], str, bytes, Path]
"""What is to be set up: an OCI config.json as a dict, as JSON text, or as a ``Path`` to the file or to its bundle."""


SOURCE_ROOT = 0xFFFFFFFF
"""In place of an index: the root itself, attached at ``root.path`` (include/rootfs.h, ``struct rootfs_source``)."""


class Source(NamedTuple):
    """A mount's source as a descriptor."""

    mount: int
    """Index in the config's ``mounts``, or :data:`SOURCE_ROOT`."""
    fd: int
    """Descriptor of the file or directory to bind, or of a detached tree."""


@dataclass(frozen=True)
class Progress:
    """One step of prepare or finalize, told before it is done."""

    index: int
    """Number of the step, from 0."""
    count: int
    """How many steps this call has."""
    operation: str
    """Kind of step, as in :func:`rootfs.plan`: ``"mount"``, ``"device"``, ``"mask-path"``."""
    target: str
    """Path inside the container."""
    pointer: str
    """JSON pointer of the field that asked for it, or ``""``."""


def documents(config: Config, options: Mapping[str, Any] | None) -> tuple[bytes, bytes | None]:
    """The two JSON documents of a request: the config and the host options."""
    wanted = dict(options) if options else {}
    if isinstance(config, Path):
        path = config / "config.json" if config.is_dir() else config
        # OCI: config.json lies in the bundle's root, and relative paths in it are relative to that.
        wanted.setdefault("bundle", os.fspath(path.resolve().parent))
        document = path.read_bytes()
    elif isinstance(config, str):
        # A lone surrogate is the library's to refuse, with an error that has a code like any other.
        document = config.encode("utf-8", "surrogatepass")
    elif isinstance(config, bytes):
        document = config
    elif isinstance(config, Mapping):
        document = json.dumps(config, allow_nan=False).encode()
    else:
        raise TypeError(f"config is a dict, str, bytes or Path, not {type(config).__name__}")
    return document, json.dumps(wanted, allow_nan=False).encode() if wanted else None


class Request:
    """A ``struct rootfs_request`` with everything that it points to."""

    def __init__(
        self,
        config: Config,
        options: Mapping[str, Any] | None = None,
        sources: Mapping[int, int] | Iterable[Source] = (),
        on_mounts_ready: Callable[[], object] | None = None,
        on_progress: Callable[[Progress], object] | None = None,
    ) -> None:
        self.document, self._options = documents(config, options)
        pairs = list(sources.items() if isinstance(sources, Mapping) else sources)
        self._sources = (_abi.Source * len(pairs))(*(_abi.Source(mount, fd) for mount, fd in pairs))
        self._raised: BaseException | None = None
        self.struct = _abi.Request(
            size=ctypes.sizeof(_abi.Request),
            config=self.document,
            config_len=len(self.document),
            options=self._options,
            options_len=len(self._options or b""),
            sources=ctypes.cast(self._sources, ctypes.POINTER(_abi.Source)) if pairs else None,
            sources_len=len(pairs),
        )
        if on_mounts_ready is not None or on_progress is not None:
            self.struct.on_mounts_ready = self._mounts_ready_for(on_mounts_ready)
        if on_progress is not None:
            self.struct.on_progress = self._progress_for(on_progress)

    def _mounts_ready_for(self, function: Callable[[], object] | None) -> Any:
        def ready(_user: object) -> int:
            if self._raised is None and function is not None:
                try:
                    function()
                except BaseException as error:  # noqa: BLE001 - nothing may unwind through C; it is raised again after
                    self._raised = error
            if isinstance(self._raised, OSError) and self._raised.errno:
                return self._raised.errno
            return 0 if self._raised is None else errno.ECANCELED

        return _abi.MOUNTS_READY(ready)

    def _progress_for(self, function: Callable[[Progress], object]) -> Any:
        def progress(_user: object, pointer: Any) -> None:
            if self._raised is not None:
                return
            try:
                told = pointer.contents
                function(
                    Progress(
                        told.index,
                        told.count,
                        os.fsdecode(told.operation or b""),
                        os.fsdecode(told.target or b""),
                        os.fsdecode(told.pointer or b""),
                    )
                )
            except BaseException as error:  # noqa: BLE001 - as above
                self._raised = error

        return _abi.ON_PROGRESS(progress)

    def check(self, code: int, error: _abi.Error) -> None:
        """Raises what a callback raised, or else what the library says."""
        if self._raised is not None:
            raised, self._raised = self._raised, None
            raise raised
        _abi.check(code, error)
