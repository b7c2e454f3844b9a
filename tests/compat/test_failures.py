"""Which failures agno's lenient containers pass over: all but those that somebody wrote to be the run's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import workflow_runtime as strict
from workflow_runtime.compat.agno.workflow import (
    Condition,
    HumanReview,
    Loop,
    Parallel,
    Router,
    Step,
    StepInput,
    StepOutput,
    Steps,
    Workflow,
)
from workflow_runtime.model.errors import WorkflowRuntimeError


def boom(step_input: StepInput) -> str:
    raise ValueError("boom")


def fine(step_input: StepInput) -> str:
    return "fine"


def failing(**options: Any) -> Step:
    return Step(name="b", executor=boom, **{"max_retries": 0, **options})


PLACES: dict[str, Callable[[Any], Any]] = {
    "Steps": lambda inner: Steps(name="box", steps=[fine, inner]),
    "Parallel": lambda inner: Parallel(inner, fine, name="box"),
    "Condition": lambda inner: Condition(name="box", evaluator=True, steps=[inner]),
    "Condition else": lambda inner: Condition(name="box", evaluator=False, steps=[fine], else_steps=[inner]),
    "Loop": lambda inner: Loop(name="box", steps=[inner], max_iterations=2),
    "Router": lambda inner: Router(name="box", choices=[inner], selector=lambda step_input, step_choices: step_choices),
    "nested workflow": lambda inner: Step(name="box", workflow=Workflow(name="inner", steps=[inner])),
    "deep": lambda inner: Steps(name="box", steps=[Parallel(Condition(name="c", steps=[inner]), fine, name="p")]),
}
MEANT: dict[str, Callable[[], Any]] = {
    "Step": lambda: failing(on_error="fail"),
    "HumanReview": lambda: failing(human_review=HumanReview(on_error="fail")),
    "Condition": lambda: Condition(name="b", evaluator=True, steps=[failing()], on_error="fail"),
    "evaluator": lambda: Condition(name="b", evaluator=boom, steps=[fine], on_error="fail"),
    "strict step": lambda: strict.Step(name="b", executor=boom),
    "strict container": lambda: strict.Steps(name="s", steps=[strict.Step(name="b", executor=boom)]),
}


def outcome(item: Any) -> list[bool] | str:
    """Whether each top-level step succeeded; what the run raised."""
    try:
        output = Workflow(name="W", steps=[item, fine]).run("x")
    except Exception as error:
        return repr(error)
    return [step.success for step in output.step_results]


@pytest.mark.parametrize("meant", MEANT)
@pytest.mark.parametrize("place", PLACES)
def test_a_failure_that_is_meant_fails_the_run_wherever_it_happens(place: str, meant: str) -> None:
    if place == "nested workflow" and meant.startswith("strict"):  # what it fails is the inner run
        inner = Workflow(name="inner", steps=[MEANT[meant]()])
        with pytest.raises(ValueError, match="boom"):
            inner.run("x")
    else:
        assert outcome(PLACES[place](MEANT[meant]())) == "ValueError('boom')"


@pytest.mark.parametrize("place", sorted(set(PLACES) - {"Loop"}))
def test_any_other_failure_is_passed_over_as_in_agno(place: str) -> None:
    assert outcome(PLACES[place](failing())) == [False, True]


@pytest.mark.parametrize("mode", ["arun", "stream"])
@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_failure_that_is_meant_fails_a_stream_as_well(mode: str) -> None:
    workflow = Workflow(name="W", steps=[PLACES["deep"](failing(on_error="fail")), fine])
    running = workflow.arun("x") if mode == "arun" else workflow.arun("x", stream=True).result()
    with pytest.raises(ValueError, match="boom"):
        await running


def test_a_step_around_a_workflow_may_pass_over_what_was_meant_inside() -> None:
    inner = Workflow(name="inner", steps=[failing(on_error="fail")])
    box = Step(name="box", workflow=inner, max_retries=0, on_error="skip")
    assert outcome(box) == [False, True]
    assert outcome(Steps(name="s", steps=[box])) == [False, True]


def test_one_exception_object_is_meant_only_where_it_was() -> None:
    error = ValueError("boom")

    def raises(step_input: StepInput) -> str:
        raise error

    inner = Workflow(name="inner", steps=[Step(name="b", executor=raises, max_retries=0, on_error="fail")])
    box = Step(name="box", workflow=inner, max_retries=0, on_error="skip")
    again = Step(name="again", executor=raises, max_retries=0)
    output = Workflow(name="W", steps=[box, Steps(name="s", steps=[again]), fine]).run("x")
    assert [step.success for step in output.step_results] == [False, False, True]


# -- direct calls ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["pause", "fail"])
def test_a_condition_run_by_itself_raises_what_nobody_can_be_asked_about(policy: str) -> None:
    for condition in (
        Condition(name="c", evaluator=True, steps=[failing()], on_error=policy),
        Condition(name="c", evaluator=boom, steps=[fine], on_error=policy),
        Steps(name="s", steps=[Condition(name="c", evaluator=True, steps=[failing()], on_error=policy)]),
        Steps(name="s", steps=[failing(on_error=policy)]),
    ):
        with pytest.raises(ValueError, match="boom"):
            condition.execute(StepInput(input="x"))


def test_a_condition_run_by_itself_that_skips_has_the_failed_step() -> None:
    output = Condition(name="c", evaluator=True, steps=[failing()]).execute(StepInput(input="x"))
    assert [(step.content, step.success) for step in output.steps or ()] == [("Step b failed: boom", False)]
    with pytest.raises(ValueError, match="boom"):
        Condition(name="c", evaluator=boom, steps=[fine]).execute(StepInput(input="x"))


def test_a_step_run_by_itself_that_may_fail_has_an_output() -> None:
    output = failing(skip_on_failure=True).execute(StepInput(input="x"))
    assert (output.content, output.success) == ("Step b failed but skipped", False)


@pytest.mark.parametrize("forced", [True, False])
def test_the_else_branch_can_be_forced(forced: bool) -> None:
    condition = Condition(name="c", evaluator=True, steps=[fine], else_steps=[Step(name="other", executor=fine)])
    output = condition.execute(StepInput(input="x"), force_else_branch=forced)
    assert [step.step_name for step in output.steps or ()] == ["other" if forced else "fine"]
    (*_, last) = condition.execute_stream(StepInput(input="x"), force_else_branch=forced)
    assert isinstance(last, StepOutput)
    assert last.content == output.content
    assert outcome(condition) == [True, True]
    with pytest.raises(TypeError, match="force_else_branch"):
        failing().execute(StepInput(input="x"), force_else_branch=True)


def test_a_question_in_a_step_that_is_run_by_itself_is_an_error_that_says_what_to_do() -> None:
    async def asks(step_input: StepInput, run_context: strict.RunContext) -> str:
        return str(await run_context.ask("Which?"))

    with pytest.raises(WorkflowRuntimeError, match=r"'asks' asked a person.*make it a step of a Workflow"):
        Step(name="asks", executor=asks).execute(StepInput(input="x"))
