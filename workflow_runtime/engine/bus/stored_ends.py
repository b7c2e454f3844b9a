"""The event that a continuation ended with, made from the stored run where the log does not have it."""

from __future__ import annotations

from typing import Any

from ...model import events as ev
from ...model.enums import RunStatus
from ...model.events import WorkflowEvent
from ...storage.base import BaseDb, RunRow
from .stored import output_of

__all__ = ["end_event"]


async def end_event(db: BaseDb, row: RunRow) -> WorkflowEvent:
    """The terminal event of ``row``, which is paused or has ended, under its own number."""
    output = await output_of(db, row, events=False)
    common: dict[str, Any] = {
        "seq": row.seq,
        "epoch": row.attempt,
        "created_at": int(row.updated_at),
        "run_id": row.run_id,
        "session_id": row.session_id,
        "workflow_id": row.workflow_id,
        "workflow_name": row.workflow_name,
    }
    if row.status is RunStatus.paused:
        return ev.WorkflowPausedEvent(
            **common,
            paused_step_index=output.paused_step_index,
            paused_step_name=output.paused_step_name,
            pause_kind=output.pause_kind,
            step_requirements=output.active_step_requirements or None,
            error_requirements=output.active_error_requirements or None,
            content=output.content,
            metadata=output.metadata,
        )
    if row.status is RunStatus.error:
        return ev.WorkflowErrorEvent(**common, error=output.error, error_type=output.error_type)
    if row.status is RunStatus.cancelled:
        return ev.WorkflowCancelledEvent(**common, content=output.content)
    return ev.WorkflowCompletedEvent(
        **common,
        content=output.content,
        content_type=output.content_type,
        step_results=output.step_results,
        step_executor_runs=output.step_executor_runs,
        metadata=output.metadata,
        metrics=output.metrics,
    )
