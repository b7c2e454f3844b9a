"""What a database has to do for runs that wait in a queue: given to one caller each, in order, at their time."""

from __future__ import annotations

import math
from typing import Any

import anyio

from ..model.enums import RunStatus
from ..storage.base import BaseDb, Batch, Fence, QueueRow, RunFilter, RunRow
from ..storage.rules import queue_key
from .contract_rows import run, session

__all__ = ["QueueContract"]


def queued(run_id: str = "r1", queue: str = "default", **fields: Any) -> Batch:
    """What stores a run that waits for somebody to take it."""
    values = {"attempt": 0, "workflow_id": "wf", "queue": queue, **fields}
    row = run(run_id, RunStatus.PENDING, **values)
    return Batch(create=True, run=row, session=session(row.session_id, now=row.created_at))


async def take(db: BaseDb, *queues: str, owner: str = "w", now: float = 100.0, workflow: str = "wf") -> RunRow | None:
    return await db.claim_next(queues or ("default",), workflows=[workflow], owner=owner, now=now, lease=60.0)


class QueueContract:
    """``claim_next``, ``put_back``, ``reschedule`` and ``list_queues``."""

    async def test_a_queued_run_is_claimed_once_and_as_others_are(self, db: BaseDb, other: BaseDb) -> None:
        await db.commit(queued(data=b"pending"))
        row = await take(db)
        assert row is not None
        assert (row.run_id, row.status, row.attempt, row.owner, row.data) == ("r1", "RUNNING", 1, "w", b"pending")
        assert (row.queue, row.expired, row.updated_at) == ("default", False, 100.0)
        assert await take(other, owner="v") is None
        stored = await other.load_run("r1")
        assert stored is not None
        assert (stored.owner, stored.attempt, stored.status) == ("w", 1, "RUNNING")

    async def test_runs_that_are_not_queued_are_not_taken(self, db: BaseDb) -> None:
        await db.commit(queued("owned", owner="a", lease_until=9e9))
        await db.commit(Batch(create=True, run=run("no-queue", RunStatus.PENDING, workflow_id="wf")))
        await db.commit(queued("other-queue", "slow"))
        assert await take(db) is None

    async def test_only_the_workflows_that_the_caller_has(self, db: BaseDb) -> None:
        await db.commit(queued("theirs", workflow_id="other"))
        await db.commit(queued("mine"))
        row = await take(db)
        assert row is not None
        assert row.run_id == "mine"
        assert await take(db) is None

    async def test_the_order_is_priority_then_age_and_queues_as_they_are_named(self, db: BaseDb) -> None:
        await db.commit(queued("slow", "slow", priority=9))
        await db.commit(queued("late", created_at=3.0))
        await db.commit(queued("early", created_at=2.0))
        await db.commit(queued("urgent", created_at=4.0, priority=1))
        await db.commit(queued("whenever", created_at=1.0, priority=-1))
        found = []
        while (row := await take(db, "default", "slow")) is not None:
            found.append(row.run_id)
        assert found == ["urgent", "early", "late", "whenever", "slow"]

    async def test_a_delayed_run_is_taken_at_its_time(self, db: BaseDb) -> None:
        await db.commit(queued("later", not_before=200.0))
        await db.commit(queued("never", not_before=math.inf))
        assert await take(db, now=199.9) is None
        row = await take(db, now=200.0)
        assert row is not None
        assert row.run_id == "later"
        assert await take(db, now=1e12) is None

    async def test_a_run_that_is_put_back_is_taken_again_with_a_higher_attempt(self, db: BaseDb) -> None:
        await db.commit(queued())
        first = await take(db)
        assert first is not None
        assert await db.put_back(Fence(run_id="r1", attempt=1, owner="w"), not_before=150.0)
        stored = await db.load_run("r1")
        assert stored is not None
        assert (stored.status, stored.owner, stored.lease_until, stored.attempt) == ("PENDING", None, None, 1)
        assert await take(db, now=149.0) is None
        second = await take(db, owner="v", now=150.0)
        assert second is not None
        assert (second.attempt, second.owner, second.deaths) == (2, "v", 0)

    async def test_only_the_owner_puts_a_run_back(self, db: BaseDb) -> None:
        await db.commit(queued())
        assert not await db.put_back(Fence(run_id="r1", attempt=0, owner="w"), not_before=None)
        await take(db)
        assert not await db.put_back(Fence(run_id="r1", attempt=1, owner="v"), not_before=None)
        assert not await db.put_back(Fence(run_id="r1", attempt=0, owner="w"), not_before=None)
        assert not await db.put_back(Fence(run_id="unknown", attempt=1, owner="w"), not_before=None)
        stored = await db.load_run("r1")
        assert stored is not None
        assert stored.owner == "w"

    async def test_a_parked_run_waits_until_it_is_let_go(self, db: BaseDb) -> None:
        await db.commit(queued())
        assert await db.reschedule("r1", not_before=math.inf)
        assert await take(db, now=1e12) is None
        stored = await db.load_run("r1")
        assert stored is not None
        assert stored.not_before == math.inf
        assert await db.reschedule("r1", not_before=None)
        assert await take(db) is not None
        assert not await db.reschedule("r1", not_before=None)
        assert not await db.reschedule("unknown", not_before=None)

    async def test_later_commits_and_claims_keep_the_queue(self, db: BaseDb) -> None:
        await db.commit(queued(priority=3))
        await take(db)
        fence = Fence(run_id="r1", attempt=1, owner="w")
        await db.commit(Batch(fence=fence, run=run(attempt=1, seq=2, workflow_id="wf")))
        stored = await db.load_run("r1")
        assert stored is not None
        assert (stored.queue, stored.priority) == ("default", 3)

    async def test_a_cancelled_or_deleted_run_is_not_taken(self, db: BaseDb) -> None:
        await db.commit(queued())
        assert await db.request_cancel("r1", now=5.0) == RunStatus.PENDING
        row = await db.claim(
            "r1", owner="c", now=6.0, lease=60, statuses=frozenset({RunStatus.PENDING}), expired_only=True
        )
        assert row is not None
        assert row.cancel_requested
        assert await take(db) is None
        await db.commit(queued("r2", session_id="s2"))
        await db.delete_session("s2")
        assert await take(db) is None

    async def test_a_cancel_that_came_first_is_seen_by_whoever_takes_the_run(self, db: BaseDb) -> None:
        await db.commit(queued())
        await db.request_cancel("r1", now=5.0)
        row = await take(db)
        assert row is not None
        assert row.cancel_requested

    async def test_queued_runs_are_no_interrupted_ones(self, db: BaseDb) -> None:
        await db.commit(queued())
        pending = frozenset({RunStatus.PENDING, RunStatus.RUNNING})
        assert await db.list_runs(RunFilter(statuses=pending, expired=True)) == []
        assert [row.run_id for row in await db.list_runs(RunFilter(statuses=pending))] == ["r1"]

    async def test_queues_are_counted(self, db: BaseDb, other: BaseDb) -> None:
        assert await db.list_queues(now=100.0) == []
        await db.commit(queued("a", created_at=7.0))
        await db.commit(queued("b", created_at=5.0))
        await db.commit(queued("c", not_before=500.0))
        await db.commit(queued("d", not_before=math.inf))
        await db.commit(queued("e", "slow"))
        await take(db, "slow")
        assert await other.list_queues(now=100.0) == [
            QueueRow(queue="default", waiting=2, delayed=1, parked=1, oldest=5.0),
            QueueRow(queue="slow", running=1),
        ]

    async def test_many_callers_get_every_run_once(self, db: BaseDb, other: BaseDb) -> None:
        for number in range(40):
            await db.commit(queued(f"r{number}", created_at=float(number)))
        found: list[str] = []

        async def work(at: BaseDb, owner: str) -> None:
            while (row := await take(at, owner=owner)) is not None:
                found.append(row.run_id)

        async with anyio.create_task_group() as tasks:
            for number in range(6):
                tasks.start_soon(work, (db, other)[number % 2], f"w{number}")
        # One that was being taken in this moment is passed over: a last look finds what is left.
        await work(db, "last")
        assert sorted(found) == sorted(f"r{number}" for number in range(40))

    async def test_a_queue_is_watched_by_its_name(self, db: BaseDb, other: BaseDb) -> None:
        woken: list[bool] = []

        async def wait(queue: str) -> None:
            woken.append(await db.changed(queue_key(queue), seen=0, timeout=60.0))

        with anyio.fail_after(30):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(wait, "default")
                # Again and again, for the first may come before somebody waits.
                number = 0
                while not woken:
                    await other.commit(queued(f"r{number}"))
                    number += 1
                    await anyio.sleep(0.02)
        assert woken == [True]
