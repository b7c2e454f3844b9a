"""What a database has to do for runs with limits: none is exceeded, and no key keeps another from its turn."""

from __future__ import annotations

from typing import Any

import anyio
import anyio.lowlevel
import pytest

from ..model.enums import RunStatus
from ..model.errors import DuplicateRun, QueueFull
from ..storage.base import BaseDb, Batch, Fence, LimitRow, RunRow
from ..storage.rules import queue_key
from .contract_queues import queued, take
from .contract_rows import run

__all__ = ["LimitContract"]


def most(key: str, concurrency: int | None = None, **fields: Any) -> LimitRow:
    return LimitRow(key=key, concurrency=concurrency, **fields)


async def taken(db: BaseDb, **options: Any) -> str | None:
    row = await take(db, **options)
    return None if row is None else row.run_id


async def put(db: BaseDb, run_id: str, *limits: LimitRow, **fields: Any) -> None:
    await db.commit(queued(run_id, limits=limits, **fields))


async def end(db: BaseDb, run_id: str, status: RunStatus = RunStatus.COMPLETED) -> None:
    stored = await db.load_run(run_id)
    assert stored is not None
    await db.commit(
        Batch(run=run(run_id, status, workflow_id="wf", created_at=stored.created_at, attempt=stored.attempt))
    )


class LimitContract:
    """``RunRow.limits`` and ``RunRow.unique``."""

    async def test_no_more_runs_of_a_key_are_claimed_than_its_limit_says(self, db: BaseDb, other: BaseDb) -> None:
        for number in range(4):
            await put(db, f"a{number}", most("a", 2), created_at=float(number))
        assert [await taken(db), await taken(other, owner="v"), await taken(db), await taken(other)] == [
            "a0",
            "a1",
            None,
            None,
        ]
        await end(db, "a1")
        assert [await taken(other), await taken(db)] == ["a2", None]
        await end(other, "a0", RunStatus.PAUSED)
        assert [await taken(db), await taken(other)] == ["a3", None]

    async def test_a_run_without_limits_is_taken_past_those_that_wait_for_one(self, db: BaseDb) -> None:
        await put(db, "a1", most("a", 1), created_at=1.0)
        await put(db, "a2", most("a", 1), created_at=2.0)
        await put(db, "free", created_at=3.0)
        assert [await taken(db), await taken(db), await taken(db)] == ["a1", "free", None]

    async def test_each_limit_of_a_run_counts(self, db: BaseDb) -> None:
        user = most("user", 2)
        await put(db, "x1", user, most("x", 1), created_at=1.0)
        await put(db, "x2", user, most("x", 1), created_at=2.0)
        await put(db, "y1", user, most("y", 1), created_at=3.0)
        await put(db, "z1", user, most("z", 1), created_at=4.0)
        assert [await taken(db), await taken(db), await taken(db)] == ["x1", "y1", None]
        await end(db, "x1")
        assert [await taken(db), await taken(db)] == ["z1", None]
        await end(db, "z1")
        assert await taken(db) == "x2"

    async def test_a_key_with_many_runs_keeps_no_other_from_its_turn(self, db: BaseDb, other: BaseDb) -> None:
        for number in range(20):
            await put(db, f"many{number:02}", most("many", 5), created_at=float(number))
        await put(db, "one", most("one", 5), created_at=50.0)
        await put(db, "free", created_at=51.0)
        order = [await taken(db, now=100.0 + number) for number in range(4)]
        assert order == ["many00", "one", "free", "many01"]

    async def test_a_higher_priority_goes_first_whatever_the_key(self, db: BaseDb) -> None:
        await put(db, "low", most("a", 5), created_at=1.0)
        await put(db, "free", created_at=2.0, priority=1)
        await put(db, "high", most("a", 5), created_at=3.0, priority=2)
        assert [await taken(db) for _ in range(4)] == ["high", "free", "low", None]

    async def test_a_run_counts_until_another_process_has_ended_it(self, db: BaseDb, other: BaseDb) -> None:
        await put(db, "a1", most("a", 1), created_at=1.0)
        await put(db, "a2", most("a", 1), created_at=2.0)
        row = await take(db, owner="dead")
        assert row is not None
        await db.renew([(Fence(run_id="a1", attempt=row.attempt, owner="dead"), 0.0)])
        assert await taken(other) is None
        running = frozenset({RunStatus.RUNNING})
        again = await other.claim("a1", owner="v", now=101.0, lease=60.0, statuses=running, expired_only=True)
        assert again is not None
        assert await taken(other) is None
        await end(other, "a1")
        assert await taken(other) == "a2"

    async def test_a_run_that_was_put_back_holds_no_place(self, db: BaseDb) -> None:
        await put(db, "a1", most("a", 1), created_at=1.0)
        await put(db, "a2", most("a", 1), created_at=2.0)
        row = await take(db)
        assert row is not None
        assert await db.put_back(Fence(run_id="a1", attempt=row.attempt, owner="w"), not_before=500.0)
        assert [await taken(db), await taken(db, now=600.0)] == ["a2", None]
        await end(db, "a2")
        assert await taken(db, now=600.0) == "a1"

    async def test_delayed_runs_and_those_of_ended_lanes_are_found_again(self, db: BaseDb) -> None:
        await put(db, "late", most("a", 1), not_before=200.0)
        assert await taken(db, now=100.0) is None
        assert await taken(db, now=200.0) == "late"
        await end(db, "late")
        assert await taken(db, now=200.0) is None
        await put(db, "next", most("a", 1))
        assert await db.request_cancel("next", now=1.0) is not None
        await end(db, "next", RunStatus.CANCELLED)
        assert await taken(db) is None
        await put(db, "third", most("a", 1))
        assert await taken(db) == "third"

    async def test_a_run_that_was_deleted_holds_no_place_and_is_not_the_same(self, db: BaseDb, other: BaseDb) -> None:
        await put(db, "a1", most("a", 1), unique="import", session_id="gone")
        await put(db, "a2", most("a", 1), created_at=2.0)
        assert [await taken(db), await taken(db)] == ["a1", None]
        assert await other.delete_session("gone")
        assert [await taken(db), await taken(db)] == ["a2", None]
        await put(db, "b", unique="import")
        assert await db.delete_session("s1")
        await put(db, "c1", most("a", 1), created_at=1.0)
        await put(db, "c2", most("a", 1), created_at=2.0)
        assert [await taken(db), await taken(db)] == ["c1", None]

    async def test_a_rate_is_kept_over_any_period(self, db: BaseDb, other: BaseDb) -> None:
        limit = most("a", rate=2, period=60.0)
        for number in range(4):
            await put(db, f"a{number}", limit, created_at=float(number))
        assert await taken(db, now=100.0) == "a0"
        assert await taken(other, now=130.0) == "a1"
        await end(db, "a0")
        assert [await taken(db, now=159.9), await taken(db, now=160.0)] == [None, "a2"]
        assert [await taken(other, now=189.9), await taken(other, now=190.0)] == [None, "a3"]

    async def test_the_numbers_are_those_of_the_last_stored_run(self, db: BaseDb, other: BaseDb) -> None:
        await put(db, "a1", most("a", 1), created_at=1.0)
        await put(db, "a2", most("a", 1), created_at=2.0)
        assert [await taken(db), await taken(db)] == ["a1", None]
        await put(other, "a3", most("a", 2), created_at=3.0)
        assert [await taken(db), await taken(db)] == ["a2", None]

    async def test_a_full_queue_refuses_a_run_and_stores_nothing(self, db: BaseDb, other: BaseDb) -> None:
        limit = most("wf\nuser_id 'ada'", max_queued=2)
        await put(db, "a1", limit)
        await put(db, "a2", limit, not_before=500.0)
        with pytest.raises(QueueFull, match="workflow 'wf' has 2 queued runs of user_id 'ada'") as caught:
            await put(other, "a3", limit, session_id="new")
        assert (caught.value.key, caught.value.max_queued) == ("user_id 'ada'", 2)
        assert await db.load_run("a3") is None
        assert await db.load_session("new") is None
        await put(other, "b1", most("b", max_queued=1), created_at=9.0)
        assert await taken(db) == "a1"
        await put(other, "a3", limit)

    async def test_producers_at_once_do_not_overfill_a_queue(self, db: BaseDb, other: BaseDb) -> None:
        refused: list[str] = []

        async def produce(at: BaseDb, run_id: str) -> None:
            try:
                await put(at, run_id, most("a", max_queued=5), session_id=run_id)
            except QueueFull:
                refused.append(run_id)

        async with anyio.create_task_group() as tasks:
            for number in range(12):
                tasks.start_soon(produce, (db, other)[number % 2], f"r{number}")
        assert len(refused) == 7

    async def test_a_unique_text_is_one_run_until_that_ends(self, db: BaseDb, other: BaseDb) -> None:
        await put(db, "a1", unique="import")
        for status in (None, RunStatus.RUNNING, RunStatus.PAUSED):
            if status is RunStatus.RUNNING:
                assert await taken(db) == "a1"
            elif status is RunStatus.PAUSED:
                await end(db, "a1", RunStatus.PAUSED)
            with pytest.raises(DuplicateRun) as caught:
                await put(other, "a2", unique="import", session_id="new")
            assert caught.value.run_id == "a1"
        assert await db.load_run("a2") is None
        await put(other, "b1", unique="export")
        await end(db, "a1")
        await put(other, "a2", unique="import")

    async def test_producers_at_once_store_one_run_of_a_unique_text(self, db: BaseDb, other: BaseDb) -> None:
        first: set[str] = set()

        async def produce(at: BaseDb, run_id: str) -> None:
            try:
                await put(at, run_id, unique="import", session_id=run_id)
            except DuplicateRun as error:
                first.add(error.run_id)
            else:
                first.add(run_id)

        async with anyio.create_task_group() as tasks:
            for number in range(8):
                tasks.start_soon(produce, (db, other)[number % 2], f"r{number}")
        assert len(first) == 1

    async def test_workers_at_once_exceed_no_limit_and_take_all_runs(self, db: BaseDb, other: BaseDb) -> None:
        keys = [f"k{number}" for number in range(5)]
        for number in range(30):
            key = keys[number % 5]
            await put(db, f"{key}-{number}", most(key, 2), created_at=float(number), session_id=f"s{number}")
        running: dict[str, int] = dict.fromkeys(keys, 0)
        done: list[str] = []
        highest = 0

        async def work(at: BaseDb, owner: str) -> None:
            nonlocal highest
            while len(done) < 30:
                row: RunRow | None = await take(at, owner=owner)
                if row is None:
                    await anyio.lowlevel.checkpoint()
                    continue
                key = row.run_id.partition("-")[0]
                running[key] += 1
                highest = max(highest, running[key])
                await anyio.lowlevel.checkpoint()
                running[key] -= 1  # before the commit: as soon as that is visible, another may be claimed
                ended = run(row.run_id, RunStatus.COMPLETED, session_id=row.session_id, workflow_id="wf", attempt=1)
                await at.commit(Batch(run=ended, fence=Fence(run_id=row.run_id, attempt=1, owner=owner)))
                done.append(row.run_id)

        with anyio.fail_after(60):
            async with anyio.create_task_group() as tasks:
                for number in range(8):
                    tasks.start_soon(work, (db, other)[number % 2], f"w{number}")
        assert highest <= 2
        assert len(set(done)) == 30

    async def test_the_end_of_a_run_wakes_those_who_watch_its_queue(self, db: BaseDb, other: BaseDb) -> None:
        for number in range(3):
            await put(db, f"a{number}", most("a", 1), created_at=float(number))
        assert await taken(db) == "a0"
        woken: list[bool] = []

        async def wait() -> None:
            woken.append(await db.changed(queue_key("default"), seen=0, timeout=60.0))

        with anyio.fail_after(30):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(wait)
                await anyio.wait_all_tasks_blocked()
                await end(other, "a0")
        assert woken == [True]

    async def test_runs_that_wait_for_a_limit_wake_nobody(self, db: BaseDb) -> None:
        await put(db, "a1", most("a", 1), created_at=1.0)
        await put(db, "a2", most("a", 1), created_at=2.0)
        assert await taken(db) == "a1"
        assert not await db.changed(queue_key("default"), seen=0, timeout=1.0)
