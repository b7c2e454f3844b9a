"""Time, ids and randomness for the engine. Tests put a clock of their own in (``testing.FakeClock``)."""

from __future__ import annotations

import time
from typing import Protocol

import anyio

from .process import current

__all__ = ["Clock", "SystemClock", "new_id", "new_run_id"]


class Clock(Protocol):
    """Wall-clock seconds, and waiting.

    A clock may also have ``later(seconds, function)``, which calls ``function`` on the event loop of its caller when
    ``seconds`` have passed, and returns a function that calls it off and returns the seconds left: then timeouts pass on
    this clock. Without it they pass on the event loop's.
    """

    def time(self) -> float:
        """Unix seconds."""
        ...

    async def sleep(self, seconds: float) -> None: ...

    def random(self) -> float:
        """In [0, 1)."""
        ...


class SystemClock:
    """The machine's."""

    time = staticmethod(time.time)  # the clock itself: each event of a run reads it

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(seconds)

    def random(self) -> float:
        return current().random()


def new_id() -> str:
    """A sortable unique id: 32 hexadecimal digits."""
    return current().new_id()


def new_run_id() -> str:
    """A run's id: a shard (always ``00`` today), then a sortable id. Safe as a file name, URL part and subject token."""
    return f"00_{current().new_id()}"
