"""Runs that wait in a queue of the database, and the Runtimes that take them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import pytest

from workflow_runtime import (
    BaseDb,
    BuildError,
    HumanReview,
    InputError,
    RunExists,
    RunStatus,
    Runtime,
    Step,
    StepInput,
    Workflow,
)
from workflow_runtime.brokers.local import LocalBroker
from workflow_runtime.storage.base import Fence
from workflow_runtime.testing import FakeClock

pytestmark = pytest.mark.anyio
Again = Callable[[], BaseDb]
WHOLE = ["WorkflowStarted", "StepStarted", "StepOutput", "StepCompleted", "WorkflowCompleted"]


class Gate:
    """A step that waits until the test lets it go, and counts how many are in it."""

    def __init__(self) -> None:
        self.entered = anyio.Event()
        self.open = anyio.Event()
        self.inside = self.most = 0
        self.order: list[str] = []

    async def __call__(self, step_input: StepInput) -> str:
        self.order.append(str(step_input.input))
        self.inside += 1
        self.most = max(self.most, self.inside)
        self.entered.set()
        await self.open.wait()
        self.inside -= 1
        return f"made {step_input.input}"


def made(step_input: StepInput) -> str:
    return f"made {step_input.input}"


def workflow_on(db: BaseDb, step: Any = made, **options: Any) -> Workflow:
    return Workflow(name="w", db=db, steps=[Step("step", executor=step)], **options)


async def events_of(workflow: Workflow, run_id: str | None) -> list[Any]:
    with anyio.fail_after(60):
        return [event async for event in workflow.subscribe(run_id or "")]


async def test_a_queued_run_waits_for_a_runtime_and_is_then_as_any_other(again: Again) -> None:
    producer = workflow_on(again())
    pending = await producer.arun("x", background=True, queue="default", session_state={"k": 1})
    assert pending.status is RunStatus.pending
    stored = await producer.aget_run(pending.run_id or "")
    assert stored is not None
    assert (stored.status, stored.epoch) == (RunStatus.pending, 0)
    worker = workflow_on(again())
    async with Runtime(worker) as runtime:
        events = await events_of(producer, pending.run_id)
    assert [event.event for event in events] == WHOLE
    assert [(event.epoch, event.seq) for event in events] == [(1, 1), (1, 2), (1, 3), (1, 4), (1, 5)]
    output = await producer.aget_run(pending.run_id or "")
    assert output is not None
    assert (output.content, output.status) == ("made x", RunStatus.completed)
    assert await producer.aget_session_state(pending.session_id) == {"k": 1}
    assert runtime.report.taken == [pending.run_id]


async def test_a_queued_run_is_streamed_to_its_caller(again: Again) -> None:
    producer = workflow_on(again())
    async with (
        Runtime(workflow_on(again())),
        producer.arun("x", background=True, queue="default", stream=True, stream_events=True) as stream,
    ):
        with anyio.fail_after(60):
            names = [event.event async for event in stream]
            output = await stream.result()
    assert names == WHOLE
    assert output.content == "made x"


async def test_the_order_is_priority_then_age(again: Again) -> None:
    gate = Gate()
    gate.open.set()
    workflow = workflow_on(again(), gate)
    ids = [
        (await workflow.arun(name, background=True, priority=priority)).run_id
        for name, priority in (("first", 0), ("second", 0), ("urgent", 5), ("whenever", -1))
    ]
    async with Runtime(workflow, concurrency=1):
        for run_id in ids:
            await events_of(workflow, run_id)
    assert gate.order == ["urgent", "first", "second", "whenever"]


async def test_no_more_runs_than_the_concurrency_work_at_once(again: Again) -> None:
    gate = Gate()
    workflow = workflow_on(again(), gate)
    ids = [(await workflow.arun(n, background=True, queue="default")).run_id for n in range(5)]
    async with Runtime(workflow, concurrency=2):
        with anyio.fail_after(60):
            while gate.inside < 2:
                await anyio.sleep(0.01)
        gate.open.set()
        for run_id in ids:
            await events_of(workflow, run_id)
    assert gate.most == 2


async def test_a_paused_run_holds_no_slot(again: Again) -> None:
    asking = Workflow(
        name="asking",
        db=again(),
        steps=[Step("ask", executor=made, human_review=HumanReview(requires_confirmation=True))],
    )
    async with Runtime(asking, concurrency=1):
        ids = [(await asking.arun(n, background=True, queue="default")).run_id or "" for n in range(3)]
        with anyio.fail_after(60):
            while len(await asking.alist_pending()) < 3:
                await anyio.sleep(0.01)
        for run_id in ids:
            paused = await asking.aget_run(run_id)
            assert paused is not None
            for requirement in paused.active_step_requirements:
                requirement.confirm()
            output = await asking.acontinue_run(paused)
            assert output.status is RunStatus.completed


async def test_a_queue_is_taken_by_those_that_name_it(again: Again) -> None:
    workflow = workflow_on(again())
    slow = (await workflow.arun("slow", background=True, queue="slow")).run_id or ""
    async with Runtime(workflow) as runtime:
        other = await workflow.arun("other", background=True, queue="default")
        await events_of(workflow, other.run_id)
        assert runtime.report.taken == [other.run_id]
    async with Runtime(workflow, queues=["default", "slow"]):
        assert (await events_of(workflow, slow))[-1].event == "WorkflowCompleted"


@pytest.mark.parametrize("delay", [30, 30.0, timedelta(seconds=30), datetime.fromtimestamp(1030, UTC)], ids=repr)
async def test_a_delayed_run_waits_for_its_time(again: Again, delay: Any) -> None:
    clock = FakeClock(1000.0)
    workflow = workflow_on(again(), clock=clock)
    run_id = (await workflow.arun("x", background=True, delay=delay)).run_id or ""
    db = workflow.db
    assert db is not None
    assert await db.claim_next(["default"], workflows=["w"], owner="o", now=1029.9, lease=60) is None
    row = await db.claim_next(["default"], workflows=["w"], owner="o", now=1030.0, lease=60)
    assert row is not None
    assert row.run_id == run_id


async def test_a_queued_run_is_cancelled_before_anybody_takes_it(again: Again) -> None:
    workflow = workflow_on(again())
    run_id = (await workflow.arun("x", background=True, queue="default")).run_id or ""
    assert await workflow.acancel_run(run_id)
    output = await workflow.aget_run(run_id)
    assert output is not None
    assert output.status is RunStatus.cancelled
    async with Runtime(workflow) as runtime:
        other = await workflow.arun("y", background=True, queue="default")
        await events_of(workflow, other.run_id)
        assert runtime.report.taken == [other.run_id]


async def test_a_run_that_was_claimed_and_not_begun_is_begun_by_the_next(again: Again) -> None:
    """Its process died between the claim and the first event."""
    workflow = workflow_on(again(), lease=0.5)
    db = workflow.db
    assert db is not None
    run_id = (await workflow.arun("x", background=True, queue="default")).run_id or ""
    row = await db.claim_next(["default"], workflows=["w"], owner="dead", now=0.0, lease=60)
    assert row is not None
    await db.renew([(Fence(run_id=run_id, attempt=1, owner="dead"), 0.001)])
    async with Runtime(workflow):
        events = await events_of(workflow, run_id)
    assert [event.event for event in events] == ["WorkflowStarted", "WorkflowResumed", *WHOLE[1:]]
    assert {event.epoch for event in events} == {2}


async def test_a_run_that_no_process_can_begin_is_parked(again: Again, monkeypatch: pytest.MonkeyPatch) -> None:
    from workflow_runtime.engine.start import dispatch

    async def cannot(*args: Any, **options: Any) -> Any:
        raise ValueError("what it was stored with cannot be read")

    clock = FakeClock(1000.0)
    workflow = workflow_on(again(), clock=clock)
    db = workflow.db
    assert db is not None
    run_id = (await workflow.arun("x", background=True, queue="default")).run_id or ""
    monkeypatch.setattr(dispatch, "begin_queued", cannot)
    async with Runtime(workflow) as runtime:
        with anyio.fail_after(60):
            while not runtime.report.parked:
                clock.advance(10.0)
                await anyio.sleep(0.01)
    assert runtime.report.parked == [run_id]
    assert [(row.queue, row.parked, row.waiting) for row in await db.list_queues(now=clock.time())] == [
        ("default", 1, 0)
    ]
    monkeypatch.undo()
    assert await db.reschedule(run_id, not_before=None)
    async with Runtime(workflow):
        assert (await events_of(workflow, run_id))[-1].event == "WorkflowCompleted"


async def test_one_id_is_queued_once(again: Again) -> None:
    workflow = workflow_on(again())
    await workflow.arun("x", run_id="mine", background=True, queue="default")
    with pytest.raises(RunExists):
        await workflow_on(again()).arun("x", run_id="mine", background=True, queue="default")
    joined = await workflow_on(again()).arun("x", run_id="mine", background=True, queue="default", if_exists="join")
    assert joined.run_id == "mine"
    async with Runtime(workflow) as runtime:
        output = await workflow_on(again()).arun("x", run_id="mine", if_exists="join")
        assert output.content == "made x"
        assert runtime.report.taken == ["mine"]


async def test_what_cannot_be_queued_is_refused(again: Again) -> None:
    workflow = workflow_on(again())
    with pytest.raises(InputError, match="add background=True"):
        await workflow.arun("x", queue="default")
    with pytest.raises(InputError, match="time zone"):
        await workflow.arun("x", background=True, delay=datetime(2030, 1, 1))
    with pytest.raises(InputError, match="must not be negative"):
        await workflow.arun("x", background=True, delay=-1)
    with pytest.raises(InputError, match="whole number"):
        await workflow.arun("x", background=True, priority=1.5)  # type: ignore[call-overload]
    with pytest.raises(InputError, match="give the workflow a db"):
        await Workflow(name="w", steps=[made]).arun("x", background=True, queue="default")
    with pytest.raises(BuildError, match="needs a database"):
        Workflow(name="w", steps=[made], broker=LocalBroker(again()))
    with pytest.raises(BuildError, match="is not a broker URL"):
        Workflow(name="w", db=again(), steps=[made], broker="127.0.0.1")
    with pytest.raises(BuildError, match="queues='default' must be a list"):
        Runtime(workflow, queues="default")


async def test_two_runtimes_share_a_queue_and_none_runs_twice(again: Again) -> None:
    gate = Gate()
    gate.open.set()
    producer = workflow_on(again())
    async with Runtime(workflow_on(again(), gate)), Runtime(workflow_on(again(), gate)):
        ids = [(await producer.arun(n, background=True, queue="default")).run_id for n in range(30)]
        for run_id in ids:
            assert (await events_of(producer, run_id))[-1].event == "WorkflowCompleted"
    assert sorted(gate.order) == sorted(str(n) for n in range(30))
