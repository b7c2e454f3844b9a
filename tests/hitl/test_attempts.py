"""A step that is tried again and then asks goes on in the attempt that asked, wherever it goes on: its attempts are counted
on, and no retry is won by a pause. (D7, D8)"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
import pytest
from verbs import expanded, of_kind

from workflow_runtime import (
    BaseDb,
    ErrorRequirement,
    Parallel,
    Retry,
    RunContext,
    RunStatus,
    Step,
    StepRequirement,
    Workflow,
    WorkflowRunOutput,
)
from workflow_runtime.testing import Reply, ScriptedAgent

pytestmark = pytest.mark.anyio

PLACES = ["same process", "evicted", "another process"]


class Line:
    """The makers of one run's workflow: the same one for all of its continuations, or one for each."""

    def __init__(self, db: BaseDb, place: str, step: Callable[[], Any]) -> None:
        self.make = lambda: Workflow(
            name="w", steps=[step()], db=db, store_events=True, evict_after=300.0 if place == "same process" else 0.0
        )
        self.place = place
        self.workflow = self.make()

    async def reply(self, output: WorkflowRunOutput, answer: dict[str, Any] | None = None) -> WorkflowRunOutput:
        await anyio.wait_all_tasks_blocked()  # what is to be evicted is
        if self.place == "another process":
            self.workflow = self.make()
        (item,) = [
            item
            for item in (*output.active_step_requirements, *output.active_error_requirements)
            if item.answered_at is None
        ]
        item.answer(answer or {"user_input": {"value": 7}})
        return await self.workflow.acontinue_run(run_id=output.run_id, step_requirements=[item])


def retried(output: WorkflowRunOutput) -> list[tuple[int | None, str | None]]:
    return [(event.attempt, event.error) for event in of_kind(output.events or (), "StepRetry")]


def said(output: WorkflowRunOutput) -> list[tuple[int, str]]:
    return [(event.attempt, event.delta) for event in of_kind(expanded(output.events or ()), "StepContent")]


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def fails_around_a_question(attempts: int) -> tuple[Callable[[], Step], list[int]]:
    """A step that fails in its first attempt, and in its second one behind its question."""
    entered: list[int] = []

    async def body(run_context: RunContext) -> AsyncIterator[str]:
        entered.append(run_context.attempt)
        yield f"a{run_context.attempt} "
        if run_context.attempt == 1:
            raise ValueError("first")
        value = await run_context.ask("how many?", int)
        yield f"b{run_context.attempt} "
        if run_context.attempt == 2:
            raise ValueError("second")
        yield str(value)

    return lambda: Step("body", executor=body, retry=Retry(attempts=attempts, delay=0.001)), entered


async def test_the_attempt_that_asked_goes_on(db: BaseDb, place: str) -> None:
    step, entered = fails_around_a_question(3)
    line = Line(db, place, step)
    output = await line.reply(await line.workflow.arun())
    assert (output.status, output.content) == (RunStatus.completed, "a3 b3 7")
    assert entered == ([1, 2, 3] if place == "same process" else [1, 2, 2, 3])
    assert retried(output) == [(1, "first"), (2, "second")]
    assert said(output) == [(1, "a1 "), (2, "a2 "), (2, "b2 "), (3, "a3 "), (3, "b3 "), (3, "7")]


async def test_a_pause_wins_no_retry(db: BaseDb, place: str) -> None:
    step, entered = fails_around_a_question(2)
    line = Line(db, place, step)
    paused = await line.workflow.arun()
    with pytest.raises(ValueError, match="second"):
        await line.reply(paused)
    assert set(entered) == {1, 2}
    output = await line.workflow.aget_run_output(str(paused.run_id))
    assert output is not None
    assert retried(output) == [(1, "first")]


async def test_an_attempt_that_asks_what_the_one_before_asked_is_counted_too(db: BaseDb, place: str) -> None:
    entered: list[int] = []

    async def body(run_context: RunContext) -> str:
        entered.append(run_context.attempt)
        value = await run_context.ask("how many?", int)
        if run_context.attempt == 1:
            raise ValueError("first")
        return f"{value} {await run_context.ask('sure?', int)} in attempt {run_context.attempt}"

    line = Line(db, place, lambda: Step("body", executor=body, retry=Retry(attempts=2, delay=0.001)))
    output = await line.reply(await line.reply(await line.workflow.arun()))
    assert output.content == "7 7 in attempt 2"
    assert retried(output) == [(1, "first")]


async def test_a_nested_workflow_that_was_tried_again_goes_on_in_that_attempt(db: BaseDb, place: str) -> None:
    seen: list[int] = []

    async def fails_first(run_context: RunContext) -> str:
        seen.append(run_context.attempt)
        if len(seen) == 1:
            raise ValueError("first")
        return "went well"

    async def fails_behind_it(run_context: RunContext) -> str:
        await run_context.ask("how many?", int)
        raise ValueError("behind the question")

    def step() -> Step:
        inner = Workflow(name="inner", steps=[fails_first, fails_behind_it])
        return Step("inner", workflow=inner, retry=Retry(attempts=2, delay=0.001))

    line = Line(db, place, step)
    paused = await line.workflow.arun()
    with pytest.raises(ValueError, match="behind the question"):
        await line.reply(paused)
    output = await line.workflow.aget_run_output(str(paused.run_id))
    assert output is not None
    assert retried(output) == [(1, "first")]


async def test_a_workflow_function_within_a_step_asks_in_the_attempt_of_that_step(db: BaseDb, place: str) -> None:
    seen: list[int] = []

    async def flow(run_context: RunContext) -> str:
        seen.append(run_context.attempt)
        if run_context.attempt == 1:
            raise ValueError("first")
        await run_context.ask("how many?", int)
        raise ValueError("second")

    def step() -> Step:
        return Step("inner", workflow=Workflow(name="inner", steps=flow), retry=Retry(attempts=2, delay=0.001))

    line = Line(db, place, step)
    paused = await line.workflow.arun()
    with pytest.raises(ValueError, match="second"):
        await line.reply(paused)
    assert seen == ([1, 2] if place == "same process" else [1, 2, 2])


async def test_an_agent_that_stops_to_ask_goes_on_in_its_attempt(db: BaseDb, place: str) -> None:
    def fails(answered: Any) -> Reply:
        return Reply(error=ValueError("behind the approval"))

    def step() -> Step:
        asks = Reply(asks=[{"id": "t", "tool_execution": {"tool_name": "pay"}}], then=fails)
        agent = ScriptedAgent("agent", ValueError("first"), asks)
        return Step("agent", agent=agent, retry=Retry(attempts=2, delay=0.001))

    line = Line(db, place, step)
    paused = await line.workflow.arun()
    with pytest.raises(ValueError, match="behind the approval"):
        await line.reply(paused, {"confirmed": True})
    output = await line.workflow.aget_run_output(str(paused.run_id))
    assert output is not None
    assert retried(output) == [(1, "first")]


async def test_each_failure_that_a_person_decides_about_is_a_question_of_its_own(db: BaseDb, place: str) -> None:
    entered: list[int] = []

    async def body(run_context: RunContext) -> str:
        entered.append(run_context.attempt)
        if run_context.attempt == 2:
            await run_context.ask("how many?", int)
        raise ValueError(f"failure {run_context.attempt}")

    line = Line(db, place, lambda: Step("body", executor=body, on_error="pause"))
    output = await line.workflow.arun()
    output = await line.reply(output, {"decision": "retry"})
    output = await line.reply(output)
    (failed,) = [item for item in output.active_error_requirements if item.answered_at is None]
    assert isinstance(failed, ErrorRequirement)
    assert (failed.error_message, failed.retry_count) == ("failure 2", 1)
    output = await line.reply(output, {"decision": "skip"})
    assert output.status is RunStatus.completed
    assert entered == ([1, 2] if place == "same process" else [1, 2, 2])


async def test_an_agent_that_failed_behind_its_approval_is_tried_again_with_it(db: BaseDb, place: str) -> None:
    continued: list[Any] = []

    def then(answered: Any) -> Reply:
        continued.append(answered[0]["confirmation"])
        return Reply(error=ValueError("line is busy")) if len(continued) == 1 else Reply(content="paid")

    def step() -> Step:
        asks = Reply(asks=[{"id": "t", "tool_execution": {"tool_name": "pay"}}], then=then)
        return Step("agent", agent=ScriptedAgent("agent", asks), on_error="pause")

    line = Line(db, place, step)
    output = await line.reply(await line.workflow.arun(), {"confirmed": True})
    assert [item.error_message for item in output.active_error_requirements] == ["line is busy"]
    output = await line.reply(output, {"decision": "retry"})
    assert (output.status, output.content, continued) == (RunStatus.completed, "paid", [True, True])


async def test_branches_keep_their_own_attempts(db: BaseDb, place: str) -> None:
    def body(last: int) -> Callable[[RunContext], Any]:
        async def run(run_context: RunContext) -> str:
            if run_context.attempt < last:
                raise ValueError(f"attempt {run_context.attempt} of {last}")
            await run_context.ask(f"number {last}?", int)
            return str(run_context.attempt)

        return run

    def step() -> Parallel:
        retry = Retry(attempts=3, delay=0.001)
        return Parallel(*(Step(f"s{last}", executor=body(last), retry=retry) for last in (1, 2, 3)), name="all")

    line = Line(db, place, step)
    output = await line.workflow.arun()
    asked = [item for item in output.active_step_requirements if isinstance(item, StepRequirement)]
    assert len(asked) == 3
    await anyio.wait_all_tasks_blocked()
    workflow = line.make() if place == "another process" else line.workflow
    for item in asked:
        item.answer({"user_input": {"value": 1}})
    output = await workflow.acontinue_run(run_id=output.run_id, step_requirements=asked)
    assert [step.content for step in output.step_results[0].steps or ()] == ["1", "2", "3"]
    assert len(retried(output)) == 3
