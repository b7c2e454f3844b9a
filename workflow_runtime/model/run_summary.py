"""One line of a list of runs."""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

from . import codec
from .decoding import RunPlace
from .enums import RunStatus
from .unreadable import problem_of

__all__ = ["RunSummary", "summary_of"]


class _Row(RunPlace, Protocol):
    """The row of a stored run."""

    forked_from: str | None
    data: bytes


class RunSummary(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One line of a list of runs. Times are unix seconds; ``attempt`` is the epoch, ``last_seq`` the newest event's;
    ``unreadable`` says what of the run cannot be read, and why."""

    run_id: str
    session_id: str
    workflow_id: str | None = None
    workflow_name: str | None = None
    user_id: str | None = None
    status: RunStatus
    created_at: float
    updated_at: float
    attempt: int = 1
    last_seq: int = 0
    parent_run_id: str | None = None
    forked_from: str | None = None
    input: Any = None
    content: Any = None
    error: str | None = None
    tags: list[str] | None = None
    metadata: dict[str, Any] | None = None
    unreadable: str | None = None


def summary_of(row: _Row, left_alone: str | None = None) -> RunSummary:
    """``left_alone``: why a run that is not over does not go on."""
    output = codec.decode_run(row.data, row)
    return RunSummary(
        run_id=row.run_id,
        session_id=row.session_id,
        workflow_id=row.workflow_id,
        workflow_name=row.workflow_name,
        user_id=row.user_id,
        status=row.status,
        created_at=row.created_at,
        updated_at=row.updated_at,
        attempt=row.attempt,
        last_seq=row.seq,
        parent_run_id=row.parent_run_id,
        forked_from=row.forked_from,
        input=output.input,
        content=output.content,
        error=output.error,
        tags=output.tags,
        metadata=output.metadata,
        unreadable=(None if row.status.is_final else left_alone) or problem_of(output),
    )
