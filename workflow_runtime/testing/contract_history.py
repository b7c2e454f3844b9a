"""The history of session states: each earlier state can be made again, as long as a stored run may name it."""

from __future__ import annotations

from typing import Any

import pytest

from ..model.enums import RunStatus
from ..model.errors import ConcurrentWrite
from ..storage.base import BaseDb, Batch, SessionHistory
from ..storage.history import View, states_at
from .contract_rows import run, session, started, step

__all__ = ["HistoryContract"]


async def change(db: BaseDb, now: float = 0.0, **values: Any) -> None:
    """Set these keys of session "s1"; None deletes."""
    row = await db.load_session("s1")
    known = {} if row is None else row.state
    expected = {key: known.get(key) for key in values}
    await db.commit(Batch(session=session(state=values, expected=expected, now=now)))


async def history(db: BaseDb, after: int = 0, until: int = 10**6) -> SessionHistory:
    found = await db.load_history("s1", after=after, until=until)
    assert found is not None
    return found


async def at(db: BaseDb, version: int) -> dict[str, bytes] | None:
    """The state of session "s1" at this version."""
    [state] = states_at(await history(db, version, version), [View(at=version)])
    return state


class HistoryContract:
    async def test_the_state_at_each_version_can_be_made_again(self, db: BaseDb, other: BaseDb) -> None:
        values: list[dict[str, Any]] = [
            {"k": b"1"},
            {"k": b'["%s"]' % (b"a" * 500), "l": b"2"},
            {"k": b'["%s","b"]' % (b"a" * 500)},
            {"k": None},
            {"k": b"3", "l": None},
        ]
        states: list[dict[str, bytes]] = [{}]
        for changed in values:
            await change(db, **changed)
            row = await other.load_session("s1")
            assert row is not None
            states.append(row.state)
        assert [await at(other, version) for version in range(len(states))] == states

    async def test_a_growing_value_is_stored_once(self, db: BaseDb, other: BaseDb) -> None:
        value = b""
        for number in range(20):
            value += b"%03d" % number + b"x" * 500
            await change(db, k=value)
        found = await history(other)
        assert len(found.rows) == 20
        assert sum(len(row.data or b"") for row in found.rows) < 600

    async def test_each_change_of_a_commit_has_a_version(self, db: BaseDb, other: BaseDb) -> None:
        await change(db, k=b"0")
        patch = session(state={"k": b"3"}, expected={"k": b"0"}, changes=[{"k": b"1"}, {"k": b"2"}, {"k": b"3"}])
        done = await db.commit(Batch(session=patch))
        assert done.session_version == 4
        assert [(await at(other, version) or {}).get("k") for version in range(5)] == [None, b"0", b"1", b"2", b"3"]

    async def test_a_commit_stores_the_version_before_it_with_its_views(self, db: BaseDb, other: BaseDb) -> None:
        await change(db, k=b"0")
        batch = started()
        assert batch.run is not None
        batch.run.state, batch.run.state_from = b"view", 1
        batch.steps = [step(state=b"view", state_version=0), step("1.b", state=b"values")]
        await db.commit(batch)
        row = await other.load_run("r1")
        assert row is not None
        assert (row.state, row.state_version, row.state_from) == (b"view", 1, 1)
        assert [(item.state, item.state_version) for item in await other.load_steps("r1")] == [
            (b"view", 1),
            (b"values", None),
        ]
        # The version that it began with stays; its view is that of the last commit.
        row = run(owner="a", state_from=7)
        await db.commit(Batch(run=row, session=session(state={"k": b"1"}, expected={"k": b"0"})))
        row = await other.load_run("r1")
        assert row is not None
        assert (row.state, row.state_version, row.state_from) == (None, None, 1)

    async def test_a_refused_commit_adds_nothing_to_the_history(self, db: BaseDb, other: BaseDb) -> None:
        await change(db, k=b"0")
        with pytest.raises(ConcurrentWrite):
            await db.commit(Batch(session=session(state={"k": b"1"}, expected={"k": b"9"})))
        assert len((await history(other)).rows) == 1

    async def test_a_read_ends_at_the_first_whole_value_that_is_late_enough(self, db: BaseDb, other: BaseDb) -> None:
        for number in range(6):
            await change(db, k=b"%d" % number)  # too short for a difference
        found = await history(other, 1, 2)
        assert [(row.version, row.whole, row.data) for row in found.rows] == [(2, True, b"0"), (3, True, b"1")]
        assert [await at(other, version) for version in (1, 4)] == [{"k": b"0"}, {"k": b"3"}]

    async def test_the_history_is_kept_as_long_as_a_run_needs_it(self, db: BaseDb, other: BaseDb) -> None:
        async def run_once(name: str, begins: int, now: float) -> None:
            fields: dict[str, Any] = {"status": RunStatus.COMPLETED, "updated_at": now, "created_at": now}
            batch = Batch(create=True, run=run(name, workflow_id=name, state_from=begins, **fields))
            await db.commit(batch)
            await change(db, now, k=name.encode())

        for number in range(4):
            await run_once(f"r{number}", number, float(number))
        await db.prune(kinds=None, before=100.0, limit=10, workflow_id="r1")
        assert [await at(other, version) for version in range(1, 5)] == [{"k": b"r%d" % n} for n in range(4)]
        await db.prune(kinds=None, before=100.0, limit=10, workflow_id="r0")
        found = await history(other)
        assert (found.begins, [row.version for row in found.rows]) == (2, [3, 4])
        assert await at(other, 1) is None
        assert [await at(other, version) for version in range(2, 5)] == [{"k": b"r%d" % n} for n in range(1, 4)]
        # What is younger than the runs that may go stays for runs that are under way and not stored yet.
        await change(db, 50.0, k=b"later")
        await db.prune(kinds=None, before=50.0, limit=10)
        found = await history(other)
        assert (found.begins, [row.version for row in found.rows]) == (4, [5])
        assert [await at(other, version) for version in (4, 5)] == [{"k": b"r3"}, {"k": b"later"}]

    async def test_a_deleted_session_has_no_history(self, db: BaseDb, other: BaseDb) -> None:
        await change(db, k=b"0")
        await db.delete_session("s1", now=1.0)
        assert await other.load_history("s1", after=0, until=9) is None
        await change(db, k=b"1")
        assert await at(other, 0) == {}
        assert len((await history(other)).rows) == 1
