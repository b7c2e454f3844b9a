"""Between the contract's rows and the driver's records. A record's order is that of the column lists in
``statements``."""

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
    "message_row",
    "requirement_row",
    "run_row",
    "schedule_row",
    "session_row",
    "signal_row",
    "step_row",
]

Values = Any
"""An ``asyncpg.Record``."""

_STATUS = {status.value: status for status in RunStatus}


def run_row(values: Values) -> RunRow:
    """A run from RUN_COLUMNS."""
    fields = dict(values.items())
    fields["status"] = _STATUS[fields["status"]]
    return RunRow(**fields)


def schedule_row(values: Values) -> ScheduleRow:
    return ScheduleRow(**dict(values.items()))


def step_row(values: Values) -> StepRow:
    return StepRow(**dict(values.items()))


def event_row(values: Values) -> EventRow:
    run_id, seq, last_seq, epoch, kind, path, data = values
    return EventRow(run_id=run_id, seq=seq, last_seq=last_seq, epoch=epoch, kind=kind, path=path, data=data)


def requirement_row(values: Values) -> RequirementRow:
    return RequirementRow(**dict(values.items()))


def message_row(values: Values) -> MessageRow:
    return MessageRow(**dict(values.items()))


def signal_row(values: Values) -> SignalRow:
    return SignalRow(**dict(values.items()))


def session_row(values: Values) -> SessionRow:
    """A session from SESSION_COLUMNS, with its state where ``names`` and ``values`` follow them."""
    fields = dict(values.items())
    names, state = fields.pop("names", None), fields.pop("values", None)
    if fields["metrics"] is not None:
        fields["metrics"] = fields["metrics"].encode()
    return SessionRow(**fields, state=dict(zip(names or (), state or (), strict=True)))
