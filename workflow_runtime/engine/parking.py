"""Steps that wait for an answer while their process lives: parked coroutines, woken by ``continue_run``. (D8)

When every strand of a run waits, the run pauses: it is stored and its caller gets the PAUSED output, but its task stays,
holding nothing but memory. It goes on when the answers come to this process, and is let go after ``evict_after`` seconds or
when another process takes the run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio

from .limits import Limits
from .strands import Strands

if TYPE_CHECKING:
    from .execution import Execution

__all__ = ["Parking"]


class Parking:
    """The waiting questions of one run, by requirement id."""

    __slots__ = ("_run", "_waiting", "limits", "models", "strands")

    def __init__(self, run: Execution) -> None:
        self._run = run
        self._waiting: dict[str, anyio.Event] = {}
        self.strands = Strands(self._quiet)
        self.limits = Limits()
        self.models: dict[str, Any] = {}  # the schemas of what is asked here, to check an answer by

    async def wait(self, key: str, path: str, schema: Any = None) -> None:
        """Until the requirement ``key``, whose answer is of ``schema``, is answered."""
        self.models[key] = schema
        event = self._waiting.setdefault(key, anyio.Event())
        with self.limits.waiting(path):
            self.strands.park(path)
            try:
                await event.wait()
            finally:
                self._waiting.pop(key, None)
                self.models.pop(key, None)
                self.strands.unpark(path)

    def wake(self, keys: list[str]) -> None:
        """These were answered."""
        for key in keys:
            event = self._waiting.get(key)
            if event is not None:
                event.set()

    def _quiet(self) -> None:
        run = self._run
        if not run.ended and not run.cancelled and run.failure is None:
            run.pause_parked()
