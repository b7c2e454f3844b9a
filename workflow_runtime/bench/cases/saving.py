"""Saved runs: one at a time and many at once, at every durability, with and without their events."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from itertools import count as counter
from typing import Any

from ..case import Case, Found, did
from ..clock import Bench

__all__ = ["CASES", "lightly"]

WAYS = tuple((durability, events) for durability in ("exit", "async", "sync") for events in (False, True))


def sqlite(adapter: Any, bench: Bench) -> Iterator[Found]:
    for number, (durability, events) in enumerate(WAYS):
        yield from _way(adapter, bench, f"sqlite:///{bench.folder}/{number}.db", durability, events)


def postgres(adapter: Any, bench: Bench) -> Iterator[Found]:
    if bench.postgres is None:
        yield Found("", "", None, "no PostgreSQL was given")
        return
    for durability, events in WAYS:
        yield from _way(adapter, bench, bench.postgres, durability, events)


def _way(adapter: Any, bench: Bench, url: str, durability: str, events: bool) -> Iterator[Found]:
    label = f'"{durability}"{", events" if events else ""}'
    for steps in (3, 10):
        places = (1, 32, 100) if steps == 3 else (1,)
        rows = [row for number in places for row in _rows(f"{steps} steps, {label}", number)]
        try:
            opened = adapter.saved(url, steps, durability, events)
            values = bench.run(partial(_figures, opened, bench, steps, places))
        except NotImplementedError as error:
            yield from (Found(text, unit, None, str(error)) for text, unit in rows)
        else:
            yield from (Found(text, unit, value) for (text, unit), value in zip(rows, values, strict=True))


def _rows(label: str, places: int) -> list[tuple[str, str]]:
    """The (label, unit) of each figure of ``_figures`` for so many places."""
    if places == 1:
        return [(f"{label}, one at a time", "ms/run"), (f"{label}, one at a time", "ms CPU/run")]
    return [(f"{label}, {places} at a time", "runs/s")]


_sessions = counter()


@asynccontextmanager
async def lightly(adapter: Any, url: str, steps: int) -> AsyncIterator[Any]:
    """The adapter's ``saved`` at the lightest durability that the library has."""
    async with AsyncExitStack() as stack:
        found = None
        for durability in ("exit", "async", "sync"):
            if found is None:
                with suppress(NotImplementedError):
                    found = await stack.enter_async_context(adapter.saved(url, steps, durability, False))
        if found is None:
            raise NotImplementedError("it stores in none of the ways that are measured")
        yield found


async def _figures(opened: Any, bench: Bench, steps: int, places: tuple[int, ...]) -> list[float]:
    """For each number of places what ``_rows`` names: ms on the wall and of CPU of a run, or runs per second."""
    found: list[float] = []
    async with opened as saved:
        did(steps, await saved.run(f"{next(_sessions)}-first"))  # alone: some make their tables in it
        for number in places:
            mark = f"{next(_sessions)}"
            wall, _ = await _spent(saved, mark, number, bench.size(2 * number, 4), steps)
            runs = bench.size(max(4 * number, min(4000, int(1 / wall))), 4)
            wall, cpu = await _spent(saved, f"{mark}b", number, runs, steps)
            for run in range(0, runs, max(1, runs // 20)):
                did(steps, await saved.stored(f"{mark}b-{run}"))
            found += [wall * 1e3, cpu * 1e3] if number == 1 else [1 / wall]
    return found


async def _spent(saved: Any, mark: str, places: int, runs: int, steps: int) -> tuple[float, float]:
    """(wall, CPU) seconds for one of so many runs, ``places`` at a time, each in a session of its own."""
    numbers = iter(range(runs))

    async def work() -> None:
        for number in numbers:
            did(steps, await saved.run(f"{mark}-{number}"))

    wall, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(work() for _ in range(places)))
    return (time.perf_counter() - wall) / runs, (time.process_time() - cpu) / runs


CASES = (
    Case(
        "sqlite",
        "Saved in SQLite",
        "saved",
        sqlite,
        {
            ('10 steps, "exit", one at a time', "ms/run"): 0.7,
            ('10 steps, "sync", events, one at a time', "ms/run"): 1.5,
            ('3 steps, "exit", 32 at a time', "runs/s"): 5000.0,
            ('3 steps, "sync", events, 32 at a time', "runs/s"): 2000.0,
        },
    ),
    Case(
        "postgres",
        "Saved in PostgreSQL",
        "saved",
        postgres,
        {
            ('3 steps, "exit", one at a time', "ms/run"): 1.5,
            ('3 steps, "exit", 32 at a time', "runs/s"): 3000.0,
        },
        postgres=True,
    ),
)
