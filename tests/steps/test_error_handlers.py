"""``on_error`` may be a step: it gets the failure, and its output stands for what failed."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from verbs import Verb, names, of_kind

from workflow_runtime import (
    BaseDb,
    BuildError,
    Condition,
    ErrorHandlerFailed,
    Parallel,
    Retry,
    RunContext,
    RunStatus,
    Step,
    StepInput,
    StepOutput,
    Steps,
    Workflow,
)
from workflow_runtime.testing import ScriptedAgent

pytestmark = pytest.mark.anyio


class Sold(RuntimeError):
    pass


async def sold_out(step_input: StepInput) -> str:
    raise Sold("no seats left")


async def apologise(step_input: StepInput) -> str:
    failure = step_input.failure
    assert failure is not None
    return f"{failure.step_name}|{failure.path}|{failure.error_type}|{failure.error}|{failure.attempt}"


async def after(step_input: StepInput) -> str:
    return f"after {step_input.previous_step_content}"


def test_the_output_of_the_handler_stands_for_the_step_in_every_mode(verb: Verb) -> None:
    def make(db: BaseDb) -> Workflow:
        flight = Step(name="flight", executor=sold_out, on_error=apologise, retry=Retry(attempts=2, delay=0))
        return Workflow(name="w", steps=[flight, after], db=db, store_events=True)

    ran = verb(make, "x")
    assert ran.status is RunStatus.completed
    assert ran.content == "after flight|0.flight|Sold|no seats left|2"
    first = ran.output.step_results[0]
    assert (first.step_name, first.success, first.error) == ("flight", True, None)
    assert [(event.event, event.path) for event in ran.events if event.event in ("StepError", "StepCompleted")] == [
        ("StepError", "0.flight"),
        ("StepCompleted", "0.flight/on_error.0.apologise"),
        ("StepCompleted", "0.flight"),
        ("StepCompleted", "1.after"),
    ]
    assert ran.output.failed_steps is None


@pytest.mark.parametrize("branch", ["evaluator", "child"])
async def test_a_condition_may_have_one(db: BaseDb, branch: str) -> None:
    def wrong(step_input: StepInput) -> bool:
        raise Sold("no seats left")

    condition = Condition(
        [sold_out], evaluator=wrong if branch == "evaluator" else True, name="maybe", on_error=Step(executor=apologise)
    )
    workflow = Workflow(name="w", steps=[condition, after], db=db, store_events=True)
    output = await workflow.arun("x")
    assert output.content == "after maybe|0.maybe|Sold|no seats left|1"
    completed = of_kind(output.events or (), "ConditionExecutionCompleted")[0]
    assert (completed.branch, completed.executed_steps) == ("on_error", 1)
    assert output.step_results[0].success


def test_a_handler_that_fails_tells_both_errors(verb: Verb) -> None:
    async def broken(step_input: StepInput) -> str:
        raise ConnectionError("mail is down")

    def make(db: BaseDb) -> Workflow:
        return Workflow(name="w", steps=[Step(name="a", executor=sold_out, on_error=broken)], db=db, store_events=True)

    ran = verb(make, "x", raises=ErrorHandlerFailed)
    assert isinstance(ran.error, ErrorHandlerFailed)
    assert ran.output.error_type == "ErrorHandlerFailed"
    for text in ("ConnectionError: mail is down", "Sold: no seats left"):
        assert text in (ran.output.error or "")
    assert isinstance(ran.error.handler_error, ConnectionError)


async def test_any_step_can_handle_an_error(db: BaseDb) -> None:
    agent = ScriptedAgent("helper", "sorry")
    workflow = Workflow(
        name="w",
        steps=[
            Step(name="a", executor=sold_out, on_error=agent),
            Step(name="b", executor=sold_out, on_error=Steps(name="two", steps=[apologise, after])),
            Step(name="c", executor=sold_out, on_error=Workflow(name="inner", steps=[after])),
            Parallel(Step(name="d", executor=sold_out, on_error=apologise), name="p"),
        ],
        db=db,
    )
    output = await workflow.arun("x")
    assert output.status is RunStatus.completed
    assert output.step_results[0].content == "sorry"


async def test_a_handler_is_called_after_what_had_completed_is_undone(db: BaseDb) -> None:
    log: list[str] = []

    def undo(step_output: StepOutput) -> None:
        log.append("undo")

    def handle(step_input: StepInput) -> str:
        log.append("handle")
        return "handled"

    inner = Workflow(name="inner", steps=[Step(name="a", executor=lambda step_input: "a", compensate=undo), sold_out])
    workflow = Workflow(name="w", steps=[Step(name="n", workflow=inner, on_error=handle)], db=db)
    assert (await workflow.arun("x")).content == "handled"
    assert log == ["undo", "handle"]


async def test_a_handler_may_ask_and_the_failed_step_does_not_run_again(db: BaseDb) -> None:
    ran: list[str] = []

    async def fails(step_input: StepInput) -> None:
        ran.append("fails")
        raise Sold("no seats left")

    async def ask(step_input: StepInput, run_context: RunContext) -> str:
        assert step_input.failure is not None
        return str(await run_context.ask(f"{step_input.failure.error}?"))

    workflow = Workflow(name="w", steps=[Step(name="a", executor=fails, on_error=ask)], db=db, evict_after=0)
    with anyio.fail_after(10):
        paused = await workflow.arun("x")
        assert paused.is_paused
        paused.active_step_requirements[0].set_user_input(value="wait")
        output = await workflow.acontinue_run(paused)
    assert output.content == "wait"
    assert ran == ["fails"]


async def test_a_step_of_a_function_may_have_a_handler(db: BaseDb) -> None:
    async def flow(run_context: RunContext) -> Any:
        return await run_context.step("flight", sold_out, on_error=apologise)

    output = await Workflow(name="w", steps=flow, db=db).arun("x")
    assert output.content == "flight|flight|Sold|no seats left|1"


def test_a_handler_is_part_of_the_outline_and_of_the_description() -> None:
    workflow = Workflow(
        name="w",
        steps=[
            Step(name="a", executor=sold_out, on_error=apologise, compensate=after),
            Condition([sold_out], name="c", on_error=Step(name="h", executor=apologise)),
        ],
    )
    first, second = workflow.outline()
    assert (first.facts, [(child.branch, child.name) for child in first.children]) == (
        ("on error: apologise", "compensated"),
        [("on_error", "apologise")],
    )
    assert [(child.branch, child.name) for child in second.children] == [("if", "sold_out"), ("on_error", "h")]
    data = workflow.to_dict()
    assert data["steps"][0]["on_error"]["type"] == "Function"
    assert data["steps"][1]["on_error"]["name"] == "h"
    again = Workflow.from_dict(data, registry=[sold_out, apologise, after])
    assert again.to_dict()["steps"] == data["steps"]
    assert again.outline() == workflow.outline()


@pytest.mark.parametrize("wrong", ["handle", "ignore", 3])
def test_what_cannot_handle_an_error_is_refused(wrong: Any) -> None:
    with pytest.raises(BuildError, match="on_error"):
        Workflow(name="w", steps=[Step(name="a", executor=sold_out, on_error=wrong)])


def test_names_of_events_stay_those_of_steps() -> None:
    output = Workflow(name="w", steps=[Step(name="a", executor=sold_out, on_error=apologise)], store_events=True).run(
        "x"
    )
    assert names(output.events) == [
        "WorkflowStarted",
        "StepStarted",
        "StepError",
        "StepStarted",
        "StepCompleted",
        "StepOutput",
        "StepCompleted",
        "WorkflowCompleted",
    ]
