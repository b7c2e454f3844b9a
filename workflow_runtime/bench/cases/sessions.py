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


_PATIENCE = 20.0  # seconds for all runs of the growing session: the slowest get as far as they get
_PLACES = (100, 500, 1000, 10_000)


def growth(adapter: Any, bench: Bench) -> Iterator[Found]:
    runs, width = bench.size(_PLACES[-1], 12), bench.size(20, 2)
    took: list[tuple[float, float]] = []

    async def work() -> None:
        async with lightly(adapter, f"sqlite:///{bench.folder}/growth.db", 1) as saved:
            did(1, await saved.run("another"))  # to warm up
            until = time.perf_counter() + _PATIENCE
            while len(took) < runs and time.perf_counter() < until:
                wall, cpu = time.perf_counter(), time.process_time()
                did(1, await saved.run("s"))
                took.append((time.perf_counter() - wall, time.process_time() - cpu))
            did(1, await saved.stored("s"))

    bench.run(work)

    def typical(place: int, number: int) -> float:
        return median(one[number] for one in took[max(0, place - width) : place])

    for number, unit in enumerate(("ms wall", "ms CPU")):
        yield Found("the first runs", unit, typical(width, number) * 1e3)
        for place in _PLACES:
            label = f"around the {place:,}th run"
            if place <= len(took):
                yield Found(label, unit, typical(place, number) * 1e3)
            elif not bench.toy:
                yield Found(label, unit, None, f"it came to {len(took):,} runs in {_PATIENCE:g} s")
    for place, name in ((500, "500th"), (10_000, "10,000th")):
        if place <= len(took) or bench.toy:
            ratio = typical(min(place, len(took)), 1) / typical(width, 1)
            yield Found(f"the {name} over the first, CPU", "x", ratio)


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
        {(f"the {name} over the first, CPU", "x"): 1.1 for name in ("500th", "10,000th")},
    ),
    Case(
        "stall",
        "The longest that the event loop is held up while runs are saved, SQLite",
        "saved",
        stall,
        {(label, "ms wall"): 1.0 for label in ("each run in a new session", "in a session of 300 runs")},
    ),
)
