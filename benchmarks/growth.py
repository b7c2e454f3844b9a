"""How the cost of what a database does beside its runs grows with what it holds.

    python benchmarks/growth.py [--db sqlite|postgresql://...] [--runs 1000 10000] [--events 10]

Each line is one piece of work and its seconds at each size, then the last divided by the first. Work on what is due grows
with it; all other work should stay about the same. A PostgreSQL database must be empty; it is left filled.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from time import perf_counter
from typing import Any

from workflow_runtime.engine.start.fork import load_steps
from workflow_runtime.model.enums import RunStatus
from workflow_runtime.storage.base import (
    BaseDb,
    Batch,
    EventRow,
    Fence,
    RequirementRow,
    RunFilter,
    RunRow,
    StepRow,
)
from workflow_runtime.storage.registry import open_url

__all__ = ["measure"]

TEXT = frozenset({"StepContent"})
PAUSED = frozenset({RunStatus.paused})


async def fill(db: BaseDb, runs: int, events: int) -> None:
    """Finished runs with a log, a tenth as many that wait for an answer, and a tenth as many that run, of one workflow."""
    for number in range(runs):
        name = f"r{number:07}"
        row = RunRow(run_id=name, session_id=f"s{number % 100}", status=RunStatus.completed, workflow_id="w")
        row.created_at = row.updated_at = float(number)
        log = [
            EventRow(run_id=name, seq=seq, last_seq=seq, epoch=1, kind="StepCompleted", path="0.a", data=bytes(300))
            for seq in range(1, events + 1)
        ]
        await db.commit(Batch(run=row, events=log))
        if number % 10 == 0:
            await db.commit(_waiting(number))
            running = RunRow(run_id=f"live{number:07}", session_id="live", status=RunStatus.running, lease=1000.0)
            running.owner = "me"
            await db.commit(Batch(run=running))
    while (await db.prune(kinds=TEXT, before=9e9, limit=1000, workflow_id="w", mark=1)).more:
        pass


def _waiting(number: int) -> Batch:
    name = f"asks{number:07}"
    row = RunRow(run_id=name, session_id="asks", status=RunStatus.paused, workflow_id="asking")
    question = RequirementRow(
        run_id=name,
        requirement_id=f"{name}:q",
        session_id="asks",
        workflow_id="asking",
        path="0.a",
        kind="confirmation",
        created_at=float(number),
        timeout_at=8e9,
        data=b"{}",
    )
    return Batch(run=row, requirements=[question])


async def _prune_events(db: BaseDb) -> None:
    while (await db.prune(kinds=frozenset({"StepCompleted"}), before=9e9, limit=200, workflow_id="w", mark=2)).more:
        pass


async def _prune_runs(db: BaseDb) -> None:
    while (await db.prune(kinds=None, before=9e9, limit=200, workflow_id="w")).more:
        pass


def work(runs: int) -> dict[str, Callable[[BaseDb], Awaitable[Any]]]:
    """What is measured, in its order; the last two empty the database."""
    mine = [(Fence(run_id=f"live{n:07}", attempt=1, owner="me"), 1000.0) for n in range(0, runs, 10)]
    return {
        "runs of a workflow with a status that none has": lambda db: db.list_runs(
            RunFilter(workflow_id="w", statuses=PAUSED)
        ),
        "open questions of an idle workflow": lambda db: db.list_requirements(workflow_id="w"),
        "deadlines, none due": lambda db: db.list_requirements(workflow_id="asking", due_before=7e9),
        "interrupted runs, none": lambda db: db.list_runs(RunFilter(expired=True)),
        "prune text, none left": lambda db: db.prune(kinds=TEXT, before=9e9, limit=200, workflow_id="w", mark=1),
        "prune runs, none old": lambda db: db.prune(kinds=None, before=-1.0, limit=200, workflow_id="w"),
        "renew all leases": lambda db: db.renew(mine),
        "read a fork of a loop": _read_fork,
        "prune all events": _prune_events,
        "prune all runs": _prune_runs,
    }


async def _fill_fork(db: BaseDb, iterations: int) -> None:
    paths = ["0.loop", *(path for n in range(iterations) for path in (f"0.loop#{n}", f"0.loop#{n}/0.step"))]
    steps = [StepRow(run_id="long", path=path, position=at, status="done") for at, path in enumerate(paths)]
    await db.commit(Batch(run=RunRow(run_id="long", session_id="f", status=RunStatus.paused), steps=steps))
    fork = RunRow(run_id="fork", session_id="f", status=RunStatus.paused, forked_from=f"long@{iterations}")
    await db.commit(Batch(run=fork))


async def _read_fork(db: BaseDb) -> int:
    row = await db.load_run("fork")
    assert row is not None
    return len(await load_steps(db, row))


async def measure(db: BaseDb, runs: int, events: int) -> dict[str, float]:
    """Seconds of each piece of work, in a database with so many finished runs; the best of three where it can be
    repeated."""
    await fill(db, runs, events)
    await _fill_fork(db, runs)
    found: dict[str, float] = {}
    for name, call in work(runs).items():
        times = []
        for _ in range(1 if name.startswith("prune all") else 3):
            start = perf_counter()
            await call(db)
            times.append(perf_counter() - start)
        found[name] = min(times)
    return found


async def _main(url: str, sizes: list[int], events: int) -> None:
    columns: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        for size in sizes:
            db = open_url(f"sqlite:///{Path(folder) / f'{size}.db'}" if url == "sqlite" else url)
            columns.append(await measure(db, size, events))
            await db.aclose()
    print(f"{'':48}" + "".join(f"{size:>12,}" for size in sizes) + f"{'growth':>10}")
    for name in columns[0]:
        times = [column[name] for column in columns]
        print(f"{name:48}" + "".join(f"{1000 * time:>9.2f} ms" for time in times) + f"{times[-1] / times[0]:>10.1f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--db", default="sqlite")
    parser.add_argument("--runs", type=int, nargs="+", default=[1000, 10000])
    parser.add_argument("--events", type=int, default=10)
    options = parser.parse_args()
    asyncio.run(_main(options.db, options.runs, options.events))
