"""What is done with what is stored: replay, going on after a pause, recovery after a crash."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from ..case import Case, Found, did
from ..clock import Bench

__all__ = ["CASES"]


def replay(adapter: Any, bench: Bench) -> Iterator[Found]:
    count = bench.size(5_000, 20)
    spent: list[float] = []

    async def work() -> None:
        async with adapter.replay(f"sqlite:///{bench.folder}/replay.db", count) as read:
            for _ in range(bench.size(7, 1)):
                start = time.process_time()
                found, had = await read()
                spent.append((time.process_time() - start) / found)
                did(had, found)
                did(True, had >= count)

    bench.run(work)
    yield Found("a stored event, read back", "us/event", median(spent) * 1e6)


def paused(adapter: Any, bench: Bench) -> Iterator[Found]:
    took: list[float] = []

    async def work() -> None:
        async with adapter.paused(f"sqlite:///{bench.folder}/paused.db") as workflow:
            for number in range(bench.size(60, 3)):
                token = await workflow.pause(f"s{number}")
                did(True, token is not None)
                start = time.perf_counter()
                steps = await workflow.go_on(token)
                took.append(time.perf_counter() - start)
                did(3, steps)

    bench.run(work)
    yield Found("from the answer to the end of the run", "ms wall", median(took[len(took) // 6 :]) * 1e3)


STEPS, LAST = 10, 5  # how many the run has, and in which one its process is killed


def recovery(adapter: Any, bench: Bench) -> Iterator[Found]:
    url, log = f"sqlite:///{bench.folder}/recovery.db", bench.folder / "steps.log"
    worker = Path(__file__).parents[1] / "worker.py"
    command = [sys.executable, "-P", worker, adapter.__file__, "recovery", "--folder", bench.folder, "--dies", url, log]
    died = subprocess.run(command, capture_output=True, text=True, check=False)
    if died.returncode != -9:
        raise RuntimeError(f"the process that was to die ended with {died.returncode}: {died.stderr[-500:]}")
    did([str(number) for number in range(LAST + 1)], log.read_text().split())
    time.sleep(1)  # its lease, where there is one, runs out
    wall, cpu = time.perf_counter(), time.process_time()
    steps = bench.run(lambda: adapter.recovers(url, str(log)))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    did(STEPS, steps)
    did([str(number) for number in (*range(LAST + 1), *range(LAST, STEPS))], log.read_text().split())
    yield Found("from the call to the end of the run", "ms wall", wall * 1e3)
    yield Found("from the call to the end of the run", "ms CPU", cpu * 1e3)


CASES = (
    Case(
        "replay",
        "A stored log read again, SQLite",
        "replay",
        replay,
        {("a stored event, read back", "us/event"): 6.0},
    ),
    Case("paused", "A run that waited for a person goes on, SQLite", "paused", paused),
    Case(
        "recovery",
        "A run of 10 steps whose process was killed in the 6th goes on in another one, SQLite",
        "recovers",
        recovery,
    ),
)
