"""Cancellation is a scope: it reaches every await of every branch and leaves nothing behind. (D9)"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import anyio
import anyio.from_thread
import anyio.lowlevel
import anyio.to_thread
import pytest
from verbs import names

from workflow_runtime import (
    BaseDb,
    InMemoryDb,
    Loop,
    Map,
    Parallel,
    Retry,
    RunContext,
    RunStatus,
    Step,
    StepInput,
    Steps,
    Workflow,
)
from workflow_runtime.backends import SqliteDb
from workflow_runtime.testing import FakeClock, ScriptedAgent

pytestmark = pytest.mark.anyio

NoTaskLeft = Callable[[], Awaitable[None]]


def quick(step_input: StepInput) -> str:
    return "quick"


async def nap(step_input: StepInput) -> str:
    await anyio.sleep_forever()
    return "slept"


async def turns(count: int = 20) -> None:
    """Let other tasks run: what need not wait for the outside world is done after it."""
    for _ in range(count):
        await anyio.lowlevel.checkpoint()


@pytest.fixture
async def no_task_left() -> NoTaskLeft:
    """``await no_task_left()``: every task that began during the test is gone, or is once its database has answered."""
    before = {task.id for task in anyio.get_running_tasks()}

    def left() -> list[str | None]:
        # The plugin that runs this test has a task of its own for it.
        found = (task for task in anyio.get_running_tasks() if task.id not in before)
        return [task.name for task in found if "TestRunner" not in getattr(task.coro, "__qualname__", "")]

    async def check() -> None:
        with anyio.move_on_after(60):
            while left():
                await anyio.lowlevel.checkpoint()
        assert left() == []

    return check


async def status_of(workflow: Workflow, run_id: str) -> RunStatus:
    found = await workflow.aget_run_output(run_id)
    assert found is not None
    return found.status


# -- at once, everywhere -------------------------------------------------------------------------------------------


SLEEPERS: dict[str, Callable[[], list[Any]]] = {
    "step": lambda: [quick, nap],
    "parallel": lambda: [quick, Parallel(Steps(name="deep", steps=[quick2, nap]), Step(name="wide", executor=nap))],
    "loop": lambda: [Loop([nap], max_iterations=5)],
    "map": lambda: [Map(nap, over=lambda step_input: range(20))],
    "nested": lambda: [Workflow(name="inner", steps=[Workflow(name="innermost", steps=[nap])])],
}


async def quick2(step_input: StepInput) -> str:
    return "quick"


@pytest.mark.parametrize("shape", SLEEPERS)
async def test_a_cancelled_sleep_ends_the_stream(db: BaseDb, no_task_left: NoTaskLeft, shape: str) -> None:
    workflow = Workflow(name="w", steps=SLEEPERS[shape](), db=db, store_events=True)
    with anyio.fail_after(60):
        async with workflow.arun("x", stream=True, stream_events=True, run_id="r") as stream:
            events = []
            async for event in stream:
                events.append(event)
                if getattr(event, "step_name", None) in ("nap", "wide"):
                    await turns()
                    assert await workflow.acancel_run(stream.run_id)
                    break
            rest = [event async for event in stream]
    assert names(rest)[-1] == "WorkflowCancelled"
    assert names(rest).count("WorkflowCancelled") == 1
    await no_task_left()
    stored = await workflow.aget_run_output(stream.run_id)
    assert stored is not None
    assert stored.status is RunStatus.cancelled
    assert names(stored.events or ())[-1] == "WorkflowCancelled"


@pytest.mark.parametrize("shape", SLEEPERS)
async def test_from_the_cancel_to_the_end_of_the_stream_it_is_a_few_turns_of_the_loop(shape: str) -> None:
    taken = 0

    async def count() -> None:
        nonlocal taken
        while True:
            await anyio.lowlevel.checkpoint()
            taken += 1

    workflow = Workflow(name="w", steps=SLEEPERS[shape](), db=InMemoryDb(), store_events=True)
    async with workflow.arun("x", stream=True, stream_events=True, run_id="r") as stream:
        async for event in stream:
            if getattr(event, "step_name", None) in ("nap", "wide"):
                break
        await turns()
        async with anyio.create_task_group() as group:
            group.start_soon(count)
            await anyio.lowlevel.checkpoint()
            assert workflow.cancel_run(stream.run_id)
            rest = [event async for event in stream]
            group.cancel_scope.cancel()
    assert names(rest)[-1] == "WorkflowCancelled"
    assert taken < 50


@pytest.mark.parametrize("mode", ["arun", "background"])
async def test_cancel_run_ends_a_run_that_nobody_reads(db: BaseDb, no_task_left: NoTaskLeft, mode: str) -> None:
    started = anyio.Event()

    async def hang(step_input: StepInput) -> None:
        started.set()
        await anyio.sleep_forever()

    workflow = Workflow(steps=[quick, hang], db=db)
    with anyio.fail_after(60):
        if mode == "background":
            await workflow.arun(background=True, run_id="r")
            await started.wait()
            assert await workflow.acancel_run("r")
            async for _ in workflow.subscribe("r"):
                pass
        else:
            async with anyio.create_task_group() as group:

                async def run() -> None:
                    output = await workflow.arun(run_id="r")
                    assert output.status is RunStatus.cancelled, "a cancelled run returns its output"

                group.start_soon(run)
                await started.wait()
                assert workflow.cancel_run("r")
    await no_task_left()
    stored = await workflow.aget_run_output("r")
    assert stored is not None
    assert stored.status is RunStatus.cancelled
    assert [result.content for result in stored.step_results] == ["quick"]


def nested_workflow(db: BaseDb) -> Workflow:
    async def words(step_input: StepInput) -> AsyncIterator[str]:
        for word in ("one ", "two "):
            yield word
            await anyio.lowlevel.checkpoint()

    async def work(step_input: StepInput, session_state: dict[str, Any]) -> str:
        session_state["worked"] = True
        await anyio.lowlevel.checkpoint()
        return "worked"

    innermost = Workflow(name="innermost", steps=[words, Step(name="agent", agent=ScriptedAgent("a", "hello you"))])
    inner = Workflow(
        name="inner", steps=[Parallel(Step(name="left", executor=work), Step(name="right", executor=quick)), innermost]
    )
    steps = [
        quick2,
        Loop([Step(name="again", executor=work)], max_iterations=2),
        inner,
        Step(name="end", executor=work),
    ]
    return Workflow(name="outer", steps=steps, db=db, store_events=True, buffer_size=1)


async def test_a_cancel_at_any_event_of_a_nested_workflow_leaves_one_end_and_no_task(
    db: BaseDb, no_task_left: NoTaskLeft
) -> None:
    whole = [event async for event in nested_workflow(db).arun("x", stream=True, stream_events=True)]
    assert whole[-1].event == "WorkflowCompleted"
    cancelled = 0
    for position in range(len(whole)):
        workflow = nested_workflow(db)
        stream = workflow.arun("x", stream=True, stream_events=True, run_id=f"r{position}")
        events = []
        with anyio.fail_after(60):
            async for event in stream:
                events.append(event)
                if len(events) == position + 1:
                    await workflow.acancel_run(stream.run_id)
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        ends = [event.event for event in events if event.event in ("WorkflowCompleted", "WorkflowCancelled")]
        ends = [event.event for event in events if event.nested_depth == 0 and event.event in ends]
        assert ends == [events[-1].event], "one end, and nothing after it"
        stored = await workflow.aget_run_output(stream.run_id)
        assert stored is not None
        expected = RunStatus.cancelled if events[-1].event == "WorkflowCancelled" else RunStatus.completed
        assert stored.status is expected
        cancelled += expected is RunStatus.cancelled
    await no_task_left()
    assert cancelled >= len(whole) - 3, "the run is at most a buffer ahead of its reader"


# -- the other ways to end a run ----------------------------------------------------------------------------------------


async def test_cancelling_the_callers_task_ends_the_run_as_cancelled(db: BaseDb, no_task_left: NoTaskLeft) -> None:
    started = anyio.Event()

    async def hang(step_input: StepInput) -> AsyncIterator[str]:
        yield "half"
        started.set()
        await anyio.sleep_forever()

    workflow = Workflow(steps=[quick, hang], db=db)
    returned = False
    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:

            async def call() -> None:
                nonlocal returned
                await workflow.arun(run_id="r")
                returned = True

            group.start_soon(call)
            await started.wait()
            group.cancel_scope.cancel()
    assert not returned, "the caller's own cancellation goes on"
    await no_task_left()
    stored = await workflow.aget_run_output("r")
    assert stored is not None
    assert stored.status is RunStatus.cancelled
    assert [(result.content, result.success) for result in stored.step_results] == [("quick", True), ("half", False)]


async def test_cancelling_the_task_that_reads_a_stream_ends_the_run(db: BaseDb, no_task_left: NoTaskLeft) -> None:
    workflow = Workflow(steps=[quick, nap], db=db)
    stream = workflow.arun(stream=True, stream_events=True, run_id="r")
    napping = anyio.Event()
    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:

            async def read() -> None:
                async for event in stream:
                    if event.event == "StepStarted" and event.step_name == "nap":
                        napping.set()

            group.start_soon(read)
            await napping.wait()
            group.cancel_scope.cancel()
        await stream.aclose()
    await no_task_left()
    assert await status_of(workflow, "r") is RunStatus.cancelled


async def test_aclose_cancels_and_waits_for_the_end(db: BaseDb, no_task_left: NoTaskLeft) -> None:
    workflow = Workflow(steps=[quick, nap], db=db)
    stream = workflow.arun(stream=True, stream_events=True, run_id="r")
    with anyio.fail_after(60):
        async for event in stream:
            if event.event == "StepCompleted":
                break
        await stream.aclose()
        assert await status_of(workflow, "r") is RunStatus.cancelled
    await no_task_left()


async def test_async_with_cancels_and_waits_for_the_end_also_when_its_body_raises(db: BaseDb) -> None:
    workflow = Workflow(steps=[nap], db=db)
    error = KeyError("body")
    with anyio.fail_after(60), contextlib.suppress(KeyError):
        async with workflow.arun(stream=True, run_id="r") as stream:
            await stream.__anext__()
            raise error
    assert error.__traceback__ is not None, "it reached the caller"
    assert await status_of(workflow, "r") is RunStatus.cancelled


async def test_a_bare_break_cancels_the_run(db: BaseDb, no_task_left: NoTaskLeft) -> None:
    workflow = Workflow(steps=[quick, nap], db=db, store_events=True)  # it may have ended when it is followed

    async def look() -> None:
        async for event in workflow.arun(stream=True, stream_events=True, run_id="r"):
            if event.event == "StepCompleted":
                break

    with anyio.fail_after(60):
        await look()
        async for _ in workflow.subscribe("r"):
            pass
    assert await status_of(workflow, "r") is RunStatus.cancelled
    await no_task_left()


async def test_cancel_run_works_from_another_thread(db: BaseDb) -> None:
    workflow = Workflow(steps=[quick, nap], db=db)
    with anyio.fail_after(60):
        async with workflow.arun(stream=True, stream_events=True, run_id="r") as stream:
            async for event in stream:
                if event.event == "StepStarted" and event.step_name == "nap":
                    assert await anyio.to_thread.run_sync(workflow.cancel_run, "r")
                if event.event == "WorkflowCancelled":
                    assert event.reason == "cancel_run"
    assert await status_of(workflow, "r") is RunStatus.cancelled


def test_a_sync_run_is_cancelled_from_another_thread(sqlite: SqliteDb) -> None:
    started = threading.Event()

    async def hang(step_input: StepInput) -> None:
        started.set()
        await anyio.sleep_forever()

    workflow = Workflow(steps=[quick, hang], db=sqlite)
    canceller = threading.Thread(target=lambda: started.wait(60) and workflow.cancel_run("r"))
    canceller.start()
    output = workflow.run(run_id="r")
    canceller.join(60)
    assert output.status is RunStatus.cancelled
    stored = workflow.get_run_output("r")
    assert stored is not None
    assert stored.status is RunStatus.cancelled


def test_closing_a_sync_stream_cancels_the_run(sqlite: SqliteDb) -> None:
    workflow = Workflow(steps=[quick, nap], db=sqlite)
    with workflow.run(stream=True, stream_events=True, run_id="r") as stream:
        for event in stream:
            if event.event == "StepCompleted":
                break
    stored = workflow.get_run_output("r")
    assert stored is not None
    assert stored.status is RunStatus.cancelled


# -- what is kept -------------------------------------------------------------------------------------------------------


async def async_words(step_input: StepInput) -> AsyncIterator[str]:
    yield "half "
    yield "said"
    await anyio.sleep_forever()


def thread_words(step_input: StepInput) -> Iterator[str]:
    yield "half "
    yield "said"
    anyio.from_thread.run(anyio.sleep_forever)


def endless(step_input: StepInput) -> Iterator[str]:
    yield "half "
    yield "said"
    while True:
        yield ""


async def blocks(step_input: StepInput) -> AsyncIterator[Any]:
    yield {"row": 1}
    yield {"row": 2}
    await anyio.sleep_forever()


@pytest.mark.parametrize(
    ("executor", "kept"),
    [
        (async_words, "half said"),
        (thread_words, "half said"),
        (endless, "half said"),
        (blocks, [{"row": 1}, {"row": 2}]),
    ],
    ids=["async generator", "generator", "endless generator", "values"],
)
async def test_the_partial_output_of_the_running_step_is_kept_as_not_successful(
    db: BaseDb, executor: Any, kept: Any
) -> None:
    workflow = Workflow(steps=[quick, Step(name="half", executor=executor)], db=db)
    chunks = 0
    with anyio.fail_after(60):
        async with workflow.arun(stream=True, stream_events=True, run_id="r") as stream:
            async for event in stream:
                chunks += event.event == "StepContent"
                if chunks == 2:
                    chunks += 1
                    await workflow.acancel_run("r")
            output = await stream.result()
    for found in (output, await workflow.aget_run_output("r")):
        assert found is not None
        partial = found.step_results[-1]
        assert (partial.step_name, partial.content, partial.success) == ("half", kept, False)
        assert partial.error


async def test_the_partial_output_of_an_agent_is_kept(db: BaseDb) -> None:
    class Stuck:
        name = "stuck"

        async def arun(self, input: Any) -> AsyncIterator[Any]:
            yield {"event": "RunContent", "content": "I was about to"}
            await anyio.sleep_forever()

    workflow = Workflow(steps=[Step(name="agent", agent=Stuck())], db=db)
    with anyio.fail_after(60):
        async with workflow.arun(stream=True, stream_events=True, run_id="r") as stream:
            async for event in stream:
                if event.event == "RunContent":
                    await workflow.acancel_run("r")
    found = await workflow.aget_run_output("r")
    assert found is not None
    assert [(result.content, result.success) for result in found.step_results] == [("I was about to", False)]


async def test_what_an_unfinished_container_had_made_is_kept_in_its_place(db: BaseDb) -> None:
    async def half(step_input: StepInput) -> AsyncIterator[str]:
        yield "half"
        await anyio.sleep_forever()

    both = Parallel(Steps(name="left", steps=[quick, half]), Step(name="right", executor=quick2), name="both")
    workflow = Workflow(steps=[both], db=db)
    with anyio.fail_after(60):
        async with workflow.arun(stream=True, stream_events=True, run_id="r") as stream:
            async for event in stream:
                if event.event == "StepContent":
                    await turns()
                    await workflow.acancel_run("r")
    found = await workflow.aget_run_output("r")
    assert found is not None
    (cut_off,) = found.step_results
    assert (cut_off.step_name, cut_off.step_type, cut_off.success) == ("both", "Parallel", False)
    assert {(inner.step_name, inner.content, inner.success) for inner in cut_off.steps or ()} == {
        ("quick", "quick", True),
        ("right", "quick", True),
        ("half", "half", False),
    }


async def test_a_branch_that_lost_a_race_leaves_no_partial_output_in_a_run_cancelled_later(db: BaseDb) -> None:
    async def hang(step_input: StepInput) -> AsyncIterator[str]:
        yield "half"
        await anyio.sleep_forever()

    async def win(step_input: StepInput) -> str:
        await turns()
        return "won"

    race = Parallel(hang, win, wait_for="first", name="race")
    workflow = Workflow(steps=[race, nap], db=db)
    with anyio.fail_after(60):
        async with workflow.arun(stream=True, stream_events=True, run_id="r") as stream:
            async for event in stream:
                if event.event == "StepStarted" and event.step_name == "nap":
                    await workflow.acancel_run("r")
    found = await workflow.aget_run_output("r")
    assert found is not None
    assert [result.step_name for result in found.step_results] == ["race"]


async def test_a_threads_function_is_told_and_waited_for(db: BaseDb) -> None:
    told: list[bool] = []
    started = threading.Event()

    def work(step_input: StepInput, run_context: RunContext) -> str:
        started.set()
        while not run_context.cancelled:
            threading.Event().wait(0.001)
        told.append(True)
        return "cleaned up"

    workflow = Workflow(steps=[work], db=db)
    with anyio.fail_after(60):
        async with workflow.arun(stream=True, run_id="r") as stream:
            await stream.__anext__()
            await anyio.to_thread.run_sync(started.wait)
            await workflow.acancel_run("r")
            rest = [event async for event in stream]
    assert told == [True], "the run did not end before its thread"
    assert names(rest)[-1] == "WorkflowCancelled"


async def test_clean_up_of_a_cancelled_step_runs_to_its_end(db: BaseDb) -> None:
    cleaned: list[str] = []

    async def careful(step_input: StepInput) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.lowlevel.checkpoint()
                cleaned.append("closed")

    workflow = Workflow(steps=[careful], db=db)
    with anyio.fail_after(60):
        async with workflow.arun(stream=True, stream_events=True, run_id="r") as stream:
            async for event in stream:
                if event.event == "StepStarted":
                    await turns()
                    break
        assert cleaned == ["closed"]


async def test_a_step_that_emits_while_it_is_cancelled_is_heard_before_the_end(db: BaseDb) -> None:
    async def last_words(run_context: RunContext) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            run_context.emit(text="goodbye")

    workflow = Workflow(steps=[last_words], db=db, store_events=True)
    with anyio.fail_after(60):
        async with workflow.arun(stream=True, stream_events=True, run_id="r") as stream:
            await stream.__anext__()
            await turns()
            await workflow.acancel_run("r")
            rest = [event async for event in stream]
    assert names(rest) == ["StepStarted", "CustomEvent", "WorkflowCancelled"]


async def test_waiting_between_two_attempts_ends_with_the_run() -> None:
    clock = FakeClock()

    async def fail(step_input: StepInput) -> None:
        raise ValueError("again")

    workflow = Workflow(
        steps=[Step(name="fail", executor=fail, retry=Retry(attempts=3, delay=60))], clock=clock, db=InMemoryDb()
    )
    with anyio.fail_after(60):
        async with workflow.arun(stream=True, run_id="r") as stream:
            await stream.__anext__()
            await clock.wait_sleeping()
            await workflow.acancel_run("r")
            output = await stream.result()
    assert output.status is RunStatus.cancelled
    assert clock.sleeping == 0


# -- what cannot be cancelled --------------------------------------------------------------------------------------------


async def test_an_unknown_run_is_not_cancelled_and_nothing_is_remembered(db: BaseDb) -> None:
    workflow = Workflow(steps=[quick], db=db)
    assert await workflow.acancel_run("later") is False
    assert (await workflow.arun(run_id="later")).status is RunStatus.completed


async def test_a_run_that_has_ended_is_not_cancelled(db: BaseDb) -> None:
    workflow = Workflow(steps=[quick], db=db)
    output = await workflow.arun(run_id="r")
    assert await workflow.acancel_run("r") is False
    assert output.status is RunStatus.completed
    assert await status_of(workflow, "r") is RunStatus.completed


async def test_a_paused_run_can_be_cancelled(db: BaseDb) -> None:
    steps = [quick, Step(name="ask", executor=quick2, requires_confirmation=True)]
    workflow = Workflow(steps=steps, db=db, store_events=True)
    paused = await workflow.arun(run_id="r")
    assert paused.is_paused
    assert await workflow.acancel_run("r")
    stored = await workflow.aget_run_output("r")
    assert stored is not None
    assert stored.status is RunStatus.cancelled
    assert names(stored.events or ())[-2:] == ["WorkflowPaused", "WorkflowCancelled"]
    assert [event.seq for event in stored.events or ()] == list(range(1, len(stored.events or ()) + 1))
    assert await workflow.acancel_run("r") is False


async def test_a_cancelled_run_without_a_database_gives_its_output() -> None:
    started = anyio.Event()

    async def hang(step_input: StepInput) -> None:
        started.set()
        await anyio.sleep_forever()

    workflow = Workflow(steps=[quick, hang])
    async with anyio.create_task_group() as group:

        async def cancel() -> None:
            await started.wait()
            await workflow.acancel_run("r")

        group.start_soon(cancel)
        output = await workflow.arun(run_id="r")
    assert output.status is RunStatus.cancelled
    assert [result.content for result in output.step_results] == ["quick"]


async def test_a_chain_of_steps_that_never_wait_sees_a_cancel(db: BaseDb) -> None:
    ran: list[int] = []

    def make(number: int) -> Step:
        async def work(run_context: RunContext) -> int:
            ran.append(number)
            if number == 3:
                workflow.cancel_run(run_context.run_id)
            return number

        return Step(name=f"s{number}", executor=work)

    workflow = Workflow(steps=[make(number) for number in range(10)], db=db)
    output = await workflow.arun()
    assert output.status is RunStatus.cancelled
    assert ran == [0, 1, 2, 3]
