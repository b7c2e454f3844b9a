"""What a step raises, or does not say, steers its retries: RetryAfter, NeverRetry, Retry(when=), idle_timeout."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

from workflow_runtime import (
    BuildError,
    InMemoryDb,
    InputError,
    NeverRetry,
    Registry,
    Retry,
    RetryAfter,
    RunContext,
    RunStatus,
    Step,
    StepRetryEvent,
    Workflow,
)
from workflow_runtime.testing import FakeClock

pytestmark = pytest.mark.anyio


class Raising:
    """Raises these one after the other, then returns how often it was called."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls = 0

    async def __call__(self) -> int:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return self.calls


def flow(executor: Any, clock: Any = None, **options: Any) -> Workflow:
    step = Step(name="call", executor=executor, **options)
    return Workflow(name="w", steps=[step], db=InMemoryDb(), store_events=True, **({"clock": clock} if clock else {}))


async def test_retry_after_says_how_long_to_wait() -> None:
    clock = FakeClock()
    workflow = flow(Raising(RetryAfter(90, "busy")), clock, retry=Retry(delay=1, max_delay=2, on=(LookupError,)))
    delays: list[float] = []
    async with anyio.create_task_group() as tasks:

        async def advance() -> None:
            await anyio.wait_all_tasks_blocked()
            clock.advance(89)
            await anyio.wait_all_tasks_blocked()
            assert not delays or workflow_call.calls == 1
            clock.advance(2)

        workflow_call = workflow.steps[0].executor
        tasks.start_soon(advance)
        async for event in workflow.arun(stream=True, stream_events=True):
            if isinstance(event, StepRetryEvent):
                delays.append(event.delay)
                assert (event.error, event.error_type) == ("busy", "RetryAfter")
    assert delays == [90.0]
    assert workflow_call.calls == 2


async def test_a_step_without_a_policy_fails_with_its_retry_after() -> None:
    call = Raising(RetryAfter(5))
    with pytest.raises(RetryAfter, match="try again in 5 s"):
        await flow(call).arun()
    assert call.calls == 1


@pytest.mark.parametrize("seconds", [-1, "5", float("inf"), float("nan"), True, None])
def test_retry_after_takes_seconds(seconds: Any) -> None:
    with pytest.raises(InputError, match="RetryAfter"):
        RetryAfter(seconds)


async def test_never_retry_fails_the_step_with_the_error_itself() -> None:
    call = Raising(NeverRetry(LookupError("no such page")))
    workflow = flow(call, retry=Retry(attempts=5, delay=0))
    with pytest.raises(LookupError, match="no such page"):
        await workflow.arun(run_id="r1")
    output = await workflow.aget_run("r1")
    assert output is not None
    assert (output.status, output.error_type, call.calls) == (RunStatus.error, "LookupError", 1)


async def test_never_retry_with_a_reason_is_itself_the_error() -> None:
    call = Raising(ConnectionError("first"), NeverRetry("out of stock"))
    with pytest.raises(NeverRetry, match="out of stock"):
        await flow(call, retry=Retry(attempts=5, delay=0)).arun()
    assert call.calls == 2


async def test_the_policy_of_the_step_follows_never_retry() -> None:
    call = Raising(NeverRetry(LookupError("no such page")))
    output = await flow(call, retry=Retry(attempts=5, delay=0), on_error="skip").arun()
    assert (output.status, output.step_results[0].error, call.calls) == (RunStatus.completed, "no such page", 1)


@pytest.mark.parametrize("wrong", [None, 5, KeyboardInterrupt()])
def test_never_retry_takes_an_exception_or_a_text(wrong: Any) -> None:
    with pytest.raises(InputError, match="NeverRetry"):
        NeverRetry(wrong)


async def test_when_says_which_errors_are_worth_another_try() -> None:
    def busy(error: Any) -> bool:
        return "busy" in str(error)

    retry = Retry(attempts=5, delay=0, on=(OSError,), when=busy)
    assert (await flow(Raising(OSError("busy"), OSError("busy")), retry=retry).arun()).content == 3
    call = Raising(OSError("busy"), OSError("gone"))
    with pytest.raises(OSError, match="gone"):
        await flow(call, retry=retry).arun()
    assert call.calls == 2
    other = Raising(ValueError("busy"))
    with pytest.raises(ValueError, match="busy"):
        await flow(other, retry=retry).arun()


async def test_a_when_that_fails_ends_the_retries(caplog: pytest.LogCaptureFixture) -> None:
    call = Raising(OSError("busy"))
    with pytest.raises(OSError, match="busy"):
        await flow(call, retry=Retry(attempts=5, delay=0, when=lambda error: error.code > 5)).arun()
    assert call.calls == 1
    assert "failed, so the step is not tried again" in caplog.text


def test_when_must_be_a_function() -> None:
    with pytest.raises(BuildError, match="when='busy' must be a function"):
        Retry(when="busy")  # type: ignore[arg-type]


def is_busy(error: Exception) -> bool:
    return "busy" in str(error)


async def work() -> str:
    return "worked"


def test_when_and_idle_timeout_go_through_data() -> None:
    workflow = flow(work, retry=Retry(when=is_busy), idle_timeout=5)
    again = Workflow.from_dict(workflow.to_dict(), registry=Registry(work, is_busy, Exception))
    assert again.steps[0].retry == Retry(when=is_busy)
    assert again.steps[0].idle_timeout == 5


# -- idle_timeout ------------------------------------------------------------------------------------------------------


async def _run(workflow: Workflow, clock: FakeClock, *seconds: float) -> Any:
    """Run while the clock goes on by these steps, each once nothing moves."""
    outcome: list[Any] = []

    async def run() -> None:
        try:
            outcome.append(await workflow.arun())
        except TimeoutError as error:
            outcome.append(error)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run)
        for step in seconds:
            await anyio.wait_all_tasks_blocked()
            clock.advance(step)
    return outcome[0]


async def test_an_attempt_that_says_nothing_for_too_long_fails() -> None:
    clock = FakeClock()

    async def silent() -> None:
        await anyio.sleep_forever()

    found = await _run(flow(silent, clock, idle_timeout=10), clock, 9, 2)
    assert isinstance(found, TimeoutError)
    assert "published nothing for 10 s" in str(found)


async def test_each_sign_of_work_lets_it_go_on() -> None:
    clock = FakeClock()

    async def talks(run_context: RunContext) -> AsyncIterator[str]:
        await clock.sleep(9)
        yield "a"
        await clock.sleep(9)
        run_context.progress(1)
        await clock.sleep(9)
        run_context.emit(name="own")
        await clock.sleep(9)
        run_context.heartbeat()
        await clock.sleep(9)
        yield "b"

    found = await _run(flow(talks, clock, idle_timeout=10), clock, 9, 9, 9, 9, 9)
    assert found.content == "ab"


async def test_an_idle_attempt_is_retried() -> None:
    clock = FakeClock()
    calls: list[int] = []

    async def first_hangs(run_context: RunContext) -> int:
        calls.append(run_context.attempt)
        if run_context.attempt == 1:
            await anyio.sleep_forever()
        return run_context.attempt

    workflow = flow(first_hangs, clock, idle_timeout=10, retry=Retry(attempts=2, delay=0, timeout=100))
    found = await _run(workflow, clock, 11, 1)
    assert (found.content, calls) == (2, [1, 2])


async def test_what_a_nested_workflow_says_counts() -> None:
    clock = FakeClock()

    async def nap() -> str:
        await clock.sleep(9)
        return "napped"

    inner = Workflow(name="inner", steps=[Step(name="a", executor=nap), Step(name="b", executor=nap)])
    workflow = Workflow(name="w", steps=[Step(name="n", workflow=inner, idle_timeout=10)], clock=clock)
    assert (await _run(workflow, clock, 9, 9)).content == "napped"


async def test_waiting_for_a_person_is_not_idle() -> None:
    clock = FakeClock()

    async def asks(run_context: RunContext) -> Any:
        return await run_context.ask("Well?", int)

    workflow = flow(asks, clock, idle_timeout=10)
    paused = await workflow.arun(run_id="r1")
    await anyio.wait_all_tasks_blocked()
    clock.advance(100)
    (question,) = paused.active_step_requirements
    question.answer({"user_input": {"value": 1}})
    assert (await workflow.acontinue_run(paused, step_requirements=[question])).content == 1
