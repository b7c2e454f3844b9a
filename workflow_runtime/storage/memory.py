"""A database in this process's memory: the reference model of the contract, for tests and for runs nobody keeps.

Every call is one short section under a lock that nothing awaits in, so it works on asyncio and trio, and from several
loops and threads at once. What is stored is never handed out: rows are copied on the way in and on the way out.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from copy import copy
from itertools import islice, takewhile
from threading import Lock

import msgspec

from ..model.enums import RunStatus
from . import rules
from .base import (
    CONTRACT,
    BaseDb,
    Batch,
    Committed,
    DeliveryRow,
    EventRow,
    Fence,
    HistoryRow,
    LeaseClock,
    LeaseState,
    MessageRow,
    Pruned,
    QueueRow,
    RequirementRow,
    RunFilter,
    RunRow,
    ScheduleRow,
    Sent,
    SessionHistory,
    SessionPatch,
    SessionRow,
    SignalRow,
    StepRow,
)
from .history import history_rows
from .memory_deliveries import Deliveries
from .memory_questions import OpenQuestions
from .memory_tables import Ordered, RunTable
from .watch import Watch

__all__ = ["InMemoryDb"]

_PENDING = frozenset({RunStatus.PENDING})
_ASKING = frozenset({RunStatus.PAUSED, RunStatus.RUNNING})


class InMemoryDb(BaseDb):
    """Keeps everything until the object goes. ``aclose`` forgets nothing, so a closed database can be opened again.

    Args:
        id: What the database is called in messages and listings.
        clock: What leases are measured with; None is the machine's clock. A test that lets leases run out gives it the
            clock of its workflow (``FakeClock``).
    """

    contract = CONTRACT

    def __init__(self, *, id: str = "memory", clock: LeaseClock | None = None) -> None:
        self.id = id
        self._clock: LeaseClock = time if clock is None else clock
        self._lock = Lock()
        self._watch = Watch()
        self._runs = RunTable()
        self._sessions: dict[str, SessionRow] = {}
        self._history: dict[str, list[HistoryRow]] = {}  # by session, in the order of versions
        self._begins: dict[str, int] = {}  # where histories of which something was deleted begin
        self._session_order = Ordered()
        self._open = OpenQuestions()
        self._locks: dict[str, tuple[str, float]] = {}
        self._deletions: dict[str, float] = {}
        self._deliveries = Deliveries()
        self._schedules: dict[tuple[str, str], ScheduleRow] = {}

    @classmethod
    def from_url(cls, url: str) -> InMemoryDb:  # noqa: ARG003 - as the other databases have it
        """A new, empty database for ``memory://``."""
        return cls()

    async def open(self) -> None:
        pass

    async def aclose(self) -> None:
        pass

    # -- writing ------------------------------------------------------------------------------------------------------

    async def commit(self, batch: Batch) -> Committed:
        with self._lock:
            freed = rules.frees(batch, self._runs.row(rules.subject(batch)))
            done = self._commit(batch)
        self._watch.wake(rules.wakes(batch) if freed is None else {*rules.wakes(batch), freed})
        return done

    def _commit(self, batch: Batch) -> Committed:
        run_id, patch = rules.subject(batch), batch.session
        stored = self._runs.row(run_id)
        session_id = rules.session_to_load(batch, stored)
        session = None if session_id is None else self._sessions.get(session_id)
        verdict = rules.decide(
            batch,
            run=stored,
            fenced=self._runs.row(batch.fence.run_id) if batch.fence is not None else None,
            session=session,
            state={} if session is None else session.state,
            answered=self._answered(batch, run_id),
            has_unseen=self._has_unseen(batch, run_id),
            deleted_at=None if batch.run is None else self._deletions.get(batch.run.session_id),
            now=self._clock.time(),
            duplicate=None if batch.run is None else self._runs.duplicate(batch.run),
            queued={} if batch.run is None else self._runs.queued(batch.run),
        )
        if verdict.run is not None:
            self._runs.put(verdict.run)
            if verdict.run.status.is_final:
                self._runs.take_signals(verdict.run.run_id)
            elif verdict.run.status is RunStatus.PAUSED:
                self._runs.take_signals(verdict.run.run_id, "message")
        version = rules.version_before(batch, session)
        for step in batch.steps:
            self._runs.ensure(step.run_id).put_step(rules.step_to_store(step, version))
        for event in batch.events:
            self._runs.ensure(event.run_id).put_event(event)
        for row in batch.requirements:
            self._put_requirement(row)
        if batch.deliveries:
            self._deliveries.put(batch.deliveries, self._clock.time())
        if verdict.session is None or patch is None:
            return Committed(cancel_requested=verdict.cancel_requested)
        self._put_session(verdict.session, patch)
        return Committed(session_version=verdict.session.version, cancel_requested=verdict.cancel_requested)

    def _answered(self, batch: Batch, run_id: str | None) -> list[str]:
        run = self._runs.by_id.get(run_id) if batch.waits_for and run_id is not None else None
        known = {} if run is None else run.requirements
        return [name for name in batch.waits_for if name in known and known[name].answered_at is not None]

    def _has_unseen(self, batch: Batch, run_id: str | None) -> bool:
        run = self._runs.by_id.get(run_id) if batch.messages_seen is not None and run_id is not None else None
        return run is not None and len(run.messages) > (batch.messages_seen or 0)

    def _put_session(self, row: SessionRow, patch: SessionPatch) -> None:
        old = self._sessions.get(row.session_id)
        row.state = {} if old is None else old.state
        version = 0 if old is None else old.version
        rows = [msgspec.structs.replace(change, version=version + change.version) for change in history_rows(patch)]
        if rows:
            self._history.setdefault(row.session_id, []).extend(rows)
        for key, value in patch.state.items():
            if value is None:
                row.state.pop(key, None)
            else:
                row.state[key] = value
        if old is None:
            self._session_order.add((row.created_at, row.session_id))
        self._sessions[row.session_id] = row

    def _put_requirement(self, row: RequirementRow) -> None:
        run = self._runs.ensure(row.run_id)
        run.put_requirement(row)
        stored = run.requirements[row.requirement_id]
        if rules.is_open(stored):
            self._open.add(stored)
        else:
            self._open.remove(row.run_id, row.requirement_id)

    async def answer(self, rows: Sequence[RequirementRow]) -> None:
        with self._lock:
            self._store_answers(rows)
            for run_id, at in {row.run_id: row.answered_at or 0.0 for row in rows}.items():
                self._runs.signal(SignalRow(run_id=run_id, kind="answered", created_at=at))
        self._watch.wake({row.run_id for row in rows})

    def _store_answers(self, rows: Sequence[RequirementRow]) -> None:
        found: dict[tuple[str, str], RequirementRow] = {}
        for row in rows:
            run = self._runs.by_id.get(row.run_id)
            if run is not None and row.requirement_id in run.requirements:
                found[row.run_id, row.requirement_id] = run.requirements[row.requirement_id]
        times = {key: (stored.answered_at, stored.withdrawn_at) for key, stored in found.items()}
        stored_runs = {row.run_id: self._runs.row(row.run_id) for row in rows}
        rules.check_answers(rows, times, {key: row.status for key, row in stored_runs.items() if row is not None})
        for row in rows:
            key = (row.run_id, row.requirement_id)
            found[key].data, found[key].answered_at = row.data, row.answered_at
            self._open.remove(*key)
            run = self._runs.by_id[row.run_id]
            run.touched = 0 if run.row is None else run.row.seq

    async def send(self, row: MessageRow) -> Sent:
        with self._lock:
            run = self._runs.by_id.get(row.run_id)
            status = None if run is None or run.row is None else run.row.status
            known = {} if run is None else run.messages
            stored = known.get(row.message_id)
            awaited = run is not None and any(rules.awaits(item, row.topic) for item in run.requirements.values())
            if rules.check_message(row, status=status, stored=stored, awaited=awaited):
                assert status is not None
                stored = known[row.message_id] = copy(row)
                stored.number = len(known)
                if rules.signals_message(status, row.topic, awaited):
                    self._runs.signal(SignalRow(run_id=row.run_id, kind="message", created_at=row.created_at))
                return Sent(number=stored.number, created_at=row.created_at, awaited=awaited)
            assert stored is not None
            return Sent(number=stored.number, created_at=stored.created_at, repeated=True)

    async def claim(
        self,
        run_id: str,
        *,
        owner: str,
        now: float,
        lease: float,
        statuses: frozenset[RunStatus],
        expired_only: bool,
        answers: Sequence[RequirementRow] = (),
    ) -> RunRow | None:
        with self._lock:
            row = rules.claimed(
                self._runs.row(run_id),
                owner=owner,
                now=self._clock.time(),
                updated_at=now,
                lease=lease,
                statuses=statuses,
                expired_only=expired_only,
            )
            if row is not None:
                self._store_answers(answers)
                self._runs.put(copy(row))
                self._runs.take_signals(run_id)
        if row is not None:
            self._watch.wake((run_id,))
        return row

    async def claim_next(
        self, queues: Sequence[str], *, workflows: Sequence[str], owner: str, now: float, lease: float
    ) -> RunRow | None:
        with self._lock:
            found = self._runs.first_due(queues, workflows, now)
            if found is None:
                return None
            row = rules.claimed(
                found,
                owner=owner,
                now=self._clock.time(),
                updated_at=now,
                lease=lease,
                statuses=_PENDING,
                expired_only=True,
            )
            assert row is not None
            self._runs.put(copy(row))
            self._runs.note_claim(row, now)
            self._runs.take_signals(row.run_id)
        self._watch.wake((row.run_id,))
        return row

    async def put_back(self, fence: Fence, *, not_before: float | None) -> bool:
        with self._lock:
            row = rules.put_back(self._runs.row(fence.run_id), fence, not_before)
            if row is None:
                return False
            self._runs.put(row)
        self._watch.wake((row.run_id, rules.queue_key(row.queue or "")))
        return True

    async def reschedule(self, run_id: str, *, not_before: float | None) -> bool:
        with self._lock:
            row = self._runs.row(run_id)
            if row is None or not rules.is_queued(row):
                return False
            row = copy(row)
            row.not_before = not_before
            self._runs.put(row)
        self._watch.wake((run_id, rules.queue_key(row.queue or "")))
        return True

    async def list_queues(self, *, now: float) -> list[QueueRow]:
        with self._lock:
            return rules.queue_rows(self._runs.with_queue(), now)

    async def put_schedule(self, row: ScheduleRow) -> ScheduleRow:
        with self._lock:
            key = (row.workflow_id, row.name)
            stored = self._schedules.get(key)
            if stored is None or stored.data != row.data:
                created_at = row.created_at if stored is None else stored.created_at
                stored = self._schedules[key] = msgspec.structs.replace(row, created_at=created_at)
            return copy(stored)

    async def move_schedule(self, row: ScheduleRow, *, next_at: float) -> bool:
        with self._lock:
            stored = self._schedules.get((row.workflow_id, row.name))
            if stored is None or (stored.next_at, stored.data) != (row.next_at, row.data):
                return False
            stored.next_at = next_at
            return True

    async def delete_schedule(self, workflow_id: str, name: str) -> bool:
        with self._lock:
            return self._schedules.pop((workflow_id, name), None) is not None

    async def list_schedules(
        self, *, workflow_id: str | None = None, due_before: float | None = None
    ) -> list[ScheduleRow]:
        with self._lock:
            return [
                copy(row)
                for _, row in sorted(self._schedules.items())
                if workflow_id in (None, row.workflow_id) and (due_before is None or row.next_at <= due_before)
            ]

    async def renew(self, leases: Sequence[tuple[Fence, float]]) -> list[LeaseState]:
        with self._lock:
            now = self._clock.time()
            return [self._renew(fence, now, lease) for fence, lease in leases]

    def _renew(self, fence: Fence, now: float, lease: float) -> LeaseState:
        stored = self._runs.row(fence.run_id)
        state = rules.renewed(stored, fence)
        if stored is not None and state.held:
            stored.lease_until = now + lease
            stored.owner = stored.owner if lease else None
        return state

    async def request_cancel(self, run_id: str, *, now: float) -> RunStatus | None:
        with self._lock:
            row = rules.cancel_requested(self._runs.row(run_id), now)
            if row is None:
                return None
            self._runs.put(row)
            self._runs.signal(SignalRow(run_id=run_id, kind="cancel", created_at=now))
        self._watch.wake((run_id,))
        return row.status

    async def take_signals(self, owner: str) -> list[SignalRow]:
        with self._lock:
            taken = [signal for run_id in self._runs.signalled(owner) for signal in self._runs.take_signals(run_id)]
        return sorted(taken, key=lambda signal: signal.number)

    # -- webhooks ------------------------------------------------------------------------------------------------------

    async def claim_deliveries(self, hooks: Sequence[str], *, lease: float, limit: int) -> list[DeliveryRow]:
        with self._lock:
            return self._deliveries.claim(hooks, self._clock.time(), lease, limit)

    async def settle_delivery(self, row: DeliveryRow, *, error: str | None = None, delay: float | None = None) -> bool:
        with self._lock:
            return self._deliveries.settle(row, self._clock.time(), error, delay)

    async def list_deliveries(self, *, dead: bool | None = None, limit: int = 100) -> list[DeliveryRow]:
        with self._lock:
            return self._deliveries.list(dead, limit)

    async def retry_deliveries(self, *, hook: str | None = None, run_id: str | None = None) -> int:
        with self._lock:
            return self._deliveries.retry(hook, run_id, self._clock.time())

    async def acquire(self, name: str, *, owner: str, lease: float) -> bool:
        with self._lock:
            now = self._clock.time()
            holder = self._locks.get(name)
            if holder is not None and holder[0] != owner and holder[1] > now:
                return False
            self._locks[name] = (owner, now + lease)
            return True

    async def release(self, name: str, *, owner: str) -> None:
        with self._lock:
            if name in self._locks and self._locks[name][0] == owner:
                del self._locks[name]

    async def discard(self, run_id: str) -> bool:
        with self._lock:
            found = rules.discardable(self._runs.row(run_id), self._clock.time())
            if found:
                self._delete_run(run_id)
        if found:
            self._watch.wake((run_id,))
        return found

    async def delete_session(self, session_id: str, *, now: float | None = None) -> bool:
        with self._lock:
            if now is not None:
                self._deletions.pop(session_id, None)
                self._deletions[session_id] = now
                for name in [*islice(self._deletions, 2)]:  # the oldest come first
                    if self._deletions[name] < now - rules.REMEMBERED:
                        del self._deletions[name]
            gone = self._runs.of_session(session_id)
            for run_id in gone:
                self._delete_run(run_id)
            self._history.pop(session_id, None)
            self._begins.pop(session_id, None)
            session = self._sessions.pop(session_id, None)
            if session is not None:
                self._session_order.remove((session.created_at, session_id))
        self._watch.wake(gone)
        return session is not None or bool(gone)

    def _delete_run(self, run_id: str) -> None:
        for requirement_id in self._runs.by_id[run_id].requirements:
            self._open.remove(run_id, requirement_id)
        self._runs.delete(run_id)
        self._deliveries.drop(run_id)

    async def prune(
        self,
        *,
        kinds: frozenset[str] | None,
        before: float,
        limit: int,
        workflow_id: str | None = None,
        mark: int = 0,
    ) -> Pruned:
        bounded = kinds is None or mark > 0
        with self._lock:
            old = self._runs.old(workflow_id, rules.levels(kinds, mark), before, limit if bounded else None)
            rows = self._drop_runs(old, before) if kinds is None else self._drop_events(old, kinds, limit, mark)
            return Pruned(rows=rows, more=rows >= limit or (bounded and len(old) >= limit))

    def _drop_events(self, run_ids: list[str], kinds: frozenset[str], limit: int, mark: int) -> int:
        rows = 0
        for run_id in run_ids:
            rows += self._runs.by_id[run_id].drop_events(kinds, limit - rows)
            if rows >= limit:
                break
            if mark:
                self._runs.set_mark(run_id, mark)
        return rows

    def _drop_runs(self, run_ids: list[str], before: float) -> int:
        gone = 0
        sessions: dict[str, None] = {}
        for run_id in run_ids:
            if self._runs.has_forks(run_id):
                self._runs.set_mark(run_id, rules.KEPT)
                continue
            row = self._runs.row(run_id)
            if row is not None and row.state_from is not None:
                sessions[row.session_id] = None
            self._delete_run(run_id)
            gone += 1
        for session_id in sessions:
            self._drop_history(session_id, before)
        return gone

    def _drop_history(self, session_id: str, before: float) -> None:
        """Forget what is older than ``before`` and no run needs."""
        runs = (self._runs.row(run_id) for run_id in self._runs.of_session(session_id))
        needed = min((row.state_from for row in runs if row is not None and row.state_from is not None), default=None)
        known = self._history.get(session_id, [])
        gone = [*takewhile(lambda row: row.created_at < before and (needed is None or row.version <= needed), known)]
        if gone:
            self._history[session_id] = known[len(gone) :]
            self._begins[session_id] = gone[-1].version

    # -- reading ------------------------------------------------------------------------------------------------------

    async def load_run(self, run_id: str) -> RunRow | None:
        with self._lock:
            row = self._runs.row(run_id)
            return None if row is None else self._read(row)

    def _read(self, row: RunRow) -> RunRow:
        new = copy(row)
        new.expired = rules.expired(row, self._clock.time())
        return new

    async def load_steps(self, run_id: str, *, path: str | None = None) -> list[StepRow]:
        with self._lock:
            run = self._runs.by_id.get(run_id)
            rows = [] if run is None else [copy(row) for row in run.steps.values() if path in (None, row.path)]
        return sorted(rows, key=lambda row: (row.position, row.path))

    async def load_messages(self, run_id: str, *, after: int = 0) -> list[MessageRow]:
        with self._lock:
            run = self._runs.by_id.get(run_id)
            return [] if run is None else [copy(row) for row in run.messages.values() if row.number > after]

    async def load_events(self, run_id: str, *, after: int = 0, limit: int = 1000) -> list[EventRow]:
        with self._lock:
            run = self._runs.by_id.get(run_id)
            return [] if run is None else run.events_after(after, limit)

    async def load_requirements(self, run_id: str) -> list[RequirementRow]:
        with self._lock:
            run = self._runs.by_id.get(run_id)
            rows = [] if run is None else [copy(row) for row in run.requirements.values()]
        return sorted(rows, key=lambda row: row.created_at)

    async def list_requirements(
        self,
        *,
        session_id: str | None = None,
        user_id: str | None = None,
        workflow_id: str | None = None,
        due_before: float | None = None,
        limit: int = 100,
        after: tuple[float, str] | None = None,
    ) -> list[RequirementRow]:
        with self._lock:
            scope = session_id, user_id, workflow_id
            names = self._open.oldest_first(*scope, after) if due_before is None else self._open.due(*scope, due_before)
            found = (
                copy(row)
                for row in (self._runs.by_id[run_id].requirements[name] for run_id, name in names)
                if (run := self._runs.row(row.run_id)) is not None
                and run.status in _ASKING
                and session_id in (None, row.session_id)
                and user_id in (None, row.user_id)
                and workflow_id in (None, row.workflow_id)
                and (after is None or (row.created_at, row.requirement_id) > after)
            )
            if due_before is None:
                return list(islice(found, limit))
            return sorted(found, key=lambda row: (row.created_at, row.requirement_id))[:limit]

    async def load_session(self, session_id: str) -> SessionRow | None:
        with self._lock:
            session = self._sessions.get(session_id)
            if session is None:
                return None
            row = copy(session)
            row.state = dict(session.state)
            return row

    async def load_history(self, session_id: str, *, after: int, until: int) -> SessionHistory | None:
        with self._lock:
            session = self._sessions.get(session_id)
            if session is None:
                return None
            rows: list[HistoryRow] = []
            ended: set[str] = set()
            for row in self._history.get(session_id, ()):
                if row.version > after and row.name not in ended:
                    rows.append(row)
                    if row.whole and row.version > until:
                        ended.add(row.name)
            return SessionHistory(
                session_id=session_id,
                version=session.version,
                begins=self._begins.get(session_id, 0),
                state=dict(session.state),
                rows=sorted(rows, key=lambda row: (row.version, row.name)),
            )

    async def list_runs(
        self, where: RunFilter, *, limit: int = 50, before: tuple[float, str] | None = None
    ) -> list[RunRow]:
        with self._lock:
            found = self._runs.newest_first(where, before, self._clock.time())
            return [self._read(row) for row in islice(found, limit)]

    async def list_sessions(
        self,
        *,
        user_id: str | None = None,
        workflow_id: str | None = None,
        limit: int = 50,
        before: tuple[float, str] | None = None,
    ) -> list[SessionRow]:
        with self._lock:
            rows = (self._sessions[session_id] for session_id in self._session_order.newest_first(before))
            wanted = (row for row in rows if user_id in (None, row.user_id) and workflow_id in (None, row.workflow_id))
            return [_listed(row) for row in islice(wanted, limit)]

    async def changed(self, run_id: str, *, seen: int, timeout: float) -> bool:
        async def look() -> float | None:
            with self._lock:
                queue = rules.queue_of(run_id)
                if queue is not None:
                    return rules.RECHECK if self._runs.is_waiting(queue, self._clock.time()) else None
                run = self._runs.by_id.get(run_id)
                if run is None:
                    return rules.wake_after(seq=None, touched=0, tail=0, seen=seen)
                seq = None if run.row is None else run.row.seq
                return rules.wake_after(seq=seq, touched=run.touched, tail=run.tail, seen=seen)

        return await self._watch.wait(run_id, timeout=timeout, look=look)


def _listed(row: SessionRow) -> SessionRow:
    new = copy(row)
    new.state = {}
    return new
