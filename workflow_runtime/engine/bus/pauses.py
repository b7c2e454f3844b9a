"""The questions of a run: opened by nodes, answered by people, looked up again when the tree is walked anew. (D8)"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NoReturn

import msgspec

from ...core import gate
from ...core.gate import Verdict
from ...core.journal import within
from ...core.plan import Node
from ...model.errors import AlreadyAnswered, QuestionWithdrawn
from ...model.requirements import ErrorRequirement, StepRequirement

__all__ = ["Pauses", "Requirement"]

Requirement = StepRequirement | ErrorRequirement


_MID_STEP = frozenset({"ask", "budget", "executor", "receive"})  # kinds of questions that a step asks once it has begun


class Pauses:
    """All requirements of a run by id, in the order they were opened. ``fresh`` are the ids of answers that no step has
    used yet, ``has_orders``: a step is to be cancelled, skipped or retried."""

    __slots__ = ("by_id", "changed", "fresh", "has_orders")

    def __init__(self, known: list[Requirement] | None = None) -> None:
        self.by_id: dict[str, Requirement] = {item.id: item for item in known or ()}
        self.fresh: dict[str, None] = {item.id: None for item in self.by_id.values() if _is_fresh(item)}
        self.changed: dict[str, Requirement] = {}
        self.has_orders = False

    @property
    def open(self) -> list[Requirement]:
        return [item for item in self.by_id.values() if item.is_open]

    def get(self, requirement_id: str) -> Requirement | None:
        """The question of that id, None where it was never asked or was withdrawn: then it is asked again."""
        found = self.by_id.get(requirement_id)
        return found if found is None or found.withdrawn_at is None else None

    def add(self, requirement: Requirement) -> None:
        self.by_id[requirement.id] = requirement
        self.changed[requirement.id] = requirement

    def take(self) -> list[Requirement]:
        changed, self.changed = self.changed, {}
        return list(changed.values())

    def absorb(self, stored: list[Requirement]) -> list[str]:
        """Take over the answers in ``stored`` that are new here; their ids. What is open there says nothing."""
        new: list[str] = []
        for item in stored:
            known = self.by_id.get(item.id)
            # Not by ``answered_at``: a caller may hold, and have changed, the requirement that is known here.
            if known is None or known.used_at is not None or known.withdrawn_at is not None:
                continue
            if item.id in self.fresh or not _is_fresh(item):
                continue
            self.by_id[item.id] = item
            if item.id in self.changed:
                self.changed[item.id] = item
            self.fresh[item.id] = None
            new.append(item.id)
        return new

    def answer(self, answered: Requirement) -> None:
        """Take an answer that no caller gave, and that is not stored yet."""
        self.add(answered)
        self.fresh[answered.id] = None

    def unused(self) -> list[Requirement]:
        """Those whose answer no step has used yet."""
        return [self.by_id[name] for name in self.fresh]

    def use(self, requirement_id: str, now: float) -> bool:
        """True the first time that an answer is used after it was given."""
        if requirement_id not in self.fresh:
            return False
        del self.fresh[requirement_id]
        item = self.by_id[requirement_id]
        item.used_at = now
        self.changed[requirement_id] = item
        return True

    def withdraw(self, path: str, now: float) -> list[Requirement]:
        """Withdraw the open questions at and below ``path`` ("" for all of the run's); those that were."""
        gone = [item for item in self.open if not path or within(item.path, path)]
        unreceived = [
            item for item in self.unused() if item.kind == "receive" and (not path or within(item.path, path))
        ]
        for item in unreceived:  # its message is given to another wait
            del self.fresh[item.id]
        for item in [*gone, *unreceived]:
            item.withdrawn_at = now
            self.changed[item.id] = item
        return gone

    def blocks(self, path: str) -> bool:
        """True when the step at ``path`` waits in its middle for a question of its own, and no answer at or below it is
        new: entered again, it would only ask again."""
        if not any(item.path == path and item.kind in _MID_STEP for item in self.open):
            return False
        return not any(not path or within(self.by_id[name].path, path) for name in self.fresh)


def _is_fresh(item: Requirement) -> bool:
    return item.answered_at is not None and item.used_at is None and item.withdrawn_at is None


def merge_answers(known: Pauses, given: list[Requirement], now: float, run_id: str) -> list[Requirement]:
    """The answers in ``given`` that are new and complete, as copies with ``answered_at``; nothing is changed yet.

    A list of several runs' requirements is taken as it is, as long as one of them is this run's: the others' are left.

    Raises:
        ValueError: An unknown id, only other runs' requirements, or an answer that does not fit; every problem named.
        AlreadyAnswered: None of the given ones was new.
        QuestionWithdrawn: None of the given ones was new, and one needs no answer any more.
    """
    accepted: list[Requirement] = []
    stale: list[Requirement] = []
    foreign: list[Requirement] = []
    problems: list[str] = []
    for item in given:
        asked = known.by_id.get(item.id)
        if asked is None and item.run_id not in ("", run_id):
            foreign.append(item)
            continue
        if asked is None:
            names = [open_.id for open_ in known.open]
            problems.append(f"requirement {item.id!r} is unknown; open: {names}")
            continue
        if not item.is_resolved:
            continue
        if not asked.is_open:
            stale.append(asked)
            continue
        try:
            accepted.append(_answered(asked, item, now))
        except ValueError as error:
            problems.append(f"{asked.step_name or asked.path}: {error}")
    if foreign and len(foreign) == len(given):
        problems += [
            f"requirement {item.id!r} is of run {item.run_id!r}; continue that run with it" for item in foreign
        ]
    if problems:
        raise ValueError("cannot continue, nothing was changed:\n" + "\n".join(f"- {line}" for line in problems))
    if stale and not accepted:
        _refuse_stale(stale)
    return accepted


def _refuse_stale(stale: list[Requirement]) -> NoReturn:
    first = next((item for item in stale if item.answered_at is not None), stale[0])
    if first.answered_at is None:
        raise QuestionWithdrawn(
            f"requirement {first.id!r} was withdrawn, because its branch was abandoned; it needs no answer",
            requirement_id=first.id,
        )
    when = datetime.fromtimestamp(first.answered_at, UTC).isoformat()
    raise AlreadyAnswered(
        f"requirement {first.id!r} was answered at {when}; the first answer stands",
        requirement_id=first.id,
        answered_at=first.answered_at,
    )


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
            base["timeout_at"] = deadline(now, review.timeout)
    return StepRequirement(**{**base, **fields})


def deadline(now: float, timeout: float | None) -> datetime | None:
    """The time after ``timeout`` seconds; None for no limit, also where the calendar has no such time."""
    if timeout is None:
        return None
    try:
        return datetime.fromtimestamp(now + timeout, UTC)
    except (OverflowError, ValueError, OSError):
        return None


def verdict_before(answer: Requirement) -> Verdict:
    assert isinstance(answer, StepRequirement)
    return gate.before_node(answer)


def verdict_after(answer: Requirement) -> Verdict:
    assert isinstance(answer, StepRequirement)
    return gate.after_iteration(answer) if answer.kind == "iteration_review" else gate.after_output(answer)


def verdict_error(answer: Requirement) -> Verdict:
    if isinstance(answer, ErrorRequirement):
        if answer.decision == "cancel":
            return Verdict(action="cancel", reason=gate.TIMED_OUT, timed_out=True)
        return gate.after_error(answer)
    return gate.before_node(answer)
