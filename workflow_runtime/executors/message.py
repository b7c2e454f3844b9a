"""The message that an agent is given: the step's, and what a person has answered to it."""

from __future__ import annotations

from typing import Any

from ..model.text import as_text

__all__ = ["ANSWERS", "answers_in", "with_answers"]

ANSWERS = ("user_input", "previous_output", "rejection_feedback")
"""The keys of ``additional_data`` that have a person's answers."""


def answers_in(additional: dict[str, Any] | None, of_the_run: dict[str, Any] | None) -> dict[str, Any]:
    """What a person has answered to the step; not what the run was given under the same names."""
    given = of_the_run or {}
    values = {name: (additional or {}).get(name) for name in ANSWERS}
    return {name: value for name, value in values.items() if value is not None and value is not given.get(name)}


def with_answers(message: Any, answers: dict[str, Any]) -> Any:
    """``message`` with the answers behind it, as text. A mapping stays as it is: it is the input of a graph, whose fields
    nobody else may fill in."""
    if not answers or isinstance(message, dict):
        return message
    parts = [as_text(message) or ""]
    if "user_input" in answers:
        parts.append(
            "User preferences:\n" + "\n".join(f"- {name}: {value}" for name, value in answers["user_input"].items())
        )
    if "previous_output" in answers:
        parts.append(f"Your previous output:\n{as_text(answers['previous_output'])}")
    if "rejection_feedback" in answers:
        parts.append(f"Feedback from reviewer:\n{answers['rejection_feedback']}")
    return "\n\n".join(part for part in parts if part)
