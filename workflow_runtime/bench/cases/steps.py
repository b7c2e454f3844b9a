"""What a step costs, and whether that grows with their number."""

from __future__ import annotations

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


CASES = (
    Case(
        "steps",
        "A step that does nothing, without a database",
        "steps",
        steps,
        {(f"{count:,} steps", "us/step"): goal for count, goal in ((10, 9.6), (100, 8.0), (1000, 9.6))},
    ),
)
