"""The action of a node for an answered requirement.

Each phase is a table from (answer, policy) to an action; nothing here looks at a clock or a database.
"""

from __future__ import annotations

import copy
from typing import Any

import msgspec

from ..model.answers import confirm_form
from ..model.enums import OnReject
from ..model.kinds import shape_of
from ..model.requirements import ErrorRequirement, StepRequirement

__all__ = ["Verdict", "after_error", "after_iteration", "after_output", "before_node", "on_deadline"]

PROCEED, SKIP, CANCEL, ELSE, RETRY, REPLACE, CHOOSE, STOP = (
    "proceed", "skip", "cancel", "else", "retry", "replace", "choose", "stop",
)  # fmt: skip


TIMED_OUT = "timed out"


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """``action`` is one of proceed, skip, cancel, else, retry, replace, choose, stop. ``additional`` reaches the step.
    ``is_first``: its answer is used for the first time.
    """

    action: str
    additional: dict[str, Any] = msgspec.field(default_factory=dict)
    content: Any = None
    choices: tuple[str, ...] = ()
    reason: str | None = None
    timed_out: bool = False
    is_first: bool = False

    @property
    def said(self) -> str:
        """Why a node was skipped, for its output."""
        return "nobody answered in time" if self.timed_out else "rejected by a person"


_REJECTED_BEFORE = {
    OnReject.skip: SKIP,
    OnReject.cancel: CANCEL,
    OnReject.else_branch: ELSE,
    OnReject.retry: PROCEED,
}
_REJECTED_OUTPUT = {
    OnReject.skip: SKIP,
    OnReject.cancel: CANCEL,
    OnReject.else_branch: SKIP,
    OnReject.retry: RETRY,
}


def before_node(answer: StepRequirement) -> Verdict:
    """Confirmation, user input or route selection, asked before the node ran."""
    if answer.confirmed is False:
        action = _REJECTED_BEFORE[OnReject(answer.on_reject)]
        if action == ELSE and shape_of(answer.step_type) != "decision":
            action = SKIP
        additional: dict[str, Any] = {"rejection_feedback": answer.rejection_feedback} if action == PROCEED else {}
        reason = answer.rejection_feedback
        return Verdict(action=action, additional=additional, reason=reason, timed_out=answer.timed_out)
    if answer.requires_route_selection:
        return Verdict(action=CHOOSE, choices=tuple(answer.selected_choices or ()))
    additional = {"user_input": dict(answer.user_input)} if answer.user_input is not None else {}
    return Verdict(action=PROCEED, additional=additional)


def after_output(answer: StepRequirement) -> Verdict:
    """The review of an output: keep it, replace its content, or throw it away. ``retry_count`` counts the retries
    so far; one rejection more than ``max_retries`` cancels the run."""
    if answer.confirmed:
        return Verdict(action=REPLACE, content=answer.edited_output) if answer.is_edited else Verdict(action=PROCEED)
    action = _REJECTED_OUTPUT[OnReject(answer.on_reject)]
    if action == RETRY:
        if answer.max_retries is not None and answer.retry_count >= answer.max_retries:
            reason = f"Max retries ({answer.max_retries}) reached for step '{answer.step_name}'"
            return Verdict(action=CANCEL, reason=reason)
        previous = answer.step_output.content if answer.step_output else None
        return Verdict(
            action=RETRY,
            additional={"rejection_feedback": answer.rejection_feedback, "previous_output": previous},
        )
    return Verdict(action=action, reason=answer.rejection_feedback, timed_out=answer.timed_out)


def after_iteration(answer: StepRequirement) -> Verdict:
    """The review of a loop's iteration: a yes, or an edit, accepts the loop's output so far and ends it; a retry
    continues."""
    if answer.confirmed:
        return Verdict(action=REPLACE, content=answer.edited_output) if answer.is_edited else Verdict(action=STOP)
    action = _REJECTED_OUTPUT[OnReject(answer.on_reject)]
    if action == RETRY:
        return Verdict(action=PROCEED, additional={"rejection_feedback": answer.rejection_feedback})
    return Verdict(action=action, reason=answer.rejection_feedback, timed_out=answer.timed_out)


def after_error(answer: ErrorRequirement) -> Verdict:
    if answer.should_retry:
        return Verdict(action=RETRY)
    return Verdict(action=SKIP)


def on_deadline(answer: StepRequirement | ErrorRequirement) -> StepRequirement | ErrorRequirement:
    """The answer after the deadline: ``on_timeout`` applied to a copy. A question that a plain yes does not answer (a form
    with required fields, a choice, the result of a tool) cannot be approved, so it cancels."""
    if isinstance(answer, ErrorRequirement):
        decision = "retry" if answer.on_timeout == "approve" else answer.on_timeout
        return msgspec.structs.replace(answer, decision=decision, timed_out=True)
    if answer.on_timeout != "approve":
        return _declined(answer, (OnReject.skip if answer.on_timeout == "skip" else OnReject.cancel).value)
    approved = copy.deepcopy(answer)
    try:
        if answer.requires_user_input:
            confirm_form(approved)
            approved.confirmed = True
        else:
            approved.answer({"confirmed": True})
    except ValueError:
        return _declined(answer, OnReject.cancel.value)
    approved.timed_out = True
    return approved


def _declined(answer: StepRequirement, on_reject: str) -> StepRequirement:
    return msgspec.structs.replace(
        answer, confirmed=False, on_reject=on_reject, rejection_feedback=TIMED_OUT, timed_out=True
    )
