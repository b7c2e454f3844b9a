"""A person who reviews an output sees what it says, wherever it was made; an edit of it is what later steps get."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from workflow_runtime import BaseDb, Loop, Router, RunStatus, Step, StepInput, Steps, Workflow
from workflow_runtime.model.answers import answer_schema

pytestmark = pytest.mark.anyio


def drafting() -> Step:
    drafts = iter(range(1, 10))
    return Step(name="write", executor=lambda step_input: f"draft {next(drafts)}")


def after(step_input: StepInput) -> str:
    return f"after {step_input.previous_step_content}"


def loop(**options: Any) -> Loop:
    return Loop([drafting()], name="box", max_iterations=3, requires_iteration_review=True, **options)


REVIEWED: dict[str, Callable[[], Any]] = {
    "step": lambda: Step(name="box", executor=lambda step_input: "draft 1", requires_output_review=True),
    "nested workflow": lambda: Step(
        name="box", workflow=Workflow(name="inner", steps=[drafting()]), requires_output_review=True
    ),
    "workflow function": lambda: Step(
        name="box",
        workflow=Workflow(name="inner", steps=lambda execution_input: "draft 1"),
        requires_output_review=True,
    ),
    "router": lambda: Router(
        [drafting()], selector=lambda step_input: "write", name="box", requires_output_review=True
    ),
    "router of a group": lambda: Router(
        [Steps(name="group", steps=[drafting()])],
        selector=lambda step_input: "group",
        name="box",
        requires_output_review=True,
    ),
    "loop": loop,
    "loop of a group": lambda: Loop(
        [Steps(name="group", steps=[drafting()])], name="box", max_iterations=3, requires_iteration_review=True
    ),
}


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("kind", REVIEWED)
async def test_the_content_is_shown_and_an_edit_of_it_goes_on(db: BaseDb, kind: str) -> None:
    workflow = Workflow(name="W", db=db, steps=[REVIEWED[kind](), after])
    paused = await workflow.arun("x")
    (asked,) = paused.active_step_requirements
    assert asked.reviewed_content == "draft 1"
    asked.edit("better")
    output = await workflow.acontinue_run(paused)
    assert (output.status, output.content) == (RunStatus.completed, "after better")


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_each_iteration_shows_what_it_made(db: BaseDb) -> None:
    workflow = Workflow(name="W", db=db, steps=[loop(on_reject="retry"), after])
    output = await workflow.arun("x")
    shown: list[Any] = []
    while output.is_paused:
        (asked,) = output.active_step_requirements
        assert asked.step_output is not None
        shown.append(asked.step_output.content)
        asked.reject()
        output = await workflow.acontinue_run(output)
    assert shown == ["draft 1", "draft 2"]
    assert output.content == "after draft 3"


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_an_edited_iteration_ends_the_loop_and_is_found_by_its_name(db: BaseDb) -> None:
    def look(step_input: StepInput) -> str:
        return str([step_input.get_step_content(name) for name in ("box", "write")])

    workflow = Workflow(name="W", db=db, steps=[loop(), look])
    paused = await workflow.arun("x")
    (asked,) = paused.active_step_requirements
    assert "edited_output" in answer_schema(asked)["properties"]
    asked.answer({"confirmed": True, "edited_output": "better"})
    output = await workflow.acontinue_run(paused)
    assert output.content == "['better', 'better']"
    assert output.step_results[0].content == "Loop box completed 1 iterations with 1 total steps"


def test_what_is_no_review_has_no_content_to_review() -> None:
    workflow = Workflow(name="W", steps=[Step(name="box", executor=after, requires_confirmation=True)])
    (asked,) = workflow.run("x").active_step_requirements
    assert asked.reviewed_content is None
