"""Descriptors of mount sources, with an owner."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator
from types import TracebackType

from ._request import Source


class Sources:
    """The mount sources that :func:`rootfs.open_sources` opened, for the ``sources`` of :func:`rootfs.prepare`.

    Owns its descriptors: close it, or use it in a ``with`` statement. They are O_CLOEXEC, and a child that is forked inherits
    them; a child that execs first gets them by ``socket.send_fds``. A child's copies are its own: closing them there (the exec
    does it) leaves the parent's open.
    """

    def __init__(self, sources: Iterable[Source]) -> None:
        self._sources = list(sources)

    def __iter__(self) -> Iterator[Source]:
        return iter(self._sources)

    def __len__(self) -> int:
        return len(self._sources)

    def __getitem__(self, index: int) -> Source:
        return self._sources[index]

    def __repr__(self) -> str:
        return f"Sources({self._sources!r})"

    def close(self) -> None:
        """Closes all descriptors; afterwards there are none. May be called again."""
        while self._sources:
            os.close(self._sources.pop().fd)

    def __enter__(self) -> Sources:  # noqa: PYI034 - typing has Self from 3.11 on
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    def __del__(self) -> None:
        if self._sources:
            warnings.warn(f"unclosed {self!r}", ResourceWarning, source=self, stacklevel=2)
            self.close()
