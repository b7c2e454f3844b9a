"""A person looks at what a Router's choice made: keeps it, changes it, throws it away, ends the run, or chooses again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from workflow_runtime import (
    BaseDb,
    Loop,
    Parallel,
    Router,
    RunStatus,
    Step,
    StepInput,
    StepRequirement,
    Steps,
    Workflow,
    WorkflowRunOutput,
)

pytestmark = pytest.mark.anyio

calls: list[str] = []


async def quick(step_input: StepInput) -> str:
    calls.append("quick")
    return f"quick {(step_input.additional_data or {}).get('rejection_feedback')}"


async def deep(step_input: StepInput) -> str:
    calls.append("deep")
    return "deep"


async def after(step_input: StepInput) -> str:
    return f"after {step_input.previous_step_content}"


async def choose(step_input: StepInput) -> str:
    return "quick"


async def play(db: BaseDb, router: Any, *answers: Callable[[StepRequirement], Any]) -> WorkflowRunOutput:
    calls.clear()
    workflow = Workflow(name="W", db=db, steps=[router, after])
    output = await workflow.arun("x")
    for answer in answers:
        assert output.status == RunStatus.paused
        answer(output.active_step_requirements[0])
        output = await workflow.acontinue_run(output)
    return output


def router(**options: Any) -> Router:
    choices = [Step(name="quick", executor=quick), Step(name="deep", executor=deep)]
    return Router(choices, **{"selector": choose, "name": "route", "requires_output_review": True, **options})


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_an_accepted_output_goes_on(db: BaseDb) -> None:
    output = await play(db, router(), lambda asked: asked.confirm())
    assert (output.status, output.content, calls) == (RunStatus.completed, "after quick None", ["quick"])


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_an_edited_output_is_what_later_steps_get(db: BaseDb) -> None:
    output = await play(db, router(), lambda asked: asked.edit("better"))
    assert output.content == "after better"
    assert output.step_results[0].content == "Router route completed with 1 results"


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_discarded_output_is_skipped(db: BaseDb) -> None:
    output = await play(db, router(), lambda asked: asked.reject())
    assert output.content == "after None"
    assert output.step_results[0].content == "Router route output discarded by a person"


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_rejection_may_end_the_run(db: BaseDb) -> None:
    output = await play(db, router(on_reject="cancel"), lambda asked: asked.reject())
    assert (output.status, output.content) == (RunStatus.cancelled, "Workflow cancelled: Step 'route' was rejected")


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_after_a_rejection_a_person_chooses_among_all_choices(db: BaseDb) -> None:
    seen: list[tuple[str, list[str] | None]] = []

    def look(act: Callable[[StepRequirement], Any]) -> Callable[[StepRequirement], Any]:
        return lambda asked: (seen.append((asked.kind, asked.available_choices)), act(asked))

    output = await play(
        db,
        router(on_reject="retry"),
        look(lambda asked: asked.reject("deeper")),
        look(lambda asked: asked.select("deep")),
        look(lambda asked: asked.confirm()),
    )
    assert (output.content, calls) == ("after deep", ["quick", "deep"])
    both = ["quick", "deep"]
    assert seen == [("output_review", both), ("route", both), ("output_review", both)]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_what_was_rejected_may_be_chosen_again_and_gets_the_feedback(db: BaseDb) -> None:
    output = await play(
        db,
        router(on_reject="retry"),
        lambda asked: asked.reject("deeper"),
        lambda asked: asked.select("quick"),
        lambda asked: asked.confirm(),
    )
    assert (output.content, calls) == ("after quick deeper", ["quick", "quick"])


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize(
    "place",
    [
        lambda inner: Steps(name="outer", steps=[inner]),
        lambda inner: Parallel(inner, name="outer"),
        lambda inner: Loop([inner], name="outer", max_iterations=1),
        lambda inner: Router([inner], selector=lambda step_input: "route", name="outer"),
        lambda inner: Step(name="outer", workflow=Workflow(name="inner", steps=[inner])),
    ],
    ids=["Steps", "Parallel", "Loop", "Router", "Step of a workflow"],
)
async def test_the_choice_opens_again_wherever_the_router_stands(db: BaseDb, place: Callable[[Router], Any]) -> None:
    output = await play(
        db,
        place(router(on_reject="retry")),
        lambda asked: asked.reject(),
        lambda asked: asked.select("deep"),
        lambda asked: asked.confirm(),
    )
    assert (output.status, calls) == (RunStatus.completed, ["quick", "deep"])
    assert [leaf.content for leaf in output.step_results[0].walk() if not leaf.steps] == ["deep"]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_person_who_chose_the_route_chooses_again(db: BaseDb) -> None:
    asking = router(on_reject="retry", selector=None, requires_user_input=True)
    kinds: list[str] = []

    def answer(act: Callable[[StepRequirement], Any]) -> Callable[[StepRequirement], Any]:
        return lambda asked: (kinds.append(asked.kind), act(asked))

    output = await play(
        db,
        asking,
        answer(lambda asked: asked.select("quick")),
        answer(lambda asked: asked.reject()),
        answer(lambda asked: asked.select("deep")),
        answer(lambda asked: asked.confirm()),
    )
    assert (output.content, calls) == ("after deep", ["quick", "deep"])
    assert kinds == ["route", "output_review", "route", "output_review"]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_confirmed_router_is_not_asked_to_be_confirmed_again(db: BaseDb) -> None:
    asking = router(on_reject="retry", requires_confirmation=True, hitl_max_retries=1)
    output = await play(
        db,
        asking,
        lambda asked: asked.confirm(),
        lambda asked: asked.reject("deeper"),
        lambda asked: asked.select("deep"),
        lambda asked: asked.reject("no"),
    )
    assert output.status == RunStatus.cancelled
    assert calls == ["quick", "deep"]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_an_output_that_the_predicate_is_content_with_is_not_asked_about(db: BaseDb) -> None:
    output = await play(db, router(requires_output_review=lambda output: not output.success))
    assert output.content == "after quick None"
