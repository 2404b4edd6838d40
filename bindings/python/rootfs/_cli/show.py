"""The library's documents as tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .text import Printer, scalar

SHOWN = {"op", "target", "pointer", "source", "type"}


def plan(printer: Printer, document: Mapping[str, Any]) -> None:
    """The steps of prepare and finalize, a table each."""
    for part in ("prepare", "finalize"):
        steps = document.get(part) or []
        printer.line(printer.colour("bold", f"{part}: {len(steps)} steps"))
        rows = [
            [str(number), step["op"], step.get("target", ""), _detail(step), step.get("pointer", "")]
            for number, step in enumerate(steps, 1)
        ]
        if rows:
            printer.table(("#", "step", "target", "with", "asked for by"), rows, ("dim", "blue", "", "", "dim"))
        printer.line()


def _detail(step: Mapping[str, Any]) -> str:
    """What a step has beside op, target and pointer: type and source first, the rest as name=value."""
    parts = [str(step[name]) for name in ("type", "source") if step.get(name)]
    parts += [
        f"{name}={_value(value)}"
        for name, value in step.items()
        if name not in SHOWN and value not in (None, "", [], {}, False)
    ]
    return " ".join(parts)


def _value(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(_value(x) for x in value)
    if isinstance(value, Mapping):
        return "{" + " ".join(f"{k}={_value(v)}" for k, v in value.items()) + "}"
    return "yes" if value is True else str(value)


def report(printer: Printer, document: Mapping[str, Any]) -> None:
    """What verify found: the deviations as a table, or one line where there is none."""
    deviations = document["deviations"]
    checked = f"{document['checked']} promises checked"
    if not deviations:
        printer.line(f"{printer.colour('green', 'as promised')}: {checked}")
        return
    names = ("target", "aspect", "want", "got", "pointer")
    rows = [[scalar(deviation.get(name)) for name in names] for deviation in deviations]
    heads = ("target", "what", "promised", "found", "asked for by")
    printer.table(heads, rows, ("", "blue", "green", "red", "dim"))
    count = f"{len(rows)} deviation{'s' if len(rows) > 1 else ''}"
    printer.line(f"{printer.colour('red', count)}, {checked}")
