"""The projector: the strict subscriber of a run's bus that folds events into the run's output. (D1)"""

from __future__ import annotations

from collections.abc import Callable

from ...core.lifecycle import status_after
from ...model.events import Event
from ...model.run import WorkflowRunOutput

__all__ = ["Projector"]


class Projector:
    """Refuses an event that no run can have in this place; keeps the status, and with ``keeps_events`` those events that
    ``wanted`` lets pass."""

    __slots__ = ("_keeps_events", "_output", "_wanted")

    def __init__(self, output: WorkflowRunOutput, keeps_events: bool, wanted: Callable[[Event], bool] | None) -> None:
        self._output = output
        self._keeps_events = keeps_events
        self._wanted = wanted

    def fold(self, event: Event) -> None:
        output = self._output
        output.status = status_after(output.status, event)
        if self._keeps_events and output.events is not None and (self._wanted is None or self._wanted(event)):
            output.events.append(event)
