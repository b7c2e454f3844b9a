"""What one commit costs in each store, alone and 32 at a time: a step's checkpoint, without the engine."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

from ..case import Case, Found, did
from ..clock import Bench

__all__ = ["CASES"]


def commits(adapter: Any, bench: Bench) -> Iterator[Found]:
    stores = {
        "SQLite FULL": f"sqlite:///{bench.folder}/full.db",
        "SQLite NORMAL": f"sqlite:///{bench.folder}/normal.db",
    }
    if bench.postgres is not None:
        stores["PostgreSQL"] = bench.postgres
    for store, url in stores.items():
        for places in (1, 32):
            rate, cpu = bench.run(partial(_rate, adapter, bench, url, store.endswith("NORMAL"), places))
            yield Found(f"{store}, {places} at a time", "commits/s", rate)
            yield Found(f"{store}, {places} at a time", "us CPU", cpu * 1e6)


async def _rate(adapter: Any, bench: Bench, url: str, relaxed: bool, places: int) -> tuple[float, float]:
    """(commits per second, CPU seconds of this process for one)."""
    share = bench.size(2000 if places == 1 else 250, 3)
    async with adapter.commits(url, relaxed) as store:

        async def run(name: str, count: int) -> None:
            for number in range(count):
                await store.commit(name, number)

        await run(f"warm{places}", bench.size(20, 1))
        wall, cpu = time.perf_counter(), time.process_time()
        await asyncio.gather(*(run(f"{places}-{number}", share) for number in range(places)))
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        did((share, 2 * share), await store.stored(f"{places}-0"))
        return share * places / wall, cpu / share / places


CASES = (Case("commits", "A commit of one step's checkpoint", "commits", commits, postgres=True),)
