"""The contract of reading: order, filters, pages; rows that are replaced by key. (obligation 5)"""

from __future__ import annotations

import pytest

from ..model.enums import RunStatus
from ..storage.base import BaseDb, Batch, RunFilter, SessionRow
from .contract_rows import event, requirement, run, session, started, step

__all__ = ["ListContract", "LogContract"]


class LogContract:
    async def test_steps_stand_in_the_order_of_their_first_write(self, db: BaseDb, other: BaseDb) -> None:
        await db.commit(Batch(steps=[step("a", position=1, status="running"), step("b", position=0)]))
        await db.commit(Batch(steps=[step("c", position=2), step("a", position=7, status="completed", data=b"2")]))
        rows = await other.load_steps("r1")
        assert [(row.path, row.position, row.status) for row in rows] == [
            ("b", 0, "completed"),
            ("a", 1, "completed"),
            ("c", 2, "completed"),
        ]
        assert rows[1].data == b"2"

    async def test_steps_of_one_position_stand_in_the_order_of_their_paths(self, db: BaseDb) -> None:
        await db.commit(Batch(steps=[step("b"), step("a"), step("c")]))
        assert [row.path for row in await db.load_steps("r1")] == ["a", "b", "c"]

    async def test_a_step_that_is_replaced_leaves_no_column_behind(self, db: BaseDb) -> None:
        await db.commit(Batch(steps=[step(started_at=1.0, finished_at=2.0, data=b"d", state=b"s", attempt=2)]))
        await db.commit(Batch(steps=[step(status="running")]))
        assert await db.load_steps("r1") == [step(status="running")]

    async def test_events_come_in_order_however_they_were_written(self, db: BaseDb, other: BaseDb) -> None:
        await db.commit(Batch(events=[event(5), event(6)]))
        await db.commit(Batch(events=[event(1), event(2, 4)]))
        await db.commit(Batch(events=[event(1, data=b"replaced")]))
        rows = await other.load_events("r1")
        assert [(row.seq, row.last_seq) for row in rows] == [(1, 1), (2, 4), (5, 5), (6, 6)]
        assert rows[0].data == b"replaced"

    @pytest.mark.parametrize(
        ("after", "seqs"),
        [(0, [1, 2, 5, 9]), (1, [2, 5, 9]), (2, [2, 5, 9]), (3, [2, 5, 9]), (4, [5, 9]), (6, [9]), (9, []), (99, [])],
    )
    async def test_events_after_a_number_include_the_row_that_spans_it(
        self, db: BaseDb, after: int, seqs: list[int]
    ) -> None:
        await db.commit(Batch(events=[event(1), event(2, 4), event(5), event(9)]))
        assert [row.seq for row in await db.load_events("r1", after=after)] == seqs

    async def test_events_come_in_pages(self, db: BaseDb) -> None:
        await db.commit(Batch(events=[event(seq) for seq in range(1, 8)]))
        found: list[int] = []
        while page := await db.load_events("r1", after=found[-1] if found else 0, limit=3):
            assert len(page) <= 3
            found += [row.seq for row in page]
        assert found == [1, 2, 3, 4, 5, 6, 7]

    async def test_rows_of_two_runs_do_not_mix(self, db: BaseDb) -> None:
        await db.commit(
            Batch(
                steps=[step(run_id="r1"), step(run_id="r2", data=b"2")],
                events=[event(1, run_id="r1"), event(1, run_id="r2", data=b"2")],
                requirements=[requirement(run_id="r1"), requirement(run_id="r2", data=b"2")],
            )
        )
        assert [row.data for row in await db.load_steps("r2")] == [b"2"]
        assert [row.data for row in await db.load_events("r2")] == [b"2"]
        assert [row.data for row in await db.load_requirements("r2")] == [b"2"]

    async def test_questions_of_a_run_come_in_the_order_of_creation(self, db: BaseDb) -> None:
        asked = [
            requirement("q3", created_at=1.0),
            requirement("q1", created_at=2.0),
            requirement("q2", created_at=2.0),
        ]
        await db.commit(Batch(requirements=asked[1:]))
        await db.commit(Batch(requirements=[asked[0], requirement("q1", created_at=2.0, answered_at=3.0)]))
        assert [row.requirement_id for row in await db.load_requirements("r1")] == ["q3", "q1", "q2"]


class ListContract:
    async def test_runs_are_listed_newest_first(self, db: BaseDb, other: BaseDb) -> None:
        for run_id, at in (("a", 2.0), ("c", 1.0), ("b", 2.0), ("d", 3.0)):
            await db.commit(started(run_id, created_at=at))
        assert [row.run_id for row in await other.list_runs(RunFilter())] == ["d", "b", "a", "c"]
        assert [row.run_id for row in await other.list_runs(RunFilter(), limit=2)] == ["d", "b"]
        page = await other.list_runs(RunFilter(), limit=2, before=(2.0, "b"))
        assert [row.run_id for row in page] == ["a", "c"]

    async def test_a_listed_run_is_the_stored_row(self, db: BaseDb) -> None:
        row = run(data=b"d", workflow_id="w", parent_run_id="p", seq=3, created_at=1.0, owner="a", lease_until=9e9)
        await db.commit(Batch(run=row))
        assert await db.list_runs(RunFilter()) == [row]

    @pytest.mark.parametrize(
        ("where", "ids"),
        [
            (RunFilter(session_id="s1"), ["r5", "r3", "r2", "r1"]),
            (RunFilter(user_id="u2"), ["r4", "r3"]),
            (RunFilter(workflow_id="w2"), ["r4", "r2"]),
            (RunFilter(parent_run_id="r1"), ["r3"]),
            (RunFilter(statuses=frozenset({RunStatus.RUNNING})), ["r5", "r1"]),
            (RunFilter(statuses=frozenset({RunStatus.COMPLETED, RunStatus.PAUSED})), ["r4", "r3", "r2"]),
            (RunFilter(statuses=frozenset()), []),
            (RunFilter(expired=True), ["r5", "r1"]),
            (RunFilter(session_id="s1", statuses=frozenset({RunStatus.COMPLETED})), ["r3", "r2"]),
            (RunFilter(session_id="s1", statuses=frozenset({RunStatus.PAUSED})), []),
            (RunFilter(user_id="u1", workflow_id="w1"), ["r1"]),
            (RunFilter(user_id="u1", statuses=frozenset({RunStatus.COMPLETED})), ["r2"]),
            (RunFilter(session_id="s1", user_id="u1", workflow_id="w2", parent_run_id=None), ["r2"]),
            (RunFilter(session_id="s1", expired=True, statuses=frozenset({RunStatus.RUNNING})), ["r5", "r1"]),
            (RunFilter(session_id="unknown"), []),
        ],
    )
    async def test_runs_are_filtered(self, db: BaseDb, where: RunFilter, ids: list[str]) -> None:
        rows = [
            run("r1", user_id="u1", workflow_id="w1", owner="a", lease_until=49.0),
            run("r2", RunStatus.COMPLETED, user_id="u1", workflow_id="w2"),
            run("r3", RunStatus.COMPLETED, user_id="u2", workflow_id="w1", parent_run_id="r1"),
            run("r4", RunStatus.PAUSED, user_id="u2", workflow_id="w2", session_id="s2"),
            run("r5", owner="a", lease_until=50.0),
        ]
        for number, row in enumerate(rows):
            row.created_at = float(number)
            await db.commit(Batch(run=row))
        assert [row.run_id for row in await db.list_runs(where)] == ids
        paged: list[str] = []
        before: tuple[float, str] | None = None
        while page := await db.list_runs(where, limit=1, before=before):
            paged += [row.run_id for row in page]
            before = (page[-1].created_at, page[-1].run_id)
        assert paged == ids

    @pytest.mark.parametrize(
        ("where", "ids"),
        [
            (RunFilter(tags=frozenset({"a"})), ["r4", "r3", "r2", "r1"]),
            (RunFilter(tags=frozenset({"a", "b"})), ["r4", "r2"]),
            (RunFilter(tags=frozenset({"a", "unknown"})), []),
            (RunFilter(tags=frozenset({"a"}), workflow_id="w1"), ["r3", "r2", "r1"]),
            (RunFilter(tags=frozenset({"a"}), statuses=frozenset({RunStatus.COMPLETED})), ["r4", "r2"]),
            (RunFilter(tags=frozenset({"a"}), statuses=frozenset({RunStatus.PAUSED, RunStatus.RUNNING})), ["r3", "r1"]),
            (RunFilter(tags=frozenset({"b"}), statuses=frozenset({RunStatus.COMPLETED}), workflow_id="w1"), ["r2"]),
            (RunFilter(tags=frozenset({"a"}), user_id="u1"), ["r3", "r1"]),
            (RunFilter(tags=frozenset({"a"}), session_id="s2", workflow_id="w1"), ["r3"]),
            (RunFilter(tags=frozenset({"a"}), since=2.0), ["r4", "r3", "r2"]),
            (RunFilter(tags=frozenset({"a"}), since=2.0, until=4.0, workflow_id="w1"), ["r3", "r2"]),
            (RunFilter(since=2.0, until=4.0), ["r3", "r2"]),
            (RunFilter(workflow_id="w1", since=3.0), ["r5", "r3"]),
            (RunFilter(statuses=frozenset({RunStatus.COMPLETED}), until=4.0), ["r2"]),
        ],
    )
    async def test_runs_are_filtered_by_tags_and_time(self, db: BaseDb, where: RunFilter, ids: list[str]) -> None:
        rows = [
            run("r1", workflow_id="w1", user_id="u1", tags=("a",)),
            run("r2", workflow_id="w1", tags=("a", "b", "a")),
            run("r3", workflow_id="w1", user_id="u1", session_id="s2", tags=["a"]),
            run("r4", workflow_id="w2", tags=("b", "a")),
            run("r5", workflow_id="w1"),
        ]
        for number, row in enumerate(rows):
            row.created_at = float(number + 1)
            await db.commit(Batch(run=row))
        for run_id, workflow_id, at in (("r2", "w1", 2.0), ("r4", "w2", 4.0)):
            ended = run(run_id, RunStatus.COMPLETED, workflow_id=workflow_id, created_at=at)
            await db.commit(Batch(run=ended))
        paused = run("r3", RunStatus.PAUSED, workflow_id="w1", user_id="u1", session_id="s2", created_at=3.0)
        await db.commit(Batch(run=paused))
        assert [row.run_id for row in await db.list_runs(where)] == ids
        paged: list[str] = []
        before: tuple[float, str] | None = None
        while page := await db.list_runs(where, limit=1, before=before):
            paged += [row.run_id for row in page]
            before = (page[-1].created_at, page[-1].run_id)
        assert paged == ids

    async def test_tags_follow_a_claim_and_go_with_their_run(self, db: BaseDb, other: BaseDb) -> None:
        await db.commit(Batch(run=run(status=RunStatus.PAUSED, tags=("t",))))
        await other.claim(
            "r1", owner="b", now=1.0, lease=9.0, statuses=frozenset({RunStatus.PAUSED}), expired_only=False
        )
        where = RunFilter(tags=frozenset({"t"}), statuses=frozenset({RunStatus.RUNNING}))
        assert [row.run_id for row in await db.list_runs(where)] == ["r1"]
        await db.delete_session("s1")
        await db.commit(Batch(run=run()))
        assert await other.list_runs(RunFilter(tags=frozenset({"t"}))) == []

    async def test_a_run_is_listed_under_its_newest_values(self, db: BaseDb) -> None:
        await db.commit(started(created_at=1.0))
        await db.commit(Batch(run=run(status=RunStatus.PAUSED, workflow_id="w", created_at=5.0)))
        await db.commit(started("r2", created_at=3.0))
        assert [row.run_id for row in await db.list_runs(RunFilter())] == ["r1", "r2"]
        assert [row.run_id for row in await db.list_runs(RunFilter(workflow_id="w"))] == ["r1"]
        assert [row.run_id for row in await db.list_runs(RunFilter(statuses=frozenset({RunStatus.RUNNING})))] == ["r2"]

    async def test_sessions_are_listed_newest_first_without_their_state(self, db: BaseDb, other: BaseDb) -> None:
        for number, (name, user, workflow) in enumerate((("a", "u1", "w1"), ("b", "u2", "w1"), ("c", "u1", "w2"))):
            patch = session(
                name, user_id=user, workflow_id=workflow, state={"k": b"1"}, metadata=b"m", now=float(number)
            )
            await db.commit(Batch(session=patch))
        rows = await other.list_sessions()
        assert rows[0] == SessionRow(
            session_id="c", user_id="u1", workflow_id="w2", version=1, metadata=b"m", created_at=2.0, updated_at=2.0
        )
        assert [row.session_id for row in rows] == ["c", "b", "a"]
        assert [row.session_id for row in await other.list_sessions(user_id="u1")] == ["c", "a"]
        assert [row.session_id for row in await other.list_sessions(workflow_id="w1")] == ["b", "a"]
        assert [row.session_id for row in await other.list_sessions(user_id="u1", workflow_id="w1")] == ["a"]
        assert [row.session_id for row in await other.list_sessions(limit=1)] == ["c"]
        assert [row.session_id for row in await other.list_sessions(limit=1, before=(2.0, "c"))] == ["b"]

    async def test_a_listing_does_not_hand_out_the_stored_state(self, db: BaseDb) -> None:
        await db.commit(Batch(session=session(state={"k": b"1"})))
        (await db.list_sessions())[0].state["k"] = b"changed"
        row = await db.load_session("s1")
        assert row is not None
        assert row.state == {"k": b"1"}
