"""What it costs to stream a run's life, and text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..case import Case, Found, did
from ..clock import Bench

__all__ = ["CASES"]


def events(adapter: Any, bench: Bench) -> Iterator[Found]:
    count = bench.size(300, 5)
    stream = adapter.events(count)
    seen = 0

    async def work() -> None:
        nonlocal seen
        seen, ended = await stream()
        did(count, ended)

    spent = bench.cpu(work)
    yield Found("an event", "us/event", spent / seen * 1e6)
    yield Found("a step with its events", "us/step", spent / count * 1e6)


def chunks(adapter: Any, bench: Bench) -> Iterator[Found]:
    count = bench.size(5_000, 50)
    for label, patient in (("the producer does not wait", False), ("the producer waits before each", True)):
        try:
            stream = adapter.chunks(count, patient)
        except NotImplementedError as error:
            yield Found(label, "us/chunk", None, str(error))
            continue

        async def work(stream: Any = stream) -> None:
            did(count, await stream())

        yield Found(label, "us/chunk", bench.cpu(work) / count * 1e6)


def first(adapter: Any, bench: Bench) -> Iterator[Found]:
    call = adapter.first()
    waited: list[float] = []

    async def work() -> None:
        for _ in range(bench.size(20, 2)):
            await call()  # to warm up
        for _ in range(bench.size(500, 10)):
            seconds = await call()
            did(True, seconds > 0)
            waited.append(seconds)

    bench.run(work)
    waited.sort()
    yield Found("half of them within", "us wall", waited[len(waited) // 2] * 1e6)
    yield Found("99 of 100 within", "us wall", waited[len(waited) * 99 // 100] * 1e6)


CASES = (
    Case(
        "events", "A streamed event of a run's life, with one reader", "events", events, {("an event", "us/event"): 5.0}
    ),
    Case(
        "chunks",
        "A streamed chunk of text, with one reader",
        "chunks",
        chunks,
        {
            ("the producer does not wait", "us/chunk"): 3.0,
            ("the producer waits before each", "us/chunk"): 14.0,
        },
    ),
    Case(
        "first",
        "From the call to the first event of a stream",
        "first",
        first,
        {("half of them within", "us wall"): 110.0, ("99 of 100 within", "us wall"): 250.0},
    ),
)
