"""Where the CPU time of runs goes that are made at once: garbage collection, the event loop's thread, the database's server.

``python benchmarks/shares.py [--toy]``. 10,000 runs of three steps that wait 100 ms, with the garbage collector and without;
and runs of three steps that are saved, 32 at a time: in SQLite, whose writer is a thread of the same process, the share
of the event loop's thread; in PostgreSQL, as the tests start it, the CPU time of the server and its transactions beside
the client's time. A server's processes are read from /proc, so that part runs on Linux. Each line is the median of
three measurements.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
TIMES = 3
PLACES = 32
WAYS = (("exit", False), ("async", True), ("sync", True))


def middle(measure: Callable[[], Sequence[float]]) -> list[float]:
    return [median(values) for values in zip(*(measure() for _ in range(TIMES)), strict=True)]


# -- waiting ------------------------------------------------------------------------------------------------------------


async def crowd(runs: int) -> float:
    """CPU microseconds of a run."""
    from workflow_runtime import Step, Workflow

    async def wait(step_input: Any) -> None:
        await asyncio.sleep(0.1)

    workflow = Workflow(name="waits", steps=[Step(f"step{number}", executor=wait) for number in range(3)])
    await workflow.arun("x")
    began = time.process_time()
    await asyncio.gather(*(workflow.arun("x") for _ in range(runs)))
    return 1e6 * (time.process_time() - began) / runs


def collected(runs: int) -> tuple[float, float]:
    on = asyncio.run(crowd(runs))
    gc.disable()
    try:
        return on, asyncio.run(crowd(runs))
    finally:
        gc.enable()
        gc.collect()


# -- saving -------------------------------------------------------------------------------------------------------------


async def batch(saved: Any, mark: str, count: int) -> None:
    """So many runs, each in a session of its own, 32 at a time."""
    numbers = iter(range(count))

    async def work() -> None:
        for number in numbers:
            assert await saved.run(f"{mark}-{number}") == 3

    await asyncio.gather(*(work() for _ in range(PLACES)))


async def save(opened: AbstractAsyncContextManager[Any], runs: int) -> tuple[float, float, float]:
    """Microseconds of a run: CPU of the process and of this thread, and on the clock."""
    async with opened as saved:
        await batch(saved, "first", 2 * PLACES)
        clocks = (time.process_time, time.thread_time, time.perf_counter)
        began = [clock() for clock in clocks]
        await batch(saved, "then", runs)
        cpu, loop, wall = (1e6 * (clock() - start) / runs for clock, start in zip(clocks, began, strict=True))
    return cpu, loop, wall


def in_sqlite(durability: str, events: bool, runs: int) -> tuple[float, float, float]:
    from workflow_runtime.bench.ours.stored import saved

    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(save(saved(f"sqlite:///{folder}/runs.db", 3, durability, events), runs))


def in_postgres(server: Any, durability: str, events: bool, runs: int) -> tuple[float, ...]:
    """As ``save``, then the server's CPU microseconds and transactions, with those of connecting and of its first runs."""
    from workflow_runtime.bench.ours.stored import saved

    url = server.new_database()
    name = url.rsplit("/", 1)[1]
    pid = int((server.data / "postmaster.pid").read_text().split()[0])
    before = server_cpu(pid)
    cpu, _, wall = asyncio.run(save(saved(url, 3, durability, events), runs))
    used = 1e6 * (server_cpu(pid) - before) / (runs + 2 * PLACES)
    [(count,)] = server.execute(f"SELECT xact_commit FROM pg_stat_database WHERE datname = '{name}'")
    return cpu, wall, used, count / (runs + 2 * PLACES)


def server_cpu(pid: int) -> float:
    """CPU seconds of the server with its processes, those that have ended included."""
    while True:
        with suppress(FileNotFoundError, ProcessLookupError):  # one has ended since they were listed
            return _server_cpu(pid)


def _server_cpu(pid: int) -> float:
    found = 0
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    for one in (str(pid), *listed):  # the server first: it does not count the others before they have ended
        fields = Path(f"/proc/{one}/stat").read_text().rsplit(") ", 1)[1].split()
        # Of the server itself also what its ended children used.
        found += sum(int(field) for field in fields[11 : 15 if one == str(pid) else 13])
    return found / os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--toy", action="store_true", help="small, to see that it works: the figures mean nothing")
    toy = parser.parse_args().toy
    on, off = middle(partial(collected, 100 if toy else 10_000))
    print(f"waiting at once: {on:.0f} us CPU a run, {off:.0f} without garbage collection ({1 - off / on:.0%} less)")
    runs = PLACES if toy else 2000
    for durability, events in WAYS:
        cpu, loop, wall = middle(partial(in_sqlite, durability, events, runs))
        print(
            f"SQLite, {durability}{', events' if events else ''}: {cpu:.0f} us CPU a run, {loop:.0f} of them the event "
            f"loop's thread ({loop / cpu:.0%}); {1e6 / wall:,.0f} runs/s"
        )
    if sys.platform != "linux":
        return
    sys.path.append(str(ROOT / "tests"))
    from servers import postgres_server

    with postgres_server(own=True, fsync=True) as server:
        for durability, events in WAYS:
            cpu, wall, used, count = middle(partial(in_postgres, server, durability, events, runs))
            print(
                f"PostgreSQL, {durability}{', events' if events else ''}: {cpu:.0f} us CPU a run, {used:.0f} more in the "
                f"server, {count:.2f} transactions; {1e6 / wall:,.0f} runs/s"
            )


if __name__ == "__main__":
    main()
