"""The task group that holds the background runs of a ``Runtime``. (D10)

It lives in a task of its own, which enters it and leaves it. In the task that enters the Runtime it could not: ASGI servers
and fixtures enter and leave in two tasks, which a task group refuses, and a scope around the Runtime that is cancelled would
end the runs without their grace.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import anyio

from ..loop.loops import guarded, loop_key, spawn
from ..loop.process import current

if TYPE_CHECKING:
    from .execution import Execution

__all__ = ["RunGroup", "start_task"]


class RunGroup:
    """``await open()``, ``start`` for each run, ``close()`` and ``await wait_left()``. The group is left when all of its
    tasks have ended. A failure or a cancellation of one of them does not touch the others."""

    def __init__(self) -> None:
        self.runs: set[Execution] = set()  # whose tasks have not ended
        self._group = anyio.create_task_group()
        self._entered, self._closing, self._left = anyio.Event(), anyio.Event(), anyio.Event()
        self._unbegun: dict[Execution, Callable[[], None]] = {}
        self._of_loop: list[RunGroup] = current().run_groups.setdefault(loop_key(), [])

    async def open(self) -> None:
        """From here on it is the group of this event loop's new background runs."""
        spawn(self._hold, "workflow_runtime background runs")
        await self._entered.wait()
        self._of_loop.append(self)

    async def _hold(self) -> None:
        try:
            async with self._group:
                self._group.cancel_scope.shield = True
                self._entered.set()
                await self._closing.wait()
        finally:
            self.close()
            for never in self._unbegun.values():
                never()
            self._left.set()

    def start(self, run: Execution, work: Callable[[], Awaitable[None]], name: str, never: Callable[[], None]) -> None:
        """Start the task of ``run``; ``never`` is called where the loop ends before it begins."""
        self.runs.add(run)
        self._unbegun[run] = never

        async def held() -> None:
            del self._unbegun[run]
            try:
                await guarded(work, name)
            finally:
                self.runs.discard(run)

        self._group.start_soon(held, name=name)

    def close(self) -> None:
        """Take no more runs, and leave once those that are here have ended."""
        if self in self._of_loop:
            self._of_loop.remove(self)
        self._closing.set()

    def cancel(self) -> None:
        """The event loop ends: so do the runs."""
        self._group.cancel_scope.cancel()

    async def wait_left(self) -> None:
        await self._left.wait()


def start_task(run: Execution, work: Callable[[], Awaitable[None]], name: str, never: Callable[[], None]) -> None:
    """Give ``run`` a task that outlives its caller: in the group of the loop's Runtime if it is a background run and there
    is one, else a hosted task."""
    groups = current().run_groups.get(loop_key()) if run.request.background else None
    if groups:
        groups[-1].start(run, work, name, never)
    else:
        spawn(work, name, never)
