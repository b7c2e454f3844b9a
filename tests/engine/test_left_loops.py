"""A loop over a stream that is left leaves the stream, also where a variable holds it, unless it is read on. (D9)"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from workflow_runtime import (
    BaseDb,
    Loop,
    Parallel,
    RunStatus,
    Step,
    Workflow,
    WorkflowRunOutput,
)

pytestmark = pytest.mark.anyio


async def count() -> AsyncIterator[str]:
    for number in range(10_000_000):
        yield str(number)
        await anyio.lowlevel.checkpoint()


async def wait_long() -> AsyncIterator[str]:
    yield "0"
    await anyio.sleep_forever()


STEPS: dict[str, Callable[[], Any]] = {
    "many chunks": lambda: count,
    "one chunk": lambda: wait_long,
    "parallel": lambda: Parallel(count, wait_long, name="p"),
    "loop": lambda: Loop([wait_long], max_iterations=2, name="l"),
    "nested": lambda: Step("n", workflow=Workflow(name="inner", steps=[wait_long])),
}


@pytest.fixture(params=STEPS)
def workflow(request: pytest.FixtureRequest, db: BaseDb) -> Workflow:
    return Workflow(name="W", steps=[STEPS[request.param]()], db=db, store_events=True)


async def ended(workflow: Workflow, run_id: str) -> WorkflowRunOutput:
    """The run once its end is in the log."""
    with anyio.fail_after(30):
        async for _ in workflow.subscribe(run_id):
            pass
    output = await workflow.aget_run(run_id)
    assert output is not None
    return output


async def test_break_out_of_a_stream_that_is_held_cancels_the_run(workflow: Workflow) -> None:
    stream = workflow.arun("x", stream=True)
    async for event in stream:
        if event.event == "StepContent":
            break
    output = await ended(workflow, stream.run_id)
    assert output.status is RunStatus.cancelled
    assert (await stream.result()).status is RunStatus.cancelled


async def test_an_error_in_the_loop_cancels_the_run(workflow: Workflow) -> None:
    stream = workflow.arun("x", stream=True)

    async def read() -> None:
        async for event in stream:
            if event.event == "StepContent":
                raise KeyError("of the reader")

    with pytest.raises(KeyError):
        await read()
    assert (await ended(workflow, stream.run_id)).status is RunStatus.cancelled


async def test_break_out_of_a_synchronous_stream_that_is_held_cancels_the_run(workflow: Workflow) -> None:
    def read() -> Any:
        stream = workflow.run("x", stream=True)
        for event in stream:
            if event.event == "StepContent":
                break
        return stream

    stream = await anyio.to_thread.run_sync(read)
    assert (await ended(workflow, stream.run_id)).status is RunStatus.cancelled


async def chunks() -> AsyncIterator[str]:
    for number in range(600):  # more than a buffer holds
        yield f"{number} "


async def test_a_stream_that_is_read_on_goes_on(db: BaseDb) -> None:
    stream = Workflow(name="W", steps=[chunks], db=db).arun("x", stream=True, stream_events=True)
    async for event in stream:
        if event.event == "StepStarted":
            break
    async for event in stream:
        if event.event == "StepContent":
            break
    output = await stream.result()
    assert output.status is RunStatus.completed
    assert str(output.content).endswith("599 ")


def test_a_synchronous_stream_that_is_read_on_goes_on(db: BaseDb) -> None:
    stream = Workflow(name="W", steps=[chunks], db=db).run("x", stream=True, stream_events=True)
    for event in stream:
        if event.event == "StepStarted":
            break
    for event in stream:
        if event.event == "StepContent":
            break
    output = stream.result()
    assert output.status is RunStatus.completed
    assert str(output.content).endswith("599 ")


async def test_a_reader_that_waits_in_another_task_keeps_the_run(db: BaseDb) -> None:
    looked = anyio.Event()

    async def slow() -> AsyncIterator[str]:
        yield "first"
        await looked.wait()
        yield "second"

    stream = Workflow(name="W", steps=[slow], db=db).arun("x", stream=True)
    outputs: list[WorkflowRunOutput] = []

    async def read() -> None:
        outputs.append(await stream.result())

    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            async for event in stream:
                if event.event == "StepContent":
                    break
            group.start_soon(read)
            await anyio.wait_all_tasks_blocked()
            stream.leave_unread()  # as after the moment
            looked.set()
    assert outputs[0].status is RunStatus.completed


async def test_a_background_run_goes_on_when_its_loop_is_left(db: BaseDb) -> None:
    go_on = anyio.Event()

    async def slow() -> AsyncIterator[str]:
        yield "first"
        await go_on.wait()
        yield "second"

    workflow = Workflow(name="W", steps=[slow], db=db)
    stream = workflow.arun("x", stream=True, background=True)
    async for event in stream:
        if event.event == "StepContent":
            break
    stream.leave_unread()
    go_on.set()
    assert (await ended(workflow, stream.run_id)).status is RunStatus.completed
