"""Who follows a run sees what came of a review: the log ends with the output that the run has."""

from __future__ import annotations

from typing import Any

import pytest

from workflow_runtime import BaseDb, Router, Step, StepInput, StepOutputEvent, Workflow

pytestmark = pytest.mark.anyio


def draft(step_input: StepInput) -> str:
    return "DRAFT"


def after(step_input: StepInput) -> Any:
    return step_input.previous_step_content


def step() -> Step:
    return Step("draft", executor=draft, requires_output_review=True)


PLACES: dict[str, Any] = {
    "top": step,
    "nested": lambda: Step("outer", workflow=Workflow(name="inner", steps=[step()])),
    "reviewed workflow": lambda: Step(
        "draft", workflow=Workflow(name="inner", steps=[Step("inside", executor=draft)]), requires_output_review=True
    ),
    "router": lambda: Router(
        [Step("inside", executor=draft)],
        selector=lambda step_input: "inside",
        name="draft",
        requires_output_review=True,
    ),
}


@pytest.mark.parametrize("where", PLACES)
@pytest.mark.parametrize("answer", ["edit", "reject"])
async def test_the_log_has_the_output_that_came_of_a_review(db: BaseDb, where: str, answer: str) -> None:
    workflow = Workflow(name="w", steps=[PLACES[where](), after], db=db, store_events=True)
    paused = await workflow.arun("x")
    (requirement,) = paused.active_step_requirements
    if answer == "edit":
        requirement.edit("EDITED")
    else:
        requirement.reject("no")
    output = await workflow.acontinue_run(paused)
    stored = await workflow.aget_run_output(output.run_id)
    assert stored is not None
    told = [
        event.step_output
        for event in stored.events or ()
        if isinstance(event, StepOutputEvent) and event.step_name == "draft"
    ][-1]
    final = next(leaf for result in stored.step_results for leaf in result.walk() if leaf.step_name == "draft")
    assert told == final
    assert told.skipped is (answer == "reject")
    assert [event.seq for event in stored.events or ()] == list(range(1, len(stored.events or ()) + 1))


async def test_the_output_that_came_of_a_review_is_published_once(db: BaseDb) -> None:
    gate = Step("gate", executor=after, requires_confirmation=True)
    workflow = Workflow(name="w", steps=[step(), gate], db=db, store_events=True)
    output = await workflow.arun("x")
    output.active_step_requirements[0].edit("EDITED")
    output = await workflow.acontinue_run(output)
    output.active_step_requirements[0].confirm()
    output = await workflow.acontinue_run(output)
    assert output.content == "EDITED"
    told = [event.step_output.content for event in output.events or () if isinstance(event, StepOutputEvent)]
    assert told == ["DRAFT", "EDITED", "EDITED"]


async def test_an_accepted_output_is_not_published_again(db: BaseDb) -> None:
    workflow = Workflow(name="w", steps=[step()], db=db, store_events=True)
    output = await workflow.arun("x")
    output.active_step_requirements[0].confirm()
    output = await workflow.acontinue_run(output)
    assert len([event for event in output.events or () if isinstance(event, StepOutputEvent)]) == 1
