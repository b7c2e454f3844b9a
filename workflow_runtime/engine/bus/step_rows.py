"""Between the records of a journal and the rows that store them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec

from ...core.journal import DONE, OPEN, Record
from ...model import codec
from ...model.checks import unstorable
from ...model.errors import UnserializableError
from ...model.step_io import StepOutput
from ...storage.base import StepRow

__all__ = ["EDIT", "emptied", "record_to_row", "row_to_record", "with_value"]

EDIT = "edit"
"""The kind of the record of an edit of the session state. Its value has the values before it."""


class Outcome(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What a StepRow's ``data`` holds: a Record without the columns of the row."""

    kind: str
    decision: Any = None
    output: StepOutput | None = None
    value: Any = None
    order: int | None = None

    @classmethod
    def damaged(cls, found: Any) -> Outcome:
        """Of a row that cannot be read."""
        return cls(kind="", output=StepOutput(found))


def record_to_row(run_id: str, record: Record, *, without: Collection[str] = ()) -> StepRow:
    """The journal record as a row, ``without`` these keys of its value. UnserializableError names the step's path."""
    where = record.path
    if (why := unstorable(where)) is not None:
        raise UnserializableError(f"{where[:60]!r}, the place of a step or of a key of once(), {why}", where=where[:60])
    decision, value = record.decision, record.value
    if without:
        value = {key: item for key, item in value.items() if key not in without}
    outcome = Outcome(
        kind=record.kind,
        decision=None if decision is None else codec.seal(decision, f"{where}: decision"),
        output=None if record.output is None else codec.seal_output(record.output, where),
        value=None if value is None else codec.seal(value, f"{where}: value"),
        order=record.order,
    )
    return StepRow(
        run_id=run_id,
        path=where,
        position=record.position,
        status=record.status,
        attempt=record.attempt,
        started_at=record.started_at,
        finished_at=record.finished_at,
        data=codec.encode_plain(outcome, where),
    )


def row_to_record(row: StepRow) -> Record:
    outcome = codec.decode_typed(row.data or b"{}", Outcome, row.path, row.run_id)
    return Record(
        path=row.path,
        position=row.position,
        kind=outcome.kind,
        status=row.status,
        attempt=row.attempt,
        started_at=row.started_at,
        finished_at=row.finished_at,
        decision=outcome.decision,
        output=outcome.output,
        value=outcome.value,
        changed=_changed(row),
        order=outcome.order,
    )


def _changed(row: StepRow) -> Any:
    """The keys of the state that an edit or a ``once`` changed; an Unreadable where they are damaged."""
    return None if row.state is None or row.status == DONE else codec.decode_parts(row.state)


def emptied(row: StepRow) -> StepRow:
    """The row of a step that was begun, and has no outcome."""
    kind = codec.decode_typed(row.data or b"{}", Outcome).kind
    data = codec.encode_plain(Outcome(kind=kind), row.path)
    return msgspec.structs.replace(row, status=OPEN, data=data, finished_at=None)


def with_value(row: StepRow, values: dict[str, bytes]) -> StepRow:
    """The row of an edit, whose value has these encoded ones as well."""
    outcome = codec.decode_typed(row.data or b"{}", Outcome, row.path, row.run_id)
    known = outcome.value if isinstance(outcome.value, dict) else {}
    made = {key: codec.decode_value(value, f"{row.path}: {key}", row.run_id) for key, value in values.items()}
    outcome.value = codec.seal({**known, **made}, row.path)
    return msgspec.structs.replace(row, data=codec.encode_plain(outcome, row.path))
