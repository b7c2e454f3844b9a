"""Many runs: at once, and one after the other for long."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

from ..case import Case, Found, did
from ..clock import Bench, forget_peak, peak, resident

__all__ = ["CASES"]


def concurrent(adapter: Any, bench: Bench) -> Iterator[Found]:
    run = adapter.steps(3, bench.size(100, 1) / 1000)
    bench.run(run)
    for count in (100, 1_000, 10_000) if not bench.toy else (5, 10):
        before = resident()
        forget_peak()

        async def work(count: int = count) -> float:
            start = time.perf_counter()
            found = await asyncio.gather(*(run() for _ in range(count)))
            wall = time.perf_counter() - start
            did([3] * count, found)
            return wall

        yield Found(f"{count:,} runs of 3 x 100 ms", "s wall", bench.run(work))
        yield Found(f"{count:,} runs of 3 x 100 ms", "KB/run", max(0, peak() - before) / count / 1024)


def memory(adapter: Any, bench: Bench) -> Iterator[Found]:
    count = bench.size(20_000, 20)
    run = adapter.steps(3, 0.0)

    async def plain() -> None:
        did(3, await run())

    yield Found(f"{count:,} runs", "bytes/run", _kept(plain, count, bench))
    if not hasattr(adapter, "events"):
        yield Found(f"{count:,} streamed runs", "bytes/run", None, adapter.CANNOT["events"])
        return
    stream = adapter.events(3)

    async def streamed() -> None:
        did(3, (await stream())[1])

    yield Found(f"{count:,} streamed runs", "bytes/run", _kept(streamed, count, bench))


def _kept(work: Any, count: int, bench: Bench) -> float:
    """Bytes that a run leaves behind, after a tenth of the runs to warm up."""

    async def some(times: int) -> None:
        for _ in range(times):
            await work()

    bench.run(lambda: some(count // 10))
    before = resident()
    bench.run(lambda: some(count))
    return max(0, resident() - before) / count


CASES = (
    Case(
        "concurrent",
        "Runs at once, and what they hold",
        "steps",
        concurrent,
        {("10,000 runs of 3 x 100 ms", "s wall"): 1.8, ("10,000 runs of 3 x 100 ms", "KB/run"): 8.0},
    ),
    Case(
        "memory",
        "What a finished run leaves in memory",
        "steps",
        memory,
        {("20,000 runs", "bytes/run"): 50.0, ("20,000 streamed runs", "bytes/run"): 50.0},
    ),
)
