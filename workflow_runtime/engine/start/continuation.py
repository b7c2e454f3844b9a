"""A call to ``continue_run``, and what of it fits the run: its answers, its session, its plan."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from ...core.journal import Journal
from ...core.plan import Plan
from ...model.enums import RunStatus
from ...model.errors import PlanChanged, RunNotFound, RunNotPaused, Unanswered
from ...model.requirements import StepRequirement
from ...model.run import WorkflowRunOutput
from ..bus.pauses import Pauses, Requirement, due, merge_answers, validated
from ..people.form_models import find_model
from ..run.host import find_live, find_parked
from ..run.request import Definition

__all__ = [
    "Continuation",
    "answers_of",
    "check_plan",
    "new_answers_of",
    "refuse_other_session",
    "refuse_unless_paused",
]


class Continuation(msgspec.Struct, frozen=True, kw_only=True):
    """A call to ``continue_run``, resolved. ``output`` is the paused output, needed where there is no database."""

    definition: Definition
    run_id: str
    session_id: str | None = None
    output: WorkflowRunOutput | None = None
    answers: list[Requirement] | None = None
    store_events: bool = False
    keep_log: bool = False
    skip: Any = None
    user_id: str | None = None
    allow_plan_change: bool = False
    cancel_reason: str | None = None
    background: bool = False


def refuse_other_session(asked: Continuation, session_id: str | None) -> None:
    """RunNotFound when the caller named another session than the run's."""
    if asked.session_id not in (None, session_id):
        raise RunNotFound(
            f"Could not find run with id {asked.run_id} in session {asked.session_id}: it is of another session; leave"
            " session_id out, or give the run's own"
        )


def refuse_unless_paused(status: RunStatus, run_id: str) -> None:
    if status != RunStatus.paused:
        onward = "; fork() runs it again from one of its steps" if RunStatus(status).is_final else ""
        raise RunNotPaused(
            f"Cannot continue a run that is not paused. Current status: {RunStatus(status).value} (run {run_id}){onward}"
        )


def check_plan(plan: Plan, journal: Journal, allowed: bool, asked: Sequence[Requirement] = ()) -> None:
    """PlanChanged naming the first step that the run has been at, or waits at, and that the plan no longer has, or has as
    another kind of step. ``asked``: the open questions."""
    if allowed or plan.dynamic:
        return
    been = sorted(journal.records.values(), key=lambda record: record.position)
    places = [(record.path, record.kind) for record in been if "!" not in record.path]
    # What asks in its middle has a record; the other questions stand before or behind their node, which may have none.
    places += [
        (item.path, item.step_type)
        for item in asked
        if isinstance(item, StepRequirement) and item.kind not in ("ask", "budget", "receive") and item.step_type
    ]
    for path, kind in places:
        node = plan.find(path)
        if node is None:
            raise PlanChanged(
                f"the workflow has no step at {path!r} any more, where the stored run has been;"
                " restore the step, or pass allow_plan_change=True",
                path=path,
            )
        if node.kind != kind:
            raise PlanChanged(
                f"step {path!r} is a {node.kind} now and was a {kind} when the run was stored;"
                " restore it, or pass allow_plan_change=True",
                path=path,
            )


def answers_of(asked: Continuation, pauses: Pauses) -> list[Requirement]:
    """The new answers for a paused run. ValueError that lists what is still open when there are none, and nothing that was
    answered before is left to be used, and no order to a step."""
    answers = new_answers_of(asked, pauses)
    if answers or pauses.fresh or pauses.has_orders or not pauses.open:
        return answers
    steps = [item.step_name for item in pauses.open if item.kind != "error"]
    errors = [item.step_name for item in pauses.open if item.kind == "error"]
    parts = ([f"unresolved step requirements: {steps}"] if steps else []) + (
        [f"unresolved error requirements: {errors}"] if errors else []
    )
    refused = Unanswered(f"Cannot continue run - {'; '.join(parts)}")
    refused.add_note("answer them, for example with confirm(), and pass them as step_requirements")
    raise refused


def new_answers_of(asked: Continuation, pauses: Pauses) -> list[Requirement]:
    """What the call answers of what is open, and what the deadlines answer that have passed."""
    now = asked.definition.clock.time()
    timed_out = due(pauses, now)
    late = {item.id for item in timed_out}
    given = asked.answers
    if given is None and asked.output is not None:
        given = [*(asked.output.step_requirements or ()), *(asked.output.error_requirements or ())]
    usable = [item for item in given or () if item.id not in late]
    return [*timed_out, *validated(merge_answers(pauses, usable, now, asked.run_id), models(asked))]


def models(asked: Continuation) -> Callable[[Requirement], Any]:
    """Which pydantic model, if any, the form of a question is of: that of a step that waits here, the workflow's own, or the
    one that is known by the name that was stored."""
    parked = find_live(asked.run_id) or find_parked(asked.run_id)

    def model(item: Requirement) -> Any:
        if not isinstance(item, StepRequirement):
            return None
        if parked is not None and item.id in parked.parking.models:
            return parked.parking.models[item.id]
        node = asked.definition.plan.find(item.path) if item.kind == "user_input" else None
        if node is not None and node.review is not None:
            return node.review.user_input_schema
        return find_model(item.input_model, item.input_json_schema)

    return model
