"""What a library's adapter is asked to do: one function per case.

An adapter is a module with these functions, each done as the library's own documentation says is best. It imports
nothing of ours. What a library cannot do it leaves out, with the reason in ``CANNOT``; what it can do only in part
raises NotImplementedError(reason) for the rest. Either is shown as "-" with its reason.

"Prepare" is not measured; what is measured is the awaiting of what is returned. Every returned number is taken from what
the library gives back or has stored, not counted beside it: it is the proof that the work was done.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

__all__ = ["FUNCTIONS", "Adapter"]


class Adapter(Protocol):
    """The functions. A step is an async function that returns what it was given, after ``nap`` seconds if that is not 0."""

    CANNOT: Mapping[str, str]

    def steps(self, count: int, nap: float) -> Callable[[], Awaitable[int]]:
        """Prepare a workflow of ``count`` steps, one after the other, without a database.

        Each call is one run, and any number may go on at once. Returns how many steps the result tells of.
        """
        ...

    def events(self, count: int) -> Callable[[], Awaitable[tuple[int, int]]]:
        """Prepare the same as a stream of its life: at least one event at the end of each step.

        Each call reads one run's stream to its end. Returns (events read, those that told of a step's end).
        """
        ...

    def chunks(self, count: int, patient: bool) -> Callable[[], Awaitable[int]]:
        """Prepare one step that makes ``count`` chunks of text, "x" each; if ``patient`` it awaits ``sleep(0)`` before each.

        Each call streams one run to its end. Returns how many chunks were read, one by one.
        """
        ...


FUNCTIONS = tuple(name for name in vars(Adapter) if not name.startswith("_") and name != "CANNOT")
"""The names of the functions, in the order of the contract."""
