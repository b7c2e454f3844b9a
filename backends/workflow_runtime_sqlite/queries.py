"""The reads of the contract: functions that a reading (or the writing) thread runs on its connection.

Listings read no more rows than they return, however large a session is; a test counts SQLite's instructions.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

from workflow_runtime.model.enums import RunStatus
from workflow_runtime.storage import rules
from workflow_runtime.storage.base import (
    EventRow,
    MessageRow,
    QueueRow,
    RequirementRow,
    RunFilter,
    RunRow,
    ScheduleRow,
    SessionRow,
    StepRow,
)

from . import statements as sql
from .rows import event_row, message_row, requirement_row, run_row, schedule_row, session_row, step_row

__all__ = [
    "has_garbage",
    "has_queued",
    "has_signals",
    "is_waiting",
    "list_queues",
    "list_requirements",
    "list_runs",
    "list_schedules",
    "list_sessions",
    "load_events",
    "load_messages",
    "load_requirements",
    "load_run",
    "load_session",
    "load_steps",
    "old_runs",
]

Key = tuple[float, str]

_TAGS_OF_WORKFLOW = "INDEXED BY workflow_tags_of_workflow"


def load_run(connection: sqlite3.Connection, run_id: str, now: float) -> RunRow | None:
    values = connection.execute(sql.RUN, (run_id,)).fetchone()
    return None if values is None else _run(values, now)


def _run(values: tuple[Any, ...], now: float) -> RunRow:
    row = run_row(values, values[-1])
    row.expired = rules.expired(row, now)
    return row


def load_steps(connection: sqlite3.Connection, run_id: str, path: str | None) -> list[StepRow]:
    text, keys = (sql.STEPS, (run_id,)) if path is None else (sql.STEP, (run_id, path))
    return [step_row(values) for values in connection.execute(text, keys)]


def load_messages(connection: sqlite3.Connection, run_id: str, after: int) -> list[MessageRow]:
    return [message_row(values) for values in connection.execute(sql.MESSAGES, (run_id, after))]


def load_events(connection: sqlite3.Connection, run_id: str, after: int, limit: int) -> list[EventRow]:
    wanted = {"run_id": run_id, "after": after, "limit": limit}
    return [event_row(values) for values in connection.execute(sql.EVENTS, wanted)]


def load_requirements(connection: sqlite3.Connection, run_id: str) -> list[RequirementRow]:
    return [requirement_row(values) for values in connection.execute(sql.REQUIREMENTS, (run_id,))]


def has_signals(connection: sqlite3.Connection, owner: str) -> bool:
    """Whether ``take_signals`` would return any."""
    return connection.execute(sql.SIGNALS, (owner,)).fetchone() is not None


def has_queued(connection: sqlite3.Connection, queues: Sequence[str], now: float) -> bool:
    """Whether ``claim_next`` might return a run of one of ``queues``, of any workflow."""
    for queue in queues:
        if is_waiting(connection, queue, now):
            return True
        if connection.execute(sql.QUEUE_DELAYED, (queue, now)).fetchone() is not None:
            return True
    return False


def is_waiting(connection: sqlite3.Connection, queue: str, now: float) -> bool:
    """Whether a run of ``queue`` has no time to wait for, and no limit."""
    if connection.execute(sql.QUEUE_WAITING, (queue,)).fetchone() is not None:
        return True
    return connection.execute(sql.LANE_WAITING, {"queue": queue, "now": now}).fetchone() is not None


def list_queues(connection: sqlite3.Connection, now: float) -> list[QueueRow]:
    """``BaseDb.list_queues``."""
    return rules.queue_rows(map(run_row, connection.execute(sql.QUEUES)), now)


def list_schedules(
    connection: sqlite3.Connection, workflow_id: str | None, due_before: float | None
) -> list[ScheduleRow]:
    """``BaseDb.list_schedules``."""
    until = math.inf if due_before is None else due_before
    if workflow_id is None:
        found = connection.execute(sql.SCHEDULES, (until,))
    else:
        found = connection.execute(sql.SCHEDULES_OF_WORKFLOW, (workflow_id, until))
    return [schedule_row(values) for values in found]


def has_garbage(connection: sqlite3.Connection) -> bool:
    """Whether a process died while it deleted a session: ``commits.sweep`` deletes the rest."""
    return connection.execute(sql.GARBAGE, (1,)).fetchone() is not None


def load_session(connection: sqlite3.Connection, session_id: str) -> SessionRow | None:
    values = connection.execute(sql.SESSION, (session_id,)).fetchone()
    if values is None:
        return None
    row = session_row(values)
    for part, name, value in connection.execute(sql.SESSION_VALUES, (session_id,)):
        if part == sql.STATE:
            row.state[name] = value
        else:
            setattr(row, name, value)
    return row


def list_requirements(
    connection: sqlite3.Connection,
    session_id: str | None,
    user_id: str | None,
    workflow_id: str | None,
    due_before: float | None,
    limit: int,
    after: Key | None,
) -> list[RequirementRow]:
    where, values = _equal(session_id=session_id, user_id=user_id, workflow_id=workflow_id)
    if due_before is not None:
        where, values = f"{where} AND timeout_at <= ?", [*values, due_before]
    if after is not None:
        where, values = f"{where} AND (created_at, requirement_id) > (?, ?)", [*values, *after]
    index = _question_index(session_id, user_id, workflow_id, due_before)
    text = f"""
        SELECT {sql.REQUIREMENT_COLUMNS} FROM workflow_requirements AS open{index}
        WHERE answered_at IS NULL AND withdrawn_at IS NULL{where}
        AND EXISTS (SELECT 1 FROM workflow_runs WHERE run_id = open.run_id AND status IN ('PAUSED', 'RUNNING'))
        ORDER BY created_at, requirement_id LIMIT ?"""
    return [requirement_row(found) for found in connection.execute(text, (*values, limit))]


def _question_index(
    session_id: str | None, user_id: str | None, workflow_id: str | None, due_before: float | None
) -> str:
    # The one that leaves the fewest rows; SQLite, without statistics, would guess.
    if due_before is not None:
        return " INDEXED BY workflow_requirements_due"
    if session_id is not None:
        return " INDEXED BY workflow_requirements_of_session"
    if user_id is not None:
        return " INDEXED BY workflow_requirements_of_user"
    return " INDEXED BY workflow_requirements_of_workflow" if workflow_id is not None else ""


def list_sessions(
    connection: sqlite3.Connection, user_id: str | None, workflow_id: str | None, limit: int, before: Key | None
) -> list[SessionRow]:
    where, values = _equal(user_id=user_id, workflow_id=workflow_id)
    if before is not None:
        where, values = f"{where} AND (created_at, session_id) < (?, ?)", [*values, *before]
    text = f"""
        SELECT {sql.SESSION_COLUMNS}, {_extra("metadata")}, {_extra("workflow_data")} FROM workflow_sessions AS session
        WHERE true{where} ORDER BY created_at DESC, session_id DESC LIMIT ?"""
    rows = []
    for found in connection.execute(text, (*values, limit)):
        row = session_row(found)
        row.metadata, row.workflow_data = found[-2:]
        rows.append(row)
    return rows


def _extra(name: str) -> str:
    return (
        "(SELECT value FROM workflow_session_values WHERE session_id = session.session_id "
        f"AND part = {sql.EXTRA} AND name = '{name}')"
    )


def _equal(**columns: str | None) -> tuple[str, list[Any]]:
    given = {column: value for column, value in columns.items() if value is not None}
    return "".join(f" AND {column} = ?" for column in given), list(given.values())


def list_runs(
    connection: sqlite3.Connection, where: RunFilter, limit: int, before: Key | None, now: float
) -> list[RunRow]:
    """``BaseDb.list_runs``."""
    statuses = sorted(status.value for status in (RunStatus if where.statuses is None else where.statuses))
    if not statuses:
        return []
    condition, values = _equal(
        session_id=where.session_id,
        user_id=where.user_id,
        workflow_id=where.workflow_id,
        parent_run_id=where.parent_run_id,
    )
    if where.expired:
        condition, values = f"{condition} AND lease_until <= ?", [*values, now]
        if where.expired_within is not None:
            condition, values = f"{condition} AND lease_until > ?", [*values, now - where.expired_within]
    if before is not None:
        condition, values = f"{condition} AND (created_at, run_id) < (?, ?)", [*values, *before]
    if where.signalled:
        condition += " AND run_id IN (SELECT run_id FROM workflow_signals WHERE taken_at IS NULL)"
    if where.since is not None:
        condition, values = f"{condition} AND created_at >= ?", [*values, where.since]
    if where.until is not None:
        condition, values = f"{condition} AND created_at < ?", [*values, where.until]
    order = "ORDER BY created_at DESC, run_id DESC LIMIT ?"
    if where.tags:
        return _list_tagged(connection, where, statuses, condition, values, limit, before, now)
    # The statuses are always given: SQLite then reads the newest of each from the index and stops at the limit.
    text = f"""
        SELECT {sql.RUN_COLUMNS}, data FROM workflow_runs WHERE run_id IN (
            SELECT run_id FROM workflow_runs {"" if where.signalled else f"INDEXED BY {_index(where)}"}
            WHERE status IN ({sql.marks(len(statuses))}){condition} {order}
        ) {order}"""
    return [_run(found, now) for found in connection.execute(text, (*statuses, *values, limit, limit))]


def _list_tagged(
    connection: sqlite3.Connection,
    where: RunFilter,
    statuses: list[str],
    condition: str,
    values: list[Any],
    limit: int,
    before: Key | None,
    now: float,
) -> list[RunRow]:
    """Runs with all of the tags, from the index of one of them; ``condition`` is what their rows must fulfil as well."""
    first, *others = sorted(where.tags)
    order = "ORDER BY created_at DESC, run_id DESC LIMIT ?"
    tagged, found, index = "tag = ?", [first], ""
    if where.workflow_id is not None:
        tagged, found, index = "workflow_id = ? AND tag = ?", [where.workflow_id, first], _TAGS_OF_WORKFLOW
    tagged += f" AND status IN ({sql.marks(len(statuses))})"
    keys: list[Any] = [*found, *statuses]
    for bound, sign in ((where.since, ">="), (where.until, "<")):
        if bound is not None:
            tagged, keys = f"{tagged} AND created_at {sign} ?", [*keys, bound]
    if before is not None:
        tagged, keys = f"{tagged} AND (created_at, run_id) < (?, ?)", [*keys, *before]
    for other in others:
        tagged += (
            " AND EXISTS (SELECT 1 FROM workflow_tags AS other WHERE other.run_id = tagged.run_id AND other.tag = ?)"
        )
        keys.append(other)
    if where != RunFilter(
        workflow_id=where.workflow_id, statuses=where.statuses, tags=where.tags, since=where.since, until=where.until
    ):
        tagged += f" AND EXISTS (SELECT 1 FROM workflow_runs WHERE run_id = tagged.run_id{condition})"
        keys += values
    text = f"""
        SELECT {sql.RUN_COLUMNS}, data FROM workflow_runs WHERE run_id IN (
            SELECT run_id FROM workflow_tags AS tagged {index} WHERE {tagged} {order}
        ) {order}"""
    return [_run(row, now) for row in connection.execute(text, (*keys, limit, limit))]


def _index(where: RunFilter) -> str:
    # The one that leaves the fewest rows; SQLite, without statistics, would guess.
    if where.expired:
        return "workflow_runs_by_lease"
    if where.parent_run_id is not None:
        return "workflow_runs_by_parent"
    if where.session_id is not None:
        return "workflow_runs_by_session"
    if where.user_id is not None:
        return "workflow_runs_by_user"
    return "workflow_runs_by_status" if where.workflow_id is None else "workflow_runs_by_workflow"


def old_runs(
    connection: sqlite3.Connection, workflow_id: str | None, marks: Iterable[int], before: float, limit: int
) -> list[str]:
    """At most ``limit`` (-1: all) runs with one of these marks that ended before ``before``, of one workflow or of each."""
    names = [row[0] for row in connection.execute(sql.WORKFLOWS)] if workflow_id is None else [workflow_id]
    found: list[str] = []
    for name in names:
        for mark in marks:
            left = limit - len(found) if limit >= 0 else -1
            found += [row[0] for row in connection.execute(sql.RUNS_ENDED, (name, mark, before, left))]
    return found
