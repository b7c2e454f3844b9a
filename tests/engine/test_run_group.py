"""A Runtime holds its background runs in one task group, in a task of its own: whoever enters and leaves the Runtime, and
whatever cancels them, the runs get their grace; and no run touches another. (D9, D10)"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any
from uuid import uuid4

import anyio
import anyio.lowlevel
import pytest

from workflow_runtime import InMemoryDb, Parallel, RunContext, RunStatus, Runtime, Step, StepInput, Workflow
from workflow_runtime.engine.run.host import find_finished, find_live

pytestmark = pytest.mark.anyio
on_asyncio = pytest.mark.parametrize(
    "anyio_backend",
    [pytest.param(("asyncio", {}), id="asyncio"), pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop")],
)
user = ContextVar[str]("user", default="nobody")


class Held:
    """Runs of one step that wait until ``go`` is set; "bad" ones fail, "lost" ones cancel their own task."""

    def __init__(self, db: InMemoryDb | None = None) -> None:
        self.go = anyio.Event()
        self.waiting: dict[str, anyio.Event] = {}
        self.workflow = Workflow(name="w", steps=[Step("held", executor=self.held)], db=db or InMemoryDb())

    async def held(self, step_input: StepInput, run_context: RunContext) -> str:
        self.waiting.setdefault(str(step_input.input), anyio.Event()).set()
        if step_input.input == "lost":
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
        if step_input.input == "bad":
            raise LookupError("bad")
        await self.go.wait()
        return user.get()

    async def start(self, name: str = "held") -> None:
        self.waiting[name] = anyio.Event()
        await self.workflow.arun(name, run_id=name, background=True)
        await self.waiting[name].wait()

    async def ended(self, name: str = "held") -> tuple[RunStatus, Any]:
        async for _ in self.workflow.subscribe(name):
            pass
        found = await self.workflow.aget_run_output(name)
        assert found is not None
        return found.status, found.content


def task_of(name: str) -> anyio.TaskInfo:
    (found,) = [task for task in anyio.get_running_tasks() if task.name == name]
    return found


async def test_background_runs_are_children_of_one_task_and_streams_are_not() -> None:
    held = Held()
    async with Runtime(held.workflow):
        await held.start("a")
        await held.start("b")
        stream = held.workflow.arun("c", run_id="c", stream=True)
        await anext(stream)
        holder = task_of("workflow_runtime background runs")
        assert [task_of(f"run {name}").parent_id == holder.id for name in "abc"] == [True, True, False]
        held.go.set()
    assert [name for task in anyio.get_running_tasks() if (name := task.name) and name.startswith("run ")] in (
        [],
        ["run c"],
    )
    await stream.aclose()
    held.go = anyio.Event()
    await held.start("d")
    assert task_of("run d").parent_id != holder.id
    held.go.set()
    assert await held.ended("d") == (RunStatus.completed, "nobody")


async def test_a_cancelled_scope_around_the_runtime_leaves_its_runs_their_grace() -> None:
    held = Held()
    with anyio.fail_after(60):
        async with anyio.create_task_group() as others:
            with anyio.CancelScope() as scope:
                async with Runtime(held.workflow, grace=60) as runtime:
                    await held.start()
                    scope.cancel()
                    others.start_soon(_after_turns, held.go.set)
    assert runtime.report.drained == ["held"]
    assert await held.ended() == (RunStatus.completed, "nobody")


@on_asyncio
@pytest.mark.parametrize("how", ["task.cancel()", "asyncio.timeout()"])
async def test_a_native_cancellation_leaves_the_runs_their_grace(how: str) -> None:
    held = Held()
    limit: list[asyncio.Timeout] = []

    async def serve() -> None:
        async with asyncio.timeout(None) as timeout, Runtime(held.workflow, grace=60):
            limit.append(timeout)
            await held.start()
            await anyio.sleep_forever()

    task = asyncio.create_task(serve())
    with anyio.fail_after(60):
        while not held.waiting:
            await anyio.lowlevel.checkpoint()
        await held.waiting["held"].wait()
        if how == "task.cancel()":
            task.cancel()
        else:
            limit[0].reschedule(0)
        await _after_turns(held.go.set)
        with pytest.raises((asyncio.CancelledError, TimeoutError)):
            await task
    assert await held.ended() == (RunStatus.completed, "nobody")


async def test_the_runtime_may_be_entered_in_one_task_and_left_in_another() -> None:
    """As ASGI servers and fixtures do."""
    held = Held()
    runtime = Runtime(held.workflow, grace=60)
    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(runtime.__aenter__)
        await held.start()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(runtime.__aexit__, None, None, None)
            await _after_turns(held.go.set)
    assert runtime.report.drained == ["held"]
    assert await held.ended() == (RunStatus.completed, "nobody")


async def test_a_run_has_the_context_of_its_caller_and_not_its_scopes() -> None:
    held = Held()
    with anyio.fail_after(60):
        async with Runtime(held.workflow, grace=60):
            with anyio.CancelScope() as scope:
                user.set("ada")
                await held.start()
                scope.cancel()
                await anyio.lowlevel.checkpoint()
            held.go.set()
    assert await held.ended() == (RunStatus.completed, "ada")


@on_asyncio
@pytest.mark.parametrize("end", ["bad", "lost", "cancelled natively"])
async def test_how_one_run_ends_is_nothing_to_the_others(end: str) -> None:
    """A group is cancelled by a failure of a task, and by a CancelledError that none of its scopes caused."""
    held = Held()
    with anyio.fail_after(60):
        async with Runtime(held.workflow, grace=60):
            await held.start()
            await held.start(end)
            for task in asyncio.all_tasks():
                if end == "cancelled natively" and task.get_name() == f"run {end}":
                    task.cancel()
            expected = RunStatus.error if end == "bad" else RunStatus.cancelled
            assert (await held.ended(end))[0] is expected
            await held.start("later")
            held.go.set()
    assert await held.ended() == (RunStatus.completed, "nobody")
    assert await held.ended("later") == (RunStatus.completed, "nobody")


@pytest.mark.parametrize("stored", [True, False])
async def test_a_run_that_is_parked_when_the_runtime_is_left_can_be_continued_after_it(stored: bool) -> None:
    asked, run_id = 0, uuid4().hex  # a name of its own: without a database the process remembers it

    async def asks(step_input: StepInput, run_context: RunContext) -> str:
        nonlocal asked
        asked += 1
        return str(await run_context.ask("what?"))

    async def other(step_input: StepInput) -> str:
        return "other"

    steps = [Parallel(Step("asks", executor=asks), Step("other", executor=other))]
    workflow = Workflow(name="w", steps=steps, db=InMemoryDb() if stored else None)
    with anyio.fail_after(60):
        async with Runtime(workflow, grace=60):
            started = await workflow.arun("x", run_id=run_id, background=True)
            run = find_live(run_id)
            assert run is not None
            await run.wait_ended()
            paused = run.completion.output
        assert started.run_id == run_id
        assert paused.is_paused
        assert [task.name for task in anyio.get_running_tasks() if task.name == f"run {run_id}"] == []
        assert paused.step_requirements is not None
        (question,) = paused.step_requirements
        question.answer({"user_input": {"value": "this"}})
        output = await workflow.acontinue_run(paused, step_requirements=[question])
    assert output.status is RunStatus.completed
    assert asked == 2
    assert stored or find_finished(run_id) is output, "who reads the run later sees its end, not its pause"


async def _after_turns(act: Callable[[], Any]) -> None:
    for _ in range(20):
        await anyio.lowlevel.checkpoint()
    act()


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_loop_that_ends_while_its_runtime_is_open_ends_the_runs(backend: str) -> None:
    held = Held.__new__(Held)

    async def main() -> None:
        held.__init__()  # type: ignore[misc]  # its events belong to this loop
        await Runtime(held.workflow).__aenter__()
        await held.start()

    anyio.run(main, backend=backend)

    async def stored() -> RunStatus:
        found = await held.workflow.aget_run("held")
        assert found is not None
        return found.status

    assert anyio.run(stored, backend=backend) is RunStatus.cancelled
