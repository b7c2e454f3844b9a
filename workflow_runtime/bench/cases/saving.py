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
        rows = [(f"{steps} steps, {label}, one at a time", "ms/run", 1)]
        if steps == 3:
            rows += [(f"{steps} steps, {label}, {places} at a time", "runs/s", places) for places in (32, 100)]
        found: list[float | None]
        try:
            opened = adapter.saved(url, steps, durability, events)
            found = bench.run(partial(_figures, opened, bench, steps, rows))
        except NotImplementedError as error:
            found = [None] * len(rows)
            reason = str(error)
        else:
            reason = ""
        for (text, unit, _), value in zip(rows, found, strict=True):
            yield Found(text, unit, value, reason)


_sessions = counter()


@asynccontextmanager
async def lightly(adapter: Any, url: str, steps: int) -> AsyncIterator[Any]:
    """The adapter's ``saved`` at the lightest durability that the library has."""
    async with AsyncExitStack() as stack:
        for durability in ("exit", "async", "sync"):
            with suppress(NotImplementedError):
                yield await stack.enter_async_context(adapter.saved(url, steps, durability, False))
                return
        raise NotImplementedError("it stores in none of the ways that are measured")


async def _figures(opened: Any, bench: Bench, steps: int, rows: list[tuple[str, str, int]]) -> list[float | None]:
    """The figure of each row: ms of a run, or runs per second."""
    found: list[float | None] = []
    async with opened as saved:
        did(steps, await saved.run(f"{next(_sessions)}-first"))  # alone: some make their tables in it
        for _, unit, places in rows:
            mark = f"{next(_sessions)}"
            rate = await _rate(saved, mark, places, bench.size(2 * places, 4), steps)
            runs = bench.size(max(4 * places, min(4000, int(rate))), 4)
            rate = await _rate(saved, f"{mark}b", places, runs, steps)
            for number in range(0, runs, max(1, runs // 20)):
                did(steps, await saved.stored(f"{mark}b-{number}"))
            found.append(1e3 / rate if unit == "ms/run" else rate)
    return found


async def _rate(saved: Any, mark: str, places: int, runs: int, steps: int) -> float:
    """Runs per second, ``places`` at a time, each in a session of its own."""
    numbers = iter(range(runs))

    async def work() -> None:
        for number in numbers:
            did(steps, await saved.run(f"{mark}-{number}"))

    start = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(places)))
    return runs / (time.perf_counter() - start)


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
