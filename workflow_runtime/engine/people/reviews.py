"""What a place in the walk of a run asks of people: before a node, after it, about an error, in the middle of a step. (D8)

Each gives the verdict of an answer that is there, or opens the question and raises ``Suspended``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from ...core.flow import Flow
from ...core.gate import Verdict
from ...core.plan import Node
from ...model import events as ev
from ...model.fields import form_fields
from ...model.requirements import ErrorRequirement, StepRequirement
from ...model.review import HumanReview
from ...model.step_io import StepOutput
from ...steps.signals import Rejected, Suspended
from ..bus import pauses as asking
from .form_models import model_name

if TYPE_CHECKING:
    from ..run.frame import Frame

__all__ = ["ask_after", "ask_before", "ask_error", "open_question", "wants_review"]


def ask_before(frame: Frame, node: Node, path: str, flow: Flow, **question: Any) -> Verdict:
    pauses = frame.run.pauses
    answer = pauses.get(f"{frame.run.id}:{path}@before")
    if answer is None:
        _open_before(frame, node, path, flow, question)
        raise Suspended
    return _verdict(frame, node, path, answer, asking.verdict_before)


def _open_before(frame: Frame, node: Node, path: str, flow: Flow, extra: dict[str, Any]) -> None:
    review = node.review
    assert review is not None
    fields, schema = form_fields(review.user_input_schema)
    # Without what the run's output has already: a question would keep all that was before it, and a run with many
    # questions the square of that.
    seen = flow.step_input()
    seen.workflow_session = seen.previous_step_outputs = seen.lookup = None
    seen.images = seen.videos = seen.audio = seen.files = None
    routes = bool(extra.get("requires_route_selection"))
    own: dict[str, Any] = {
        "kind": "route" if routes else "user_input" if review.requires_user_input else "confirmation",
        "requires_confirmation": review.requires_confirmation,
        "confirmation_message": review.confirmation_message,
        "requires_user_input": review.requires_user_input and not routes,
        "user_input_message": review.user_input_message,
        "user_input_schema": fields or None,
        "input_json_schema": schema,
        "input_model": model_name(review.user_input_schema),
        "step_input": seen,
    }
    requirement = asking.question(node, path, frame.run.id, frame.now(), "before", **{**own, **extra})
    frame.run.people.open(frame.run, requirement)
    if routes:
        frame.emit(
            ev.RouterPausedEvent,
            node,
            path,
            requirement_id=requirement.id,
            available_choices=requirement.available_choices,
            user_input_message=review.user_input_message,
            allow_multiple_selections=requirement.allow_multiple_selections,
        )
        return
    frame.emit(
        ev.StepPausedEvent,
        node,
        path,
        requirement_id=requirement.id,
        requires_confirmation=requirement.requires_confirmation,
        confirmation_message=requirement.confirmation_message,
        requires_user_input=requirement.requires_user_input,
        user_input_message=requirement.user_input_message,
        user_input_schema=[field.json_schema() | {"name": field.name} for field in fields] or None,
    )


async def wants_review(frame: Frame, path: str, tag: str, review: HumanReview, output: StepOutput) -> bool:
    if frame.run.pauses.get(f"{frame.run.id}:{path}@{tag}") is not None:
        return True
    wanted = review.requires_output_review
    if callable(wanted):
        found = wanted(output)
        wanted = await found if inspect.isawaitable(found) else found
    return bool(wanted)


def ask_after(
    frame: Frame, node: Node, path: str, tag: str, output: StepOutput, rounds: int, **question: Any
) -> Verdict:
    pauses = frame.run.pauses
    answer = pauses.get(f"{frame.run.id}:{path}@{tag}")
    if answer is None:
        review = node.review
        assert review is not None
        message = review.iteration_review_message if tag == "iteration" else review.output_review_message
        requirement = asking.question(
            node,
            path,
            frame.run.id,
            frame.now(),
            tag,
            kind="iteration_review" if tag == "iteration" else "output_review",
            requires_confirmation=True,
            confirmation_message=message,
            requires_output_review=True,
            output_review_message=message,
            step_output=output,
            is_post_execution=True,
            retry_count=rounds,
            **question,
        )
        frame.run.people.open(frame.run, requirement)
        frame.emit(ev.StepOutputReviewEvent, node, path, requirement_id=requirement.id, output_review_message=message)
        raise Suspended
    return _verdict(frame, node, path, answer, asking.verdict_after)


def ask_error(frame: Frame, node: Node, path: str, failure: dict[str, Any]) -> Verdict:
    pauses = frame.run.pauses
    tag = f"error{failure['attempt']}"
    answer = pauses.get(f"{frame.run.id}:{path}@{tag}")
    if answer is None:
        asked = asking.question(node, path, frame.run.id, frame.now(), tag)
        frame.run.people.open(
            frame.run,
            ErrorRequirement(
                id=asked.id,
                path=path,
                step_id=asked.step_id,
                step_name=node.name,
                step_index=node.index,
                error_message=failure["error"],
                error_type=failure["type"],
                retry_count=failure["attempt"] - 1,
                timeout_at=asked.timeout_at,
                on_timeout=asked.on_timeout,
                created_at=asked.created_at,
            ),
        )
        raise Suspended
    verdict = _verdict(frame, node, path, answer, asking.verdict_error)
    if verdict.action == "cancel":
        raise Rejected(verdict.reason or f"Step '{node.name}' was cancelled")
    return verdict


def open_question(frame: Frame, node: Node, path: str, requirement: StepRequirement, attempt: int) -> None:
    """Open a question in the middle of the step at ``path``: entered again, it goes on where it was."""
    record = frame.recorded(path)
    frame.enter(node, path, record.decision if record is not None else None, attempt)
    frame.run.people.open(frame.run, requirement)
    frame.emit(
        ev.StepPausedEvent,
        node,
        path,
        requirement_id=requirement.id,
        requires_user_input=requirement.requires_user_input,
        user_input_message=requirement.user_input_message,
        user_input_schema=[field.json_schema() | {"name": field.name} for field in requirement.user_input_schema or ()],
    )


def _verdict(
    frame: Frame, node: Node, path: str, answer: asking.Requirement, read: Callable[[asking.Requirement], Verdict]
) -> Verdict:
    if answer.answered_at is None:
        raise Suspended
    verdict = read(answer)
    if not frame.run.pauses.use(answer.id, frame.now()):
        return verdict
    if verdict.action not in ("cancel", "skip"):
        frame.continued(node, path, answer.id)
    return msgspec.structs.replace(verdict, is_first=True)
