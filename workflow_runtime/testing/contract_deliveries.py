"""The contract of deliveries to webhooks: stored with their events, claimed by one caller, settled once."""

from __future__ import annotations

from collections import Counter
from typing import Any

import anyio
import pytest

from ..model.errors import Fenced
from ..storage.base import BaseDb, Batch, DeliveryRow, Fence
from .contract_rows import event, fence, started

__all__ = ["DeliveryContract"]

_HOOKS = ["h1", "h2"]


def delivery(seq: int = 1, hook: str = "h1", run_id: str = "r1", **fields: Any) -> DeliveryRow:
    return DeliveryRow(hook=hook, run_id=run_id, seq=seq, workflow_id="w1", created_at=10.0 + seq, **fields)


async def stored(db: BaseDb, *rows: DeliveryRow) -> None:
    await db.commit(started())
    await db.commit(Batch(fence=fence(), events=[event(row.seq) for row in rows if row.hook == "h1"], deliveries=rows))


class DeliveryContract:
    """``other`` is another database object over the same data where there can be one."""

    async def test_a_delivery_is_claimed_once_until_its_lease_ends(self, db: BaseDb, other: BaseDb) -> None:
        await stored(db, delivery(1), delivery(2), delivery(2, "h2"))
        (first,) = await db.claim_deliveries(["h2"], lease=60.0, limit=5)
        assert (first.hook, first.run_id, first.seq, first.workflow_id, first.attempts) == ("h2", "r1", 2, "w1", 1)
        found = await other.claim_deliveries(_HOOKS, lease=0.0, limit=5)
        assert [(row.hook, row.seq) for row in found] == [("h1", 1), ("h1", 2)]
        again = await db.claim_deliveries(_HOOKS, lease=60.0, limit=1)
        assert [row.attempts for row in again] == [2]
        assert await db.claim_deliveries(["h3"], lease=60.0, limit=5) == []

    async def test_what_was_delivered_is_gone(self, db: BaseDb, other: BaseDb) -> None:
        await stored(db, delivery())
        (row,) = await db.claim_deliveries(_HOOKS, lease=0.0, limit=5)
        assert await other.settle_delivery(row)
        assert await db.list_deliveries() == []
        assert not await db.settle_delivery(row)

    async def test_what_failed_is_due_again_or_dead(self, db: BaseDb, other: BaseDb) -> None:
        await stored(db, delivery(1), delivery(2), delivery(3))
        first, second, third = await db.claim_deliveries(_HOOKS, lease=60.0, limit=5)
        assert await db.settle_delivery(first, error="no", delay=0.0)
        assert await db.settle_delivery(second, error="no", delay=3600.0)
        assert await db.settle_delivery(third, error="never")
        assert [row.seq for row in await other.claim_deliveries(_HOOKS, lease=60.0, limit=5)] == [1]
        (dead,) = await other.list_deliveries(dead=True)
        assert (dead.seq, dead.due_at, dead.error, dead.attempts) == (3, None, "never", 1)
        assert [row.seq for row in await other.list_deliveries(dead=False)] == [1, 2]
        assert [row.seq for row in await other.list_deliveries(limit=2)] == [1, 2]

    async def test_an_attempt_that_outlasted_its_lease_settles_nothing(self, db: BaseDb, other: BaseDb) -> None:
        await stored(db, delivery())
        (slow,) = await db.claim_deliveries(_HOOKS, lease=0.0, limit=5)
        (fast,) = await other.claim_deliveries(_HOOKS, lease=60.0, limit=5)
        assert not await db.settle_delivery(slow, error="timeout")
        assert await other.settle_delivery(fast)

    async def test_dead_ones_are_retried_by_hook_and_run(self, db: BaseDb, other: BaseDb) -> None:
        await stored(db, delivery(1), delivery(1, "h2"))
        for row in await db.claim_deliveries(_HOOKS, lease=60.0, limit=5):
            await db.settle_delivery(row, error="no")
        assert await other.retry_deliveries(hook="h3") == 0
        assert await other.retry_deliveries(run_id="r2") == 0
        assert await other.retry_deliveries(hook="h2", run_id="r1") == 1
        assert [(row.hook, row.attempts) for row in await db.claim_deliveries(_HOOKS, lease=60.0, limit=5)] == [
            ("h2", 1)
        ]
        assert await other.retry_deliveries() == 1

    async def test_a_refused_commit_stores_no_delivery_and_a_repeated_one_stores_it_once(self, db: BaseDb) -> None:
        await db.commit(started())
        with pytest.raises(Fenced):
            await db.commit(
                Batch(fence=Fence(run_id="r1", attempt=0, owner="a"), events=[event(1)], deliveries=[delivery()])
            )
        assert await db.list_deliveries() == []
        for _ in range(2):
            await db.commit(Batch(fence=fence(), events=[event(1)], deliveries=[delivery()]))
        assert len(await db.list_deliveries()) == 1

    async def test_of_many_that_claim_at_once_each_delivery_is_given_to_one(self, db: BaseDb, other: BaseDb) -> None:
        await stored(db, *(delivery(seq) for seq in range(1, 21)))
        taken: Counter[int] = Counter()

        async def take(store: BaseDb) -> None:
            taken.update(row.seq for row in await store.claim_deliveries(_HOOKS, lease=60.0, limit=5))

        async with anyio.create_task_group() as tasks:
            for _ in range(4):
                tasks.start_soon(take, db)
                tasks.start_soon(take, other)
        assert set(taken.values()) == {1}

    async def test_deliveries_go_with_their_run(self, db: BaseDb, other: BaseDb) -> None:
        await stored(db, delivery())
        await db.delete_session("s1", now=20.0)
        assert await other.list_deliveries() == []
