"""The contract of ``commit``: one transaction, fenced, and nobody else's session. (obligations 1 to 5)"""

from __future__ import annotations

import anyio
import pytest

from ..model.enums import RunStatus
from ..model.errors import ConcurrentWrite, Fenced, RunExists, RunNotPaused, SessionOwnerError, StorageError
from ..storage.base import BaseDb, Batch, RunFilter
from .contract_rows import event, fence, requirement, run, session, started, step

__all__ = ["CommitContract", "SessionContract"]


class CommitContract:
    """``other`` is another database object over the same data where there can be one: what it reads was stored."""

    async def test_a_committed_batch_is_read_back_whole_by_another_object(self, db: BaseDb, other: BaseDb) -> None:
        row = run(
            user_id="u1",
            workflow_id="w1",
            workflow_name="Workflow",
            parent_run_id="r0",
            attempt=3,
            seq=7,
            fingerprint="f",
            created_at=1.5,
            updated_at=2.5,
            data=b"\x00output\xff",
            owner="a",
            lease_until=9e9,
            forked_from="r9",
        )
        steps = [
            step(attempt=2, started_at=1.25, finished_at=1.75, data=b"\x00d", state=b"{}"),
            step("1.b", position=1),
        ]
        events = [event(1, kind="WorkflowStarted", path="", epoch=3), event(2, 4, data=b"\xff")]
        asked = requirement(user_id="u1", workflow_id="w1", timeout_at=99.5)
        await db.commit(Batch(run=row, create=True, steps=steps, events=events, requirements=[asked]))
        assert await other.load_run("r1") == row
        assert await other.load_steps("r1") == steps
        assert await other.load_events("r1") == events
        assert await other.load_requirements("r1") == [asked]

    async def test_a_session_is_read_back_whole_by_another_object(self, db: BaseDb, other: BaseDb) -> None:
        patch = session(
            user_id="u1",
            workflow_id="w1",
            workflow_name="Workflow",
            state={"k": b"\x00v", "": b"empty key"},
            name="My session",
            metadata=b"m",
            metrics={"runs": 1, "cost": 0.5},
            workflow_data=b"w",
            now=3.5,
        )
        committed = await db.commit(Batch(session=patch))
        row = await other.load_session("s1")
        assert row is not None
        assert committed.session_version == row.version == 1
        assert (row.user_id, row.workflow_id, row.workflow_name, row.name) == ("u1", "w1", "Workflow", "My session")
        assert (row.state, row.metadata, row.workflow_data) == ({"k": b"\x00v", "": b"empty key"}, b"m", b"w")
        assert row.metrics == b'{"runs":1,"cost":0.5}'
        assert (row.created_at, row.updated_at) == (3.5, 3.5)

    async def test_what_is_not_there_is_none_or_empty(self, db: BaseDb) -> None:
        assert await db.load_run("r1") is None
        assert await db.load_session("s1") is None
        assert await db.load_steps("r1") == []
        assert await db.load_events("r1") == []
        assert await db.load_requirements("r1") == []

    async def test_a_refused_batch_changes_nothing(self, db: BaseDb, other: BaseDb) -> None:
        await db.commit(started(seq=1, data=b"before"))
        await db.commit(Batch(session=session(state={"k": b"theirs"}), steps=[step(data=b"before")]))
        batch = Batch(
            run=run(seq=9, data=b"after"),
            steps=[step(data=b"after"), step("1.b")],
            events=[event(1)],
            requirements=[requirement()],
            session=session(state={"k": b"ours", "other": b"1"}, name="after", metrics={"n": 1}),
        )
        with pytest.raises(ConcurrentWrite):
            await db.commit(batch)
        stored, kept = await other.load_run("r1"), await other.load_session("s1")
        assert stored is not None
        assert kept is not None
        assert (stored.seq, stored.data) == (1, b"before")
        assert (kept.state, kept.name, kept.metrics, kept.version) == ({"k": b"theirs"}, None, None, 2)
        assert [row.data for row in await other.load_steps("r1")] == [b"before"]
        assert await other.load_events("r1") == []
        assert await other.load_requirements("r1") == []

    async def test_one_refused_batch_among_many_at_once_fails_alone(self, db: BaseDb, other: BaseDb) -> None:
        await db.commit(started("taken"))
        refused: list[int] = []

        async def create(number: int) -> None:
            try:
                await db.commit(Batch(create=True, run=run("taken" if number % 4 == 0 else f"n{number}")))
            except StorageError:
                refused.append(number)

        async with anyio.create_task_group() as group:
            for number in range(20):
                group.start_soon(create, number)
        assert sorted(refused) == [0, 4, 8, 12, 16]
        for number in range(20):
            assert (await other.load_run(f"n{number}") is None) == (number % 4 == 0)

    async def test_rows_that_were_handed_in_or_out_are_not_the_stored_ones(self, db: BaseDb) -> None:
        row, patch = run(data=b"stored"), session(state={"k": b"stored"})
        await db.commit(Batch(run=row, create=True, session=patch))
        row.data = b"changed"
        patch.state["k"] = b"changed"
        for _ in range(2):
            loaded, loaded_session = await db.load_run("r1"), await db.load_session("s1")
            assert loaded is not None
            assert loaded_session is not None
            assert (loaded.data, loaded_session.state) == (b"stored", {"k": b"stored"})
            loaded.data, loaded_session.state["k"] = b"changed", b"changed"

    # -- fences --------------------------------------------------------------------------------------------------------

    async def test_a_writer_that_was_taken_over_is_fenced(self, db: BaseDb, other: BaseDb) -> None:
        await db.commit(started(lease=-1.0))
        claimed = await other.claim(
            "r1", owner="b", now=6.0, lease=20.0, statuses=frozenset({RunStatus.RUNNING}), expired_only=True
        )
        assert claimed is not None
        zombie = Batch(fence=fence(), run=run(seq=9), steps=[step()], session=session(state={"k": b"1"}))
        with pytest.raises(Fenced):
            await db.commit(zombie)
        stored, kept = await other.load_run("r1"), await other.load_session("s1")
        assert stored is not None
        assert (stored.seq, stored.owner, stored.attempt, stored.expired) == (0, "b", 2, False)
        assert kept is not None
        assert kept.state == {}
        assert await other.load_steps("r1") == []

    async def test_a_writer_whose_run_is_not_stored_any_more_is_fenced(self, db: BaseDb, other: BaseDb) -> None:
        await db.commit(started())
        await other.delete_session("s1")
        with pytest.raises(Fenced):
            await db.commit(Batch(fence=fence(), steps=[step()], session=session(state={"k": b"1"})))
        with pytest.raises(Fenced):
            await db.commit(Batch(fence=fence(), run=run(seq=9), session=session(state={"k": b"1"})))
        assert (await other.load_run("r1"), await other.load_session("s1")) == (None, None)

    async def test_a_fence_without_an_owner_checks_the_attempt(self, db: BaseDb) -> None:
        await db.commit(started(attempt=2))
        await db.commit(Batch(fence=fence(attempt=2, owner=None), steps=[step()]))
        with pytest.raises(Fenced):
            await db.commit(Batch(fence=fence(attempt=1, owner=None), steps=[step()]))

    async def test_another_owner_at_the_same_attempt_is_fenced(self, db: BaseDb) -> None:
        await db.commit(started(owner="a"))
        await db.commit(Batch(fence=fence(owner="a"), steps=[step()]))
        with pytest.raises(Fenced):
            await db.commit(Batch(fence=fence(owner="b"), steps=[step()]))

    async def test_no_write_lowers_the_attempt(self, db: BaseDb) -> None:
        await db.commit(started(attempt=4))
        await db.commit(Batch(run=run(attempt=2, seq=5)))
        stored = await db.load_run("r1")
        assert stored is not None
        assert (stored.attempt, stored.seq) == (4, 5)

    async def test_the_lease_is_left_alone_by_commits_of_a_live_run(self, db: BaseDb) -> None:
        await db.commit(started(lease_until=9e9))
        await db.commit(Batch(run=run(seq=2, owner="thief", lease_until=1.0, lease=-1.0, cancel_requested=True)))
        stored = await db.load_run("r1")
        assert stored is not None
        assert (stored.owner, stored.lease_until, stored.cancel_requested) == ("a", 9e9, False)

    @pytest.mark.parametrize("status", sorted(set(RunStatus) - {RunStatus.PENDING, RunStatus.RUNNING}))
    async def test_a_run_that_stops_gives_its_lease_up(self, db: BaseDb, status: RunStatus) -> None:
        await db.commit(started())
        await db.commit(Batch(fence=fence(), run=run(status=status, owner="a", lease_until=100.0)))
        stored = await db.load_run("r1")
        assert stored is not None
        assert (stored.status, stored.owner, stored.lease_until) == (status, None, None)

    # -- conditions ----------------------------------------------------------------------------------------------------

    async def test_create_of_a_known_run_is_refused(self, db: BaseDb) -> None:
        await db.commit(started(data=b"first"))
        with pytest.raises(StorageError, match="r1"):
            await db.commit(started(data=b"second"))
        stored = await db.load_run("r1")
        assert stored is not None
        assert stored.data == b"first"

    async def test_of_many_creators_of_one_run_one_succeeds(self, db: BaseDb, other: BaseDb) -> None:
        made: list[int] = []

        async def create(number: int) -> None:
            try:
                await (db if number % 2 else other).commit(started(data=b"%d" % number))
            except StorageError:
                return
            made.append(number)

        async with anyio.create_task_group() as group:
            for number in range(10):
                group.start_soon(create, number)
        stored = await db.load_run("r1")
        assert stored is not None
        assert [stored.data] == [b"%d" % number for number in made]

    async def test_a_run_in_another_status_is_refused(self, db: BaseDb) -> None:
        paused = frozenset({RunStatus.PAUSED})
        with pytest.raises(RunNotPaused):
            await db.commit(Batch(run=run(), statuses=paused))
        await db.commit(started())
        with pytest.raises(RunNotPaused, match="RUNNING"):
            await db.commit(Batch(run=run(status=RunStatus.CANCELLED), statuses=paused))
        await db.commit(Batch(run=run(status=RunStatus.PAUSED)))
        await db.commit(Batch(run=run(status=RunStatus.CANCELLED), statuses=paused))
        stored = await db.load_run("r1")
        assert stored is not None
        assert stored.status is RunStatus.CANCELLED

    async def test_the_status_condition_also_holds_for_a_batch_without_a_run_row(self, db: BaseDb) -> None:
        await db.commit(started())
        condition = frozenset({RunStatus.PAUSED})
        with pytest.raises(RunNotPaused):
            await db.commit(Batch(fence=fence(), statuses=condition, steps=[step()]))
        assert await db.load_steps("r1") == []

    async def test_a_commit_tells_whether_the_run_is_to_be_cancelled(self, db: BaseDb, other: BaseDb) -> None:
        await db.commit(started())
        assert not (await db.commit(Batch(fence=fence(), steps=[step()]))).cancel_requested
        await other.request_cancel("r1", now=5.0)
        assert (await db.commit(Batch(fence=fence(), steps=[step("1.b")]))).cancel_requested
        assert (await db.commit(Batch(fence=fence(), run=run(seq=2)))).cancel_requested

    # -- whose session -------------------------------------------------------------------------------------------------

    async def test_a_session_of_another_user_is_refused(self, db: BaseDb, other: BaseDb) -> None:
        await db.commit(Batch(session=session(user_id="alice", state={"k": b"hers"})))
        for batch in (
            Batch(session=session(user_id="bob", name="mine now")),
            Batch(create=True, run=run(user_id="bob")),
            Batch(create=True, run=run(user_id="bob"), session=session()),
        ):
            with pytest.raises(SessionOwnerError):
                await db.commit(batch)
        kept = await other.load_session("s1")
        assert kept is not None
        assert (kept.user_id, kept.name, kept.version) == ("alice", None, 1)
        assert await other.load_run("r1") is None

    async def test_a_user_that_was_not_said_takes_nothing_away(self, db: BaseDb) -> None:
        await db.commit(started(user_id="alice"))
        await db.commit(Batch(run=run(seq=1), session=session(name="named")))
        stored, kept = await db.load_run("r1"), await db.load_session("s1")
        assert stored is not None
        assert kept is not None
        assert (stored.user_id, kept.user_id, kept.name) == ("alice", "alice", "named")

    async def test_a_run_of_another_session_is_refused(self, db: BaseDb) -> None:
        await db.commit(started(session_id="s1"))
        with pytest.raises(SessionOwnerError):
            await db.commit(Batch(run=run(session_id="s2")))
        with pytest.raises(RunExists):
            await db.commit(Batch(create=True, run=run(session_id="s2")))

    async def test_a_batch_of_two_sessions_is_refused(self, db: BaseDb) -> None:
        with pytest.raises(StorageError):
            await db.commit(Batch(run=run(session_id="s1"), session=session("s2")))
        assert await db.list_runs(RunFilter()) == []


class SessionContract:
    """Session patches: merged by key, compared with what the writer believes. (obligation 3)"""

    async def test_different_keys_merge(self, db: BaseDb, other: BaseDb) -> None:
        await db.commit(Batch(session=session(state={"a": b"1"})))
        await other.commit(Batch(session=session(state={"b": b"2"})))
        await db.commit(Batch(session=session(state={"a": b"3"}, expected={"a": b"1"})))
        row = await other.load_session("s1")
        assert row is not None
        assert (row.state, row.version) == ({"a": b"3", "b": b"2"}, 3)

    @pytest.mark.parametrize(
        ("expected", "new"), [(b"old", b"new"), (None, b"new"), (b"old", None)], ids=["changed", "unknown", "deleted"]
    )
    async def test_a_key_that_somebody_else_changed_is_a_conflict(
        self, db: BaseDb, other: BaseDb, expected: bytes | None, new: bytes | None
    ) -> None:
        await other.commit(Batch(session=session(state={"k": b"theirs", "same": b"1"})))
        patch = session(state={"k": new, "same": b"2"}, expected={"k": expected, "same": b"1"})
        with pytest.raises(ConcurrentWrite) as caught:
            await db.commit(Batch(session=patch))
        assert (caught.value.current, caught.value.version) == ({"k": b"theirs"}, 1)

    async def test_a_key_that_somebody_else_deleted_is_a_conflict(self, db: BaseDb, other: BaseDb) -> None:
        await db.commit(Batch(session=session(state={"k": b"1"})))
        await other.commit(Batch(session=session(state={"k": None}, expected={"k": b"1"})))
        with pytest.raises(ConcurrentWrite) as caught:
            await db.commit(Batch(session=session(state={"k": b"2"}, expected={"k": b"1"})))
        assert caught.value.current == {"k": None}

    async def test_the_same_value_written_by_another_is_a_conflict_too(self, db: BaseDb, other: BaseDb) -> None:
        await other.commit(Batch(session=session(state={"k": b"1"})))
        patch = session(state={"k": b"1", "gone": None}, expected={"k": b"0", "gone": b"x"})
        with pytest.raises(ConcurrentWrite) as caught:
            await db.commit(Batch(session=patch))
        assert caught.value.current == {"k": b"1", "gone": None}

    async def test_a_deleted_key_is_gone(self, db: BaseDb, other: BaseDb) -> None:
        await db.commit(Batch(session=session(state={"a": b"1", "b": b"2"})))
        await db.commit(Batch(session=session(state={"a": None}, expected={"a": b"1"})))
        row = await other.load_session("s1")
        assert row is not None
        assert row.state == {"b": b"2"}

    async def test_of_many_read_modify_writes_at_once_none_is_lost(self, db: BaseDb, other: BaseDb) -> None:
        async def append(store: BaseDb, name: bytes) -> None:
            value: bytes | None = None
            while True:
                try:
                    patch = session(state={"names": (value or b"") + name}, expected={"names": value})
                    await store.commit(Batch(session=patch))
                    return
                except ConcurrentWrite as conflict:
                    value = conflict.current["names"]

        names = [b"%c" % (97 + number) for number in range(20)]
        async with anyio.create_task_group() as group:
            for number, name in enumerate(names):
                group.start_soon(append, db if number % 2 else other, name)
        row = await db.load_session("s1")
        assert row is not None
        assert (sorted(row.state["names"]), row.version) == (sorted(b"".join(names)), 20)

    async def test_none_leaves_a_column_as_it_is(self, db: BaseDb) -> None:
        full = session(
            user_id="u", workflow_id="w", workflow_name="W", name="n", metadata=b"m", workflow_data=b"d", now=1.0
        )
        await db.commit(Batch(session=full))
        before = await db.load_session("s1")
        await db.commit(Batch(session=session(now=2.0)))
        after = await db.load_session("s1")
        assert before is not None
        assert after is not None
        before.version, before.updated_at = 2, 2.0
        assert after == before

    async def test_a_value_replaces_a_column(self, db: BaseDb) -> None:
        await db.commit(Batch(session=session(workflow_id="w1", name="n1", metadata=b"m1", workflow_data=b"d1")))
        await db.commit(Batch(session=session(workflow_id="w2", name="n2", metadata=b"m2", workflow_data=b"d2")))
        row = await db.load_session("s1")
        assert row is not None
        assert (row.workflow_id, row.name, row.metadata, row.workflow_data) == ("w2", "n2", b"m2", b"d2")

    async def test_metrics_are_added_to_the_stored_ones(self, db: BaseDb, other: BaseDb) -> None:
        await db.commit(Batch(session=session(metrics={"runs": 1, "cost": 0.25})))
        await other.commit(Batch(session=session(metrics={"runs": 1, "tokens": 7})))
        await db.commit(Batch(session=session(metrics={"cost": 0.5})))
        row = await db.load_session("s1")
        assert row is not None
        assert row.metrics == b'{"runs":2,"cost":0.75,"tokens":7}'

    async def test_a_state_key_may_have_the_name_of_a_column(self, db: BaseDb) -> None:
        state = {"metadata": b"1", "workflow_data": b"2", "state": b"3", "name": b"4"}
        await db.commit(Batch(session=session(state=dict(state), metadata=b"m")))
        row = await db.load_session("s1")
        assert row is not None
        assert (row.state, row.metadata, row.workflow_data, row.name) == (state, b"m", None, None)
