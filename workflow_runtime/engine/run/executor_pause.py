"""An agent or team that stops to ask (a tool to approve): the question becomes the run's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...executors import ExecutorOutput
from ...model import events as ev
from ...model.requirements import StepRequirement
from ...model.step_io import StepOutput
from ...steps.signals import Rejected, Suspended
from ..bus import pauses as asking

if TYPE_CHECKING:
    from .frame import Frame

__all__ = ["open_requirement", "resolved"]


def open_requirement(frame: Frame, node: Any, path: str, found: ExecutorOutput, number: int) -> None:
    """Ask the questions of the paused output, and stop this branch: raises Suspended."""
    requirements = found.requirements or []
    for position, item in enumerate(requirements):
        item.setdefault("id", str(position))  # an answer names its question
    executor = node.declared.active_executor
    requirement = asking.question(
        node,
        path,
        frame.run.id,
        frame.now(),
        f"executor{number}",
        kind="executor",
        requires_executor_input=True,
        executor_requirements=requirements,
        executor_id=str(getattr(executor, "id", None) or node.executor_name),
        executor_name=node.executor_name,
        executor_run_id=found.run_id,
        executor_type=node.executor_type,
        executor_session_id=found.session_id,
    )
    frame.run.people.open(frame.run, requirement)
    frame.emit(
        ev.StepExecutorPausedEvent,
        node,
        path,
        requirement_id=requirement.id,
        executor_id=requirement.executor_id,
        executor_name=requirement.executor_name,
        executor_run_id=requirement.executor_run_id,
        executor_type=requirement.executor_type,
        executor_requirements=requirements,
    )
    raise Suspended


def resolved(frame: Frame, node: Any, path: str, number: int) -> list[dict[str, Any]] | StepOutput:
    """The answered requirements of the executor, or the output of a step that is skipped since nobody answered in time.

    Raises:
        Suspended: There is one without an answer.
        Rejected: Nobody answered in time, and then the run is cancelled.
    """
    answer = frame.run.pauses.get(f"{frame.run.id}:{path}@executor{number}")
    if not isinstance(answer, StepRequirement) or answer.answered_at is None:
        raise Suspended
    if answer.confirmed is False and answer.needs_executor_resolution:
        verdict = asking.verdict_before(answer)
        if verdict.action == "cancel":
            raise Rejected(verdict.reason or f"Step '{node.name}' was rejected")
        text = f"Step {node.name} skipped: {verdict.said}"
        skipped: StepOutput = node.output(text, success=False, error=verdict.reason, skipped=True)
        return skipped
    if frame.run.pauses.use(answer.id, frame.now()):
        frame.emit(
            ev.StepExecutorContinuedEvent,
            node,
            path,
            requirement_id=answer.id,
            executor_id=answer.executor_id,
            executor_name=answer.executor_name,
            executor_run_id=answer.executor_run_id,
            executor_type=answer.executor_type,
        )
    return list(answer.executor_requirements or ())
