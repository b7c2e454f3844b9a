"""The cases, one module for each kind of work, in the order of the tables."""

from __future__ import annotations

from ..case import Case
from . import steps, streams

__all__ = ["CASES"]

CASES: dict[str, Case] = {case.name: case for case in (*steps.CASES, *streams.CASES)}
