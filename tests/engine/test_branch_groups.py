"""Branches run in an anyio task group: all have ended when it is left, whatever ends it; shielded clean-up is waited for,
and what goes wrong in a branch is never lost. (D9)"""

from __future__ import annotations

import asyncio
import contextlib
import signal
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
    StepTimeoutError,
    Workflow,
)
from workflow_runtime.testing import FakeClock

pytestmark = pytest.mark.anyio
on_asyncio = pytest.mark.parametrize(  # trio has no cancellation that a scope does not know of
    "anyio_backend",
    [pytest.param(("asyncio", {}), id="asyncio"), pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop")],
)


class Gone(Exception):
    pass


async def run(workflow: Workflow, mode: str = "await") -> None:
    if mode == "await":
        await workflow.arun("x", run_id="r")
    else:
        async with workflow.arun("x", run_id="r", stream=True, stream_events=True) as stream:
            async for _ in stream:
                pass


class Branches:
    """Three branches that wait for ever and tidy up behind a shield, and one that ends the container once they wait."""

    def __init__(self, shape: str, end: str) -> None:
        self.waiting = self.cleaned = 0
        self.all_wait = anyio.Event()
        self.db, self.clock = InMemoryDb(), FakeClock()
        self.workflow = Workflow(
            name="w",
            steps=[self._container(shape, end)],
            db=self.db,
            clock=self.clock,
            run_timeout=60 if end == "run's timeout" else None,
        )
        self.end = end
        self.limit: asyncio.Timeout | None = None

    def _container(self, shape: str, end: str) -> Any:
        options: dict[str, Any] = {"name": "all", "timeout": 60 if end == "container's timeout" else None}
        roles = [self.tidy, self.tidy, self.tidy, self.ends]
        if shape == "Map":

            async def role(step_input: StepInput) -> str:
                return await roles[step_input.input](step_input)

            return Map(Step("role", executor=role), over=lambda: list(range(4)), **options)
        steps: list[Any] = [Step(f"role{number}", executor=role) for number, role in enumerate(roles)]
        if end == "first":
            options["wait_for"] = "first"
        if shape == "nested":
            return Parallel(Steps(name="two", steps=[Parallel(*steps[:2], name="inner")]), *steps[2:], **options)
        if shape == "limited":  # the first three that get a place tidy up, and the last gets none
            takers = iter(roles)

            async def taker(step_input: StepInput) -> str:
                return await next(takers)(step_input)

            return Parallel(*[Step(f"taker{n}", executor=taker) for n in range(5)], max_concurrency=4, **options)
        return Parallel(*steps, **options)

    async def tidy(self, step_input: StepInput) -> str:
        try:
            self.waiting += 1
            if self.waiting == 3:
                self.all_wait.set()
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                for _ in range(5):
                    await anyio.lowlevel.checkpoint()
                self.cleaned += 1
        return ""

    async def ends(self, step_input: StepInput) -> str:
        await self.all_wait.wait()
        if self.end == "sibling's failure":
            raise Gone("a sibling")
        if self.end == "signal":
            signal.raise_signal(signal.SIGUSR1)
        if self.end == "cancel_run":
            assert await self.workflow.acancel_run("r")
        if "timeout" in self.end:
            self.clock.advance(61)
        if self.end != "first":
            await anyio.sleep_forever()
        return "won"

    async def stored(self) -> RunStatus:
        found = await self.workflow.aget_run("r")
        assert found is not None
        return found.status


SHAPES = ["Parallel", "Map", "nested", "limited"]
ENDS: dict[str, tuple[RunStatus, type[Exception] | None]] = {
    "cancel_run": (RunStatus.cancelled, None),
    "scope": (RunStatus.cancelled, None),
    "sibling's failure": (RunStatus.error, Gone),
    "first": (RunStatus.completed, None),
    "container's timeout": (RunStatus.error, StepTimeoutError),
    "run's timeout": (RunStatus.error, StepTimeoutError),
}


@pytest.mark.parametrize("mode", ["await", "stream"])
@pytest.mark.parametrize(
    ("end", "shape"),
    [(end, shape) for end in ENDS for shape in SHAPES if (end, shape) != ("first", "Map")],  # a Map has no race
)
async def test_whatever_ends_a_container_the_clean_up_of_its_branches_is_waited_for(
    end: str, shape: str, mode: str
) -> None:
    branches = Branches(shape, end)
    status, error = ENDS[end]
    with (
        anyio.fail_after(60),
        pytest.raises(error) if error is not None else contextlib.nullcontext(),
        anyio.CancelScope() as scope,
    ):
        if end != "scope":
            await run(branches.workflow, mode)
        else:
            async with anyio.create_task_group() as group:
                group.start_soon(run, branches.workflow, mode)
                await branches.all_wait.wait()
                scope.cancel()
    assert branches.cleaned == 3
    assert await branches.stored() is status


@on_asyncio
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("how", ["task.cancel()", "task.cancel() twice", "asyncio.timeout()"])
async def test_a_native_cancellation_waits_for_the_clean_up_of_the_branches(how: str, shape: str) -> None:
    branches = Branches(shape, how)

    async def limited() -> None:
        async with asyncio.timeout(None) as limit:
            branches.limit = limit
            await run(branches.workflow)

    task = asyncio.create_task(limited() if how == "asyncio.timeout()" else run(branches.workflow))
    with anyio.fail_after(60):
        await branches.all_wait.wait()
        for _ in range(["asyncio.timeout()", "task.cancel()", "task.cancel() twice"].index(how)):
            task.cancel()
            await asyncio.sleep(0)
        if branches.limit is not None:
            branches.limit.reschedule(0)
            with pytest.raises(TimeoutError):
                await task
        else:
            with pytest.raises(asyncio.CancelledError):
                await task
    assert branches.cleaned == 3
    assert await branches.stored() is RunStatus.cancelled


async def test_a_branch_that_never_waits_goes_no_step_further_once_its_run_is_cancelled() -> None:
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
@on_asyncio
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


@on_asyncio
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


def _lonely(shape: str, fail_fast: bool, wait_for: str) -> Any:
    """A branch that cancels its own task, beside one that would wait for ever, or wins where that is enough."""

    async def gives_up(step_input: StepInput) -> str:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await anyio.sleep_forever()
        return ""

    async def other(step_input: StepInput) -> str:
        if fail_fast:
            await anyio.sleep_forever()
        for _ in range(5):
            await anyio.lowlevel.checkpoint()
        return "fine"

    if shape == "Map":

        async def item(step_input: StepInput) -> str:
            return await (gives_up if step_input.input else other)(step_input)

        return Map(Step("item", executor=item), over=lambda: [0, 1], fail_fast=fail_fast)
    lonely: Any = Step("gives_up", executor=gives_up)
    if shape == "nested":
        lonely = Parallel(lonely, Step("beside", executor=other), fail_fast=fail_fast)
    return Parallel(Step("other", executor=other), lonely, fail_fast=fail_fast, wait_for=wait_for)


@on_asyncio
@pytest.mark.parametrize("fail_fast", [True, False])
@pytest.mark.parametrize("shape", ["Parallel", "Map", "nested"])
@pytest.mark.parametrize("mode", ["await", "stream", "background"])
async def test_a_branch_whose_task_is_cancelled_by_another_than_its_run_has_failed(
    mode: str, shape: str, fail_fast: bool
) -> None:
    """anyio's group takes it for a branch that was to end, and would be left as if nothing had happened."""
    workflow = Workflow(name="w", steps=[_lonely(shape, fail_fast, "all")], db=InMemoryDb())
    with anyio.fail_after(60):
        if mode == "background":
            await workflow.arun("x", run_id="r", background=True)
            async for _ in workflow.subscribe("r"):
                pass
            failed = await workflow.aget_run_output("r")
            assert failed is not None
            assert "was cancelled, but not by its run" in str(failed.content)
        else:
            with pytest.raises(RuntimeError, match=r"the task of branch . was cancelled, but not by its run") as caught:
                await run(workflow, mode)
            assert isinstance(caught.value.__cause__, asyncio.CancelledError)
    stored = await workflow.aget_run("r")
    assert stored is not None
    assert stored.status == RunStatus.error


@on_asyncio
async def test_a_race_is_won_although_a_branch_cancelled_its_own_task() -> None:
    workflow = Workflow(name="w", steps=[_lonely("Parallel", fail_fast=False, wait_for="first")])
    with anyio.fail_after(60):
        output = await workflow.arun("x")
    assert [step.step_name for step in output.step_results[0].steps or []] == ["other"]


@pytest.mark.parametrize("cancelled", [True, False])
async def test_a_failure_in_the_clean_up_of_a_step_with_tasks_of_its_own_is_told(cancelled: bool) -> None:
    """The group of the step raises its cancellation and the failure together; what counts is how the run ended."""

    async def tidies_badly() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            raise Gone("while it tidied up")

    async def waits(step_input: StepInput) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(tidies_badly)
            await anyio.sleep_forever()

    async def ends(step_input: StepInput) -> None:
        await anyio.wait_all_tasks_blocked()
        if not cancelled:
            raise LookupError("first")
        assert await workflow.acancel_run("r")
        await anyio.sleep_forever()

    steps = [Step("waits", executor=waits), Step("ends", executor=ends)]
    workflow = Workflow(name="w", steps=[Parallel(*steps)], db=InMemoryDb())
    with anyio.fail_after(60):
        if cancelled:
            assert (await workflow.arun("x", run_id="r")).status is RunStatus.cancelled
        else:
            with pytest.raises(LookupError) as caught:
                await workflow.arun("x", run_id="r")
            assert any("Also failed: " in note for note in caught.value.__notes__)


@on_asyncio
async def test_an_exit_by_a_signal_in_a_branch_ends_its_siblings_and_reaches_the_caller_as_it_is() -> None:
    branches = Branches("Parallel", "signal")

    def leave(number: int, frame: Any) -> None:
        raise SystemExit(3)

    before = signal.signal(signal.SIGUSR1, leave)
    try:
        with anyio.fail_after(60), pytest.raises(SystemExit, match="3"):
            await run(branches.workflow)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert branches.cleaned == 3
    assert await branches.stored() is RunStatus.cancelled


def test_a_loop_that_ends_leaves_its_branches_cancelled_not_failed() -> None:
    """``asyncio.run`` cancels every task at its end, those of the branches beside the one of their run."""
    branches = Branches("nested", "the loop's end")

    async def main() -> None:
        await branches.workflow.arun("x", run_id="r", background=True)
        await branches.all_wait.wait()

    asyncio.run(main())
    assert branches.cleaned == 3
    assert asyncio.run(branches.stored()) is RunStatus.cancelled


@on_asyncio
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
