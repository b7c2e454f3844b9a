"""The open questions of a paused run as AG-UI interrupts, and the entries that answer them as our answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import ag_ui.core as ag

from ... import ErrorRequirement, StepRequirement
from ..errors import Refused
from ..rows import PendingItem

__all__ = ["Requirement", "answers", "interrupt"]

Requirement = StepRequirement | ErrorRequirement

# The reasons that AG-UI knows by name; any other kind is named as ours.
_REASONS = {
    "confirmation": "confirmation",
    "user_input": "input_required",
    "ask": "input_required",
    "budget": "input_required",
}


def interrupt(asked: Requirement) -> ag.Interrupt:
    """The question. ``responseSchema`` is the JSON Schema of the payload that answers it."""
    return ag.Interrupt(
        id=asked.id,
        reason=_REASONS.get(asked.kind, f"workflow_runtime:{asked.kind}"),
        message=message(asked),
        response_schema=asked.schema(),
        expires_at=asked.timeout_at.isoformat() if asked.timeout_at is not None else None,
        metadata={"kind": asked.kind, "path": asked.path, "step_name": asked.step_name},
    )


def message(asked: Requirement) -> str:
    """The question as a person reads it."""
    if isinstance(asked, ErrorRequirement):
        return f"Step '{asked.step_name}' failed: {asked.error_message}. Retry or skip?"
    said = asked.confirmation_message or asked.user_input_message or asked.output_review_message
    return said or f"Step '{asked.step_name}' needs an answer"


def answers(waiting: Iterable[PendingItem], entries: Iterable[ag.ResumeEntry]) -> Mapping[str, Mapping[str, Any]]:
    """By id, the answers to all questions that wait. Entries for questions that nobody asked are left out.

    Raises:
        Refused: A question has no entry: silence is no answer, and nothing goes on by it.
    """
    by_id = {entry.interrupt_id: entry for entry in entries}
    found: dict[str, dict[str, Any]] = {}
    missing: list[str] = []
    for item in waiting:
        entry = by_id.get(item.requirement.id)
        if entry is None:
            missing.append(item.requirement.id)
        elif entry.status == "cancelled":
            found[item.requirement.id] = _abandoned(item.requirement)
        else:
            payload = entry.payload
            found[item.requirement.id] = payload if isinstance(payload, dict) else {"confirmed": payload}
    if missing:
        raise Refused(400, "bad_answer", f"resume has no entry for the open interrupts {', '.join(missing)}")
    return found


def _abandoned(asked: Requirement) -> dict[str, Any]:
    """Nobody will answer: a question is declined, and what follows is the step's own policy; an error is not retried."""
    if isinstance(asked, ErrorRequirement):
        return {"decision": "skip"}
    if asked.requires_executor_input:
        items = asked.executor_requirements or ()
        return {"executor_requirements": [{"id": item.get("id"), "confirmation": False} for item in items]}
    return {"confirmed": False, "rejection_feedback": "nobody answered"}
