"""The writes of the contract, as functions that the writing thread runs inside a transaction.

Each of them first reads and decides, and only then writes: a refusal (an error of ``workflow_runtime``) leaves nothing
behind, so a group of them needs no savepoint. Errors of the driver may come from anywhere; the group is then undone.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import msgspec

from workflow_runtime.model.enums import RunStatus
from workflow_runtime.storage import rules
from workflow_runtime.storage.base import (
    RECEIVES,
    Batch,
    Committed,
    Fence,
    LeaseState,
    MessageRow,
    RequirementRow,
    RunRow,
    ScheduleRow,
    Sent,
    SessionPatch,
    SessionRow,
    SignalRow,
)

from . import deliveries
from . import statements as sql
from .rows import (
    event_values,
    message_row,
    message_values,
    requirement_values,
    run_row,
    run_values,
    schedule_row,
    schedule_values,
    session_row,
    signal_row,
    step_values,
)

__all__ = [
    "acquire",
    "answer",
    "claim",
    "claim_next",
    "commit",
    "move_schedule",
    "delete_schedule",
    "delete_session",
    "discard",
    "prune_events",
    "prune_runs",
    "put_back",
    "put_schedule",
    "release",
    "renew",
    "request_cancel",
    "send",
    "reschedule",
    "sweep",
    "take_signals",
]

_PENDING = frozenset({RunStatus.PENDING})
_NO_STATE: dict[str, bytes] = {}


def commit(connection: sqlite3.Connection, batch: Batch, now: float, woken: set[str]) -> Committed:
    """``BaseDb.commit``. A queue whose runs may be claimed now is added to ``woken``."""
    run_id, fence, patch = rules.subject(batch), batch.fence, batch.session
    stored, touched = _head(connection, run_id)
    fenced = stored if fence is None or fence.run_id == run_id else _head(connection, fence.run_id)[0]
    session_id = rules.session_to_load(batch, stored)
    session = None if session_id is None else _session(connection, session_id)
    state = _NO_STATE if patch is None or session is None else _state(connection, patch)
    answered = _answered(connection, run_id, batch.waits_for) if batch.waits_for else ()
    verdict = rules.decide(
        batch,
        run=stored,
        fenced=fenced,
        session=session,
        state=state,
        answered=answered,
        has_unseen=batch.messages_seen is not None and _last_message(connection, run_id) > batch.messages_seen,
        deleted_at=_deleted_at(connection, batch.run) if stored is None else None,
        now=now,
        duplicate=_duplicate(connection, batch.run) if batch.create else None,
        queued=_queued(connection, batch.run) if batch.create else {},
    )
    if (freed := rules.frees(batch, stored)) is not None:
        woken.add(freed)
    if verdict.run is not None:
        _put_run(connection, verdict.run, stored, touched)
        if verdict.run.status.is_final:
            connection.execute(sql.SIGNALS_TAKE, (verdict.run.updated_at, run_id))
        elif verdict.run.status is RunStatus.PAUSED:
            connection.execute(sql.SIGNALS_OF_MESSAGES_TAKE, (verdict.run.updated_at, run_id))
    if batch.steps:
        connection.executemany(sql.STEP_PUT, [step_values(row) for row in batch.steps])
    if batch.events:
        connection.executemany(sql.EVENT_PUT, [event_values(row) for row in batch.events])
    if batch.requirements:
        connection.executemany(sql.REQUIREMENT_PUT, [requirement_values(row) for row in batch.requirements])
    if batch.deliveries:
        deliveries.put(connection, batch.deliveries, now)
    if patch is None or verdict.session is None:
        return Committed(cancel_requested=verdict.cancel_requested)
    _put_session(connection, verdict.session, session)
    _put_values(connection, patch)
    return Committed(session_version=verdict.session.version, cancel_requested=verdict.cancel_requested)


def _head(connection: sqlite3.Connection, run_id: str | None) -> tuple[RunRow | None, int]:
    values = None if run_id is None else connection.execute(sql.RUN_HEAD, (run_id,)).fetchone()
    return (None, 0) if values is None else (run_row(values), values[-1])


def _deleted_at(connection: sqlite3.Connection, row: RunRow | None) -> float | None:
    values = None if row is None else connection.execute(sql.DELETION, (row.session_id,)).fetchone()
    return None if values is None else values[0]


def _answered(connection: sqlite3.Connection, run_id: str | None, names: frozenset[str]) -> list[str]:
    return [name for (name,) in connection.execute(sql.REQUIREMENTS_ANSWERED, (run_id,)) if name in names]


def _last_message(connection: sqlite3.Connection, run_id: str | None) -> int:
    return connection.execute(sql.MESSAGES_LAST, (run_id,)).fetchone()[0] or 0


def _session(connection: sqlite3.Connection, session_id: str) -> SessionRow | None:
    values = connection.execute(sql.SESSION, (session_id,)).fetchone()
    return None if values is None else session_row(values)


def _state(connection: sqlite3.Connection, patch: SessionPatch) -> Mapping[str, bytes]:
    found: dict[str, bytes] = {}
    for key in patch.state:
        values = connection.execute(sql.SESSION_KEY, (patch.session_id, key)).fetchone()
        if values is not None:
            found[key] = values[0]
    return found


def _put_run(connection: sqlite3.Connection, row: RunRow, old: RunRow | None, touched: int) -> None:
    if old is None:
        if connection.execute(sql.GARBAGE_HAS, (row.run_id,)).fetchone() is not None:
            with _deleting(connection):
                _delete_rows(connection, [row.run_id])  # of a deleted run that had the same id
        connection.execute(sql.RUN_INSERT, (*run_values(row), row.seq, _ended_at(row), row.data))
        about = (row.status.value, row.created_at, row.run_id, row.workflow_id)
        connection.executemany(sql.TAG_PUT, [(tag, *about) for tag in dict.fromkeys(row.tags)])
        _put_keys(connection, row)
        return
    if row.seq <= old.seq:
        touched = row.seq
    if _indexed(row) == _indexed(old):
        connection.execute(
            sql.RUN_CHECKPOINT,
            (
                *(row.attempt, row.seq, row.fingerprint, row.updated_at, row.deaths, row.reserved),
                *(touched, row.data, row.run_id),
            ),
        )
    else:
        ended = (_ended_at(row), row.status.is_final)
        connection.execute(sql.RUN_UPDATE, (*run_values(row)[1:-4], touched, *ended, row.data, row.run_id))


def _duplicate(connection: sqlite3.Connection, row: RunRow | None) -> str | None:
    if row is None or row.unique is None:
        return None
    values = connection.execute(sql.KEY_LIVE, (row.unique,)).fetchone()
    return None if values is None else values[0]


def _queued(connection: sqlite3.Connection, row: RunRow | None) -> dict[str, int]:
    keys = [] if row is None else [limit.key for limit in row.limits if limit.max_queued is not None]
    return {key: connection.execute(sql.KEY_QUEUED, (key,)).fetchone()[0] for key in keys}


def _put_keys(connection: sqlite3.Connection, row: RunRow) -> None:
    for key in rules.counted_keys(row):
        connection.execute(sql.KEY_PUT, (row.run_id, key, row.status.value))
    for limit in row.limits:
        numbers = (limit.concurrency, limit.rate, limit.period)
        if connection.execute(sql.LIMIT, (limit.key,)).fetchone() != numbers:
            connection.execute(sql.LIMIT_PUT, (limit.key, *numbers))


def _ended_at(row: RunRow) -> float | None:
    return row.updated_at if row.status.is_final else None


def _indexed(row: RunRow) -> tuple[object, ...]:
    return (
        row.status,
        _ended_at(row),
        row.lease_until,
        row.owner,
        row.created_at,
        row.user_id,
        row.workflow_id,
        row.workflow_name,
        row.parent_run_id,
        row.forked_from,
    )


def _put_session(connection: sqlite3.Connection, row: SessionRow, old: SessionRow | None) -> None:
    if old is None:
        values = (row.user_id, row.workflow_id, row.workflow_name, row.name, row.version, row.metrics)
        connection.execute(sql.SESSION_INSERT, (row.session_id, *values, row.created_at, row.updated_at))
    elif (row.user_id, row.workflow_id, row.workflow_name) == (old.user_id, old.workflow_id, old.workflow_name):
        connection.execute(sql.SESSION_CHECKPOINT, (row.name, row.version, row.metrics, row.updated_at, row.session_id))
    else:
        values = (row.user_id, row.workflow_id, row.workflow_name, row.name, row.version, row.metrics)
        connection.execute(sql.SESSION_UPDATE, (*values, row.updated_at, row.session_id))


def _put_values(connection: sqlite3.Connection, patch: SessionPatch) -> None:
    name = patch.session_id
    put = [(name, sql.STATE, key, value) for key, value in patch.state.items() if value is not None]
    if patch.metadata is not None:
        put.append((name, sql.EXTRA, "metadata", patch.metadata))
    if patch.workflow_data is not None:
        put.append((name, sql.EXTRA, "workflow_data", patch.workflow_data))
    if put:
        connection.executemany(sql.VALUE_PUT, put)
    gone = [(name, sql.STATE, key) for key, value in patch.state.items() if value is None]
    if gone:
        connection.executemany(sql.VALUE_DELETE, gone)


def answer(connection: sqlite3.Connection, rows: Sequence[RequirementRow]) -> None:
    """``BaseDb.answer``."""
    _store_answers(connection, rows)
    at = {row.run_id: row.answered_at for row in rows}
    connection.executemany(sql.RUN_TOUCH, [(run_id,) for run_id in at])
    connection.executemany(sql.SIGNAL_PUT, [(run_id, "answered", b"{}", when) for run_id, when in at.items()])


def _store_answers(connection: sqlite3.Connection, rows: Sequence[RequirementRow]) -> None:
    stored: dict[tuple[str, str], tuple[float | None, float | None]] = {}
    statuses: dict[str, RunStatus] = {}
    for row in rows:
        key = (row.run_id, row.requirement_id)
        values = connection.execute(sql.REQUIREMENT_TIMES, key).fetchone()
        if values is not None:
            stored[key] = values
        run = _head(connection, row.run_id)[0]
        if run is not None:
            statuses[row.run_id] = run.status
    rules.check_answers(rows, stored, statuses)
    connection.executemany(
        sql.REQUIREMENT_ANSWER, [(row.data, row.answered_at, row.run_id, row.requirement_id) for row in rows]
    )


def send(connection: sqlite3.Connection, row: MessageRow) -> Sent:
    """``BaseDb.send``."""
    run = _head(connection, row.run_id)[0]
    values = connection.execute(sql.MESSAGE, (row.run_id, row.message_id)).fetchone()
    stored = None if values is None else message_row(values)
    awaited = bool(connection.execute(sql.MESSAGE_AWAITED, (row.run_id, RECEIVES + row.topic)).fetchone()[0])
    if not rules.check_message(row, status=None if run is None else run.status, stored=stored, awaited=awaited):
        assert stored is not None
        return Sent(number=stored.number, created_at=stored.created_at, repeated=True)
    assert run is not None
    number = _last_message(connection, row.run_id) + 1
    connection.execute(sql.MESSAGE_PUT, message_values(row, number))
    if rules.signals_message(run.status, row.topic, awaited):
        connection.execute(sql.SIGNAL_PUT, (row.run_id, "message", b"{}", row.created_at))
    return Sent(number=number, created_at=row.created_at, awaited=awaited)


def claim(
    connection: sqlite3.Connection,
    run_id: str,
    owner: str,
    now: float,
    updated_at: float,
    lease: float,
    statuses: frozenset[RunStatus],
    expired_only: bool,
    answers: Sequence[RequirementRow],
) -> RunRow | None:
    """``BaseDb.claim``."""
    values = connection.execute(sql.RUN, (run_id,)).fetchone()
    row = rules.claimed(
        None if values is None else run_row(values, values[-1]),
        owner=owner,
        now=now,
        updated_at=updated_at,
        lease=lease,
        statuses=statuses,
        expired_only=expired_only,
    )
    if row is not None:
        if answers:
            _store_answers(connection, answers)
        _put_lease(connection, row)
        connection.execute(sql.SIGNALS_TAKE, (updated_at, run_id))
    return row


def claim_next(
    connection: sqlite3.Connection,
    queues: Sequence[str],
    workflows: Sequence[str],
    owner: str,
    now: float,
    updated_at: float,
    lease: float,
) -> RunRow | None:
    """``BaseDb.claim_next``."""
    for queue in queues:
        if connection.execute(sql.QUEUE_DELAYED, (queue, updated_at)).fetchone() is not None:
            connection.execute(sql.QUEUE_PROMOTE, (queue, updated_at))
        firsts: list[tuple[int, float, int, str]] = [
            (values[0], values[1], 0, values[2])
            for name in workflows
            if (values := connection.execute(sql.QUEUE_FIRST, (queue, name)).fetchone()) is not None
        ]
        if connection.execute(sql.LANES_HAVE, (queue,)).fetchone() is not None:
            firsts += [
                values
                for name in workflows
                if (values := _first_of_lanes(connection, queue, name, updated_at)) is not None
            ]
        if firsts:
            run_id = min(firsts)[3]
            row = claim(connection, run_id, owner, now, updated_at, lease, _PENDING, True, ())
            if row is not None and row.lane is not None:
                _serve_lane(connection, row, updated_at)
            return row
    return None


def _first_of_lanes(
    connection: sqlite3.Connection, queue: str, workflow_id: str, now: float
) -> tuple[int, float, int, str] | None:
    """The first run with limits that may be claimed, with its place. Lanes without a run are forgotten."""
    wanted = {"queue": queue, "workflow": workflow_id, "now": now}
    while (values := connection.execute(sql.LANE_FIRST, wanted).fetchone()) is not None:
        priority, served_at, turn, lane, run_id = values
        if run_id is not None:
            return priority, served_at, turn, run_id
        connection.execute(sql.LANE_DROP, (queue, workflow_id, -priority, lane))
    return None


def _serve_lane(connection: sqlite3.Connection, row: RunRow, now: float) -> None:
    connection.execute(sql.KEY_CLAIMED, (now, row.run_id))
    lane = (row.queue, row.workflow_id, row.priority, row.lane)
    (turn,) = connection.execute(sql.LANE_TURN, (*lane[:3], now)).fetchone()
    connection.execute(sql.LANE_SERVED, (now, turn, *lane))


def put_back(connection: sqlite3.Connection, fence: Fence, not_before: float | None) -> RunRow | None:
    """``BaseDb.put_back``: the new row, None if nothing has changed."""
    row = rules.put_back(_head(connection, fence.run_id)[0], fence, not_before)
    if row is not None:
        connection.execute(sql.QUEUE_SET, (row.status.value, None, None, not_before, row.run_id))
    return row


def reschedule(connection: sqlite3.Connection, run_id: str, not_before: float | None) -> RunRow | None:
    """``BaseDb.reschedule``: the old row, None if nothing has changed."""
    row = _head(connection, run_id)[0]
    if row is None or not rules.is_queued(row):
        return None
    connection.execute(sql.QUEUE_SET, (row.status.value, None, None, not_before, run_id))
    return row


def put_schedule(connection: sqlite3.Connection, row: ScheduleRow) -> ScheduleRow:
    """``BaseDb.put_schedule``."""
    connection.execute(sql.SCHEDULE_PUT, schedule_values(row))
    return schedule_row(connection.execute(sql.SCHEDULE, (row.workflow_id, row.name)).fetchone())


def move_schedule(connection: sqlite3.Connection, row: ScheduleRow, next_at: float) -> bool:
    """``BaseDb.move_schedule``."""
    values = (next_at, row.workflow_id, row.name, row.next_at, row.data)
    return connection.execute(sql.SCHEDULE_MOVE, values).rowcount > 0


def delete_schedule(connection: sqlite3.Connection, workflow_id: str, name: str) -> bool:
    """``BaseDb.delete_schedule``."""
    return connection.execute(sql.SCHEDULE_DELETE, (workflow_id, name)).rowcount > 0


def _put_lease(connection: sqlite3.Connection, row: RunRow) -> None:
    connection.execute(
        sql.RUN_LEASE,
        (
            row.status.value,
            row.attempt,
            row.owner,
            row.lease_until,
            row.cancel_requested,
            row.updated_at,
            row.deaths,
            row.run_id,
        ),
    )


def renew(connection: sqlite3.Connection, leases: Sequence[tuple[Fence, float]], now: float) -> list[LeaseState]:
    """``BaseDb.renew``."""
    wanted = msgspec.json.encode([fence.run_id for fence, _ in leases]).decode()
    rows = {values[0]: run_row(values) for values in connection.execute(sql.RUN_HEADS, (wanted,))}
    states = [rules.renewed(rows.get(fence.run_id), fence) for fence, _ in leases]
    held = [
        (now + lease, lease != 0, fence.run_id)
        for (fence, lease), state in zip(leases, states, strict=True)
        if state.held
    ]
    connection.executemany(sql.RUN_RENEW, held)
    return states


def request_cancel(connection: sqlite3.Connection, run_id: str, now: float) -> RunStatus | None:
    """``BaseDb.request_cancel``."""
    row = rules.cancel_requested(_head(connection, run_id)[0], now)
    if row is None:
        return None
    _put_lease(connection, row)
    connection.execute(sql.SIGNAL_PUT, (run_id, "cancel", b"{}", now))
    return row.status


def take_signals(connection: sqlite3.Connection, owner: str, now: float) -> list[SignalRow]:
    """``BaseDb.take_signals``."""
    found = [signal_row(values) for values in connection.execute(sql.SIGNALS, (owner,))]
    connection.executemany(sql.SIGNAL_TAKE, [(now, row.number) for row in found])
    return found


def acquire(connection: sqlite3.Connection, name: str, owner: str, now: float, lease: float) -> bool:
    """``BaseDb.acquire``."""
    return connection.execute(sql.LOCK_TAKE, (name, owner, now + lease, now)).rowcount > 0


def release(connection: sqlite3.Connection, name: str, owner: str) -> None:
    """``BaseDb.release``."""
    connection.execute(sql.LOCK_DROP, (name, owner))


def discard(connection: sqlite3.Connection, run_id: str, now: float) -> bool:
    """``BaseDb.discard``."""
    found = rules.discardable(_head(connection, run_id)[0], now)
    if found:
        with _deleting(connection):
            _delete_runs(connection, [run_id])
            _delete_rows(connection, [run_id])
    return found


def delete_session(connection: sqlite3.Connection, session_id: str, now: float | None, gone: list[str]) -> bool:
    """``BaseDb.delete_session``, except the rows of its runs, which are not visible any more: ``sweep`` deletes them.
    ``gone`` is filled with the ids of the deleted runs."""
    gone[:] = [run_id for (run_id,) in connection.execute(sql.RUNS_OF_SESSION, (session_id,))]
    with _deleting(connection):
        _delete_runs(connection, gone)
        found = [connection.execute(statement, (session_id,)).rowcount for statement in sql.SESSION_DELETE]
    connection.executemany(sql.GARBAGE_PUT, [(run_id,) for run_id in gone])
    if now is not None:
        connection.execute(sql.DELETION_PUT, (session_id, now))
        connection.execute(sql.DELETIONS_FORGET, (now - rules.REMEMBERED,))
    return bool(gone) or found[-1] > 0


def sweep(connection: sqlite3.Connection, limit: int) -> bool:
    """Delete the rows of at most ``limit`` runs of deleted sessions. Whether there may be more."""
    found = [run_id for (run_id,) in connection.execute(sql.GARBAGE, (limit,))]
    if found:
        with _deleting(connection):
            _delete_rows(connection, found)
    return len(found) >= limit


def _delete_rows(connection: sqlite3.Connection, run_ids: Sequence[str]) -> None:
    keys = [(run_id,) for run_id in run_ids]
    for statement in (*sql.ROWS_DELETE, sql.GARBAGE_DROP):
        connection.executemany(statement, keys)


def _delete_runs(connection: sqlite3.Connection, run_ids: Sequence[str]) -> None:
    keys = [(run_id,) for run_id in run_ids]
    forked = [values for key in keys for values in connection.execute(sql.RUN_ORIGIN, key)]
    # At once, unlike the other rows: a run that is gone holds no place.
    counted = {values for key in keys for values in connection.execute(sql.KEYS_OF_RUN, key)}
    if counted:
        connection.executemany(sql.KEYS_DELETE, keys)
        connection.executemany(sql.LIMIT_FORGET, sorted(counted))
    connection.executemany(sql.RUN_DELETE, keys)
    origins = [(rules.KEPT - 1, rules.origin_of(text), rules.KEPT) for (text,) in forked]
    connection.executemany(sql.RUN_RELEASE, origins)


def prune_runs(connection: sqlite3.Connection, run_ids: Sequence[str], before: float) -> int:
    """Delete those of these runs that still are finished and old, and from which no other was forked. How many went."""
    old = [run_id for run_id in run_ids if _is_old(connection, run_id, before)]
    kept = {run_id for run_id in old if _has_forks(connection, run_id)}
    connection.executemany(sql.RUN_MARK, [(rules.KEPT, run_id) for run_id in kept])
    gone = [run_id for run_id in old if run_id not in kept]
    with _deleting(connection):
        _delete_runs(connection, gone)
        _delete_rows(connection, gone)
    return len(gone)


def _has_forks(connection: sqlite3.Connection, run_id: str) -> bool:
    # "A" follows "@", so these are all that begin with the id and an "@".
    found = connection.execute(sql.FORKS, (f"{run_id}@", f"{run_id}A"))
    return any(rules.origin_of(text) == run_id for (text,) in found)


def prune_events(
    connection: sqlite3.Connection, run_ids: Sequence[str], kinds: Iterable[str], before: float, limit: int, mark: int
) -> int:
    """Delete at most ``limit`` events of these kinds of those of these runs that still are finished and old. How many
    went; the runs that have lost all get ``mark``."""
    names = msgspec.json.encode(sorted(str(kind) for kind in kinds)).decode()
    went, done = 0, []
    with _deleting(connection):
        for run_id in run_ids:
            if not _is_old(connection, run_id, before):
                continue
            keys = connection.execute(sql.EVENTS_OF_KINDS, (run_id, names, limit - went)).fetchall()
            connection.executemany(sql.EVENT_DELETE, keys)
            went += len(keys)
            if went >= limit:
                break
            done.append((mark, run_id))
    if mark:
        connection.executemany(sql.RUN_MARK, done)
    return went


@contextmanager
def _deleting(connection: sqlite3.Connection) -> Iterator[None]:
    # After an error the transaction is undone.
    connection.execute(sql.DELETING, (1,))
    yield
    connection.execute(sql.DELETING, (0,))


def _is_old(connection: sqlite3.Connection, run_id: str, before: float) -> bool:
    row, _ = _head(connection, run_id)
    return row is not None and rules.is_old(row, before)
