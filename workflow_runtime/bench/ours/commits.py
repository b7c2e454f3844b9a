"""The store alone: a commit is what the checkpoint of a step is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from workflow_runtime import BaseDb, RunStatus
from workflow_runtime.backends import SqliteDb
from workflow_runtime.storage.base import Batch, EventRow, Fence, RunRow, SessionPatch, StepRow
from workflow_runtime.storage.registry import open_url

__all__ = ["commits"]

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
            status=RunStatus.running,
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


class Commits:
    def __init__(self, db: BaseDb) -> None:
        self.db = db

    async def commit(self, run: str, number: int) -> None:
        await self.db.commit(checkpoint(run, number))

    async def stored(self, run: str) -> tuple[int, int]:
        return len(await self.db.load_steps(run)), len(await self.db.load_events(run, limit=1_000_000))


@asynccontextmanager
async def commits(url: str, relaxed: bool) -> AsyncIterator[Commits]:
    sqlite = url.startswith("sqlite")
    db = SqliteDb(url.removeprefix("sqlite:///"), synchronous="NORMAL") if relaxed and sqlite else open_url(url)
    try:
        yield Commits(db)
    finally:
        await db.aclose()
