"""A person says no to a step: it leaves an output that says so, and what follows goes on from what was before it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from workflow_runtime import BaseDb, Condition, Loop, RunStatus, Step, StepInput, Steps, Workflow, WorkflowRunOutput

pytestmark = pytest.mark.anyio


async def made(step_input: StepInput) -> str:
    return "made"


async def asked(step_input: StepInput) -> str:
    return "asked"


async def boom(step_input: StepInput) -> str:
    raise ValueError("boom")


async def after(step_input: StepInput) -> str:
    return f"after {step_input.previous_step_content} / {step_input.get_last_step_content()}"


async def refused(db: BaseDb, *steps: Any) -> WorkflowRunOutput:
    """The output of a run in which every question is answered with no."""
    workflow = Workflow(name="W", steps=list(steps), db=db)
    output = await workflow.arun("x")
    while output.is_paused:
        for question in output.active_step_requirements:
            question.reject()
        for failure in output.active_error_requirements:
            failure.skip()
        output = await workflow.acontinue_run(output)
    return output


CASES: dict[str, Callable[[], Any]] = {
    "confirmation": lambda: Step(name="no", executor=asked, requires_confirmation=True),
    "review": lambda: Step(name="no", executor=asked, requires_output_review=True),
    "error": lambda: Step(name="no", executor=boom, on_error="pause"),
    "container": lambda: Steps(name="no", steps=[asked], requires_confirmation=True),
    "loop": lambda: Loop(name="no", steps=[asked], requires_iteration_review=True),
    "condition": lambda: Condition(name="no", evaluator=boom, steps=[asked], on_error="pause"),
}


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("case", CASES)
async def test_the_next_step_goes_on_from_what_was_before(db: BaseDb, case: str) -> None:
    output = await refused(db, made, CASES[case](), after)
    assert output.status == RunStatus.completed
    assert output.content == "after made / made"
    left = output.step_results[1]
    assert (left.step_name, left.success, left.skipped) == ("no", False, True)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_the_content_of_a_run_is_that_of_the_last_step_that_made_one(db: BaseDb) -> None:
    output = await refused(db, made, CASES["confirmation"]())
    assert output.content == "made"
    inside = await refused(db, Steps(name="group", steps=[made, CASES["confirmation"]()]))
    assert inside.content == "made"
    nothing = await refused(db, CASES["confirmation"]())
    assert nothing.content == "Step no skipped: rejected by a person"


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_nested_workflow_or_agent_is_not_given_the_refusal_as_its_input(db: BaseDb) -> None:
    async def heard(step_input: StepInput) -> str:
        return f"heard {step_input.input}"

    inner = Step(name="inner", workflow=Workflow(name="Inner", steps=[heard]))
    assert (await refused(db, made, CASES["confirmation"](), inner)).content == "heard made"
    assert (await refused(db, CASES["confirmation"](), inner)).content == "heard x"
