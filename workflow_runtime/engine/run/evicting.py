"""Parked runs that nobody has continued for ``evict_after`` seconds are let go, by one timer per event loop, however many
wait there."""

from __future__ import annotations

from heapq import heappop, heappush
from typing import TYPE_CHECKING

from ..loop.loops import later, loop_key, loop_time
from ..loop.process import current

if TYPE_CHECKING:
    from collections.abc import Callable

    from .execution import Execution

__all__ = ["Parked", "Sweep", "evict_later"]


class Parked:
    """A run that waits until ``deadline``, in the time of its loop. ``run`` is None once it does not."""

    __slots__ = ("deadline", "run")

    def __init__(self, deadline: float, run: Execution) -> None:
        self.deadline = deadline
        self.run: Execution | None = run

    def __lt__(self, other: Parked) -> bool:
        return self.deadline < other.deadline


def evict_later(run: Execution) -> Parked | None:
    """Let the parked run go after its ``evict_after`` seconds, unless its place is given up before. None: it has gone."""
    seconds = run.definition.evict_after
    if seconds <= 0:
        run.evict()
        return None
    key, sweeps = loop_key(), current().sweeps
    sweep = sweeps.get(key)
    if sweep is None:
        sweep = sweeps[key] = Sweep()
    return sweep.add(run, seconds)


class Sweep:
    """The parked runs of one loop, the next to go first. Its timer stands at the first."""

    __slots__ = ("_at", "_call_off", "_parked")

    def __init__(self) -> None:
        self._parked: list[Parked] = []
        self._call_off: Callable[[], None] | None = None
        self._at = 0.0

    def add(self, run: Execution, seconds: float) -> Parked:
        found = Parked(loop_time() + seconds, run)
        heappush(self._parked, found)
        self._set_timer()
        return found

    def _sweep(self) -> None:
        self._call_off = None
        now = loop_time()
        while self._parked and (self._parked[0].run is None or self._parked[0].deadline <= now):
            run = heappop(self._parked).run
            if run is not None and run.parked:
                run.evict()
        self._set_timer()

    def _set_timer(self) -> None:
        if not self._parked or (self._call_off is not None and self._at <= self._parked[0].deadline):
            return
        if self._call_off is not None:
            self._call_off()
        self._at = self._parked[0].deadline
        self._call_off = later(max(0.0, self._at - loop_time()), self._sweep)
