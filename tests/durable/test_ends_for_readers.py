"""How a reader's stream ends: once, with the event that ended the run, whatever happens to the reader meanwhile. (D3, D6)"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

import anyio
import pytest
from histories import Owner, folded, log_of

from workflow_runtime import BaseDb, RunStatus, Step, StepInput, StorageError, Workflow, WorkflowStartedEvent
from workflow_runtime.core.lifecycle import is_end
from workflow_runtime.engine.readers.subscription import Subscription
from workflow_runtime.engine.run.host import find_live

pytestmark = pytest.mark.anyio
Again = Callable[[], BaseDb]


async def talk(step_input: StepInput) -> AsyncIterator[str]:
    for number in range(300):
        await anyio.lowlevel.checkpoint()
        yield f"{number} "


def pay(step_input: StepInput) -> str:
    return "paid"


async def read(subscription: Subscription) -> list[Any]:
    with anyio.fail_after(20):
        return [event async for event in subscription]


def cancel_after(scope: anyio.CancelScope, turns: int) -> None:
    """Cancel ``scope`` so many turns of the event loop from now."""
    if turns:
        asyncio.get_running_loop().call_soon(cancel_after, scope, turns - 1)
    else:
        scope.cancel()


async def test_a_reader_that_is_cancelled_at_any_await_and_reads_on_misses_nothing(again: Again) -> None:
    chance = random.Random(3)
    for _ in range(4):
        db = again()
        workflow = Workflow(name="w", db=db, steps=[talk, Step("pay", executor=pay)])
        pending = await workflow.arun("x", background=True)
        assert pending.run_id is not None
        for subscription in (workflow.subscribe(pending.run_id), workflow.subscribe(pending.run_id, after=7)):
            found: list[Any] = []
            with anyio.fail_after(20):
                while not (found and is_end(found[-1])):
                    with anyio.CancelScope() as scope:
                        cancel_after(scope, chance.choice([1, 2, 5, 20, 100, 1000, 5000]))
                        found.append(await anext(subscription))
            log = await log_of(db, pending.run_id)
            assert folded(found) == [part for part in folded(log) if part[0] >= found[0].seq]
            assert found[0].seq in (1, 8)
            with pytest.raises(StopAsyncIteration):
                await anext(subscription)


class Interrupted:
    """The reads of a database object, of which the ``nth`` is cut off: its caller is cancelled, or told that the database
    is away."""

    def __init__(self, db: BaseDb, nth: int, how: str) -> None:
        self.reads = 0
        self.scope: anyio.CancelScope | None = None
        self.nth, self._how = nth, how
        for name in ("load_events", "load_run"):
            setattr(db, name, self._cut(getattr(db, name)))

    def _cut(self, read: Any) -> Any:
        async def call(*args: Any, **options: Any) -> Any:
            self.reads += 1
            if self.reads == self.nth:
                if self._how == "away":
                    raise StorageError("the database is away")
                assert self.scope is not None
                self.scope.cancel()
                await anyio.lowlevel.checkpoint()
            return await read(*args, **options)

        return call


@pytest.mark.parametrize("how", ["cancelled", "away"])
async def test_a_reader_that_is_cut_off_at_any_read_of_the_database_goes_on_without_a_gap(
    again: Again, how: str
) -> None:
    interrupted = 0
    for nth in range(1, 5):
        entered, gate = anyio.Event(), anyio.Event()

        async def talk(step_input: StepInput, entered: Any = entered, gate: Any = gate) -> AsyncIterator[str]:
            yield "one "
            entered.set()
            await gate.wait()
            yield "two "

        # With "exit" nothing of the log is stored before the end: what was published before is with the recorder.
        workflow = Workflow(name="w", db=again(), steps=[Step("talk", executor=talk)], durability="exit")
        run_id = (await workflow.arun("x", background=True)).run_id
        assert run_id is not None
        await entered.wait()
        db = again()
        cut = Interrupted(db, nth, how)
        subscription = Workflow(name="w", db=db, steps=[]).subscribe(run_id)
        found: list[Any] = []

        async def follow(subscription: Any = subscription, found: Any = found, cut: Any = cut) -> None:
            while not (found and is_end(found[-1])):
                with anyio.CancelScope() as cut.scope, suppress(StorageError):
                    found.append(await anext(subscription))

        with anyio.fail_after(20):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(follow)
                while cut.reads < min(nth, 2):  # one before it joins the live events, one after
                    await anyio.lowlevel.checkpoint()
                gate.set()
        interrupted += cut.reads >= nth
        cut.nth = 0
        assert folded(found) == folded(await log_of(again(), run_id))
    assert interrupted >= 2


async def test_a_continued_stream_that_falls_behind_before_it_is_read_begins_where_the_run_was_continued(
    again: Again,
) -> None:
    steps = [Step("pay", executor=pay, requires_confirmation=True), talk]
    workflow = Workflow(name="w", db=again(), steps=steps, buffer_size=4)
    paused = await workflow.arun("x", background=False)
    for item in paused.active_step_requirements:
        item.confirm()
    stream = workflow.acontinue_run(paused, stream=True, stream_events=True, background=True)
    with anyio.fail_after(20):
        async with stream:
            while find_live(str(paused.run_id)) is not None:
                await anyio.lowlevel.checkpoint()
            found = [event async for event in stream]
    assert found[0].seq == paused.last_seq + 1
    assert folded(found) == [
        part for part in folded(await log_of(again(), str(paused.run_id))) if part[0] > paused.last_seq
    ]


SKIPS = [
    ["WorkflowCompleted"],
    ["WorkflowPaused", "StepPaused"],
    ["WorkflowPaused", "WorkflowCompleted", "WorkflowResumed", "StepContent"],
]


@pytest.mark.parametrize("skip", SKIPS)
@pytest.mark.parametrize("live", [True, False])
async def test_events_to_skip_hides_no_end_from_readers(again: Again, skip: list[str], live: bool) -> None:
    steps = [talk, Step("pay", executor=pay, requires_confirmation=True)]
    workflow = Workflow(name="w", db=again(), steps=steps, events_to_skip=skip)
    pending = await workflow.arun("x", background=True)
    assert pending.run_id is not None
    elsewhere = Workflow(name="w", db=again(), steps=steps)
    found: list[Any] = []

    async def follow() -> None:
        async for event in (workflow if live else elsewhere).subscribe(str(pending.run_id)):
            found.append(event)
            if event.event == "WorkflowPaused":
                paused.set()

    paused = anyio.Event()
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(follow)
            await paused.wait()
            output = await workflow.aget_run(pending.run_id)
            assert output is not None
            output.active_step_requirements[0].confirm()
            await workflow.acontinue_run(output)
    ends = [event for event in found if is_end(event)]
    assert [event.event for event in ends] == ["WorkflowPaused", "WorkflowCompleted"]
    assert [item.step_name for item in ends[0].step_requirements] == ["pay"]
    assert ends[1].content == "paid"
    done = await elsewhere.aget_run(pending.run_id)
    assert done is not None
    assert (ends[1].epoch, ends[1].seq) == (done.epoch, done.last_seq)
    assert await read(elsewhere.subscribe(pending.run_id, after=ends[1].id)) == []
    assert await read(elsewhere.subscribe(pending.run_id, after=ends[0].id)) == [
        event for event in await read(elsewhere.subscribe(pending.run_id)) if event.seq > ends[0].seq
    ]


async def test_of_a_run_whose_events_are_all_skipped_the_end_comes(again: Again) -> None:
    skip = ["WorkflowStarted", "StepStarted", "StepContent", "StepOutput", "StepCompleted", "WorkflowCompleted"]
    workflow = Workflow(name="w", db=again(), steps=[talk], events_to_skip=skip)
    pending = await workflow.arun("x", background=True)
    with anyio.fail_after(20):
        found = await read(workflow.subscribe(str(pending.run_id)))
        assert found[-1].event == "WorkflowCompleted"
        reader = Workflow(name="w", db=again(), steps=[talk], events_to_skip=skip)
        assert [event.event for event in await read(reader.subscribe(str(pending.run_id)))] == ["WorkflowCompleted"]
        assert await read(reader.subscribe(str(pending.run_id), after=found[-1].id)) == []


@pytest.mark.parametrize("status", [RunStatus.error, RunStatus.cancelled])
async def test_a_failure_and_a_cancellation_are_told_too_where_their_event_is_skipped(
    again: Again, status: RunStatus
) -> None:
    async def fail(step_input: StepInput) -> None:
        raise ValueError("broken")

    async def wait(step_input: StepInput) -> None:
        entered.set()
        await anyio.sleep_forever()

    entered = anyio.Event()

    skip = ["WorkflowError", "WorkflowCancelled"]
    step = fail if status is RunStatus.error else wait
    workflow = Workflow(name="w", db=again(), steps=[step], events_to_skip=skip)
    pending = await workflow.arun("x", background=True)
    assert pending.run_id is not None
    if status is RunStatus.cancelled:
        await entered.wait()
        assert await workflow.acancel_run(pending.run_id)
    events = await read(Workflow(name="w", db=again(), steps=[step]).subscribe(pending.run_id))
    assert [event.event for event in events if is_end(event)] == [
        "WorkflowError" if status is RunStatus.error else "WorkflowCancelled"
    ]
    assert getattr(events[-1], "error", "broken") == "broken"


async def test_a_run_whose_process_died_before_its_first_event_was_stored_can_be_followed_all_the_same(
    again: Again,
) -> None:
    """It was stored for a caller who did not wait, and who follows it by its id."""
    owner = Owner(again(), "r")
    workflow = Workflow(name="w", id="w", db=again(), steps=[Step("pay", executor=pay)])
    await owner.start(status=RunStatus.pending)
    seen = [WorkflowStartedEvent(seq=1, epoch=1)]  # live, in the process that died
    assert await workflow.recover() == ["r"]
    rest = await read(workflow.subscribe("r", after=seen[-1].id))
    assert (rest[0].event, rest[0].id) == ("WorkflowStarted", "2-1")
    assert folded([*seen, *rest]) == folded(await log_of(again(), "r"))
    assert rest[-1].event == "WorkflowCompleted"
