"""Which event may follow which, as a table. Only events of the outermost workflow move a run's status."""

from __future__ import annotations

from ..model.enums import RunStatus as S
from ..model.errors import EngineError

__all__ = ["TERMINAL_EVENTS", "TRANSITIONS", "next_status"]

TRANSITIONS: dict[tuple[S, str], S] = {
    (S.pending, "WorkflowStarted"): S.running,
    (S.pending, "WorkflowCancelled"): S.cancelled,
    (S.pending, "WorkflowError"): S.error,
    (S.running, "WorkflowResumed"): S.running,
    (S.running, "WorkflowCompleted"): S.completed,
    (S.running, "WorkflowPaused"): S.paused,
    (S.running, "WorkflowCancelled"): S.cancelled,
    (S.running, "WorkflowError"): S.error,
    (S.paused, "WorkflowCancelled"): S.cancelled,
    (S.paused, "WorkflowError"): S.error,
}

TERMINAL_EVENTS: dict[str, S] = {
    "WorkflowCompleted": S.completed,
    "WorkflowPaused": S.paused,
    "WorkflowCancelled": S.cancelled,
    "WorkflowError": S.error,
}

_MOVES = {name for _, name in TRANSITIONS}


def next_status(status: S, event: str) -> S:
    """The status after ``event`` of the outermost workflow. EngineError for an order that no run can have.

    Events that are not in the table leave the status alone and are legal only while the run is running.
    """
    if event in _MOVES:
        found = TRANSITIONS.get((status, event))
        if found is not None:
            return found
    elif status is S.running:
        return status
    raise EngineError(f"{event} cannot be published by a run that is {status.value}")
