"""The library's documents, for type checkers: at run time they are plain dicts."""

from __future__ import annotations

from typing import Any, TypedDict


class Plan(TypedDict):
    """The steps of :func:`rootfs.prepare` and :func:`rootfs.finalize`, in order (docs/plan.md).

    A step is a dict with ``op``, its kind, and, where they apply, ``target`` (a path inside the container), ``pointer`` (the
    field that asked for it) and what else the step needs.
    """

    prepare: list[dict[str, Any]]
    finalize: list[dict[str, Any]]


class Deviation(TypedDict):
    """One promise of the config that the kernel does not confirm."""

    pointer: str
    """The field of the config that made the promise, or ``""``."""
    target: str
    """The path inside the container."""
    aspect: str
    """What is different: ``"type"``, ``"flags"``, ``"propagation"``, ``"mode"``, ``"mask"``."""
    want: str
    """What was promised."""
    got: str
    """What the kernel reports."""


class Report(TypedDict):
    """What the kernel reports, compared with what the config promised."""

    checked: int
    """How many promises were looked at."""
    deviations: list[Deviation]
    """Those that do not hold."""
