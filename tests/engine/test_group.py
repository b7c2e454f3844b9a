"""The tasks of branches end with their group, whatever ends it, and shielded clean-up is left alone. (D9)"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from workflow_runtime import (
    Condition,
    InMemoryDb,
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
from workflow_runtime.engine.group import open_group

pytestmark = pytest.mark.anyio
Until = Callable[..., Any]


async def test_a_group_is_left_when_all_its_tasks_have_ended() -> None:
    ended: list[int] = []

    async def work(number: int) -> None:
        for _ in range(number):
            await anyio.lowlevel.checkpoint()
        ended.append(number)

    async with open_group() as group:
        for number in (3, 1, 2):
            group.start(work, number)
    assert ended == [1, 2, 3]


@pytest.mark.parametrize("cancelled_by", ["the scope around it", "the group"])
async def test_a_cancelled_group_waits_for_the_shielded_clean_up_of_its_tasks(cancelled_by: str) -> None:
    waiting, cleaned, after = 0, 0, False

    async def work() -> None:
        nonlocal waiting, cleaned
        try:
            waiting += 1
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                for _ in range(5):
                    await anyio.lowlevel.checkpoint()
                cleaned += 1

    with anyio.fail_after(60), anyio.CancelScope() as scope:
        async with open_group() as group:
            for _ in range(3):
                group.start(work)
            while waiting < 3:
                await anyio.lowlevel.checkpoint()
            (scope if cancelled_by == "the scope around it" else group).cancel()
        after = True
    assert cleaned == 3
    assert after is (cancelled_by == "the group")


async def test_a_failure_cancels_the_others_and_is_raised() -> None:
    cancelled: list[bool] = []

    async def hang() -> None:
        try:
            await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class():
            cancelled.append(True)
            raise

    async def fail() -> None:
        await anyio.wait_all_tasks_blocked()
        raise LookupError("gone")

    async def host() -> None:
        async with open_group() as group:
            group.start(hang)
            group.start(fail)

    with anyio.fail_after(60), pytest.raises((LookupError, ExceptionGroup)):
        await host()
    assert cancelled == [True]


async def test_tasks_that_were_cancelled_before_they_began_run_to_their_first_wait_only() -> None:
    seen: list[str] = []

    async def work() -> None:
        seen.append("began")
        await anyio.lowlevel.checkpoint()
        seen.append("went on")

    with anyio.fail_after(60):
        async with open_group() as group:
            group.start(work)
            group.cancel()
    assert "went on" not in seen


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_host_that_is_cancelled_natively_twice_still_waits(anyio_backend: str) -> None:
    order: list[str] = []
    waiting, clean = anyio.Event(), anyio.Event()

    async def work() -> None:
        try:
            waiting.set()
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await clean.wait()
                order.append("cleaned")

    async def host() -> None:
        try:
            async with open_group() as group:
                group.start(work)
        finally:
            order.append("left")

    task = asyncio.create_task(host())
    with anyio.fail_after(60):
        await waiting.wait()
        for _ in range(2):
            task.cancel()
            await anyio.wait_all_tasks_blocked()
        clean.set()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert order == ["cleaned", "left"]


async def test_a_branch_that_never_waits_goes_no_step_further_once_its_run_is_cancelled() -> None:
    """The branch's task cannot see the run's scope; it is told at once all the same."""
    ran: list[str] = []

    async def stop(step_input: StepInput, run_context: RunContext) -> None:
        ran.append("stop")
        assert await workflow.acancel_run(str(run_context.run_id))

    async def later(step_input: StepInput) -> None:
        ran.append("later")

    async def hang(step_input: StepInput) -> None:
        await anyio.sleep_forever()

    branch = Steps(name="branch", steps=[stop, Step("after", executor=later), Step("more", executor=later)])
    inner = Parallel(branch, Step("hang", executor=hang), name="inner")
    workflow = Workflow(steps=[Parallel(inner, Step("hung", executor=hang), name="outer")])
    with anyio.fail_after(60):
        output = await workflow.arun("x")
    assert output.status is RunStatus.cancelled
    assert ran == ["stop"]


async def _cancelled_by_somebody_else(step_input: StepInput) -> str:
    lost = asyncio.get_running_loop().create_future()
    lost.cancel()
    return str(await lost)


async def _function_that_lost_its_task(execution_input: Any) -> str:
    lost = asyncio.get_running_loop().create_future()
    lost.cancel()
    return str(await lost)


@pytest.mark.parametrize("in_parallel", [False, True])
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_step_whose_awaited_task_was_cancelled_has_failed(in_parallel: bool) -> None:
    async def fine(step_input: StepInput) -> str:
        return "fine"

    steps: list[Any] = [Step(name="lost", executor=_cancelled_by_somebody_else), Step(name="fine", executor=fine)]
    workflow = Workflow(name="w", steps=[Parallel(*steps)] if in_parallel else steps, db=InMemoryDb())
    with pytest.raises(RuntimeError, match=r"lost: what the step awaited was cancelled, not the step") as caught:
        await workflow.arun("x", run_id="r")
    assert isinstance(caught.value.__cause__, asyncio.CancelledError)
    stored = await workflow.aget_run("r")
    assert stored is not None
    assert stored.status == RunStatus.error


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_step_whose_awaited_task_was_cancelled_follows_its_policies() -> None:
    workflow = Workflow(
        name="w",
        steps=[
            Step(name="skipped", executor=_cancelled_by_somebody_else, on_error="skip"),
            Step(
                name="tried",
                executor=_cancelled_by_somebody_else,
                retry=Retry(attempts=2, delay=0),
                on_error="skip",
            ),
        ],
    )
    events = [event async for event in workflow.arun("x", stream=True, stream_events=True)]
    assert [event.event for event in events if event.event in ("StepRetry", "StepError")] == [
        "StepError",
        "StepRetry",
        "StepError",
    ]
    assert events[-1].event == "WorkflowCompleted"


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_branch_that_cancels_itself_is_not_left_out_in_silence() -> None:
    async def gives_up(step_input: StepInput) -> str:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await anyio.sleep_forever()
        return ""

    async def waits(step_input: StepInput) -> str:
        await anyio.sleep_forever()
        return ""

    workflow = Workflow(
        name="w",
        steps=[Parallel(Step(name="gives_up", executor=gives_up), Step(name="waits", executor=waits))],
        db=InMemoryDb(),
    )
    with pytest.raises(asyncio.CancelledError):
        await workflow.arun("x", run_id="r")
    stored = await workflow.aget_run("r")
    assert stored is not None
    assert stored.status == RunStatus.cancelled


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize(
    "steps",
    [
        [Condition([Step(name="then", executor=_cancelled_by_somebody_else)], evaluator=_cancelled_by_somebody_else)],
        [Parallel(Map(Step(name="item", executor=_cancelled_by_somebody_else), over=_cancelled_by_somebody_else))],
        _function_that_lost_its_task,
    ],
    ids=["condition", "map in parallel", "workflow function"],
)
async def test_a_function_whose_awaited_task_was_cancelled_has_failed(steps: Any) -> None:
    with pytest.raises(RuntimeError, match="what the function awaited was cancelled, not the function"):
        await Workflow(name="w", steps=steps, db=InMemoryDb()).arun("x")
