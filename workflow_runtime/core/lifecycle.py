"""Which event may follow which, as a table. Only events of the outermost workflow move a run's status."""

from __future__ import annotations

from ..model import events as ev
from ..model.enums import RunStatus as S
from ..model.errors import EngineError
from ..model.events import Event

__all__ = ["MOVING", "TERMINAL_EVENTS", "TRANSITIONS", "is_end", "next_status", "status_after"]

TRANSITIONS: dict[tuple[S, str], S] = {
    (S.pending, "WorkflowStarted"): S.running,
    (S.pending, "WorkflowCancelled"): S.cancelled,
    (S.pending, "WorkflowError"): S.error,
    (S.running, "WorkflowResumed"): S.running,
    (S.running, "WorkflowCompensating"): S.running,
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

# The classes of those names. A custom event of the same name does not change a run's status.
MOVING: frozenset[type[Event]] = frozenset(
    {
        ev.WorkflowStartedEvent,
        ev.WorkflowResumedEvent,
        ev.WorkflowCompensatingEvent,
        ev.WorkflowCompletedEvent,
        ev.WorkflowPausedEvent,
        ev.WorkflowCancelledEvent,
        ev.WorkflowErrorEvent,
    }
)


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


def status_after(status: S, event: Event) -> S:
    """The same for an event of any workflow of the run: only the outermost one's move its status."""
    if type(event) in MOVING and event.nested_depth == 0:
        return next_status(status, event.event)
    if status is not S.running:
        raise EngineError(f"{event.event} cannot be published by a run that is {status.value}")
    return status


def is_end(event: Event) -> bool:
    """True for the event that ends a continuation of the run: its completion, failure, cancellation or pause."""
    return event.nested_depth == 0 and event.event in TERMINAL_EVENTS
