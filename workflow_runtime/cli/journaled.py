"""Following a run whose events are not stored: what its journal tells, step by step, as the events it would have had."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .. import (
    BaseDb,
    ConditionExecutionStartedEvent,
    Event,
    HistoryEntry,
    LoopExecutionStartedEvent,
    LoopIterationStartedEvent,
    MapExecutionStartedEvent,
    ParallelExecutionStartedEvent,
    RouterExecutionStartedEvent,
    RunNotFound,
    RunStatus,
    StepCompensatedEvent,
    StepCompensationFailedEvent,
    StepCompletedEvent,
    StepErrorEvent,
    StepsExecutionStartedEvent,
    StepStartedEvent,
    Workflow,
    WorkflowCancelledEvent,
    WorkflowCompletedEvent,
    WorkflowErrorEvent,
    WorkflowPausedEvent,
    WorkflowRunOutput,
    WorkflowStartedEvent,
)
from ..model.kinds import Shape, shape_of
from .source import stand_in

__all__ = ["Journaled", "ending"]

_STARTED: dict[Shape | None, Any] = {
    "branches": ParallelExecutionStartedEvent,
    "rounds": LoopExecutionStartedEvent,
    "items": MapExecutionStartedEvent,
    "decision": ConditionExecutionStartedEvent,
    "choice": RouterExecutionStartedEvent,
    "sequence": StepsExecutionStartedEvent,
}
_LOOK = 0.5  # seconds between two looks, where the database has no wake-up of its own


class Journaled:
    """A stream of the milestones that a journal holds. Deltas and progress are not among them."""

    def __init__(self, db: BaseDb, run_id: str) -> None:
        self.run_id = run_id
        self._db = db
        self._workflow: Workflow = stand_in(db)
        self._told: set[str] = set()
        self._output: WorkflowRunOutput | None = None
        self._status: RunStatus | None = None

    async def take_some(self) -> list[Event]:
        """What is new since the last call; empty after the end."""
        while True:
            if self._status is not None and self._status.is_final:
                return []
            output = await self._workflow.aget_run(self.run_id)
            if output is None:
                raise RunNotFound(f"run {self.run_id!r} is not stored any more")
            self._output = output
            found = [] if self._status is not None else [self._started(output)]
            for entry in await self._workflow.history(self.run_id):
                found += self._news(entry)
            status = RunStatus(output.status)
            if status != self._status:
                found += ending(output)
            self._status = status
            if found:
                return found
            await self._db.changed(self.run_id, seen=output.last_seq, timeout=_LOOK)

    async def result(self) -> WorkflowRunOutput:
        assert self._output is not None
        return self._output

    async def aclose(self) -> None:
        return

    def _started(self, output: WorkflowRunOutput) -> Event:
        ids: dict[str, Any] = {"run_id": output.run_id, "session_id": output.session_id}
        return WorkflowStartedEvent(workflow_name=output.workflow_name, created_at=output.created_at, **ids)

    def _news(self, entry: HistoryEntry) -> Iterator[Event]:
        if entry.kind == "compensation":
            yield from self._compensated(entry)
            return
        if entry.status == "memo" or "!" in entry.path or not entry.path:
            return
        name = entry.output.step_name if entry.output is not None else None
        is_round = shape_of(entry.kind) == "rounds" and "#" in entry.path.rpartition("/")[2]
        place: dict[str, Any] = {"path": entry.path, "step_name": name, "run_id": self.run_id}
        if entry.path not in self._told:
            self._told.add(entry.path)
            if is_round:
                number = int(entry.path.rpartition("#")[2]) + 1
                yield LoopIterationStartedEvent(**place, iteration=number)
            else:
                yield _STARTED.get(shape_of(entry.kind), StepStartedEvent)(**place)
        if entry.output is not None and f"{entry.path}!done" not in self._told:
            self._told.add(f"{entry.path}!done")
            if entry.status == "failed":
                if shape_of(entry.kind) in (None, "decision"):
                    yield StepErrorEvent(**place, error=entry.error, error_type=entry.error_type, attempt=entry.attempt)
                return
            content = None if entry.output.steps or is_round else entry.output.content
            yield StepCompletedEvent(**place, content=content, step_response=entry.output)

    def _compensated(self, entry: HistoryEntry) -> Iterator[Event]:
        if entry.path in self._told:
            return
        self._told.add(entry.path)
        place: dict[str, Any] = {"path": entry.path.rpartition("!compensate")[0], "run_id": self.run_id}
        if entry.status == "done":
            yield StepCompensatedEvent(**place, attempt=entry.attempt)
        else:
            about: dict[str, Any] = {"error": entry.error, "error_type": entry.error_type}
            yield StepCompensationFailedEvent(**place, attempt=entry.attempt, **about)


def ending(output: WorkflowRunOutput) -> list[Event]:
    """The event that a run with this output stopped with; none for one that goes on."""
    status = RunStatus(output.status)
    ids: dict[str, Any] = {"run_id": output.run_id, "session_id": output.session_id}
    if status is RunStatus.completed:
        return [WorkflowCompletedEvent(**ids, content=output.content, metrics=output.metrics)]
    if status is RunStatus.error:
        return [WorkflowErrorEvent(**ids, error=output.error, error_type=output.error_type)]
    if status is RunStatus.cancelled:
        return [WorkflowCancelledEvent(**ids, reason=str("" if output.content is None else output.content))]
    if status is RunStatus.paused:
        asked: dict[str, Any] = {
            "step_requirements": output.step_requirements,
            "error_requirements": output.error_requirements,
        }
        return [WorkflowPausedEvent(**ids, **asked)]
    return []
