"""Steps that wait for an answer while their process lives: parked coroutines, woken by their answers. (D8)

When every strand of a run waits, the run pauses: it is stored and its caller gets the PAUSED output, but its task stays,
holding nothing but memory. It goes on when the answers come to this process, and is let go after ``evict_after`` seconds or
when another process takes the run.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import anyio

from ..loop.limits import Limits
from ..loop.strands import Parts, Strands

__all__ = ["Parking"]

_MOST_HELD = 1_000


class Parking:
    """The waiting questions of one run, by requirement id. ``on_quiet`` is called when all of its strands wait."""

    __slots__ = ("_gate", "_parts", "_waiting", "gated", "held", "limits", "making", "models", "pausing", "strands")

    def __init__(self, on_quiet: Callable[[], None]) -> None:
        self._waiting: dict[str, anyio.Event] = {}
        self.strands = Strands(on_quiet)
        self.limits = Limits()
        self.pausing: anyio.Event | None = None  # set once the pause is stored, or cannot be
        self.models: dict[str, Any] = {}  # the schemas of what is asked here, to check an answer by
        self.making: dict[str, anyio.Event] = {}  # what ``once`` computes now, by its place
        self.held: deque[Callable[[], None]] = deque(maxlen=_MOST_HELD)  # events that wait for the run to go on
        self.gated = 0  # how much work is done and waits for the run to go on
        self._gate: anyio.Event | None = None
        self._parts: dict[str, Parts] = {}

    def parts(self, path: str) -> Parts:
        """What the code at ``path`` does at the same time."""
        found = self._parts.get(path)
        if found is None:
            found = self._parts[path] = Parts(self.strands)
        return found

    def leave(self, path: str) -> None:
        """The code at ``path`` has returned or failed."""
        found = self._parts.pop(path, None)
        if found is not None:
            found.close()

    async def pass_gate(self) -> None:
        """Wait for the paused run to go on."""
        if self._gate is None or self._gate.is_set():
            self._gate = anyio.Event()
        self.gated += 1
        try:
            await self._gate.wait()
        finally:
            self.gated -= 1
            self.strands.look_soon()

    def open_gate(self) -> None:
        """The run goes on, or ends: so does what was done meanwhile."""
        held, self.held = self.held, deque(maxlen=_MOST_HELD)
        for publish in held:
            publish()
        if self._gate is not None:
            self._gate.set()

    async def wait(self, key: str, path: str, schema: Any = None) -> None:
        """Until the requirement ``key``, whose answer is of ``schema``, is answered."""
        self.models[key] = schema
        event = self._waiting.setdefault(key, anyio.Event())
        with self.limits.waiting(path):
            parts = self.parts(path)
            parts.ask()
            try:
                await event.wait()
            finally:
                self._waiting.pop(key, None)
                self.models.pop(key, None)
                parts.answered()

    async def pause_over(self) -> None:
        """Until no pause is being stored, whatever cancels the task meanwhile."""
        while self.pausing is not None and not self.pausing.is_set():
            with contextlib.suppress(asyncio.CancelledError), anyio.CancelScope(shield=True):
                await self.pausing.wait()

    def wake(self, keys: Iterable[str]) -> bool:
        """Wake the steps that wait for these answers. True when there was one."""
        waiting = [self._waiting[key] for key in keys if key in self._waiting]
        for event in waiting:
            event.set()
        return bool(waiting)

    def let_go(self) -> None:
        """The run has ended, and goes with its last reader."""
        self.strands.let_go()
