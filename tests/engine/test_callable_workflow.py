"""Workflow(steps=function): the same engine, with steps that come as the function runs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from verbs import Verb, expanded, names, of_kind

from workflow_runtime import (
    BaseDb,
    BuildError,
    Retry,
    RunContext,
    RunStatus,
    Step,
    StepInput,
    StepTimeoutError,
    Workflow,
    WorkflowExecutionInput,
)
from workflow_runtime.testing import FakeClock, ScriptedAgent


def shout(step_input: StepInput) -> str:
    return str(step_input.input).upper()


async def after(step_input: StepInput) -> str:
    return f"after {step_input.previous_step_content}"


# -- the function --------------------------------------------------------------------------------------------------------


def sync_function(execution_input: WorkflowExecutionInput) -> str:
    return f"got {execution_input.input}"


async def async_function(execution_input: WorkflowExecutionInput) -> str:
    return f"got {execution_input.input}"


def generator(execution_input: WorkflowExecutionInput) -> Iterator[str]:
    yield "got "
    yield str(execution_input.input)


async def async_generator(execution_input: WorkflowExecutionInput) -> AsyncIterator[str]:
    yield "got "
    yield str(execution_input.input)


@pytest.mark.parametrize("function", [sync_function, async_function, generator, async_generator])
def test_a_function_of_any_kind_is_a_workflow_in_every_mode(verb: Verb, function: Any) -> None:
    ran = verb(lambda db: Workflow(name="w", steps=function, db=db, store_events=True), "x")
    assert (ran.content, ran.output.step_results) == ("got x", [])
    chunks = [chunk.delta for chunk in of_kind(expanded(ran.events), "StepContent")]
    assert chunks == (["got ", "x"] if "generator" in function.__name__ else [])


def test_its_parameters_are_given_by_name() -> None:
    seen: dict[str, Any] = {}

    async def flow(
        workflow: Workflow,
        execution_input: WorkflowExecutionInput,
        session_state: dict[str, Any],
        run_context: RunContext,
        language: str,
        depth: int = 3,
    ) -> None:
        seen.update(locals())

    wf = Workflow(name="w", steps=flow, session_state={"default": 1})
    wf.run("in", additional_data={"a": 1}, session_state={"given": 2}, run_id="r", language="en")
    assert seen["workflow"] is wf
    assert (seen["execution_input"].input, seen["execution_input"].additional_data) == ("in", {"a": 1})
    assert seen["session_state"] == {"default": 1, "given": 2}
    assert seen["run_context"].run_id == "r"
    assert (seen["language"], seen["depth"]) == ("en", 3)


def test_keywords_that_it_collects_are_given_too() -> None:
    def flow(execution_input: WorkflowExecutionInput, **options: Any) -> Any:
        return options

    assert Workflow(steps=flow).run("x", language="en").content == {"language": "en"}


def test_a_parameter_that_nobody_gives_is_an_error_that_names_it() -> None:
    def flow(execution_input: WorkflowExecutionInput, language: str) -> None: ...

    with pytest.raises(BuildError, match=r"the parameter 'language'.* cannot be injected"):
        Workflow(steps=flow).run("x")


# -- its steps -----------------------------------------------------------------------------------------------------------


async def two_steps(run_context: RunContext) -> str:
    loud = await run_context.step("shout", shout)
    return str(await run_context.step("after", after)) + f" and {loud}"


def test_its_steps_are_steps_like_any_other_in_every_mode(verb: Verb) -> None:
    ran = verb(lambda db: Workflow(name="w", steps=two_steps, db=db, store_events=True), "x")
    assert ran.content == "after X and X"
    assert [(result.step_name, result.content) for result in ran.output.step_results] == [
        ("shout", "X"),
        ("after", "after X"),
    ]
    assert [event.path for event in of_kind(ran.events, "StepCompleted")] == ["shout", "after"]
    assert ran.names == [
        "WorkflowStarted",
        *["StepStarted", "StepOutput", "StepCompleted"] * 2,
        "WorkflowCompleted",
    ]


def test_steps_take_the_options_of_a_step(verb: Verb) -> None:
    def make(db: BaseDb) -> Workflow:
        left = 1

        async def flaky(step_input: StepInput) -> str:
            nonlocal left
            if left:
                left -= 1
                raise ConnectionError("down")
            return f"up with {step_input.input}"

        async def flow(run_context: RunContext) -> Any:
            found = await run_context.step("flaky", flaky, retry=Retry(attempts=2, delay=0), input="its own")
            skipped = await run_context.step_output("fail", fail, on_error="skip")
            said = await run_context.step("agent", agent=ScriptedAgent("a", "hello"))
            inner = await run_context.step("inner", workflow=Workflow(name="inner", steps=[shout]))
            return [found, skipped.success, said, inner]

        return Workflow(name="w", steps=flow, db=db, store_events=True)

    async def fail(step_input: StepInput) -> None:
        raise ValueError("no")

    ran = verb(make, "x")
    assert ran.content == ["up with its own", False, "hello", "HELLO"]
    assert "StepRetry" in ran.names


def test_a_step_may_be_called_again_under_its_name(verb: Verb) -> None:
    async def flow(run_context: RunContext) -> list[Any]:
        return [await run_context.step("shout", shout, input=word) for word in ("a", "b", "c")]

    ran = verb(lambda db: Workflow(name="w", steps=flow, db=db, store_events=True))
    assert ran.content == ["A", "B", "C"]
    assert [event.path for event in of_kind(ran.events, "StepStarted")] == ["shout", "shout#1", "shout#2"]


@pytest.mark.anyio
async def test_its_steps_may_run_at_the_same_time() -> None:
    here = 0
    both = anyio.Event()

    async def meet(step_input: StepInput) -> Any:
        nonlocal here
        here += 1
        if here == 2:
            both.set()
        await both.wait()
        return step_input.input

    async def flow(run_context: RunContext) -> list[Any]:
        found: dict[str, Any] = {}

        async def one(name: str) -> None:
            found[name] = await run_context.step(name, meet, input=name)

        async with anyio.create_task_group() as group:
            group.start_soon(one, "left")
            group.start_soon(one, "right")
        return [found["left"], found["right"]]

    with anyio.fail_after(60):
        output = await Workflow(steps=flow).arun()
    assert output.content == ["left", "right"]


@pytest.mark.anyio
async def test_a_continued_function_does_not_run_its_finished_steps_again(db: BaseDb) -> None:
    ran: list[str] = []

    def note(name: str) -> Any:
        async def work(step_input: StepInput) -> str:
            ran.append(name)
            return name

        return work

    async def flow(run_context: RunContext) -> list[Any]:
        first = await run_context.step("first", note("first"))
        asked = await run_context.step("asked", note("asked"), requires_confirmation=True)
        return [first, asked, await run_context.step("last", note("last"))]

    def make() -> Workflow:
        return Workflow(name="w", steps=flow, db=db, store_events=True)

    paused = await make().arun(run_id="r")
    assert paused.is_paused
    assert [result.step_name for result in paused.step_results] == ["first"]
    paused.steps_requiring_confirmation[0].confirm()
    done = await make().acontinue_run(paused)
    assert done.content == ["first", "asked", "last"]
    assert ran == ["first", "asked", "last"]
    assert [event.seq for event in done.events or ()] == list(range(1, done.last_seq + 1))
    assert names(of_kind(done.events or (), "StepCompleted")) == ["StepCompleted"] * 3


def test_what_it_raises_is_the_runs_error_and_its_finished_steps_are_stored(verb: Verb) -> None:
    async def flow(run_context: RunContext) -> None:
        await run_context.step("shout", shout)
        raise LookupError("in the function")

    ran = verb(lambda db: Workflow(name="w", steps=flow, db=db, store_events=True), "x", raises=LookupError)
    assert ran.status is RunStatus.error
    assert [result.content for result in ran.output.step_results] == ["X"]


def test_it_may_handle_what_a_step_raises(verb: Verb) -> None:
    async def fail(step_input: StepInput) -> None:
        raise LookupError("no")

    async def flow(run_context: RunContext) -> str:
        try:
            await run_context.step("fail", fail)
        except LookupError as error:
            return f"handled {error}"
        return "not reached"

    ran = verb(lambda db: Workflow(name="w", steps=flow, db=db, store_events=True))
    assert (ran.status, ran.content) == (RunStatus.completed, "handled no")


@pytest.mark.anyio
async def test_the_run_timeout_and_a_cancel_reach_into_it() -> None:
    clock = FakeClock()

    async def flow(run_context: RunContext) -> None:
        clock.advance(60)
        await anyio.sleep_forever()

    with pytest.raises(StepTimeoutError):
        await Workflow(steps=flow, run_timeout=60, clock=clock).arun()
    workflow = Workflow(steps=flow)
    with anyio.fail_after(60):
        async with workflow.arun(stream=True, run_id="r") as stream:
            await stream.__anext__()
            await workflow.acancel_run("r")
            assert (await stream.result()).status is RunStatus.cancelled


def test_once_of_an_inner_function_is_not_that_of_the_outer_one() -> None:
    async def inner(run_context: RunContext) -> Any:
        return await run_context.once("key", lambda: "inner's")

    async def outer(run_context: RunContext) -> list[Any]:
        mine = await run_context.once("key", lambda: "outer's")
        return [mine, await run_context.step("call", workflow=Workflow(name="inner", steps=inner))]

    assert Workflow(name="outer", steps=outer).run().content == ["outer's", "inner's"]


@pytest.mark.anyio
async def test_the_state_that_it_changes_is_stored(db: BaseDb) -> None:
    async def flow(session_state: dict[str, Any]) -> None:
        session_state["n"] = session_state.get("n", 0) + 1
        await anyio.lowlevel.checkpoint()

    workflow = Workflow(steps=flow, db=db)
    await workflow.arun(session_id="s")
    await workflow.arun(session_id="s")
    assert await workflow.aget_session_state("s") == {"n": 2}


def test_the_wrong_options_of_a_step_are_told_when_it_is_called() -> None:
    async def flow(run_context: RunContext) -> None:
        await run_context.step("two", shout, agent=ScriptedAgent("a", "hi"))

    with pytest.raises(BuildError, match="can only have one executor type"):
        Workflow(steps=flow).run()
    assert Step(name="fine", executor=shout).name == "fine"
