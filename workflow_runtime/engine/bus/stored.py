"""Reading what a database keeps of a run: its output, its log and its questions."""

from __future__ import annotations

from ...model import codec
from ...model.enums import RunStatus
from ...model.requirements import ErrorRequirement, StepRequirement
from ...model.run import WorkflowRunOutput
from ...storage.base import RECEIVES, BaseDb, EventRow, RequirementRow, RunRow
from .pauses import Requirement
from .states import read_output

__all__ = [
    "all_events",
    "load_output",
    "output_of",
    "requirement_of",
    "requirement_row",
    "requirements_of",
    "stored_kind",
]

_PAGE = 2000
_ASKING = frozenset({RunStatus.paused, RunStatus.running})


async def load_output(db: BaseDb, run_id: str, *, events: bool = True) -> WorkflowRunOutput | None:
    """The stored output of a run, with its questions and its stored events; None if there is no such run."""
    row = await db.load_run(run_id)
    return await output_of(db, row, events=events) if row is not None else None


async def output_of(db: BaseDb, row: RunRow, *, events: bool = True) -> WorkflowRunOutput:
    output = await read_output(db, row)
    output.status = row.status
    output.epoch = row.attempt
    if row.status in _ASKING:
        requirements = await requirements_of(db, row.run_id)
        output.step_requirements = [item for item in requirements if isinstance(item, StepRequirement)] or None
        output.error_requirements = [item for item in requirements if isinstance(item, ErrorRequirement)] or None
    output.last_seq = max(output.last_seq, row.seq)
    if output.events is not None:
        rows = await all_events(db, row.run_id) if events else []
        output.events = [codec.decode_event(item.data, item) for item in rows] or None
    return output


async def all_events(db: BaseDb, run_id: str, after: int = 0) -> list[EventRow]:
    found: list[EventRow] = []
    while True:
        page = await db.load_events(run_id, after=after, limit=_PAGE)
        found.extend(page)
        if len(page) < _PAGE:
            return found
        after = page[-1].last_seq


async def requirements_of(db: BaseDb, run_id: str) -> list[Requirement]:
    """All questions of a run, answered and withdrawn ones included."""
    return [requirement_of(row) for row in await db.load_requirements(run_id)]


def requirement_of(row: RequirementRow) -> Requirement:
    item = codec.decode_requirement(row.data, row)
    item.answered_at, item.used_at, item.withdrawn_at = row.answered_at, row.used_at, row.withdrawn_at
    return item


def stored_kind(item: Requirement) -> str:
    """The kind of a question, by which the database finds those that wait for a message on a topic."""
    return f"{RECEIVES}{item.topic}" if isinstance(item, StepRequirement) and item.kind == "receive" else item.kind


def requirement_row(item: Requirement, run: RunRow) -> RequirementRow:
    """The row of a question of the stored ``run``."""
    return RequirementRow(
        run_id=run.run_id,
        requirement_id=item.id,
        session_id=run.session_id,
        user_id=run.user_id,
        workflow_id=run.workflow_id,
        path=item.path,
        kind=stored_kind(item),
        created_at=item.created_at or 0.0,
        timeout_at=item.timeout_at.timestamp() if item.timeout_at else None,
        answered_at=item.answered_at,
        used_at=item.used_at,
        withdrawn_at=item.withdrawn_at,
        data=codec.encode_requirement(item),
    )
