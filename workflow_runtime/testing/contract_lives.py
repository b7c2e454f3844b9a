"""The contract of ``reserved`` runs, of deaths, and of deletions that are remembered."""

from __future__ import annotations

import pytest

from ..model.enums import RunStatus
from ..model.errors import Fenced, RunExists
from ..storage.base import BaseDb, Batch, Fence, RunFilter, RunRow
from .contract_rows import fence, run, session, started, step

__all__ = ["LifeContract"]

_RUNNING = frozenset({RunStatus.RUNNING})
_ENDED = frozenset({RunStatus.ERROR})


async def _claim(db: BaseDb, statuses: frozenset[RunStatus] = _RUNNING, *, expired: bool = True) -> RunRow:
    row = await db.claim("r1", owner="b", now=20.0, lease=-1.0, statuses=statuses, expired_only=expired)
    assert row is not None
    return row


class LifeContract:
    """``other`` is another database object over the same data where there can be one."""

    # -- reserved ids ---------------------------------------------------------------------------------------------------

    async def test_a_reserved_id_is_taken_until_a_commit_stores_the_run(self, db: BaseDb, other: BaseDb) -> None:
        await db.commit(Batch(create=True, run=run(owner="a", lease=100.0, reserved=True)))
        stored = await other.load_run("r1")
        assert stored is not None
        assert stored.reserved
        with pytest.raises(RunExists):
            await other.commit(started())
        await db.commit(Batch(fence=fence(), run=run(seq=3), session=session()))
        stored = await other.load_run("r1")
        assert stored is not None
        assert (stored.reserved, stored.owner) == (False, "a")

    async def test_a_reserved_run_is_discarded_once_its_lease_has_run_out(self, db: BaseDb, other: BaseDb) -> None:
        await db.commit(Batch(create=True, run=run(owner="a", lease=100.0, reserved=True)))
        assert await other.discard("r1") is False
        await db.renew([(fence(), 0.0)])
        assert await other.discard("r1") is True
        assert await db.load_run("r1") is None
        assert await db.list_runs(RunFilter()) == []
        assert await db.discard("r1") is False
        await db.commit(started())

    async def test_a_run_that_is_stored_is_not_discarded(self, db: BaseDb) -> None:
        await db.commit(started(lease=-1.0, lease_until=None))
        assert await db.discard("r1") is False
        assert await db.load_run("r1") is not None

    # -- deaths ---------------------------------------------------------------------------------------------------------

    async def test_each_claim_of_a_dead_owner_is_a_death(self, db: BaseDb, other: BaseDb) -> None:
        await db.commit(started(lease=-1.0, lease_until=None))
        assert [(await _claim(other)).deaths for _ in range(3)] == [1, 2, 3]
        stored = await db.load_run("r1")
        assert stored is not None
        assert stored.deaths == 3

    async def test_a_released_run_has_no_owner_and_its_claim_is_no_death(self, db: BaseDb, other: BaseDb) -> None:
        await db.commit(started(lease=100.0))
        await db.renew([(fence(), 0.0)])
        stored = await other.load_run("r1")
        assert stored is not None
        assert (stored.owner, stored.expired) == (None, True)
        assert (await _claim(other)).deaths == 0

    async def test_a_run_that_had_not_begun_or_is_paused_has_no_deaths(self, db: BaseDb) -> None:
        await db.commit(started(status=RunStatus.PENDING, lease=-1.0, lease_until=None))
        assert (await _claim(db, frozenset({RunStatus.PENDING}))).deaths == 0
        await db.commit(Batch(run=run(status=RunStatus.PAUSED, attempt=2)))
        assert (await _claim(db, frozenset({RunStatus.PAUSED}), expired=False)).deaths == 0

    async def test_a_commit_stores_the_deaths_of_its_row(self, db: BaseDb, other: BaseDb) -> None:
        await db.commit(started(lease=-1.0, lease_until=None))
        row = await _claim(db)
        row.deaths = 0
        mine = Fence(run_id="r1", attempt=row.attempt, owner="b")
        await db.commit(Batch(fence=mine, run=row, steps=[step()]))
        stored = await other.load_run("r1")
        assert stored is not None
        assert (stored.deaths, stored.owner) == (0, "b")

    async def test_a_run_that_had_ended_is_claimed_without_its_deaths(self, db: BaseDb) -> None:
        await db.commit(started(status=RunStatus.ERROR, deaths=6))
        assert (await _claim(db, _ENDED, expired=False)).deaths == 0

    # -- deletions ------------------------------------------------------------------------------------------------------

    async def test_a_run_that_began_before_its_session_was_deleted_is_refused(self, db: BaseDb, other: BaseDb) -> None:
        await db.commit(started("r1", created_at=10.0))
        assert await db.delete_session("s1", now=20.0) is True
        with pytest.raises(Fenced, match="s1"):
            await other.commit(started("r2", created_at=19.0))
        assert await other.load_session("s1") is None
        assert await other.list_runs(RunFilter()) == []

    async def test_a_run_that_began_later_starts_the_session_afresh(self, db: BaseDb, other: BaseDb) -> None:
        await db.commit(Batch(session=session(state={"a": b"1"})))
        await db.delete_session("s1", now=20.0)
        await other.commit(started("r2", created_at=20.0))
        found = await db.load_session("s1")
        assert found is not None
        assert (found.version, found.state) == (1, {})

    async def test_also_the_deletion_of_a_session_that_was_not_stored_is_remembered(self, db: BaseDb) -> None:
        assert await db.delete_session("s1", now=20.0) is False
        with pytest.raises(Fenced):
            await db.commit(started(created_at=10.0))
        await db.commit(started(session_id="s2", created_at=10.0))

    async def test_a_deletion_is_forgotten_after_a_week(self, db: BaseDb) -> None:
        await db.delete_session("s1", now=20.0)
        await db.delete_session("s2", now=20.0 + 8 * 86_400)
        await db.commit(started(created_at=10.0))

    async def test_a_large_session_is_gone_with_all_its_rows(self, db: BaseDb, other: BaseDb) -> None:
        for number in range(250):
            await db.commit(Batch(run=run(f"r{number}"), steps=[step(run_id=f"r{number}")], session=session()))
        assert await db.delete_session("s1", now=20.0) is True
        assert await other.list_runs(RunFilter(session_id="s1")) == []
        assert [await other.load_steps(f"r{number}") for number in (0, 120, 249)] == [[], [], []]
        assert list((await other.check()).problems) == []
