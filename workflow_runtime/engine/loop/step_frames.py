"""How the frames of steps are recognised in the stack of an event loop.

What executes steps enters its code objects here, so that the watchdog, which reads stacks, needs to know none of it.
"""

from __future__ import annotations

from types import CodeType

__all__ = ["DRIVERS", "STEPS"]

STEPS: set[CodeType] = set()
"""The code of the functions whose frames hold a step."""

DRIVERS: dict[CodeType, str] = {}
"""For code that drives another object which its task does not show: the name of the local variable that holds it."""
