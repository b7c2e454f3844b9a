"""Random sequences of calls, each compared with what ``InMemoryDb`` says to the same call.

    class MyModel(DbModel):
        def make(self):
            return MyDb(...)

    TestMyModel = MyModel.TestCase

Few ids, users, times and keys, so that calls meet: conflicts, take-overs and second answers are the common case.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ..model.enums import RunStatus
from ..model.errors import AlreadyAnswered, ConcurrentWrite, WorkflowRuntimeError
from ..storage.base import (
    BaseDb,
    Batch,
    EventRow,
    Fence,
    RequirementRow,
    RunFilter,
    RunRow,
    SessionPatch,
    StepRow,
)
from ..storage.memory import InMemoryDb

__all__ = ["DbModel", "batches"]

RUNS, SESSIONS, QUESTIONS = ("r1", "r2", "r3"), ("s1", "s2"), ("q1", "q2")

runs = st.sampled_from(RUNS)
sessions = st.sampled_from(SESSIONS)
# Mostly one user: a stream of refusals finds nothing.
users = st.sampled_from((None, "u1", "u1", "u1", "u2"))
owners = st.sampled_from(("a", "b"))
workflows = st.sampled_from((None, "w1", "w2"))
times = st.integers(0, 9).map(float)
# Each database has a clock of its own, so leases are long past or far away.
leases = st.sampled_from((-1e6, 1e6))
blobs = st.sampled_from((b"", b"1", b"2", b"\x00\xff"))
statuses = st.sampled_from(sorted(RunStatus))
some_statuses = st.frozensets(statuses, max_size=4)
kinds = st.sampled_from(("A", "B"))
# The ranges of a run's rows do not overlap.
ranges = st.sampled_from(((1, 1), (2, 4), (5, 5), (6, 9), (10, 10)))

run_rows = st.builds(
    RunRow,
    run_id=runs,
    session_id=sessions,
    status=statuses,
    user_id=users,
    workflow_id=workflows,
    workflow_name=workflows,
    parent_run_id=st.none() | runs,
    attempt=st.integers(1, 3),
    seq=st.integers(0, 5),
    fingerprint=st.sampled_from(("", "f")),
    created_at=times,
    updated_at=times,
    data=blobs,
    owner=st.none() | owners,
    lease_until=st.none() | st.sampled_from((1.0, 9e9)),
    lease=st.none() | leases,
    deaths=st.integers(0, 3),
    reserved=st.booleans(),
    forked_from=st.none() | st.builds("{}@1".format, runs),
    state=st.none() | blobs,
    state_from=st.none() | st.integers(0, 3),
)
step_rows = st.builds(
    StepRow,
    run_id=runs,
    path=st.sampled_from(("0.a", "1.b", "2.c")),
    position=st.integers(0, 2),
    status=st.sampled_from(("running", "completed")),
    attempt=st.integers(1, 2),
    started_at=st.none() | times,
    finished_at=st.none() | times,
    data=st.none() | blobs,
    state=st.none() | blobs,
    state_version=st.none() | st.just(0),
)
event_rows = st.builds(
    lambda span, **values: EventRow(seq=span[0], last_seq=span[1], **values),
    span=ranges,
    run_id=runs,
    epoch=st.integers(1, 2),
    kind=kinds,
    path=st.sampled_from(("", "0.a")),
    data=blobs,
)
requirement_rows = st.builds(
    # The id of a question names its run, so no two runs have one of the same id.
    lambda run_id, question, **values: RequirementRow(run_id=run_id, requirement_id=f"{run_id}:{question}", **values),
    run_id=runs,
    question=st.sampled_from(QUESTIONS),
    session_id=sessions,
    user_id=users,
    workflow_id=workflows,
    path=st.just("0.a"),
    kind=st.just("confirmation"),
    created_at=times,
    timeout_at=st.none() | times,
    answered_at=st.none() | times,
    used_at=st.none() | times,
    withdrawn_at=st.none() | times,
    data=blobs,
)
question_ids = st.builds("{}:{}".format, runs, st.sampled_from(QUESTIONS))
states = st.dictionaries(st.sampled_from(("k", "l", "metadata")), st.none() | blobs, max_size=2)
patches = st.builds(
    # Changes lead to the state.
    lambda before, state, **values: SessionPatch(
        state=state, changes=[*(dict.fromkeys(state, value) for value in before), state], **values
    ),
    before=st.lists(st.none() | blobs, max_size=2),
    session_id=sessions,
    user_id=users,
    workflow_id=workflows,
    workflow_name=workflows,
    state=states,
    expected=states,
    name=st.none() | st.just("name"),
    metadata=st.none() | blobs,
    metrics=st.none() | st.dictionaries(st.sampled_from(("m", "n")), st.integers(0, 3) | st.just(0.5), max_size=2),
    workflow_data=st.none() | blobs,
    now=times,
)
fences = st.builds(Fence, run_id=runs, attempt=st.integers(1, 4), owner=st.none() | owners)


@st.composite
def batches(draw: st.DrawFn) -> Batch:
    """A batch: any parts of it may be missing; run and session mostly go together."""
    run = draw(st.none() | run_rows)
    patch = draw(st.none() | patches)
    if run is not None and patch is not None and draw(st.integers(0, 9)):
        patch.session_id = run.session_id
    return Batch(
        fence=draw(st.none() | fences),
        run=run,
        create=draw(st.integers(0, 3)) == 0,
        statuses=draw(st.none() | st.none() | some_statuses),
        steps=draw(st.lists(step_rows, max_size=2)),
        events=draw(st.lists(event_rows, max_size=3)),
        requirements=draw(st.lists(requirement_rows, max_size=2)),
        session=patch,
        waits_for=draw(st.frozensets(question_ids, max_size=2)),
    )


filters = st.builds(
    RunFilter,
    session_id=st.none() | sessions,
    user_id=users,
    workflow_id=workflows,
    parent_run_id=st.none() | runs,
    statuses=st.none() | some_statuses,
    expired=st.booleans(),
    expired_within=st.none() | st.sampled_from((1e3, 1e7)),
    signalled=st.booleans(),
)
keys = st.none() | st.tuples(times, runs)


class DbModel(RuleBasedStateMachine):
    """Subclass it and ``make`` a database; its ``TestCase`` is the test."""

    def make(self) -> BaseDb:
        """A new, empty database that works on asyncio."""
        raise NotImplementedError

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.model = InMemoryDb()
        self.db = self.make()

    def teardown(self) -> None:
        try:
            self.runner.run(self.db.aclose())
        finally:
            self.runner.close()

    def same(self, call: Callable[[BaseDb], Awaitable[Any]]) -> None:
        """Make the call on both and compare what came of it."""
        expected = self.runner.run(_outcome(self.model, call))
        assert self.runner.run(_outcome(self.db, call)) == expected

    # Several rules commit, and most of what they commit is accepted: an empty database shows nothing.

    @rule(batch=batches())
    def commit(self, batch: Batch) -> None:
        self.same(lambda db: db.commit(batch))

    @rule(row=run_rows)
    def put_run(self, row: RunRow) -> None:
        self.same(lambda db: db.commit(Batch(run=row)))

    @rule(
        steps=st.lists(step_rows, max_size=3),
        events=st.lists(event_rows, max_size=3),
        asked=st.lists(requirement_rows, max_size=3),
    )
    def put_rows(self, steps: list[StepRow], events: list[EventRow], asked: list[RequirementRow]) -> None:
        self.same(lambda db: db.commit(Batch(steps=steps, events=events, requirements=asked)))

    @rule(patch=patches)
    def put_session(self, patch: SessionPatch) -> None:
        self.same(lambda db: db.commit(Batch(session=patch)))

    @rule(rows=st.lists(requirement_rows, min_size=1, max_size=2))
    def answer(self, rows: list[RequirementRow]) -> None:
        self.same(lambda db: db.answer(rows))

    @rule(run_id=runs, owner=owners, now=times, lease=leases, wanted=some_statuses, expired_only=st.booleans())
    def claim(
        self, run_id: str, owner: str, now: float, lease: float, wanted: frozenset[RunStatus], expired_only: bool
    ) -> None:
        self.same(
            lambda db: db.claim(run_id, owner=owner, now=now, lease=lease, statuses=wanted, expired_only=expired_only)
        )

    @rule(wanted=st.lists(st.tuples(fences, leases | st.just(0.0)), max_size=3, unique_by=lambda item: item[0].run_id))
    def renew(self, wanted: list[tuple[Fence, float]]) -> None:
        self.same(lambda db: db.renew(wanted))

    @rule(run_id=runs, now=times)
    def request_cancel(self, run_id: str, now: float) -> None:
        self.same(lambda db: db.request_cancel(run_id, now=now))

    @rule(owner=owners, lease=leases)
    def acquire(self, owner: str, lease: float) -> None:
        self.same(lambda db: db.acquire("lock", owner=owner, lease=lease))

    @rule(owner=owners)
    def release(self, owner: str) -> None:
        self.same(lambda db: db.release("lock", owner=owner))

    @rule(session_id=sessions, now=st.none() | times)
    def delete_session(self, session_id: str, now: float | None) -> None:
        self.same(lambda db: db.delete_session(session_id, now=now))

    @rule(run_id=runs)
    def discard(self, run_id: str) -> None:
        self.same(lambda db: db.discard(run_id))

    @rule(
        wanted=st.none() | st.frozensets(kinds),
        before=times,
        limit=st.integers(1, 4),
        workflow=workflows,
        mark=st.integers(0, 2),
    )
    def prune(self, wanted: frozenset[str] | None, before: float, limit: int, workflow: str | None, mark: int) -> None:
        self.same(lambda db: db.prune(kinds=wanted, before=before, limit=limit, workflow_id=workflow, mark=mark))

    @rule(where=filters, limit=st.integers(1, 4), before=keys)
    def list_runs(self, where: RunFilter, limit: int, before: tuple[float, str] | None) -> None:
        self.same(lambda db: db.list_runs(where, limit=limit, before=before))

    @rule(user=users, workflow=workflows, limit=st.integers(1, 3), before=st.none() | st.tuples(times, sessions))
    def list_sessions(
        self, user: str | None, workflow: str | None, limit: int, before: tuple[float, str] | None
    ) -> None:
        self.same(lambda db: db.list_sessions(user_id=user, workflow_id=workflow, limit=limit, before=before))

    @rule(owner=owners)
    def take_signals(self, owner: str) -> None:
        self.same(lambda db: _signals(db, owner))

    @rule(
        session=st.none() | sessions,
        user=users,
        workflow=workflows,
        due=st.none() | times,
        limit=st.integers(1, 4),
        after=st.none() | st.tuples(times, question_ids),
    )
    def list_requirements(
        self,
        session: str | None,
        user: str | None,
        workflow: str | None,
        due: float | None,
        limit: int,
        after: tuple[float, str] | None,
    ) -> None:
        self.same(
            lambda db: db.list_requirements(
                session_id=session, user_id=user, workflow_id=workflow, due_before=due, limit=limit, after=after
            )
        )

    @rule(run_id=runs, after=st.integers(0, 10), limit=st.integers(1, 4))
    def load_events(self, run_id: str, after: int, limit: int) -> None:
        self.same(lambda db: db.load_events(run_id, after=after, limit=limit))

    @invariant()
    def everything_is_the_same(self) -> None:
        self.same(_everything)


async def _outcome(db: BaseDb, call: Callable[[BaseDb], Awaitable[Any]]) -> Any:
    try:
        return _comparable(await call(db))
    except WorkflowRuntimeError as error:
        details: Any = None
        if isinstance(error, ConcurrentWrite):
            details = (error.current, error.version)
        elif isinstance(error, AlreadyAnswered):
            details = (error.requirement_id, error.answered_at)
        return type(error), details


def _comparable(value: Any) -> Any:
    """``value`` without the moments that leases run out at: only whether they have is the same everywhere."""
    if isinstance(value, list):
        return [_comparable(item) for item in value]
    if isinstance(value, RunRow) and value.lease_until is not None:
        return msgspec.structs.replace(value, lease_until=None if value.expired else 9e9)
    return value


async def _signals(db: BaseDb, owner: str) -> list[tuple[str, str, float]]:
    # Not their numbers: a refused write may have used one up.
    return [(row.run_id, row.kind, row.created_at) for row in await db.take_signals(owner)]


async def _everything(db: BaseDb) -> list[Any]:
    found: list[Any] = [await db.list_runs(RunFilter()), await db.list_sessions(), await db.list_requirements()]
    for run_id in RUNS:
        found += [await db.load_run(run_id), await db.load_steps(run_id), await db.load_events(run_id)]
        found.append(await db.load_requirements(run_id))
    found += [await db.load_session(session_id) for session_id in SESSIONS]
    found += [await db.load_history(session_id, after=0, until=99) for session_id in SESSIONS]
    found += [await db.load_history(session_id, after=1, until=2) for session_id in SESSIONS]
    ready = await db.list_runs(RunFilter(signalled=True))
    found.append([row.run_id for row in ready])
    return found
