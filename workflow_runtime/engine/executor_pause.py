"""An agent or team that stops to ask (a tool to approve): the question becomes the run's. spec: agno-behaviour 4.2."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..model import events as ev
from ..model.errors import UnserializableError
from ..model.requirements import StepRequirement
from ..model.step_io import StepOutput
from ..model.text import builtins
from ..model.values import seal
from ..steps.signals import Rejected, Suspended
from . import pauses as asking

if TYPE_CHECKING:
    from .frame import Frame

__all__ = ["apply_answers", "is_paused", "open_requirement", "resolved", "storable"]


def is_paused(found: Any) -> bool:
    """True for an executor's output that waits for somebody."""
    if getattr(found, "is_paused", False) is True:
        return True
    status = getattr(found, "status", None)
    return str(getattr(status, "value", status)).upper() == "PAUSED"


def open_requirement(frame: Frame, node: Any, path: str, found: Any, number: int) -> None:
    """Ask the questions of the paused output, and stop this branch: raises Suspended."""
    requirements = [_as_dict(item) for item in getattr(found, "requirements", None) or ()]
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
        executor_run_id=getattr(found, "run_id", None),
        executor_type=node.executor_type,
        executor_session_id=getattr(found, "session_id", None),
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


def apply_answers(output: Any, answered: list[dict[str, Any]]) -> Any:
    """Put the answers into the executor's own requirement objects, matched by id (by position where there is none)."""
    own = getattr(output, "requirements", None) or ()
    by_id = {item.get("id"): item for item in answered if item.get("id") is not None}
    for position, requirement in enumerate(own):
        known = requirement.get("id") if isinstance(requirement, dict) else getattr(requirement, "id", None)
        answer = by_id.get(known) if known is not None else None
        if answer is None and position < len(answered):
            answer = answered[position]
        if isinstance(requirement, dict):
            requirement.update(answer or {})
        elif answer is not None:
            _answer(requirement, answer)
    return output


_VERBS = {
    "user_input": "provide_user_input",
    "user_feedback": "provide_user_feedback",
    "external_execution_result": "set_external_execution_result",
}


def _answer(requirement: Any, answer: dict[str, Any]) -> None:
    """Answer an executor's own object by its own methods, which may change more than one field; else by its fields."""
    resolved = getattr(requirement, "is_resolved", False)
    if resolved() if callable(resolved) else resolved:
        return  # it goes on a second time, with the objects of the first
    verbs = {name: getattr(requirement, verb, None) for name, verb in _VERBS.items()}
    if getattr(requirement, "needs_confirmation", False):
        verbs["confirmation"] = lambda yes: (
            requirement.confirm() if yes else requirement.reject(answer.get("confirmation_note"))
        )
    for name in ("confirmation", "confirmation_note", *_VERBS):
        value = answer.get(name)
        if value is None:
            continue
        verb = verbs.get(name)
        if callable(verb):
            verb(value)
        elif hasattr(requirement, name):
            setattr(requirement, name, value)


def _as_dict(item: Any) -> dict[str, Any]:
    told = getattr(item, "to_dict", None)  # it knows better than its fields what it is
    data = builtins(told() if callable(told) else item)
    return data if isinstance(data, dict) else {"value": data}


def storable(found: Any) -> Any:
    """The output itself if it keeps its type in a database, else its fields."""
    try:
        seal(found, "executor output")
    except UnserializableError:
        return builtins(found)
    return found
