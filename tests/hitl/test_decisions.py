"""The decision table: what each answer does, at each place and depth, and which StepOutput or event records it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from workflow_runtime import (
    Condition,
    HumanReview,
    InMemoryDb,
    Loop,
    Map,
    Parallel,
    Router,
    RunContext,
    RunStatus,
    Step,
    StepInput,
    StepOutput,
    StepRequirement,
    Steps,
    Workflow,
    WorkflowRunOutput,
)

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Desk:
    """The gated step and what was done there. ``fails`` is how often its body raises at first."""

    def __init__(self, review: HumanReview | None = None, fails: int = 0) -> None:
        self.review = review
        self.fails = fails
        self.inputs: list[dict[str, Any]] = []

    def work(self, step_input: StepInput, run_context: RunContext) -> str:
        data = step_input.additional_data or {}
        self.inputs.append(
            {key: data[key] for key in ("rejection_feedback", "previous_output", "user_input") if key in data}
        )
        if len(self.inputs) <= self.fails:
            raise LookupError("no such desk")
        return f"work {run_context.path}"

    @property
    def options(self) -> dict[str, Any]:
        return {"human_review": self.review} if self.review is not None else {"on_error": "pause"}

    def step(self) -> Step:
        return Step(name="gate", executor=self.work, **self.options)


def plain(name: str) -> Step:
    return Step(name=name, executor=lambda step_input: f"{name} {step_input.previous_step_content}")


def inside(desk: Desk) -> Workflow:
    return Workflow(name="inner", steps=[plain("before"), desk.step(), plain("within")])


def by_hand(desk: Desk) -> Callable[..., Any]:
    async def flow(run_context: RunContext) -> Any:
        await run_context.step("first", lambda: "first")
        await run_context.step("gate", desk.work, **desk.options)
        return await run_context.step("after", lambda step_input: f"after {step_input.previous_step_content}")

    return flow


@dataclass(frozen=True)
class Place:
    """Where the gate stands. ``meant`` is a part of the path of the question that gets the answer under test, where there
    are several (iterations, items); the others are confirmed. ``runs``: how often the gate's body runs otherwise."""

    make: Callable[[Desk], Any]
    meant: str = ""
    others: int = 0


PLACES = {
    "top": Place(lambda desk: [plain("first"), desk.step(), plain("after")]),
    "steps": Place(lambda desk: [Steps(name="group", steps=[plain("first"), desk.step()]), plain("after")]),
    "parallel branch": Place(
        lambda desk: [Parallel(plain("first"), desk.step(), plain("third"), name="all"), plain("after")]
    ),
    "map item": Place(
        lambda desk: [Map(desk.step(), over=lambda step_input: ["a", "b", "c"], name="each"), plain("after")], "#1", 2
    ),
    "loop iteration": Place(lambda desk: [Loop([desk.step()], name="loop", max_iterations=3), plain("after")], "#1", 2),
    "condition if": Place(lambda desk: [Condition([desk.step()], evaluator=True, name="if"), plain("after")]),
    "condition else": Place(
        lambda desk: [Condition([plain("first")], evaluator=False, else_steps=[desk.step()], name="if"), plain("after")]
    ),
    "router choice": Place(
        lambda desk: [
            Router([plain("first"), desk.step()], selector=lambda step_input: "gate", name="way"),
            plain("after"),
        ]
    ),
    "nested workflow": Place(lambda desk: [Step(name="nested", workflow=inside(desk)), plain("after")]),
    "callable workflow": Place(by_hand),
    "parallel in a loop in a nested workflow": Place(
        lambda desk: [
            Workflow(
                name="inner",
                steps=[Loop([Parallel(desk.step(), plain("third"), name="all")], name="loop", max_iterations=2)],
            ),
            plain("after"),
        ],
        "#1",
        1,
    ),
    "map in a condition in a router": Place(
        lambda desk: [
            Router(
                [Condition([Map(desk.step(), over=lambda step_input: ["a", "b"], name="each")], name="if")],
                selector=lambda step_input: "if",
                name="way",
            ),
            plain("after"),
        ],
        "#1",
        1,
    ),
}


async def decide(place: Place, desk: Desk, *answers: dict[str, Any]) -> WorkflowRunOutput:
    """Run it; give ``answers``, one after the other, to the question that is meant, and a yes to the others."""
    said = list(answers)
    workflow = Workflow(name="w", steps=place.make(desk), db=InMemoryDb(), store_events=True)
    output = await workflow.arun("in")
    for _ in range(20):
        if not output.is_paused:
            break
        for item in [*output.active_step_requirements, *output.active_error_requirements]:
            if item.answered_at is None:
                yes = {"confirmed": True} if isinstance(item, StepRequirement) else {"decision": "retry"}
                item.answer(said.pop(0) if place.meant in item.path and said else yes)
        output = await workflow.acontinue_run(output)
    assert not said, "not every answer was asked for"
    return output


def gates(output: WorkflowRunOutput, place: Place) -> list[StepOutput]:
    """The outputs of the gated step, in order."""
    return [step for top in output.step_results for step in top.walk() if step.step_name == "gate"]


def meant(output: WorkflowRunOutput, place: Place) -> StepOutput:
    found = gates(output, place)
    assert len(found) == place.others + 1
    return found[1] if place.others else found[0]


def after(output: WorkflowRunOutput) -> list[StepOutput]:
    return [step for step in output.step_results if step.step_name == "after"]


def confirming(on_reject: str) -> HumanReview:
    return HumanReview(requires_confirmation=True, on_reject=on_reject)


def reviewing(on_reject: str, max_retries: int = 3) -> HumanReview:
    return HumanReview(requires_output_review=True, on_reject=on_reject, max_retries=max_retries)


NO = {"confirmed": False, "rejection_feedback": "too dear"}
everywhere = pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)


def cancelled(output: WorkflowRunOutput, reason: str) -> None:
    assert output.status is RunStatus.cancelled
    assert output.events is not None
    (end,) = [event for event in output.events if event.event == "WorkflowCancelled"]
    assert end is output.events[-1]
    assert (end.reason, output.content) == (reason, f"Workflow cancelled: {reason}")
    assert after(output) == []


# -- before a step -------------------------------------------------------------------------------------------------------


@everywhere
async def test_confirmed_the_step_runs_once(place: Place) -> None:
    desk = Desk(confirming("skip"))
    output = await decide(place, desk, {"confirmed": True})
    assert output.status is RunStatus.completed
    assert all(step.success and not step.skipped for step in gates(output, place))
    assert desk.inputs == [{}] * (place.others + 1)
    assert [event.event for event in output.events or ()].count("StepContinued") == place.others + 1


@everywhere
@pytest.mark.parametrize("on_reject", ["skip", "else"])
async def test_rejected_with_skip_the_step_leaves_an_output_that_says_so_and_does_not_run(
    place: Place, on_reject: str
) -> None:
    desk = Desk(confirming(on_reject))
    output = await decide(place, desk, NO)
    assert output.status is RunStatus.completed
    left = meant(output, place)
    assert (left.success, left.skipped, left.error) == (False, True, "too dear")
    assert left.content == "Step gate skipped: rejected by a person"
    assert desk.inputs == [{}] * place.others
    assert len(after(output)) == 1


@everywhere
async def test_rejected_with_cancel_the_run_ends_with_the_reason(place: Place) -> None:
    output = await decide(place, Desk(confirming("cancel")), NO)
    cancelled(output, "too dear")


@everywhere
async def test_rejected_with_retry_the_step_runs_with_the_feedback(place: Place) -> None:
    desk = Desk(confirming("retry"))
    output = await decide(place, desk, NO)
    assert output.status is RunStatus.completed
    assert meant(output, place).success
    assert sorted(map(len, desk.inputs)) == [0] * place.others + [1]
    assert {"rejection_feedback": "too dear"} in desk.inputs


@everywhere
async def test_filled_in_the_step_gets_the_values(place: Place) -> None:
    desk = Desk(
        HumanReview(requires_user_input=True, user_input_schema=[{"name": "n", "field_type": "int", "value": 1}])
    )
    fills: list[dict[str, Any]] = [{"user_input": {"n": 7}}]
    workflow = Workflow(name="w", steps=place.make(desk), db=InMemoryDb())
    output = await workflow.arun("in")
    while output.is_paused:
        for item in output.active_step_requirements:
            if item.answered_at is None:
                item.answer(fills.pop() if place.meant in item.path and fills else {"user_input": {}})
        output = await workflow.acontinue_run(output)
    values = [given["user_input"]["n"] for given in desk.inputs]
    assert sorted(values) == [1] * place.others + [7]


# -- after a step --------------------------------------------------------------------------------------------------------


@everywhere
async def test_a_reviewed_output_that_is_confirmed_stays(place: Place) -> None:
    desk = Desk(reviewing("skip"))
    output = await decide(place, desk, {"confirmed": True})
    assert str(meant(output, place).content).startswith("work ")
    assert len(desk.inputs) == place.others + 1


@everywhere
async def test_a_reviewed_output_that_is_edited_has_the_new_content(place: Place) -> None:
    desk = Desk(reviewing("skip"))
    output = await decide(place, desk, {"confirmed": True, "edited_output": {"better": 1}})
    left = meant(output, place)
    assert (left.content, left.success) == ({"better": 1}, True)
    assert len(desk.inputs) == place.others + 1


@everywhere
async def test_a_reviewed_output_that_is_rejected_with_skip_is_discarded(place: Place) -> None:
    desk = Desk(reviewing("skip"))
    output = await decide(place, desk, NO)
    left = meant(output, place)
    assert (left.success, left.skipped, left.error) == (False, True, "too dear")
    assert left.content == "Step gate output discarded by a person"
    assert output.status is RunStatus.completed


@everywhere
async def test_a_reviewed_output_that_is_rejected_with_retry_is_made_again_with_the_feedback(place: Place) -> None:
    desk = Desk(reviewing("retry"))
    output = await decide(place, desk, NO, {"confirmed": True})
    assert meant(output, place).success
    again = [given for given in desk.inputs if given]
    assert [given["rejection_feedback"] for given in again] == ["too dear"]
    assert again[0]["previous_output"].startswith("work ")
    assert len(desk.inputs) == place.others + 2


@everywhere
async def test_a_reviewed_output_that_is_rejected_too_often_cancels_the_run(place: Place) -> None:
    output = await decide(place, Desk(reviewing("retry", max_retries=1)), NO, NO)
    cancelled(output, "Max retries (1) reached for step 'gate'")


@everywhere
async def test_a_reviewed_output_that_is_rejected_with_cancel_ends_the_run(place: Place) -> None:
    cancelled(await decide(place, Desk(reviewing("cancel")), NO), "too dear")


# -- a failed step -------------------------------------------------------------------------------------------------------


@everywhere
async def test_a_failed_step_that_is_retried_runs_again(place: Place) -> None:
    desk = Desk(fails=1)
    output = await decide(Place(place.make, "", place.others), desk, {"decision": "retry"})
    assert output.status is RunStatus.completed
    assert all(step.success for step in gates(output, place))
    assert len(desk.inputs) == place.others + 2
    events = [event.event for event in output.events or ()]
    assert (events.count("StepError"), events.count("StepContinued")) == (1, 1)


@everywhere
async def test_a_failed_step_that_is_skipped_leaves_an_output_that_says_so(place: Place) -> None:
    desk = Desk(fails=1)
    output = await decide(Place(place.make, "", place.others), desk, {"decision": "skip"})
    assert output.status is RunStatus.completed
    (left,) = [step for step in gates(output, place) if not step.success]
    assert (left.skipped, left.error) == (True, "no such desk")
    assert left.content == "Step gate skipped due to error: no such desk"
    assert len(after(output)) == 1


# -- containers ----------------------------------------------------------------------------------------------------------

CONTAINERS: dict[str, Callable[[HumanReview, Any], Any]] = {
    "Steps": lambda review, step: Steps(name="box", steps=[step], human_review=review),
    "Parallel": lambda review, step: Parallel(step, name="box", human_review=review),
    "Map": lambda review, step: Map(step, over=lambda step_input: ["a"], name="box", human_review=review),
    "Loop": lambda review, step: Loop([step], name="box", max_iterations=1, human_review=review),
    "Condition": lambda review, step: Condition([step], else_steps=[plain("other")], name="box", human_review=review),
    "Router": lambda review, step: Router([step], selector=lambda step_input: "leaf", name="box", human_review=review),
    "Step of a workflow": lambda review, step: Step(
        name="box", workflow=Workflow(name="inner", steps=[step]), human_review=review
    ),
}
DEPTHS: dict[str, Callable[[Any], Any]] = {
    "top": lambda box: box,
    "branch": lambda box: Parallel(plain("side"), box, name="outer"),
    "nested": lambda box: Step(name="outer", workflow=Workflow(name="outermost", steps=[box])),
}


async def boxed(kind: str, depth: str, on_reject: str, answer: dict[str, Any]) -> tuple[WorkflowRunOutput, list[str]]:
    ran: list[str] = []

    def leaf(step_input: StepInput) -> str:
        ran.append(str((step_input.additional_data or {}).get("rejection_feedback", "")))
        return "leaf"

    box = CONTAINERS[kind](confirming(on_reject), Step(name="leaf", executor=leaf))
    workflow = Workflow(name="w", steps=[DEPTHS[depth](box), plain("after")], db=InMemoryDb(), store_events=True)
    paused = await workflow.arun("in")
    assert ran == []
    (item,) = paused.active_step_requirements
    item.answer(answer)
    return await workflow.acontinue_run(paused), ran


def box_of(output: WorkflowRunOutput) -> StepOutput:
    (found,) = [step for top in output.step_results for step in top.walk() if step.step_name == "box"]
    return found


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("kind", CONTAINERS)
async def test_a_container_is_confirmed_skipped_or_cancelled_as_a_whole(kind: str, depth: str) -> None:
    output, ran = await boxed(kind, depth, "skip", {"confirmed": True})
    assert (output.status, len(ran), box_of(output).success) == (RunStatus.completed, 1, True)
    output, ran = await boxed(kind, depth, "skip", NO)
    left = box_of(output)
    assert (output.status, ran) == (RunStatus.completed, [])
    assert (left.success, left.skipped, left.error) == (False, True, "too dear")
    output, ran = await boxed(kind, depth, "cancel", NO)
    cancelled(output, "too dear")
    assert ran == []


@pytest.mark.parametrize("depth", DEPTHS)
async def test_a_rejected_condition_takes_its_other_branch(depth: str) -> None:
    output, ran = await boxed("Condition", depth, "else", NO)
    assert ran == []
    assert [step.step_name for step in box_of(output).steps or ()] == ["other"]
    (started,) = [event for event in output.events or () if event.event == "ConditionExecutionStarted"]
    assert started.condition_result is False


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize(
    ("answer", "on_reject", "iterations", "skipped"),
    [({"confirmed": True}, "skip", 1, False), (NO, "retry", 2, False), (NO, "skip", 0, True), (NO, "cancel", 0, None)],
    ids=["confirmed ends it", "retry goes on", "skip discards it", "cancel ends the run"],
)
async def test_an_iteration_is_reviewed(
    depth: str, answer: dict[str, Any], on_reject: str, iterations: int, skipped: bool | None
) -> None:
    review = HumanReview(requires_iteration_review=True, on_reject=on_reject)
    box = Loop([plain("leaf")], name="box", max_iterations=2, human_review=review)
    workflow = Workflow(name="w", steps=[DEPTHS[depth](box), plain("after")], db=InMemoryDb(), store_events=True)
    paused = await workflow.arun("in")
    (item,) = paused.active_step_requirements
    assert item.kind == "iteration_review"
    item.answer(answer)
    output = await workflow.acontinue_run(paused)
    if skipped is None:
        cancelled(output, "too dear")
        return
    assert (len(box_of(output).steps or ()), box_of(output).skipped) == (iterations, skipped)


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize(("many", "chosen"), [(False, ["b"]), (True, ["steps_group_2", "a"])])
async def test_a_person_chooses_the_routes_and_their_order(depth: str, many: bool, chosen: list[str]) -> None:
    box = Router(
        [plain("a"), plain("b"), [plain("c"), plain("d")]],
        name="box",
        requires_user_input=True,
        allow_multiple_selections=many,
    )
    workflow = Workflow(name="w", steps=[DEPTHS[depth](box), plain("after")], db=InMemoryDb(), store_events=True)
    paused = await workflow.arun("in")
    (item,) = paused.active_step_requirements
    assert item.available_choices == ["a", "b", "steps_group_2"]
    item.answer({"selected_choices": chosen})
    output = await workflow.acontinue_run(paused)
    assert [step.step_name for step in box_of(output).steps or ()] == chosen
    (started,) = [event for event in output.events or () if event.event == "RouterExecutionStarted"]
    assert started.selected_steps == chosen


@pytest.mark.parametrize("depth", DEPTHS)
async def test_a_condition_that_failed_is_retried_or_skipped_by_a_person(depth: str) -> None:
    for decision, success in (("retry", True), ("skip", False)):
        tries: list[int] = []

        def evaluate(tries: list[int] = tries) -> bool:
            tries.append(1)
            if len(tries) == 1:
                raise LookupError("not yet")
            return True

        box = Condition(
            [plain("leaf")], evaluator=lambda step_input, evaluate=evaluate: evaluate(), name="box", on_error="pause"
        )
        workflow = Workflow(name="w", steps=[DEPTHS[depth](box), plain("after")], db=InMemoryDb())
        paused = await workflow.arun("in")
        paused.active_error_requirements[0].answer({"decision": decision})
        output = await workflow.acontinue_run(paused)
        assert box_of(output).success is success
        assert box_of(output).skipped is not success
