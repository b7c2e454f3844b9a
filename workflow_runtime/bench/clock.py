"""The clock that a case measures with: CPU time of all threads, or the clock on the wall, and memory."""

from __future__ import annotations

import asyncio
import gc
import resource
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import Any, TypeVar

__all__ = ["Bench"]

T = TypeVar("T")


class Bench(AbstractContextManager["Bench"]):
    """One case in one process: an event loop, a folder on the disk that is measured, maybe a PostgreSQL database.

    Args:
        toy: Small, to see that the case does what it says; the figures mean nothing.
        folder: For files; empty, and deleted by whoever made it.
        postgres: The URL of an empty database, or None.
        uvloop: Run on uvloop instead of asyncio's own loop.
    """

    def __init__(self, *, toy: bool, folder: Path, postgres: str | None = None, uvloop: bool = False) -> None:
        self.toy = toy
        self.folder = folder
        self.postgres = postgres
        factory: Callable[[], asyncio.AbstractEventLoop] | None = None
        if uvloop:
            from uvloop import new_event_loop as factory
        self._runner = asyncio.Runner(loop_factory=factory)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._runner.close()

    def size(self, full: int, toy: int) -> int:
        """The size that this process is to use."""
        return toy if self.toy else full

    def run(self, work: Callable[[], Awaitable[T]]) -> T:
        """Await ``work()`` on the loop."""

        async def wait() -> T:
            return await work()

        return self._runner.run(wait())

    def cpu(self, work: Callable[[], Awaitable[Any]], *, budget: float = 0.7) -> float:
        """CPU seconds of all threads of one ``await work()``: see ``_typical``."""
        return self._typical(work, time.process_time, budget)

    def wall(self, work: Callable[[], Awaitable[Any]], *, budget: float = 0.7) -> float:
        """Wall seconds of one ``await work()``: see ``_typical``."""
        return self._typical(work, time.perf_counter, budget)

    def _typical(self, work: Callable[[], Awaitable[Any]], clock: Callable[[], float], budget: float) -> float:
        """The median of at least 3 batches of at least 20 ms each, for ``budget`` seconds, after two to warm up."""

        async def batch(times: int) -> float:
            start = clock()
            for _ in range(times):
                await work()
            return (clock() - start) / times

        once = [self.run(lambda: batch(1)) for _ in range(self.size(2, 1))][-1]
        times = self.size(max(1, int(0.02 / max(once, 1e-6))), 1)
        spent: list[float] = []
        until = time.perf_counter() + budget
        while len(spent) < self.size(3, 1) or (not self.toy and time.perf_counter() < until):
            spent.append(self.run(lambda: batch(times)))
        return median(spent)


def resident() -> int:
    """Bytes of memory that this process holds now, garbage collected."""
    gc.collect()
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    except OSError:  # not Linux: the most that it ever held
        return peak()


def peak() -> int:
    """The most bytes of memory that this process ever held."""
    found = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return found if sys.platform == "darwin" else found * 1024
