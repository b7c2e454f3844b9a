"""A workflow that is a function is walked again to go on: its steps do not run again, and what it had said by itself (its
chunks, events and progress) is not said again. (D7)"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio.from_thread
import pytest
from verbs import expanded, listen, of_kind

from workflow_runtime import (
    BaseDb,
    CustomEvent,
    RunContext,
    RunStatus,
    StepInput,
    Workflow,
    WorkflowRunOutput,
)

pytestmark = pytest.mark.anyio


async def work(step_input: StepInput) -> str:
    return "worked"


async def talk(run_context: RunContext) -> AsyncIterator[str]:
    yield "one "
    run_context.emit(note="before the step")
    await run_context.step("first", work)
    yield "two "
    run_context.progress(1, 2)
    await run_context.step("asked", work, requires_confirmation=True)
    yield "three"


def talk_in_a_thread(run_context: RunContext) -> Iterator[str]:
    yield "one "
    run_context.emit(note="before the step")
    anyio.from_thread.run(run_context.step, "first", work)
    yield "two "
    run_context.progress(1, 2)

    async def ask() -> Any:
        return await run_context.step("asked", work, requires_confirmation=True)

    anyio.from_thread.run(ask)
    yield "three"


async def to_the_end(make: Any, output: WorkflowRunOutput) -> WorkflowRunOutput:
    """Continued by other objects until nothing is open."""
    while output.is_paused:
        output.steps_requiring_confirmation[0].confirm()
        output = await make().acontinue_run(output)
    return output


def said(output: WorkflowRunOutput) -> list[Any]:
    """What the log has of the function's own events."""
    kinds = ("StepContent", "CustomEvent", "StepProgress")
    return [
        getattr(event, "delta", None) or getattr(event, "note", None) or event.event
        for event in of_kind(expanded(output.events or ()), *kinds)
    ]


ALL = ["one ", "before the step", "two ", "StepProgress", "three"]


@pytest.mark.parametrize("function", [talk, talk_in_a_thread])
async def test_what_was_said_before_a_pause_is_not_said_again(db: BaseDb, function: Any) -> None:
    def make() -> Workflow:
        return Workflow(name="w", steps=function, db=db, store_events=True)

    paused = await make().arun()
    assert said(paused) == ALL[:-1]
    done = await to_the_end(make, paused)
    assert (done.status, done.content) == (RunStatus.completed, "one two three")
    assert said(done) == ALL


async def test_a_continued_stream_shows_only_what_is_new(db: BaseDb) -> None:
    workflow = Workflow(name="w", steps=talk, db=db)
    paused = await workflow.arun()
    paused.steps_requiring_confirmation[0].confirm()
    events, error = await listen(workflow.acontinue_run(paused, stream=True, stream_events=True))
    assert error is None
    assert [event.delta for event in of_kind(events, "StepContent")] == ["three"]
    assert events[-1].content == "one two three"


async def test_it_holds_without_a_database_too() -> None:
    workflow = Workflow(name="w", steps=talk, store_events=True)
    done = await to_the_end(lambda: workflow, await workflow.arun())
    assert said(done) == ALL


async def test_it_holds_for_a_function_inside_a_step_and_over_several_pauses(db: BaseDb) -> None:
    async def twice(run_context: RunContext) -> AsyncIterator[str]:
        yield "a"
        await run_context.step("one", work, requires_confirmation=True)
        yield "b"
        await run_context.step("two", work, requires_confirmation=True)
        yield "c"

    def make() -> Workflow:
        inner = Workflow(name="inner", steps=twice)
        return Workflow(name="w", steps=[work, inner], db=db, store_events=True)

    done = await to_the_end(make, await make().arun())
    assert (done.content, said(done)) == ("abc", ["a", "b", "c"])


async def test_a_function_that_failed_says_all_of_it_again_when_it_is_tried_again(db: BaseDb) -> None:
    failed: list[int] = []

    async def fragile(run_context: RunContext) -> AsyncIterator[str]:
        yield "a"
        await run_context.step("guarded", work, requires_confirmation=True)
        yield "b"
        if not failed:
            failed.append(1)
            raise ConnectionError("down")

    def make() -> Workflow:
        from workflow_runtime import Retry, Step

        inner = Step(name="inner", workflow=Workflow(name="inner", steps=fragile), retry=Retry(attempts=2, delay=0))
        return Workflow(name="w", steps=[inner], db=db, store_events=True)

    done = await to_the_end(make, await make().arun())
    assert done.content == "ab"
    (retry,) = of_kind(done.events or (), "StepRetry")
    assert retry.discards_deltas
    assert [event.delta for event in of_kind(expanded(done.events or ()), "StepContent") if event.seq > retry.seq] == [
        "a",
        "b",
    ]


async def test_a_fork_says_what_comes_behind_its_place(sqlite: Any, anyio_backend: Any) -> None:
    async def three(run_context: RunContext) -> AsyncIterator[Any]:
        yield "a"
        yield await run_context.step("one", work)
        yield "b"
        yield await run_context.step("two", work)
        yield "c"
        yield CustomEvent(note="end")

    workflow = Workflow(name="w", steps=three, db=sqlite, store_events=True)
    output = await workflow.arun()
    assert said(output) == ["a", "worked", "b", "worked", "c", "end"]
    fork = await workflow.fork(str(output.run_id), at="two")
    assert said(fork) == ["worked", "c", "end"]
    assert fork.content == output.content
