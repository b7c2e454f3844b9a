"""One session that grows, and how long the event loop is held up while runs are saved."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from statistics import median
from types import TracebackType
from typing import Any

from ..case import Case, Found, did
from ..clock import Bench
from .saving import lightly

__all__ = ["CASES"]


def growth(adapter: Any, bench: Bench) -> Iterator[Found]:
    runs, width = bench.size(1000, 12), bench.size(20, 2)
    took: list[tuple[float, float]] = []

    async def work() -> None:
        async with lightly(adapter, f"sqlite:///{bench.folder}/growth.db", 1) as saved:
            did(1, await saved.run("another"))  # to warm up
            for _ in range(runs):
                wall, cpu = time.perf_counter(), time.process_time()
                did(1, await saved.run("s"))
                took.append((time.perf_counter() - wall, time.process_time() - cpu))
            did(1, await saved.stored("s"))

    bench.run(work)
    places = {
        "the first runs": width,
        **{f"around the {size:,}th run": size for size in (100, 500, 1000) if size <= runs},
    }
    for number, unit in enumerate(("ms wall", "ms CPU")):
        for label, place in places.items():
            yield Found(label, unit, median(one[number] for one in took[place - width : place]) * 1e3)
    middle = took[runs // 2 - width // 2 : runs // 2 + width // 2]
    first = median(cpu for _, cpu in took[:width])
    yield Found("the 500th over the first, CPU", "x", median(cpu for _, cpu in middle) / first)


class Watch(AbstractContextManager["Watch"]):
    """Times every callback of the asyncio loop: the longest is how long nothing else could go on."""

    def __enter__(self) -> Watch:
        self.wall = self.cpu = 0.0
        handles: Any = asyncio.Handle  # its _run is the one place that all callbacks pass
        self._run = run = handles._run

        def timed(handle: Any) -> None:
            wall, cpu = time.perf_counter(), time.thread_time()
            run(handle)
            self.wall = max(self.wall, time.perf_counter() - wall)
            self.cpu = max(self.cpu, time.thread_time() - cpu)

        handles._run = timed
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        handles: Any = asyncio.Handle
        handles._run = self._run


def stall(adapter: Any, bench: Bench) -> Iterator[Found]:
    if bench.uvloop:
        yield Found("", "", None, "uvloop's callbacks cannot be timed one by one")
        return
    before, runs = bench.size(300, 4), bench.size(100, 4)

    async def work() -> tuple[Watch, Watch]:
        async with lightly(adapter, f"sqlite:///{bench.folder}/stall.db", 3) as saved:
            did(3, await saved.run("first"))  # alone: some make their tables in it
            await _crowd(saved, [f"warm{number}" for number in range(4)])
            with Watch() as apart:
                await _crowd(saved, [f"s{number}" for number in range(runs)])
            for _ in range(before):
                await saved.run("one")
            with Watch() as together:
                await _crowd(saved, ["one"] * (runs // 2))
            did(3, await saved.stored("one"))
            return apart, together

    for label, watch in zip(("each run in a new session", "in a session of 300 runs"), bench.run(work), strict=True):
        yield Found(label, "ms wall", watch.wall * 1e3)
        yield Found(label, "ms CPU", watch.cpu * 1e3)


async def _crowd(saved: Any, sessions: list[str]) -> None:
    """A run in each of the sessions, 8 at a time."""
    left = iter(sessions)

    async def work() -> None:
        for session in left:
            did(3, await saved.run(session))

    await asyncio.gather(*(work() for _ in range(8)))


CASES = (
    Case(
        "growth",
        "A run of one step in a session that grows, SQLite",
        "saved",
        growth,
        {("the 500th over the first, CPU", "x"): 1.1},
    ),
    Case(
        "stall",
        "The longest that the event loop is held up while runs are saved, SQLite",
        "saved",
        stall,
        {(label, "ms wall"): 1.0 for label in ("each run in a new session", "in a session of 300 runs")},
    ),
)
