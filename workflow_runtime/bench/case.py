"""A case, and what it finds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from .clock import Bench

__all__ = ["Case", "Found", "NotDone", "did", "more_is_better"]


class NotDone(Exception):
    """The library did not do the work that is measured: no figure is better than a wrong one."""


@dataclass(frozen=True)
class Found:
    """One figure. ``value`` None: the library cannot do this, for ``reason``."""

    label: str
    unit: str
    value: float | None
    reason: str = ""


@dataclass(frozen=True)
class Case:
    """What is measured.

    Attributes:
        name: As on the command line.
        title: A line over the table.
        function: The adapter's function that it calls (``contract.py``).
        measure: Yields the figures one by one; raises NotDone if the work was not done.
        goals: The figures that this library has set itself, by (label, unit).
        postgres: It needs a PostgreSQL database.
    """

    name: str
    title: str
    function: str
    measure: Callable[[Any, Bench], Iterator[Found]]
    goals: Mapping[tuple[str, str], float] = field(default_factory=dict)
    postgres: bool = False


def did(wanted: Any, found: Any) -> None:
    """Raise NotDone unless they are the same."""
    if wanted != found:
        raise NotDone(f"expected {wanted!r}, the library says {found!r}")


def more_is_better(unit: str) -> bool:
    """Of two figures of this unit, whether the greater one is the better one."""
    return unit.endswith("/s")
