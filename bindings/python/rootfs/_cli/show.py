"""The library's documents as tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rootfs import Plan, Report

from .text import Printer, scalar

SHOWN = {"op", "target", "pointer", "source", "type"}


def plan(printer: Printer, document: Plan) -> None:
    """The steps of prepare and finalize, a table each."""
    for part, steps in (("prepare", document["prepare"]), ("finalize", document["finalize"])):
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
    parts += [f"{name}={_value(value)}" for name, value in step.items() if name not in SHOWN and _says_something(value)]
    return " ".join(parts)


def _says_something(value: Any) -> bool:
    """A number always does: 0 is a device number like another."""
    return bool(value) or (isinstance(value, int) and not isinstance(value, bool))


def _value(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(_value(x) for x in value)
    if isinstance(value, Mapping):
        return "{" + " ".join(f"{k}={_value(v)}" for k, v in value.items()) + "}"
    return "yes" if value is True else str(value)


def report(printer: Printer, document: Report) -> None:
    """What verify found: the deviations as a table, or one line where there is none."""
    deviations = document["deviations"]
    checked = f"{document['checked']} promises checked"
    if not deviations:
        printer.line(f"{printer.colour('green', 'as promised')}: {checked}")
        return
    rows = [[scalar(x) for x in (d["target"], d["aspect"], d["want"], d["got"], d["pointer"])] for d in deviations]
    heads = ("target", "what", "promised", "found", "asked for by")
    printer.table(heads, rows, ("", "blue", "green", "red", "dim"))
    count = f"{len(rows)} deviation{'s' if len(rows) > 1 else ''}"
    printer.line(f"{printer.colour('red', count)}, {checked}")
