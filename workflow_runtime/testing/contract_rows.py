"""Rows with everything filled in that a test does not care about."""

from __future__ import annotations

from typing import Any

from ..model.enums import RunStatus
from ..storage.base import Batch, EventRow, Fence, RequirementRow, RunRow, SessionPatch, StepRow

__all__ = ["event", "fence", "requirement", "run", "session", "started", "step"]


def run(run_id: str = "r1", status: RunStatus = RunStatus.RUNNING, **fields: Any) -> RunRow:
    return RunRow(run_id=run_id, status=status, **{"session_id": "s1", **fields})


def step(path: str = "0.a", run_id: str = "r1", **fields: Any) -> StepRow:
    return StepRow(run_id=run_id, path=path, **{"position": 0, "status": "completed", **fields})


def event(seq: int, last_seq: int | None = None, run_id: str = "r1", **fields: Any) -> EventRow:
    values: dict[str, Any] = {"epoch": 1, "kind": "StepCompleted", "path": "0.a", "data": b"event %d" % seq, **fields}
    return EventRow(run_id=run_id, seq=seq, last_seq=last_seq or seq, **values)


def requirement(requirement_id: str = "q1", run_id: str = "r1", **fields: Any) -> RequirementRow:
    values: dict[str, Any] = {
        "session_id": "s1",
        "path": "0.a",
        "kind": "confirmation",
        "created_at": 10.0,
        "data": b"question",
        **fields,
    }
    return RequirementRow(run_id=run_id, requirement_id=requirement_id, **values)


def session(session_id: str = "s1", **fields: Any) -> SessionPatch:
    return SessionPatch(session_id=session_id, **fields)


def fence(run_id: str = "r1", attempt: int = 1, owner: str | None = "a") -> Fence:
    return Fence(run_id=run_id, attempt=attempt, owner=owner)


def started(run_id: str = "r1", *, owner: str | None = "a", lease_until: float | None = 9e9, **fields: Any) -> Batch:
    """What the first commit of a run holds."""
    row = run(run_id, owner=owner, lease_until=lease_until, **fields)
    return Batch(create=True, run=row, session=session(row.session_id, user_id=row.user_id, now=row.created_at))
