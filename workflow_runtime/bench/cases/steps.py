"""What a step costs one after the other and side by side, and whether that grows with their number."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from ..case import Case, Found, did
from ..clock import Bench

__all__ = ["CASES"]


def steps(adapter: Any, bench: Bench) -> Iterator[Found]:
    for count in (10, 100, 1000) if not bench.toy else (3, 10):
        run = adapter.steps(count, 0.0)

        async def work(run: Any = run, count: int = count) -> None:
            did(count, await run())

        yield Found(f"{count:,} steps", "us/step", bench.cpu(work) / count * 1e6)


def parallel(adapter: Any, bench: Bench) -> Iterator[Found]:
    for count in (10, 100, 1000) if not bench.toy else (3, 10):
        run = adapter.parallel(count, 0.0)

        async def work(run: Any = run, count: int = count) -> None:
            did(count, await run())

        yield Found(f"{count:,} branches", "us/branch", bench.cpu(work) / count * 1e6)
    count = bench.size(1000, 10)
    run = adapter.parallel(count, bench.size(50, 1) / 1000)

    async def naps() -> None:
        did(count, await run())

    yield Found(f"{count:,} branches that sleep 50 ms", "ms wall", bench.wall(naps) * 1e3)


def call(adapter: Any, bench: Bench) -> Iterator[Found]:
    run = adapter.call()
    did(1, run())
    spent: list[tuple[float, float]] = []
    until = time.perf_counter() + 0.7
    while len(spent) < bench.size(50, 3) or (not bench.toy and time.perf_counter() < until):
        wall, cpu = time.perf_counter(), time.process_time()
        did(1, run())
        spent.append((time.perf_counter() - wall, time.process_time() - cpu))
    for number, unit in enumerate(("us wall", "us CPU")):
        yield Found("run() in synchronous code", unit, sorted(one[number] for one in spent)[len(spent) // 2] * 1e6)
    awaited = adapter.steps(1, 0.0)

    async def work() -> None:
        did(1, await awaited())

    yield Found("the same awaited", "us wall", bench.wall(work) * 1e6)
    yield Found("the same awaited", "us CPU", bench.cpu(work) * 1e6)


CASES = (
    Case(
        "steps",
        "A step that does nothing, without a database",
        "steps",
        steps,
        {(f"{count:,} steps", "us/step"): goal for count, goal in ((10, 9.6), (100, 8.0), (1000, 9.6))},
    ),
    Case(
        "parallel",
        "A branch of a Parallel that does nothing",
        "parallel",
        parallel,
        {("100 branches", "us/branch"): 25.0, ("1,000 branches that sleep 50 ms", "ms wall"): 90.0},
    ),
    Case(
        "call",
        "A run of one step from synchronous code",
        "call",
        call,
        {("run() in synchronous code", "us wall"): 150.0, ("the same awaited", "us wall"): 60.0},
    ),
)
