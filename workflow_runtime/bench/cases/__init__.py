"""The cases, one module for each kind of work, in the order of the tables."""

from __future__ import annotations

from ..case import Case
from . import commits, crowds, drawing, pauses, process, saving, sessions, steps, streams

__all__ = ["CASES"]

_MODULES = (steps, streams, crowds, saving, sessions, pauses, process, commits, drawing)
CASES: dict[str, Case] = {case.name: case for module in _MODULES for case in module.CASES}
