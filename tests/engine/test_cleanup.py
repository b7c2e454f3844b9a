"""A step that is cancelled cleans up: what waits in its ``finally`` or ``__aexit__`` is done, whatever cancelled it."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from workflow_runtime import Condition, Parallel, Retry, RunContext, Step, StepStartedEvent, Workflow
from workflow_runtime.engine.loop import cleanup

pytestmark = pytest.mark.anyio

Log = list[str]


async def turns(count: int = 3) -> None:
    for _ in range(count):
        await anyio.lowlevel.checkpoint()


def executor(kind: str, log: Log) -> Step:
    """A step that waits for ever, and whose clean-up waits a little."""

    class Connection:
        async def __aenter__(self) -> None:
            log.append("opened")

        async def __aexit__(self, *error: object) -> None:
            await turns()
            log.append("closed")

    async def function(step_input: Any) -> None:
        async with Connection():
            await anyio.sleep_forever()

    async def injected(run_context: RunContext) -> None:
        async with Connection():
            await anyio.sleep_forever()

    async def generator(step_input: Any) -> AsyncIterator[str]:
        async with Connection():
            yield "x"
            await anyio.sleep_forever()

    async def scoped(step_input: Any) -> None:
        with anyio.move_on_after(1_000):
            try:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(anyio.sleep_forever)
                    await anyio.sleep_forever()
            finally:
                async with Connection():
                    await turns()

    def gives_awaitable(step_input: Any) -> Awaitable[None]:
        return function(step_input)

    class Agent:
        name = "agent"

        async def arun(self, input: Any) -> Any:
            await function(input)

    class Streaming:
        name = "streaming"

        def arun(self, input: Any, stream: bool = False) -> AsyncIterator[Any]:
            return generator(input)

    executors: dict[str, Any] = {
        "function": {"executor": function},
        "injected": {"executor": injected},
        "generator": {"executor": generator},
        "scopes of its own": {"executor": scoped},
        "awaitable": {"executor": gives_awaitable, "offload": False},
        "agent": {"agent": Agent()},
        "streaming agent": {"agent": Streaming()},
        "nested function": {"workflow": Workflow(name="inner", steps=function)},
        "nested": {"workflow": Workflow(name="inner", steps=[Step("inside", executor=function)])},
    }
    return Step("s", **executors[kind])


KINDS = (
    "function",
    "injected",
    "generator",
    "scopes of its own",
    "awaitable",
    "agent",
    "streaming agent",
    "nested function",
    "nested",
)
CAUSES = (
    "cancel_run",
    "task",
    "step timeout",
    "run timeout",
    "attempt timeout",
    "sibling fails",
    "race lost",
    "reader",
)


async def cause(how: str, step: Step) -> None:
    """Run ``step`` until it waits, cancel it so, and wait for the end of the run."""

    async def fail(step_input: Any) -> None:
        await turns(10)
        raise ValueError("boom")

    async def win(step_input: Any) -> None:
        await turns(10)

    if how == "step timeout":
        step.timeout = 0.01
    if how == "attempt timeout":
        step.retry = Retry(attempts=1, timeout=0.01)
    steps: list[Any] = [step]
    if how == "sibling fails":
        steps = [Parallel(step, fail)]
    if how == "race lost":
        steps = [Parallel(step, win, wait_for="first")]
    workflow = Workflow(name="w", steps=steps, run_timeout=0.01 if how == "run timeout" else None)
    if how in ("cancel_run", "reader"):
        async with workflow.arun("x", stream=True, stream_events=True) as stream:
            async for event in stream:
                if isinstance(event, StepStartedEvent) and event.step_name in ("s", "inside"):
                    await turns(10)
                    if how == "reader":
                        break
                    workflow.cancel_run(event.run_id)
        return
    if how == "task":
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(workflow.arun, "x")
            await turns(20)
            tasks.cancel_scope.cancel()
        return
    try:
        await workflow.arun("x")
    except (ValueError, TimeoutError):
        return


@pytest.mark.parametrize("how", CAUSES)
@pytest.mark.parametrize("kind", KINDS)
async def test_clean_up_that_waits_is_done(kind: str, how: str) -> None:
    log: Log = []
    with anyio.fail_after(20):
        await cause(how, executor(kind, log))
    assert log == ["opened", "closed"]


async def test_clean_up_of_a_condition_that_waits_is_done() -> None:
    log: Log = []

    async def evaluate(step_input: Any) -> bool:
        try:
            await anyio.sleep_forever()
        finally:
            await turns()
            log.append("closed")
        return True

    condition = Condition(name="c", evaluator=evaluate, steps=[Step("a", executor=lambda step_input: 1)], timeout=0.01)
    with pytest.raises(TimeoutError):
        await Workflow(steps=[condition]).arun("x")
    assert log == ["closed"]


@pytest.mark.parametrize("how", ["cancel_run", "step timeout", "sibling fails"])
async def test_clean_up_that_takes_too_long_is_cancelled_and_reported(
    how: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(cleanup, "CLEANUP_SECONDS", 0.01)
    log: Log = []

    async def stubborn(step_input: Any) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            log.append("cleans up")
            await anyio.sleep_forever()

    with caplog.at_level(logging.WARNING, "workflow_runtime"), anyio.fail_after(20):
        await cause(how, Step("s", executor=stubborn))
    assert log == ["cleans up"]
    assert "step '0.s' did not clean up within" in caplog.text or "/0.s' did not clean up within" in caplog.text


async def test_a_step_keeps_the_time_limits_of_its_own_while_it_cleans_up() -> None:
    log: Log = []

    async def careful(step_input: Any) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.move_on_after(0.01, shield=True) as scope:
                await anyio.sleep_forever()
            log.append("gave up" if scope.cancelled_caught else "waited")

    with anyio.fail_after(5):
        await cause("cancel_run", Step("s", executor=careful))
    assert log == ["gave up"]


async def test_a_workflow_function_cleans_up_after_its_step_has_cleaned_up() -> None:
    log: Log = []

    async def inside(step_input: Any) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            await turns()
            log.append("step")

    async def function(run_context: RunContext) -> None:
        try:
            await run_context.step("s", inside)
        finally:
            await turns()
            log.append("function")

    with anyio.fail_after(5):
        async with Workflow(name="w", steps=function).arun("x", stream=True, stream_events=True) as stream:
            async for event in stream:
                if isinstance(event, StepStartedEvent):
                    await turns(10)
                    break
    assert log == ["step", "function"]


async def test_scopes_of_a_step_that_is_not_cancelled_work_as_everywhere() -> None:
    seen: list[bool] = []

    async def busy(step_input: Any) -> str:
        with anyio.move_on_after(0.001) as scope:
            await anyio.sleep_forever()
        seen.append(scope.cancelled_caught)
        with anyio.CancelScope() as scope:
            scope.cancel()
            await anyio.lowlevel.checkpoint()
        seen.append(scope.cancelled_caught)
        with anyio.move_on_after(1_000):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(anyio.sleep_forever)
                tasks.cancel_scope.cancel()
                await anyio.sleep_forever()
        return "done"

    with anyio.fail_after(5):
        assert (await Workflow(steps=[busy]).arun("x")).content == "done"
    assert seen == [True, True]
