"""Functions that block run in worker threads, so the event loop never stands still. (D13)"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Iterator
from typing import Any

import anyio
import anyio.from_thread
import anyio.lowlevel
import anyio.to_thread
import pytest
from verbs import MODES, Verb

from workflow_runtime import (
    BaseDb,
    Map,
    Parallel,
    RunContext,
    Step,
    StepInput,
    Workflow,
)

pytestmark = pytest.mark.anyio


class Heart:
    """Counts the turns of the event loop."""

    def __init__(self) -> None:
        self.beats = 0
        self.enough = threading.Event()

    async def beat(self, count: int) -> None:
        while True:
            await anyio.lowlevel.checkpoint()
            self.beats += 1
            if self.beats >= count:
                self.enough.set()


def blocking(kind: str, block: Callable[[], None]) -> Any:
    def function(step_input: StepInput) -> str:
        block()
        return "blocked"

    def generator(step_input: StepInput) -> Iterator[str]:
        block()
        yield "blocked"

    class Agent:
        name = "agent"

        def run(self, input: Any) -> str:
            block()
            return "blocked"

    class Object:
        def __call__(self, step_input: StepInput) -> str:
            block()
            return "blocked"

    if kind == "agent":
        return Step(name="block", agent=Agent())
    return Step(name="block", executor={"function": function, "generator": generator, "object": Object()}[kind])


@pytest.mark.parametrize("kind", ["function", "generator", "object", "agent"])
async def test_a_step_that_blocks_its_thread_does_not_stall_the_loop(kind: str) -> None:
    heart = Heart()
    # The step goes on when the loop has turned 200 times meanwhile: it would wait for ever if it held the loop.
    workflow = Workflow(steps=[blocking(kind, heart.enough.wait)])
    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            group.start_soon(heart.beat, 200)
            output = await workflow.arun()
            group.cancel_scope.cancel()
    assert output.content == "blocked"


@pytest.mark.parametrize("kind", ["function", "generator", "agent"])
def test_three_blocking_steps_of_a_parallel_overlap_in_every_mode(verb: Verb, kind: str) -> None:
    def make(db: BaseDb) -> Workflow:
        barrier = threading.Barrier(3)  # nobody passes before all three have come

        def block() -> None:
            barrier.wait(60)

        branches = []
        for number in range(3):
            step = blocking(kind, block)
            step.name = f"block{number}"
            branches.append(step)
        return Workflow(name="w", steps=[Parallel(*branches, name="all")], db=db, store_events=True)

    ran = verb(make, ordered=False)
    assert [inner.content for inner in ran.output.step_results[0].steps or ()] == ["blocked"] * 3


async def test_there_is_a_limit_to_the_threads_and_all_get_their_turn() -> None:
    lock = threading.Lock()
    running = most = 0

    def work(step_input: StepInput) -> int:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        anyio.from_thread.run(anyio.lowlevel.checkpoint)
        with lock:
            running -= 1
        return int(step_input.input)

    limit = int(anyio.to_thread.current_default_thread_limiter().total_tokens)
    with anyio.fail_after(60):
        output = await Workflow(steps=[Map(work, over=lambda step_input: range(limit * 3))]).arun()
    assert [inner.content for inner in output.step_results[0].steps or ()] == list(range(limit * 3))
    assert most <= limit


request_id: contextvars.ContextVar[str] = contextvars.ContextVar("request_id", default="none")


@pytest.mark.parametrize("kind", ["function", "generator", "agent"])
async def test_context_variables_of_the_caller_are_seen_in_the_thread(kind: str) -> None:
    seen: list[tuple[str, bool]] = []
    here = threading.get_ident()
    request_id.set("r-17")
    workflow = Workflow(steps=[blocking(kind, lambda: seen.append((request_id.get(), threading.get_ident() == here)))])
    await workflow.arun()
    async with workflow.arun(stream=True) as stream:
        await stream.result()
    assert seen == [("r-17", False)] * 2


@pytest.mark.parametrize("kind", ["function", "generator"])
async def test_offload_false_runs_the_function_on_the_loop_itself(kind: str) -> None:
    seen: list[int] = []
    step = blocking(kind, lambda: seen.append(threading.get_ident()))
    step.offload = False
    await Workflow(steps=[step]).arun()
    assert seen == [threading.get_ident()]


async def test_a_thread_may_emit_report_progress_and_call_the_loop() -> None:
    async def on_the_loop() -> str:
        await anyio.lowlevel.checkpoint()
        return "from the loop"

    def work(step_input: StepInput, run_context: RunContext) -> str:
        run_context.emit(text="from the thread")
        run_context.progress(1, 2, "half")
        return str(anyio.from_thread.run(on_the_loop))

    stream = Workflow(steps=[work]).arun(stream=True, stream_events=True)
    events = {event.event: event async for event in stream}
    assert events["CustomEvent"].text == "from the thread"
    assert (events["StepProgress"].done, events["StepProgress"].total, events["StepProgress"].text) == (1, 2, "half")
    assert (await stream.result()).content == "from the loop"


async def test_what_a_thread_raises_is_the_runs_error_with_its_traceback() -> None:
    def work(step_input: StepInput) -> None:
        raise ZeroDivisionError("in the thread")

    with pytest.raises(ZeroDivisionError, match="in the thread") as raised:
        await Workflow(steps=[work]).arun()
    assert raised.traceback[-1].name == "work"


@pytest.mark.parametrize("mode", MODES)
def test_a_sync_function_that_calls_a_sync_verb_of_another_workflow_does_not_deadlock(mode: str, verb: Verb) -> None:
    inner = Workflow(name="inner", steps=[lambda step_input: f"inner {step_input.input}"])

    def call(step_input: StepInput) -> Any:
        return inner.run(step_input.input).content

    workflow = Workflow(name="outer", steps=[call], db=verb.database(), store_events=True)
    assert verb.one(mode, workflow, "x").content == "inner x"


async def test_a_blocking_verb_in_an_async_step_of_the_portal_says_what_to_do() -> None:
    inner = Workflow(name="inner", steps=[lambda step_input: "x"])

    async def call(step_input: StepInput) -> Any:
        return inner.run("x").content

    with pytest.raises(RuntimeError, match="await its a-twin"):
        await anyio.to_thread.run_sync(lambda: Workflow(name="outer", steps=[call]).run())
