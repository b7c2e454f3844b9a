"""Saving a session: what of it can be stored, and what is refused rather than dropped."""

from __future__ import annotations

from typing import Any

from .. import engine
from ..model import codec
from ..model.errors import InputError
from ..model.run import WorkflowRunOutput
from ..model.session import WorkflowSession
from ..storage.base import BaseDb, SessionRow

__all__ = ["columns", "refuse_unsaved"]


def columns(session: WorkflowSession, row: SessionRow | None, outline: bytes) -> dict[str, Any]:
    """What a patch writes beside the state. In a column, None means unchanged, so what was cleared is written as empty."""
    found: dict[str, Any] = {"user_id": session.user_id}
    if session.workflow_id is not None:
        found |= {"workflow_id": session.workflow_id, "workflow_name": session.workflow_name}
    if row is None or (row.name or None) != session.session_name:
        found["name"] = session.session_name or ""
    if session.metadata is not None or (row is not None and row.metadata is not None):
        found["metadata"] = codec.encode_value(session.metadata, "session metadata")
    if session.more_data or session.workflow_data is not None or (row is not None and row.workflow_data is not None):
        found["workflow_data"] = engine.sessions.encode_workflow_data(session, outline)
    return found


async def refuse_unsaved(db: BaseDb, session: WorkflowSession, row: SessionRow | None) -> None:
    """InputError for a change that no save stores: of runs, of what is counted, of what identifies the session."""
    where = f"session {session.session_id!r}: "
    if row is not None and row.user_id is not None and session.user_id is None:
        raise InputError(f"{where}a session keeps its user, {row.user_id!r}")
    if session.loaded is not None:
        metrics, times, run_ids = session.loaded
        if codec.encode_value(session.session_metrics) != metrics:
            raise InputError(f"{where}session_metrics are the sums over its runs and cannot be changed")
        if (session.created_at, session.updated_at) != times:
            raise InputError(f"{where}created_at and updated_at are set by the database and cannot be changed")
        missing = sorted(set(run_ids) - {run.run_id for run in session.runs or ()})
        if missing:
            raise InputError(f"{where}runs are not deleted by saving a session; {missing[0]!r} is missing")
    for run in session.runs or ():
        stored = await db.load_run(run.run_id)
        if stored is None or stored.session_id != session.session_id:
            raise InputError(f"{where}runs are stored by running them; {run.run_id!r} is none of this session's")
        output = await engine.states.read_output(db, stored)
        if output.last_seq == run.last_seq and _shown(output) != _shown(run):
            raise InputError(f"{where}run {run.run_id!r} was changed; a stored run cannot be")


def _shown(run: WorkflowRunOutput) -> dict[str, Any]:
    """The run as data, without its events, which a session does not load."""
    return {name: value for name, value in run.to_dict().items() if name != "events"}
