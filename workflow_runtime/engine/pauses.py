"""The questions of a run: opened by nodes, answered by people, looked up again when the tree is walked anew. (D8)"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec

from ..core import gate
from ..core.gate import Verdict
from ..core.plan import Node
from ..model.errors import AlreadyAnswered
from ..model.requirements import ErrorRequirement, StepRequirement

__all__ = ["Pauses", "Requirement"]

Requirement = StepRequirement | ErrorRequirement


class Pauses:
    """All requirements of a run by id, in the order they were opened. ``fresh`` are answers that no node has used yet."""

    __slots__ = ("by_id", "changed", "fresh")

    def __init__(self, known: list[Requirement] | None = None) -> None:
        self.by_id: dict[str, Requirement] = {item.id: item for item in known or ()}
        self.fresh: dict[str, None] = {}
        self.changed: dict[str, Requirement] = {}

    @property
    def open(self) -> list[Requirement]:
        return [item for item in self.by_id.values() if item.answered_at is None]

    def get(self, requirement_id: str) -> Requirement | None:
        return self.by_id.get(requirement_id)

    def add(self, requirement: Requirement) -> None:
        self.by_id[requirement.id] = requirement
        self.changed[requirement.id] = requirement

    def take(self) -> list[Requirement]:
        changed, self.changed = self.changed, {}
        return list(changed.values())

    def use(self, requirement_id: str) -> bool:
        """True the first time that an answer is used after it was given."""
        known = requirement_id in self.fresh
        self.fresh.pop(requirement_id, None)
        return known


def unused(pauses: Pauses) -> list[Requirement]:
    """The answers that no node has used yet: those that were given after the last question was asked. (A walk that
    uses answers ends the run or asks anew.)"""
    last = max((item.created_at or 0.0 for item in pauses.by_id.values()), default=0.0)
    return [item for item in pauses.by_id.values() if item.answered_at is not None and item.answered_at > last]


def merge_answers(known: Pauses, given: list[Requirement], now: float) -> list[Requirement]:
    """The answers in ``given`` that are new and complete, as copies with ``answered_at``; nothing is changed yet.

    Raises:
        ValueError: An unknown id, or an answer that does not fit, every problem named.
        AlreadyAnswered: None of the given ones was new.
    """
    accepted: list[Requirement] = []
    stale: list[Requirement] = []
    problems: list[str] = []
    for item in given:
        asked = known.get(item.id)
        if asked is None:
            asked = next((open_ for open_ in known.open if item.path and open_.path == item.path), None)
        if asked is None:
            names = [open_.id for open_ in known.open]
            problems.append(f"requirement {item.id!r} is unknown; open: {names}")
            continue
        if asked.answered_at is not None:
            if item.is_resolved:
                stale.append(asked)
            continue
        if not item.is_resolved:
            continue
        try:
            accepted.append(_answered(asked, item, now))
        except ValueError as error:
            problems.append(f"{asked.step_name or asked.path}: {error}")
    if problems:
        raise ValueError("cannot continue, nothing was changed:\n" + "\n".join(f"- {line}" for line in problems))
    if stale and not accepted:
        first = stale[0]
        when = datetime.fromtimestamp(first.answered_at or 0, UTC).isoformat()
        raise AlreadyAnswered(
            f"requirement {first.id!r} was answered at {when}; the first answer stands",
            requirement_id=first.id,
            answered_at=first.answered_at,
        )
    return accepted


def validated(answered: list[Requirement], model_of: Callable[[Requirement], Any]) -> list[Requirement]:
    """``answered``, which also the models of their forms accept: a model may know more than its JSON Schema says.

    Raises:
        ValueError: A line for every field that a model refuses.
    """
    problems: list[str] = []
    for item in answered:
        model = model_of(item)
        if isinstance(item, StepRequirement) and item.user_input is not None and hasattr(model, "model_validate"):
            try:
                model.model_validate(item.user_input)
            except ValueError as error:
                problems += [f"{item.step_name or item.path}: {line}" for line in _refused(error)]
    if problems:
        raise ValueError("cannot continue, nothing was changed:\n" + "\n".join(f"- {line}" for line in problems))
    return answered


def _refused(error: ValueError) -> list[str]:
    """What a model says against each field."""
    told: Any = getattr(error, "errors", list)
    details = told()
    lines = [f"Field '{'.'.join(map(str, ('user_input', *item['loc'])))}': {item['msg']}" for item in details]
    return lines or [str(error)]


def _answered(asked: Requirement, given: Requirement, now: float) -> Requirement:
    """A copy of what was asked with the given answer; only the answer is taken over, and it is checked anew."""
    copy = msgspec.structs.replace(asked, answered_at=now)
    copy.answer(given.given())
    return copy


def due(pauses: Pauses, now: float) -> list[Requirement]:
    """The answers of the deadlines that have passed."""
    passed = [item for item in pauses.open if item.timeout_at is not None and item.timeout_at.timestamp() <= now]
    return [msgspec.structs.replace(gate.on_deadline(item), answered_at=now) for item in passed]


def question(node: Node, path: str, run_id: str, now: float, tag: str, **fields: Any) -> StepRequirement:
    """A new requirement of ``node``, with the policies of its review."""
    review = node.policies
    base: dict[str, Any] = {
        "id": f"{run_id}:{path}@{tag}",
        "path": path,
        "step_id": node.step_id or path,
        "step_name": node.name,
        "step_index": node.index,
        "step_type": node.kind,
        "created_at": now,
    }
    if review is not None:
        base["on_reject"] = review.on_reject
        base["on_timeout"] = review.on_timeout
        base["max_retries"] = review.max_retries
        if review.timeout is not None:
            base["timeout_at"] = datetime.fromtimestamp(now + review.timeout, UTC)
    return StepRequirement(**{**base, **fields})


def verdict_before(answer: Requirement) -> Verdict:
    assert isinstance(answer, StepRequirement)
    return gate.before_node(answer)


def verdict_after(answer: Requirement) -> Verdict:
    assert isinstance(answer, StepRequirement)
    return gate.after_iteration(answer) if answer.kind == "iteration_review" else gate.after_output(answer)


def verdict_error(answer: Requirement) -> Verdict:
    if isinstance(answer, ErrorRequirement):
        if answer.decision == "cancel":
            return Verdict(action="cancel", reason="timed out")
        return gate.after_error(answer)
    return gate.before_node(answer)
