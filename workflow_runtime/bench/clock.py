"""The clock that a case measures with: CPU time of all threads, or the clock on the wall, and memory."""

from __future__ import annotations

import asyncio
import gc
import resource
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import Any, TypeVar

__all__ = ["Bench", "forget_peak", "peak", "resident"]

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
        self.uvloop = uvloop
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


_STATUS = Path("/proc/self/status")


def resident() -> int:
    """Bytes of memory that this process holds, garbage collected; where the system does not say, the most it ever held."""
    gc.collect()
    return _kilobytes("VmRSS:") * 1024


def forget_peak() -> None:
    """Let ``peak`` begin anew, where the system can do that."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak() -> int:
    """The most bytes of memory that this process held since ``forget_peak``."""
    return _kilobytes("VmHWM:") * 1024


def _kilobytes(name: str) -> int:
    try:
        return next(int(line.split()[1]) for line in _STATUS.read_text().splitlines() if line.startswith(name))
    except OSError:
        found = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return found // 1024 if sys.platform == "darwin" else found
