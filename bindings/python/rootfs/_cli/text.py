"""Tables and trees for people. What is printed comes from configs and kernels, so control characters are shown, not sent."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

COLOURS = {"red": "31", "green": "32", "yellow": "33", "blue": "34", "dim": "2", "bold": "1"}


def printable(text: str) -> str:
    """``text`` with everything that a terminal would act on, or that would break a line, written as an escape."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class Printer:
    """Writes to one stream, with colours where it is a terminal that may have them (https://no-color.org)."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.colours = stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        unicode = (stream.encoding or "").lower().replace("-", "") == "utf8"
        self._branch, self._last, self._trunk = ("├─ ", "└─ ", "│  ") if unicode else ("|- ", "`- ", "|  ")

    def colour(self, name: str, text: str) -> str:
        """``text`` in a colour, where this stream has colours."""
        return f"\x1b[{COLOURS[name]}m{text}\x1b[0m" if self.colours else text

    def line(self, text: str = "") -> None:
        """One line; the caller has made its parts printable."""
        print(
            text.encode(self.stream.encoding or "utf-8", "backslashreplace").decode(self.stream.encoding or "utf-8"),
            file=self.stream,
        )

    def table(self, heads: Sequence[str], rows: Sequence[Sequence[str]], colours: Sequence[str]) -> None:
        """A table with aligned columns; ``colours`` names one for each column, or ``""``."""
        cells = [[printable(cell) for cell in row] for row in rows]
        widths = [max(map(len, column)) for column in zip(heads, *cells)]
        numeric = [all(cell.isdigit() for cell in column) for column in zip(*cells)] or [False] * len(heads)
        self._row(heads, widths, numeric, ["bold"] * len(heads))
        for row in cells:
            self._row(row, widths, numeric, colours)

    def _row(self, row: Sequence[str], widths: Sequence[int], numeric: Sequence[bool], colours: Sequence[str]) -> None:
        last = max((i for i, cell in enumerate(row) if cell), default=0)
        parts = []
        for i, cell in enumerate(row[: last + 1]):
            padding = " " * (widths[i] - len(cell))
            shown = self.colour(colours[i], cell) if colours[i] and cell else cell
            parts.append(padding + shown if numeric[i] else shown + (padding if i < last else ""))
        self.line("  ".join(parts))

    def tree(self, value: Mapping[str, Any], indent: str = "", width: int = 100) -> None:
        """A JSON object as a tree; a list of plain values takes as few lines as fit."""
        for i, (key, member) in enumerate(value.items()):
            final = i == len(value) - 1
            head = indent + (self._last if final else self._branch)
            below = indent + ("   " if final else self._trunk)
            name = self.colour("blue", printable(key))
            if isinstance(member, Mapping) and member:
                self.line(head + name)
                self.tree(member, below, width)
            elif isinstance(member, list) and any(isinstance(x, (Mapping, list)) for x in member):
                self.line(head + name)
                self.tree({str(n): x for n, x in enumerate(member)}, below, width)
            else:
                self._leaf(head + name + ": ", below, len(head) + len(key) + 2, member, width)

    def _leaf(self, head: str, below: str, used: int, member: Any, width: int) -> None:
        text = ", ".join(map(scalar, member)) if isinstance(member, list) else scalar(member)
        lines = textwrap.wrap(text, max(width - used, 40), break_long_words=False, break_on_hyphens=False) or [""]
        self.line(head + self._value(lines[0], member))
        for more in lines[1:]:
            self.line(below + " " * (used - len(below)) + self._value(more, member))

    def _value(self, text: str, member: Any) -> str:
        if member is True:
            return self.colour("green", text)
        return self.colour("dim", text) if member is False or member is None else text


def scalar(value: Any) -> str:
    """A plain JSON value as people write it; an empty one as a dash."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value is None or value == "" or value == {} else printable(str(value))
