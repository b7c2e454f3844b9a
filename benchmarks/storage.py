"""Commits per second of each store, alone and 32 at a time, and what a commit costs in CPU.

A commit is what a step's checkpoint is: fence, run row, one step, two events, one session key. Run it with
``python benchmarks/storage.py [commits]``; the files lie in the working directory: on the disk that is measured. PostgreSQL
is the tests' (``tests/servers.py``: a server of our own whose data is in the temporary directory, or the one that
``WORKFLOW_RUNTIME_TEST_POSTGRES`` names), on this machine, so its work is not in the CPU column.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path

from workflow_runtime.model.enums import RunStatus
from workflow_runtime.storage.base import BaseDb, Batch, EventRow, Fence, RunRow, SessionPatch, StepRow
from workflow_runtime.storage.memory import InMemoryDb
from workflow_runtime.storage.registry import open_url
from workflow_runtime_sqlite import SqliteDb

DATA = b'{"content": "' + b"x" * 200 + b'"}'


def checkpoint(run_id: str, number: int) -> Batch:
    """Checkpoint ``number`` (from 0) of a run; each run has its own session, as most have."""
    first = 2 * number + 1
    stored = None if number == 0 else b"%d" % (number - 1)
    return Batch(
        create=number == 0,
        fence=None if number == 0 else Fence(run_id=run_id, attempt=1, owner="bench"),
        run=RunRow(
            run_id=run_id,
            session_id=run_id,
            status=RunStatus.RUNNING,
            seq=first + 1,
            owner="bench",
            lease_until=9e9,
            created_at=1.0,
            updated_at=float(number),
        ),
        steps=[StepRow(run_id=run_id, path=f"{number}.step", position=number, status="completed", data=DATA)],
        events=[
            EventRow(run_id=run_id, seq=seq, last_seq=seq, epoch=1, kind="StepCompleted", path="0.step", data=DATA)
            for seq in (first, first + 1)
        ],
        session=SessionPatch(session_id=run_id, state={"n": b"%d" % number}, expected={"n": stored}),
    )


async def run(db: BaseDb, name: str, commits: int) -> None:
    for number in range(commits):
        await db.commit(checkpoint(name, number))


async def measure(label: str, db: BaseDb, concurrency: int, commits: int) -> float:
    """Print one line; commits per second."""
    await run(db, f"warm-{concurrency}", 20)
    before = getattr(db, "transactions", 0)
    wall, cpu = time.perf_counter(), time.process_time()
    share = commits // concurrency
    async with asyncio.TaskGroup() as group:
        for task in range(concurrency):
            group.create_task(run(db, f"{concurrency}-{task}", share))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    done = share * concurrency
    rate = done / wall
    transactions = getattr(db, "transactions", 0) - before
    print(
        f"{label:16} {concurrency:4} at a time {rate:10,.0f} commits/s {1e6 * wall * concurrency / done:9.0f} us wait"
        f" {1e6 * cpu / done:7.1f} us CPU each {transactions:7} transactions"
    )
    return rate


async def main(commits: int, postgres_url: str | None = None) -> dict[tuple[str, int], float]:
    """Measure every store; commits per second by (store, concurrency). Without the URL not PostgreSQL."""
    rates = {}
    with tempfile.TemporaryDirectory(dir=os.curdir) as directory:
        stores: list[tuple[str, BaseDb]] = [
            ("InMemoryDb", InMemoryDb()),
            ("SQLite NORMAL", SqliteDb(os.path.join(directory, "normal.db"), synchronous="NORMAL")),
            ("SQLite FULL", SqliteDb(os.path.join(directory, "full.db"), synchronous="FULL")),
        ]
        if postgres_url is not None:
            stores.append(("PostgreSQL", open_url(postgres_url)))
        for label, db in stores:
            for concurrency in (1, 32):
                rates[label, concurrency] = await measure(label, db, concurrency, commits)
            await db.aclose()
    return rates


if __name__ == "__main__":
    sys.path.append(str(Path(__file__).parents[1] / "tests"))
    from servers import postgres_server

    with postgres_server(fsync=True) as server:
        asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 8000, server.new_database()))
