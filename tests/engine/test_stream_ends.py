"""A stream that never began, was left, or is read in the wrong place ends: nobody waits for ever. (D9, D10)"""

from __future__ import annotations

import asyncio

import anyio
import anyio.to_thread
import pytest

from workflow_runtime import (
    InMemoryDb,
    RunCancelledError,
    RunStatus,
    SessionOwnerError,
    Step,
    StepInput,
    Workflow,
)

pytestmark = pytest.mark.anyio


async def _hello(step_input: StepInput) -> str:
    return "hello"


async def test_a_stream_that_is_closed_before_its_first_event_has_no_event_and_no_output() -> None:
    workflow = Workflow(name="w", steps=[Step("hello", executor=_hello)], db=InMemoryDb())
    stream = workflow.arun("x", stream=True)
    await stream.aclose()
    with anyio.fail_after(60):
        assert [event async for event in stream] == []
        with pytest.raises(RunCancelledError, match="closed before its run began"):
            await stream.result()
    assert await workflow.aget_run(stream.run_id) is None


async def test_a_stream_whose_run_is_refused_says_why_and_then_ends() -> None:
    workflow = Workflow(name="w", steps=[Step("hello", executor=_hello)], db=InMemoryDb())
    await workflow.arun("x", session_id="s", user_id="ann")
    stream = workflow.arun("x", session_id="s", user_id="bob", stream=True)
    with anyio.fail_after(60):
        with pytest.raises(SessionOwnerError):
            await anext(stream)
        assert [event async for event in stream] == []
        with pytest.raises(SessionOwnerError):
            await stream.result()


async def test_a_stream_that_is_closed_while_its_run_begins_cancels_the_run() -> None:
    asked, go_on = anyio.Event(), anyio.Event()

    class Slow(InMemoryDb):
        async def load_session(self, session_id: str) -> None:
            asked.set()
            await go_on.wait()

    async def waits(step_input: StepInput) -> None:
        await anyio.sleep_forever()

    workflow = Workflow(name="w", steps=[Step("waits", executor=waits)], db=Slow())
    stream = workflow.arun("x", stream=True)
    read: list[object] = []

    async def reader() -> None:
        read.extend([event async for event in stream])

    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(reader)
            await asked.wait()
            await stream.aclose()
            go_on.set()
        assert read == []
        assert (await stream.result()).status == RunStatus.cancelled


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_stream_that_another_loop_reads_is_refused_and_not_waited_for() -> None:
    async def waits(step_input: StepInput) -> None:
        await anyio.sleep_forever()

    workflow = Workflow(name="w", steps=[Step("waits", executor=waits)])
    stream = workflow.arun("x", stream=True)
    await anext(stream)

    async def elsewhere() -> None:
        with anyio.fail_after(60):
            with pytest.raises(RuntimeError, match=r"streamed on another event loop.*subscribe"):
                [event async for event in stream]
            with pytest.raises(RuntimeError, match="streamed on another event loop"):
                await stream.aclose()

    await anyio.to_thread.run_sync(lambda: asyncio.run(elsewhere()))
    await stream.aclose()
    assert (await stream.result()).status == RunStatus.cancelled
