"""Between the contract's rows and SQLite's tuples. A tuple's order is that of the column lists in ``statements``."""

from __future__ import annotations

from typing import Any

from workflow_runtime.model.enums import RunStatus
from workflow_runtime.storage.base import (
    EventRow,
    MessageRow,
    RequirementRow,
    RunRow,
    ScheduleRow,
    SessionRow,
    SignalRow,
    StepRow,
)

__all__ = [
    "event_row",
    "event_values",
    "message_row",
    "message_values",
    "requirement_row",
    "requirement_values",
    "run_row",
    "run_values",
    "schedule_row",
    "schedule_values",
    "session_row",
    "signal_row",
    "step_row",
    "step_values",
]

Values = tuple[Any, ...]

_STATUS = {status.value: status for status in RunStatus}


def message_row(values: Values) -> MessageRow:
    run_id, number, message_id, topic, created_at, data = values
    return MessageRow(
        run_id=run_id, number=number, message_id=message_id, topic=topic, created_at=created_at, data=data
    )


def message_values(row: MessageRow, number: int) -> Values:
    return row.run_id, number, row.message_id, row.topic, row.created_at, row.data


def run_row(values: Values, data: bytes = b"") -> RunRow:
    """A run from RUN_COLUMNS; ``data`` is the one thing those leave out."""
    return RunRow(
        run_id=values[0],
        session_id=values[1],
        status=_STATUS[values[2]],
        user_id=values[3],
        workflow_id=values[4],
        workflow_name=values[5],
        parent_run_id=values[6],
        attempt=values[7],
        seq=values[8],
        fingerprint=values[9],
        created_at=values[10],
        updated_at=values[11],
        owner=values[12],
        lease_until=values[13],
        cancel_requested=bool(values[14]),
        forked_from=values[15],
        deaths=values[16],
        reserved=bool(values[17]),
        queue=values[18],
        priority=values[19],
        not_before=values[20],
        lane=values[21],
        data=data,
    )


def run_values(row: RunRow) -> Values:
    return (
        row.run_id,
        row.session_id,
        row.status.value,
        row.user_id,
        row.workflow_id,
        row.workflow_name,
        row.parent_run_id,
        row.attempt,
        row.seq,
        row.fingerprint,
        row.created_at,
        row.updated_at,
        row.owner,
        row.lease_until,
        row.cancel_requested,
        row.forked_from,
        row.deaths,
        row.reserved,
        row.queue,
        row.priority,
        row.not_before,
        row.lane,
    )


def step_row(values: Values) -> StepRow:
    run_id, path, position, status, attempt, started_at, finished_at, data, state = values
    return StepRow(
        run_id=run_id,
        path=path,
        position=position,
        status=status,
        attempt=attempt,
        started_at=started_at,
        finished_at=finished_at,
        data=data,
        state=state,
    )


def step_values(row: StepRow) -> Values:
    return (
        row.run_id,
        row.path,
        row.position,
        str(row.status),
        row.attempt,
        row.started_at,
        row.finished_at,
        row.data,
        row.state,
    )


def event_row(values: Values) -> EventRow:
    run_id, seq, last_seq, epoch, kind, path, data = values
    return EventRow(run_id=run_id, seq=seq, last_seq=last_seq, epoch=epoch, kind=kind, path=path, data=data)


def event_values(row: EventRow) -> Values:
    return (row.run_id, row.seq, row.last_seq, row.epoch, str(row.kind), row.path, row.data)


def requirement_row(values: Values) -> RequirementRow:
    return RequirementRow(
        run_id=values[0],
        requirement_id=values[1],
        session_id=values[2],
        user_id=values[3],
        workflow_id=values[4],
        path=values[5],
        kind=values[6],
        created_at=values[7],
        timeout_at=values[8],
        answered_at=values[9],
        used_at=values[10],
        withdrawn_at=values[11],
        data=values[12],
    )


def requirement_values(row: RequirementRow) -> Values:
    return (
        row.run_id,
        row.requirement_id,
        row.session_id,
        row.user_id,
        row.workflow_id,
        row.path,
        str(row.kind),
        row.created_at,
        row.timeout_at,
        row.answered_at,
        row.used_at,
        row.withdrawn_at,
        row.data,
    )


def schedule_row(values: Values) -> ScheduleRow:
    workflow_id, name, next_at, created_at, data = values
    return ScheduleRow(workflow_id=workflow_id, name=name, next_at=next_at, created_at=created_at, data=data)


def schedule_values(row: ScheduleRow) -> Values:
    return row.workflow_id, row.name, row.next_at, row.created_at, row.data


def signal_row(values: Values) -> SignalRow:
    number, run_id, kind, created_at, data = values
    return SignalRow(number=number, run_id=run_id, kind=kind, created_at=created_at, data=data)


def session_row(values: Values) -> SessionRow:
    """A session from SESSION_COLUMNS, without its state, metadata and workflow_data."""
    return SessionRow(
        session_id=values[0],
        user_id=values[1],
        workflow_id=values[2],
        workflow_name=values[3],
        name=values[4],
        version=values[5],
        metrics=values[6],
        created_at=values[7],
        updated_at=values[8],
    )
