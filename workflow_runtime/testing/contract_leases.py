"""The contract of leases, cancel requests, answers, locks and deletion. (obligations 6 and 7)"""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from ..model.enums import RunStatus
from ..model.errors import (
    AlreadyAnswered,
    AnswersArrived,
    CancelRequested,
    Fenced,
    QuestionWithdrawn,
    RunNotPaused,
    StorageError,
)
from ..storage.base import BaseDb, Batch, LeaseState, Pruned, RequirementRow, RunFilter, RunRow
from .contract_rows import event, fence, requirement, run, session, started, step

__all__ = ["AnswerContract", "DeleteContract", "LeaseContract"]

RUNNING = frozenset({RunStatus.RUNNING})
PAUSED = frozenset({RunStatus.PAUSED})
FINAL = frozenset(status for status in RunStatus if status.is_final)


async def claim(
    db: BaseDb,
    owner: str = "b",
    *,
    lease: float = 100.0,
    statuses: frozenset[RunStatus] = RUNNING,
    expired: bool = True,
) -> RunRow | None:
    return await db.claim("r1", owner=owner, now=50.0, lease=lease, statuses=statuses, expired_only=expired)


async def lease_of(db: BaseDb, run_id: str = "r1") -> tuple[float, bool]:
    """When the lease runs out, and whether it has."""
    stored = await db.load_run(run_id)
    assert stored is not None
    assert stored.lease_until is not None
    return stored.lease_until, stored.expired


class LeaseContract:
    async def test_a_claim_makes_the_caller_owner_at_the_next_attempt(self, db: BaseDb, other: BaseDb) -> None:
        await db.commit(Batch(run=run(status=RunStatus.PAUSED, attempt=2, seq=5, data=b"kept")))
        row = await claim(db, statuses=PAUSED, expired=False)
        assert row is not None
        assert (row.status, row.attempt, row.owner, row.expired) == (RunStatus.RUNNING, 3, "b", False)
        assert (row.seq, row.data, row.updated_at) == (5, b"kept", 50.0)
        assert await other.load_run("r1") == row

    async def test_of_many_claims_at_once_one_succeeds(self, db: BaseDb, other: BaseDb) -> None:
        await db.commit(Batch(run=run(status=RunStatus.PAUSED)))
        won: list[str] = []

        async def attempt(number: int) -> None:
            store, name = (db if number % 2 else other), f"owner {number}"
            if await claim(store, name, statuses=PAUSED, expired=False) is not None:
                won.append(name)

        async with anyio.create_task_group() as group:
            for number in range(20):
                group.start_soon(attempt, number)
        stored = await db.load_run("r1")
        assert stored is not None
        assert ([stored.owner], stored.attempt) == (won, 2)

    async def test_a_run_in_another_status_or_unknown_is_not_claimed(self, db: BaseDb) -> None:
        assert await claim(db) is None
        await db.commit(started())
        assert await claim(db, statuses=PAUSED, expired=False) is None
        stored = await db.load_run("r1")
        assert stored is not None
        assert (stored.owner, stored.attempt) == ("a", 1)

    async def test_a_lease_that_has_not_run_out_is_respected(self, db: BaseDb, other: BaseDb) -> None:
        await db.commit(started(lease=100.0, lease_until=1.0))
        assert await claim(other) is None
        assert await other.renew([(fence(), 0.0)]) == [LeaseState(held=True)]
        assert await claim(other, "c") is not None
        assert await claim(db) is None

    async def test_a_lease_is_counted_from_the_time_of_the_database(self, db: BaseDb, other: BaseDb) -> None:
        await db.commit(started(lease=-1.0, lease_until=9e9, created_at=9e9))
        before, expired = await lease_of(other)
        assert expired
        row = await other.claim("r1", owner="b", now=1.0, lease=100.0, statuses=RUNNING, expired_only=True)
        assert row is not None
        assert not row.expired
        assert (await lease_of(db))[0] == row.lease_until
        assert 100.0 <= (await lease_of(db))[0] - before < 160.0
        await db.renew([(fence(attempt=2, owner="b"), 200.0)])
        assert 200.0 <= (await lease_of(other))[0] - before < 260.0

    async def test_runs_whose_lease_has_run_out_are_listed(self, db: BaseDb, other: BaseDb) -> None:
        for run_id, lease in (("r1", 100.0), ("r2", -1.0), ("r3", 0.0), ("r4", None)):
            await db.commit(started(run_id, lease=lease, lease_until=None))
        await db.commit(started("r5", lease=-1.0, workflow_id="w"))
        listed = await other.list_runs(RunFilter(statuses=RUNNING, expired=True))
        assert [(row.run_id, row.expired) for row in listed] == [("r5", True), ("r3", True), ("r2", True)]
        assert [row.run_id for row in await other.list_runs(RunFilter(workflow_id="w", expired=True))] == ["r5"]
        await db.renew([(fence("r2"), -5000.0)])
        recent = await other.list_runs(RunFilter(expired=True, expired_within=1000.0))
        assert [row.run_id for row in recent] == ["r5", "r3"]
        assert [row.run_id for row in await other.list_runs(RunFilter()) if not row.expired] == ["r4", "r1"]

    async def test_a_run_without_a_lease_needs_no_waiting(self, db: BaseDb) -> None:
        await db.commit(started(owner=None, lease_until=None))
        assert await claim(db) is not None

    async def test_without_expired_only_a_live_lease_is_taken(self, db: BaseDb) -> None:
        await db.commit(started(lease=1000.0))
        assert await claim(db, expired=False) is not None

    async def test_a_lease_is_renewed_by_its_owner_only(self, db: BaseDb, other: BaseDb) -> None:
        await db.commit(started(lease=50.0))
        for stranger in (fence(owner="b"), fence(attempt=2), fence(attempt=0), fence("unknown")):
            assert await other.renew([(stranger, -1.0)]) == [LeaseState(held=False)]
        assert not (await lease_of(other))[1]
        assert await db.renew([(fence(), -1.0)]) == [LeaseState(held=True)]
        assert (await lease_of(other))[1]

    async def test_many_leases_are_renewed_at_once_each_by_its_own_fence(self, db: BaseDb, other: BaseDb) -> None:
        for number in range(6):
            await db.commit(started(f"r{number}", lease=-1.0, session_id=f"s{number % 2}"))
        await other.request_cancel("r4", now=5.0)
        wanted = [(fence("r4"), 100.0), (fence("r1", owner="b"), 100.0), (fence("unknown"), 100.0), (fence("r0"), 0.0)]
        assert await db.renew([*wanted, (fence("r2", owner=None), 100.0)]) == [
            LeaseState(held=True, cancel_requested=True),
            LeaseState(held=False),
            LeaseState(held=False),
            LeaseState(held=True),
            LeaseState(held=True),
        ]
        assert [(await lease_of(other, f"r{number}"))[1] for number in range(6)] == [
            True,
            True,
            False,
            True,
            False,
            True,
        ]
        assert await db.renew([]) == []

    async def test_a_lease_that_was_taken_over_or_given_up_is_not_renewed(self, db: BaseDb, other: BaseDb) -> None:
        await db.commit(started(lease=-1.0))
        assert await claim(other) is not None
        mine, theirs = (fence(), 60.0), (fence(attempt=2, owner="b"), 60.0)
        assert [state.held for state in await db.renew([mine])] == [False]
        assert [state.held for state in await other.renew([theirs])] == [True]
        await other.commit(Batch(run=run(status=RunStatus.PAUSED, attempt=2)))
        assert [state.held for state in await other.renew([theirs])] == [False]
        stored = await db.load_run("r1")
        assert stored is not None
        assert stored.lease_until is None

    async def test_renewing_tells_of_a_request_to_cancel(self, db: BaseDb, other: BaseDb) -> None:
        await db.commit(started())
        assert await other.request_cancel("r1", now=5.0) is RunStatus.RUNNING
        assert await db.renew([(fence(), 60.0)]) == [LeaseState(held=True, cancel_requested=True)]

    @pytest.mark.parametrize("status", sorted(RunStatus))
    async def test_only_a_run_that_has_not_ended_can_be_cancelled(self, db: BaseDb, status: RunStatus) -> None:
        await db.commit(Batch(run=run(status=status)))
        open_ended = {RunStatus.PENDING, RunStatus.RUNNING, RunStatus.PAUSED}
        assert await db.request_cancel("r1", now=5.0) == (status if status in open_ended else None)
        stored = await db.load_run("r1")
        assert stored is not None
        assert stored.cancel_requested == (status in open_ended)

    async def test_a_request_to_cancel_an_unknown_run_is_none(self, db: BaseDb) -> None:
        assert await db.request_cancel("r1", now=5.0) is None

    async def test_an_owner_takes_the_signals_of_its_runs_once(self, db: BaseDb, other: BaseDb) -> None:
        for run_id, owner in (("r1", "a"), ("r2", "a"), ("r3", "b"), ("r4", "a")):
            await db.commit(started(run_id, owner=owner))
        for run_id in ("r1", "r3", "r4"):
            await other.request_cancel(run_id, now=5.0)
        await db.commit(Batch(run=run("r4", status=RunStatus.CANCELLED)))
        assert await db.take_signals("nobody") == []
        [signal] = await db.take_signals("a")
        assert (signal.run_id, signal.kind, signal.created_at) == ("r1", "cancel", 5.0)
        assert await other.take_signals("a") == []
        assert [signal.run_id for signal in await other.take_signals("b")] == ["r3"]

    async def test_signals_come_in_the_order_in_which_they_were_left(self, db: BaseDb, other: BaseDb) -> None:
        await db.commit(Batch(run=run(owner="a"), requirements=[requirement("q1"), requirement("q2")]))
        await other.answer([answered("q1", at=4.0)])
        await db.request_cancel("r1", now=5.0)
        await other.answer([answered("q2", at=6.0)])
        signals = await db.take_signals("a")
        assert [(signal.kind, signal.created_at) for signal in signals] == [
            ("answered", 4.0),
            ("cancel", 5.0),
            ("answered", 6.0),
        ]
        assert sorted(signal.number for signal in signals) == [signal.number for signal in signals]

    async def test_of_many_that_take_signals_at_once_each_is_given_to_one(self, db: BaseDb, other: BaseDb) -> None:
        for number in range(5):
            await db.commit(started(f"r{number}", owner="a"))
            await db.request_cancel(f"r{number}", now=5.0)
        taken: list[str] = []

        async def take(store: BaseDb) -> None:
            taken.extend(signal.run_id for signal in await store.take_signals("a"))

        async with anyio.create_task_group() as group:
            for number in range(10):
                group.start_soon(take, db if number % 2 else other)
        assert sorted(taken) == [f"r{number}" for number in range(5)]

    async def test_a_claim_takes_the_signals_of_a_run_that_waits(self, db: BaseDb, other: BaseDb) -> None:
        for run_id in ("r1", "r2"):
            await db.commit(Batch(run=run(run_id, status=RunStatus.PAUSED), requirements=[requirement("q", run_id)]))
            await other.answer([requirement("q", run_id, answered_at=20.0)])
        ready = RunFilter(statuses=PAUSED, signalled=True)
        assert [row.run_id for row in await db.list_runs(ready)] == ["r2", "r1"]
        assert await claim(db, statuses=PAUSED, expired=False) is not None
        assert [row.run_id for row in await db.list_runs(ready)] == ["r2"]
        assert await other.take_signals("b") == []

    async def test_a_request_to_cancel_outlives_a_take_over_but_not_an_ending(self, db: BaseDb) -> None:
        await db.commit(started(lease=-1.0))
        await db.request_cancel("r1", now=1.0)
        row = await claim(db)
        assert row is not None
        assert row.cancel_requested
        await db.commit(Batch(run=run(status=RunStatus.CANCELLED, attempt=2)))
        row = await claim(db, statuses=FINAL, expired=False)
        assert row is not None
        assert not row.cancel_requested

    # -- named locks ---------------------------------------------------------------------------------------------------

    async def test_a_lock_is_one_owners_until_it_ends(self, db: BaseDb, other: BaseDb) -> None:
        assert await db.acquire("l", owner="a", lease=100.0)
        assert not await other.acquire("l", owner="b", lease=100.0)
        assert await db.acquire("l", owner="a", lease=0.0)
        assert await other.acquire("l", owner="b", lease=100.0)
        assert not await db.acquire("l", owner="a", lease=100.0)
        assert await db.acquire("another", owner="a", lease=100.0)

    async def test_only_the_owner_releases_a_lock(self, db: BaseDb, other: BaseDb) -> None:
        await db.release("l", owner="a")
        assert await db.acquire("l", owner="a", lease=100.0)
        await other.release("l", owner="b")
        assert not await other.acquire("l", owner="b", lease=100.0)
        await db.release("l", owner="a")
        assert await other.acquire("l", owner="b", lease=100.0)

    async def test_of_many_that_want_a_lock_at_once_one_gets_it(self, db: BaseDb, other: BaseDb) -> None:
        got: list[int] = []

        async def take(number: int) -> None:
            if await (db if number % 2 else other).acquire("l", owner=f"o{number}", lease=100.0):
                got.append(number)

        async with anyio.create_task_group() as group:
            for number in range(20):
                group.start_soon(take, number)
        assert len(got) == 1


def answered(requirement_id: str = "q1", at: float = 20.0, data: bytes = b"answer") -> RequirementRow:
    return requirement(requirement_id, answered_at=at, data=data)


class AnswerContract:
    async def test_an_answer_is_stored(self, db: BaseDb, other: BaseDb) -> None:
        asked = requirement(timeout_at=99.0, user_id="u")
        await db.commit(Batch(run=run(status=RunStatus.PAUSED), requirements=[asked]))
        await db.answer([answered()])
        [stored] = await other.load_requirements("r1")
        asked.answered_at, asked.data = 20.0, b"answer"
        assert stored == asked

    async def test_the_second_answer_is_refused_and_names_the_first(self, db: BaseDb, other: BaseDb) -> None:
        await db.commit(Batch(run=run(status=RunStatus.PAUSED), requirements=[requirement()]))
        await db.answer([answered(at=20.0)])
        with pytest.raises(AlreadyAnswered) as caught:
            await other.answer([answered(at=30.0, data=b"late")])
        assert (caught.value.requirement_id, caught.value.answered_at) == ("q1", 20.0)
        [stored] = await db.load_requirements("r1")
        assert (stored.answered_at, stored.data) == (20.0, b"answer")

    async def test_of_many_answers_at_once_one_is_stored(self, db: BaseDb, other: BaseDb) -> None:
        await db.commit(Batch(run=run(status=RunStatus.PAUSED), requirements=[requirement()]))
        won: list[bytes] = []

        async def reply(number: int) -> None:
            data = b"%d" % number
            try:
                await (db if number % 2 else other).answer([answered(data=data)])
            except AlreadyAnswered:
                return
            won.append(data)

        async with anyio.create_task_group() as group:
            for number in range(20):
                group.start_soon(reply, number)
        assert [row.data for row in await db.load_requirements("r1")] == won

    async def test_answers_are_stored_all_or_none(self, db: BaseDb) -> None:
        await db.commit(Batch(run=run(status=RunStatus.PAUSED), requirements=[requirement("q1"), requirement("q2")]))
        await db.answer([answered("q2")])
        with pytest.raises(AlreadyAnswered):
            await db.answer([answered("q1"), answered("q2")])
        with pytest.raises(StorageError):
            await db.answer([answered("q1"), answered("unknown")])
        with pytest.raises(AlreadyAnswered):
            await db.answer([answered("q1"), answered("q1")])
        assert [row.answered_at for row in await db.load_requirements("r1")] == [None, 20.0]

    async def test_answers_are_stored_with_a_claim_or_not_at_all(self, db: BaseDb, other: BaseDb) -> None:
        await db.commit(Batch(run=run(status=RunStatus.PAUSED), requirements=[requirement("q1"), requirement("q2")]))

        async def take(*answers: RequirementRow, statuses: frozenset[RunStatus] = PAUSED) -> RunRow | None:
            return await other.claim(
                "r1", owner="b", now=50.0, lease=60.0, statuses=statuses, expired_only=False, answers=answers
            )

        assert await take(answered("q1"), statuses=RUNNING) is None
        await db.answer([answered("q1")])
        with pytest.raises(AlreadyAnswered):
            await take(answered("q2"), answered("q1", at=30.0))
        stored = await db.load_run("r1")
        assert stored is not None
        assert (stored.status, stored.attempt) == (RunStatus.PAUSED, 1)
        assert [row.answered_at for row in await db.load_requirements("r1")] == [20.0, None]
        row = await take(answered("q2", at=40.0))
        assert row is not None
        assert (row.status, row.attempt) == (RunStatus.RUNNING, 2)
        assert [row.answered_at for row in await db.load_requirements("r1")] == [20.0, 40.0]
        assert await db.take_signals("b") == []

    async def test_an_answer_without_its_time_is_refused(self, db: BaseDb) -> None:
        await db.commit(Batch(run=run(status=RunStatus.PAUSED), requirements=[requirement()]))
        with pytest.raises(StorageError):
            await db.answer([requirement(data=b"answer")])
        assert [row.data for row in await db.load_requirements("r1")] == [b"question"]

    async def test_a_late_commit_of_the_question_does_not_open_it_again(self, db: BaseDb) -> None:
        asked = Batch(run=run(status=RunStatus.PAUSED), requirements=[requirement()])
        await db.commit(asked)
        await db.answer([answered()])
        await db.commit(asked)
        [stored] = await db.load_requirements("r1")
        assert (stored.answered_at, stored.data) == (20.0, b"answer")

    async def test_an_open_question_can_be_replaced_and_also_be_answered_by_a_commit(self, db: BaseDb) -> None:
        await db.commit(Batch(run=run(status=RunStatus.PAUSED), requirements=[requirement()]))
        await db.commit(Batch(requirements=[requirement(data=b"clearer")]))
        assert [row.data for row in await db.load_requirements("r1")] == [b"clearer"]
        await db.commit(Batch(requirements=[answered()]))
        with pytest.raises(AlreadyAnswered):
            await db.answer([answered(at=30.0)])

    @pytest.mark.parametrize("status", sorted(RunStatus))
    async def test_a_run_that_has_not_ended_takes_answers(self, db: BaseDb, other: BaseDb, status: RunStatus) -> None:
        await db.commit(Batch(run=run(status=status), requirements=[requirement()]))
        if status.is_final:
            with pytest.raises(RunNotPaused):
                await other.answer([answered()])
        else:
            await other.answer([answered()])
        [stored] = await db.load_requirements("r1")
        assert (stored.answered_at is None) == status.is_final

    async def test_a_withdrawn_question_takes_no_answer_and_is_not_listed(self, db: BaseDb, other: BaseDb) -> None:
        asked = [requirement("q1"), requirement("q2")]
        await db.commit(Batch(run=run(status=RunStatus.PAUSED), requirements=asked))
        await db.commit(Batch(requirements=[requirement("q1", withdrawn_at=15.0, data=b"given up")]))
        with pytest.raises(QuestionWithdrawn) as caught:
            await other.answer([answered("q2"), answered("q1")])
        assert caught.value.requirement_id == "q1"
        assert [row.requirement_id for row in await other.list_requirements()] == ["q2"]
        [stored, second] = await other.load_requirements("r1")
        assert (stored.withdrawn_at, stored.answered_at, stored.data) == (15.0, None, b"given up")
        assert second.answered_at is None
        await db.commit(Batch(requirements=[requirement("q1")]))
        assert [row.requirement_id for row in await other.list_requirements()] == ["q1", "q2"]

    async def test_a_commit_marks_an_answer_as_used_or_withdrawn_and_keeps_it(self, db: BaseDb, other: BaseDb) -> None:
        await db.commit(Batch(run=run(status=RunStatus.PAUSED), requirements=[requirement()]))
        await db.answer([answered()])
        await db.commit(Batch(requirements=[requirement(used_at=21.0, withdrawn_at=22.0)]))
        [stored] = await other.load_requirements("r1")
        assert (stored.data, stored.answered_at, stored.used_at, stored.withdrawn_at) == (b"answer", 20.0, 21.0, 22.0)

    async def test_a_run_does_not_pause_for_a_question_that_is_answered(self, db: BaseDb, other: BaseDb) -> None:
        await db.commit(Batch(run=run(), requirements=[requirement("q1"), requirement("q2")]))
        await other.answer([answered("q2")])
        pause = Batch(run=run(status=RunStatus.PAUSED), waits_for=frozenset({"q1", "q2"}), events=[event(1)])
        with pytest.raises(AnswersArrived) as caught:
            await db.commit(pause)
        assert caught.value.requirement_ids == {"q2"}
        stored = await other.load_run("r1")
        assert stored is not None
        assert stored.status is RunStatus.RUNNING
        assert await other.load_events("r1") == []
        await db.commit(Batch(run=run(status=RunStatus.PAUSED), waits_for=frozenset({"q1", "new"})))

    async def test_of_a_pause_and_an_answer_at_once_one_sees_the_other(self, db: BaseDb, other: BaseDb) -> None:
        for number in range(20):
            name = f"r{number}"
            await db.commit(Batch(run=run(name, owner="a"), requirements=[requirement("q", name)]))
            refused: list[str] = []

            async def pause(name: str = name, refused: list[str] = refused) -> None:
                batch = Batch(run=run(name, status=RunStatus.PAUSED), waits_for=frozenset({"q"}))
                try:
                    await db.commit(batch)
                except AnswersArrived:
                    refused.append(name)

            async with anyio.create_task_group() as group:
                group.start_soon(pause)
                group.start_soon(other.answer, [requirement("q", name, answered_at=20.0)])
            ready = await db.list_runs(RunFilter(statuses=PAUSED, signalled=True))
            assert refused or name in [row.run_id for row in ready]

    @pytest.mark.parametrize("status", sorted(RunStatus))
    async def test_a_run_to_be_cancelled_ends_in_no_other_way(
        self, db: BaseDb, other: BaseDb, status: RunStatus
    ) -> None:
        await db.commit(started())
        await other.request_cancel("r1", now=5.0)
        end = Batch(run=run(status=status), fence=fence(), requirements=[requirement()])
        if status in (RunStatus.COMPLETED, RunStatus.PAUSED, RunStatus.ERROR):
            with pytest.raises(CancelRequested):
                await db.commit(end)
        else:
            await db.commit(end)
        stored = await other.load_run("r1")
        assert stored is not None
        refused = status in (RunStatus.COMPLETED, RunStatus.PAUSED, RunStatus.ERROR)
        assert stored.status is (RunStatus.RUNNING if refused else status)
        assert len(await other.load_requirements("r1")) == (not refused)

    @pytest.mark.parametrize("status", sorted(FINAL))
    async def test_an_ended_run_keeps_its_end(self, db: BaseDb, other: BaseDb, status: RunStatus) -> None:
        await db.commit(started())
        await db.commit(Batch(run=run(status=status, data=b"end"), fence=fence()))
        with pytest.raises(Fenced):
            await db.commit(Batch(run=run(status=RunStatus.ERROR, data=b"other"), fence=fence(owner=None)))
        stored = await other.load_run("r1")
        assert stored is not None
        assert (stored.status, stored.data) == (status, b"end")

    async def test_open_questions_of_live_runs_are_listed_oldest_first(self, db: BaseDb, other: BaseDb) -> None:
        for run_id, status, at in (("r1", RunStatus.PAUSED, 30.0), ("r2", RunStatus.RUNNING, 10.0)):
            await db.commit(
                Batch(run=run(run_id, status=status), requirements=[requirement("q", run_id, created_at=at)])
            )
        await db.commit(
            Batch(
                run=run("r3", status=RunStatus.CANCELLED),
                requirements=[requirement("q", "r3", created_at=1.0), requirement("q2", "r1", created_at=20.0)],
            )
        )
        await db.commit(Batch(requirements=[answered("done")]))
        listed = await other.list_requirements()
        assert [(row.run_id, row.requirement_id) for row in listed] == [("r2", "q"), ("r1", "q2"), ("r1", "q")]
        assert [row.run_id for row in await other.list_requirements(limit=1)] == ["r2"]
        await db.answer([requirement("q", "r2", answered_at=40.0)])
        assert [row.run_id for row in await other.list_requirements()] == ["r1", "r1"]

    async def test_open_questions_are_listed_in_pages(self, db: BaseDb) -> None:
        for run_id in ("r1", "r2"):
            rows = [requirement(f"{run_id}:q{n}", run_id, created_at=10.0 + n // 2) for n in range(4)]
            await db.commit(Batch(run=run(run_id, status=RunStatus.PAUSED), requirements=rows))
        found: list[str] = []
        after: tuple[float, str] | None = None
        while page := await db.list_requirements(limit=3, after=after):
            found += [row.requirement_id for row in page]
            after = (page[-1].created_at, page[-1].requirement_id)
        assert found == [f"{run_id}:q{n}" for half in ((0, 1), (2, 3)) for run_id in ("r1", "r2") for n in half]

    async def test_questions_whose_time_is_up_are_found_behind_any_number_of_others(self, db: BaseDb) -> None:
        rows = [
            requirement("late", timeout_at=15.0, created_at=30.0, workflow_id="w1"),
            requirement("now", timeout_at=20.0, created_at=31.0, workflow_id="w1"),
            requirement("later", timeout_at=20.1, workflow_id="w1"),
            requirement("never", workflow_id="w1"),
            requirement("other", timeout_at=1.0, workflow_id="w2"),
        ]
        await db.commit(Batch(run=run(status=RunStatus.PAUSED), requirements=rows))
        due = await db.list_requirements(workflow_id="w1", due_before=20.0)
        assert [row.requirement_id for row in due] == ["late", "now"]
        assert [
            row.requirement_id for row in await db.list_requirements(workflow_id="w1", due_before=20.0, limit=1)
        ] == ["late"]

    async def test_open_questions_are_filtered(self, db: BaseDb) -> None:
        rows = [
            requirement("q1", user_id="u1", workflow_id="w1"),
            requirement("q2", user_id="u2", workflow_id="w1"),
            requirement("q3", user_id="u2", workflow_id="w2", session_id="s2"),
        ]
        await db.commit(Batch(run=run(status=RunStatus.PAUSED), requirements=rows))

        async def ids(
            session_id: str | None = None, user_id: str | None = None, workflow_id: str | None = None
        ) -> list[str]:
            listed = await db.list_requirements(session_id=session_id, user_id=user_id, workflow_id=workflow_id)
            return [row.requirement_id for row in listed]

        assert await ids(user_id="u2") == ["q2", "q3"]
        assert await ids(workflow_id="w1") == ["q1", "q2"]
        assert await ids(session_id="s2") == ["q3"]
        assert await ids(session_id="s1", user_id="u2", workflow_id="w1") == ["q2"]


class DeleteContract:
    async def test_a_deleted_session_takes_all_of_its_rows_along(self, db: BaseDb, other: BaseDb) -> None:
        for run_id, name in (("r1", "s1"), ("r2", "s2")):
            await db.commit(
                Batch(
                    run=run(run_id, status=RunStatus.PAUSED, session_id=name),
                    steps=[step(run_id=run_id)],
                    events=[event(1, run_id=run_id)],
                    requirements=[requirement("q", run_id, session_id=name)],
                    session=session(name, state={"k": b"1"}, metadata=b"m"),
                )
            )
        assert await db.delete_session("s1") is True
        assert await other.load_session("s1") is None
        assert await other.load_run("r1") is None
        assert await other.load_steps("r1") == []
        assert await other.load_events("r1") == []
        assert await other.load_requirements("r1") == []
        assert [row.run_id for row in await other.list_requirements()] == ["r2"]
        assert [row.run_id for row in await other.list_runs(RunFilter())] == ["r2"]
        assert [row.session_id for row in await other.list_sessions()] == ["s2"]
        assert await db.delete_session("s1") is False

    async def test_a_deleted_session_can_be_made_again_and_is_empty(self, db: BaseDb) -> None:
        await db.commit(Batch(session=session(user_id="alice", state={"k": b"1"}, metadata=b"m", metrics={"n": 1})))
        await db.delete_session("s1")
        await db.commit(Batch(session=session(user_id="bob", state={"other": b"2"})))
        row = await db.load_session("s1")
        assert row is not None
        assert (row.user_id, row.state, row.metadata, row.metrics, row.version) == (
            "bob",
            {"other": b"2"},
            None,
            None,
            1,
        )

    async def test_pruning_deletes_old_finished_runs_and_at_most_so_many(self, db: BaseDb, other: BaseDb) -> None:
        for number in range(4):
            row = run(f"r{number}", status=RunStatus.COMPLETED, created_at=number, updated_at=number)
            await db.commit(Batch(run=row, steps=[step(run_id=row.run_id)], events=[event(1, run_id=row.run_id)]))
        await db.commit(Batch(run=run("live", status=RunStatus.PAUSED, created_at=0.5, updated_at=0.5)))
        assert await db.prune(kinds=None, before=3.0, limit=2) == Pruned(rows=2, more=True)
        assert [row.run_id for row in await other.list_runs(RunFilter())] == ["r3", "r2", "live"]
        assert await db.prune(kinds=None, before=3.0, limit=2) == Pruned(rows=1)
        assert await db.prune(kinds=None, before=3.0, limit=2) == Pruned()
        assert [row.run_id for row in await other.list_runs(RunFilter())] == ["r3", "live"]
        assert await other.load_steps("r0") == []
        assert await other.load_events("r0") == []
        assert len(await other.load_events("r3")) == 1

    async def test_pruning_events_deletes_those_kinds_of_old_finished_runs(self, db: BaseDb, other: BaseDb) -> None:
        rows = [event(1, kind="Keep"), event(2, kind="A"), event(3, kind="B"), event(4, kind="A")]
        await db.commit(Batch(run=run(status=RunStatus.ERROR, created_at=1.0, updated_at=1.0), events=rows))
        live = [event(1, run_id="live", kind="A")]
        await db.commit(Batch(run=run("live", created_at=1.0, updated_at=1.0), events=live))
        kinds = frozenset({"A", "B"})
        assert await db.prune(kinds=kinds, before=1.0, limit=10) == Pruned()
        assert await db.prune(kinds=kinds, before=2.0, limit=2) == Pruned(rows=2, more=True)
        assert [row.seq for row in await other.load_events("r1")] == [1, 4]
        assert await db.prune(kinds=kinds, before=2.0, limit=2) == Pruned(rows=1)
        assert await db.prune(kinds=frozenset(), before=2.0, limit=2) == Pruned()
        assert [row.seq for row in await other.load_events("r1")] == [1]
        assert await other.load_run("r1") is not None
        assert await other.load_events("live") == live

    async def test_pruning_is_of_one_workflow(self, db: BaseDb, other: BaseDb) -> None:
        for run_id, workflow_id in (("r1", "w1"), ("r2", "w2"), ("r3", None), ("r4", "w1")):
            row = run(run_id, status=RunStatus.COMPLETED, updated_at=1.0, workflow_id=workflow_id)
            await db.commit(Batch(run=row, events=[event(1, run_id=run_id)]))
        kinds = frozenset({"StepCompleted"})
        assert await db.prune(kinds=kinds, before=9.0, limit=9, workflow_id="w2") == Pruned(rows=1)
        assert await db.prune(kinds=None, before=9.0, limit=9, workflow_id="w1") == Pruned(rows=2)
        assert await db.prune(kinds=None, before=9.0, limit=9, workflow_id="unknown") == Pruned()
        assert [row.run_id for row in await other.list_runs(RunFilter())] == ["r3", "r2"]
        assert [len(await other.load_events(run_id)) for run_id in ("r2", "r3")] == [0, 1]
        assert await db.prune(kinds=None, before=9.0, limit=9) == Pruned(rows=2)

    async def test_a_run_from_which_a_stored_one_was_forked_is_kept(self, db: BaseDb, other: BaseDb) -> None:
        ended: dict[str, Any] = {"status": RunStatus.COMPLETED, "created_at": 1.0, "updated_at": 1.0}
        for run_id, forked_from in (("r1", None), ("r2", "r1@4"), ("r3", "r2@5"), ("r", None), ("r5@6", None)):
            await db.commit(Batch(run=run(run_id, forked_from=forked_from, **ended), steps=[step(run_id=run_id)]))
        await db.commit(Batch(run=run("r4", status=RunStatus.PAUSED, forked_from="r5@6@7", updated_at=1.0)))

        async def prune() -> list[str]:
            await db.prune(kinds=None, before=9.0, limit=9)
            return sorted(row.run_id for row in await other.list_runs(RunFilter()))

        assert await prune() == ["r1", "r2", "r4", "r5@6"]
        assert len(await other.load_steps("r1")) == 1
        assert await prune() == ["r1", "r4", "r5@6"]
        assert await prune() == ["r4", "r5@6"]
        assert await prune() == ["r4", "r5@6"]
        await db.commit(Batch(run=run("r4", forked_from="r5@6@7", **ended)))
        assert await prune() == ["r5@6"]
        assert await prune() == []

    async def test_a_deleted_session_lets_the_origins_of_its_forks_go(self, db: BaseDb) -> None:
        await db.commit(Batch(run=run("r1", status=RunStatus.COMPLETED, updated_at=1.0)))
        await db.commit(Batch(run=run("r2", session_id="s2", forked_from="r1@4")))
        assert await db.prune(kinds=None, before=9.0, limit=9) == Pruned()
        await db.delete_session("s2")
        assert await db.prune(kinds=None, before=9.0, limit=9) == Pruned(rows=1)

    async def test_what_is_marked_as_pruned_is_not_looked_at_again(self, db: BaseDb, other: BaseDb) -> None:
        text, all_kinds = frozenset({"Text"}), frozenset({"Text", "Done"})
        for number in range(3):
            rows = [event(seq, run_id=f"r{number}", kind="Text" if seq < 3 else "Done") for seq in range(1, 5)]
            ended = run(f"r{number}", status=RunStatus.COMPLETED, updated_at=float(number))
            await db.commit(Batch(run=ended, events=rows if number else ()))

        async def prune(kinds: frozenset[str], mark: int, before: float = 9.0) -> tuple[int, bool]:
            found = await db.prune(kinds=kinds, before=before, limit=3, mark=mark)
            return found.rows, found.more

        assert await prune(text, 1, before=2.0) == (2, False)
        # Nobody does this: it shows what is looked at.
        await db.commit(Batch(events=[event(1, run_id="r1", kind="Text")]))
        assert await prune(text, 1) == (2, False)
        assert await prune(text, 1) == (0, False)
        assert [len(await other.load_events(f"r{number}")) for number in range(3)] == [0, 3, 2]
        assert await prune(all_kinds, 2) == (3, True)
        assert await prune(all_kinds, 2) == (2, False)
        assert await prune(all_kinds, 2) == (0, False)
        assert [await other.load_events(f"r{number}") for number in range(3)] == [[], [], []]
        assert await db.prune(kinds=None, before=9.0, limit=9) == Pruned(rows=3)
