"""A reader that comes back before, during or after a take-over has the history that the log has. (D3, D6)"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import anyio
import pytest
from histories import Attempt, Owner, attempts, folded, log_of, row_of
from hypothesis import given, settings
from hypothesis import strategies as st

from workflow_runtime import (
    BaseDb,
    Fenced,
    InMemoryDb,
    RunStatus,
    Step,
    StepContentEvent,
    StepInput,
    StepStartedEvent,
    StorageError,
    Workflow,
    WorkflowCompletedEvent,
    WorkflowErrorEvent,
    WorkflowPausedEvent,
)
from workflow_runtime.engine.readers import subscription as following
from workflow_runtime.engine.readers.subscription import Subscription
from workflow_runtime.storage.base import Batch, RunRow

pytestmark = pytest.mark.anyio
Again = Callable[[], BaseDb]


async def read(subscription: Subscription) -> list[Any]:
    with anyio.fail_after(20):
        return [event async for event in subscription]


def reader(db: BaseDb, **options: Any) -> Workflow:
    """A workflow that never runs here: only its runs are followed."""
    return Workflow(name="w", db=db, steps=[], **options)


# -- what is stored, read from any position ----------------------------------------------------------------------------


@settings(max_examples=60)
@given(history=attempts(ends=True), page=st.integers(1, 4), data=st.data())
def test_any_position_in_any_history_is_continued_as_the_log_has_it(
    history: list[Attempt], page: int, data: st.DataObject
) -> None:
    which = data.draw(st.integers(0, len(history) - 1), label="attempt")
    live = history[which].live
    count = data.draw(st.integers(0, len(live)), label="seen of it")
    seen = [event for attempt in history[:which] for event in attempt.stored] + list(live[:count])

    async def main() -> None:
        db = InMemoryDb()
        log = [event for attempt in history for event in attempt.stored]
        row = RunRow(run_id="r", session_id="s", status=RunStatus.completed, attempt=log[-1].epoch, seq=log[-1].seq)
        await db.commit(Batch(run=row, events=[row_of("r", event) for event in log], create=True))
        rest = await read(reader(db).subscribe("r", after=seen[-1].id if seen else 0))
        assert folded([*seen, *rest]) == folded(log)
        if not seen or folded(seen) != folded(log):
            assert [event.event for event in rest].count("WorkflowCompleted") == 1

    before, following._PAGE = following._PAGE, page
    try:
        anyio.run(main)
    finally:
        following._PAGE = before


# -- readers that wait -------------------------------------------------------------------------------------------------


class Waiting:
    """A reader of its own database object that collects events in a task. ``waits`` is set once it has read what there is
    and waits for more."""

    def __init__(
        self, db: BaseDb, after: int | str = 0, seen: Sequence[Any] = (), workflow: Workflow | None = None
    ) -> None:
        self.events = list(seen)
        self.waits = anyio.Event()
        self._subscription = (workflow or reader(db)).subscribe("r", after=after)
        changed = db.changed

        async def wait(*args: Any, **options: Any) -> bool:
            self.waits.set()
            return await changed(*args, **options)

        db.changed = wait  # type: ignore[method-assign]  # it only tells

    async def work(self) -> None:
        async for event in self._subscription:
            self.events.append(event)


async def died(again: Again, lost: int) -> tuple[list[Any], list[Any]]:
    """A run whose process died: (what is stored, what was seen live beyond it)."""
    owner = Owner(again(), "r")
    await owner.start()
    stored = owner.said(StepStartedEvent, StepContentEvent, StepContentEvent, delta="kept")
    await owner.store(*stored)
    return stored, owner.said(*([StepContentEvent] * lost), delta="lost")


@pytest.mark.parametrize("beyond", [0, 1, 2, 30])
@pytest.mark.parametrize("when", ["before", "claimed", "after"])
async def test_a_reader_that_had_seen_more_than_was_stored_is_told_and_gets_the_new_attempt_whole(
    again: Again, beyond: int, when: str
) -> None:
    stored, lost = await died(again, beyond)
    seen = [*stored, *lost]
    waiting = Waiting(again(), seen[-1].id, seen)
    other = Owner(again(), "r")

    async def go_on() -> None:
        resumed = other.resumed()
        await other.store(resumed)
        for _ in range(3):
            await other.store(*other.said(StepStartedEvent, StepContentEvent, delta="again"))
        await other.store(*other.said(WorkflowCompletedEvent))

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            if when == "before":
                tasks.start_soon(waiting.work)
                await waiting.waits.wait()
            await other.take_over()
            if when == "claimed":
                tasks.start_soon(waiting.work)
                await waiting.waits.wait()
            await go_on()
            if when == "after":
                tasks.start_soon(waiting.work)
    assert folded(waiting.events) == folded(await log_of(again(), "r"))
    rest = waiting.events[len(seen) :]
    assert (rest[0].event, rest[0].id, rest[0].after_seq) == ("WorkflowResumed", "2-4", 3)
    assert [event.event for event in rest].count("WorkflowCompleted") == 1


async def test_readers_of_several_attempts_that_died_have_one_history_in_the_end(again: Again) -> None:
    stored, lost = await died(again, 5)
    readers = [Waiting(again(), stored[-1].id, stored)]
    readers.append(Waiting(again(), lost[-1].id, [*stored, *lost]))
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            for waiting in readers:
                tasks.start_soon(waiting.work)
            for number in (1, 4, 0):
                other = Owner(again(), "r")
                await other.take_over()
                await other.store(other.resumed())
                await other.store(*other.said(StepContentEvent, StepContentEvent, delta=f"attempt {other.epoch}"))
                beyond = other.said(*([StepContentEvent] * number), delta="lost again")
                seen = [*(await log_of(again(), "r")), *beyond]
                readers.append(Waiting(again(), seen[-1].id, seen))
                tasks.start_soon(readers[-1].work)
                await readers[-1].waits.wait()
            await other.store(*other.said(WorkflowCompletedEvent))
    log = folded(await log_of(again(), "r"))
    assert [folded(waiting.events) == log for waiting in readers] == [True] * len(readers)


async def test_a_pause_supersedes_nothing(again: Again) -> None:
    owner = Owner(again(), "r")
    await owner.start()
    await owner.store(*owner.said(StepStartedEvent, StepContentEvent, WorkflowPausedEvent, delta="a"))
    seen = await log_of(again(), "r")
    early = Waiting(again(), "1-1", seen[:1])
    late = Waiting(again(), "1-3", seen)
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(early.work)
            tasks.start_soon(late.work)
            await early.waits.wait()
            await late.waits.wait()
            other = Owner(again(), "r")
            await other.take_over()
            await other.store(*other.said(StepContentEvent, StepContentEvent, WorkflowCompletedEvent, delta="b"))
    for waiting in (early, late):
        assert [event.id for event in waiting.events] == ["1-1", "1-2", "1-3", "2-4", "2-5", "2-6"]
    assert [event.id for event in await read(reader(again()).subscribe("r", after="1-3"))] == ["2-4", "2-5", "2-6"]


@pytest.mark.parametrize(("beyond", "ids"), [(3, ["2-4", "2-5", "2-6"]), (5, ["2-6"]), (6, [])])
async def test_a_plain_number_counts_in_the_attempt_that_the_run_is_at(
    again: Again, beyond: int, ids: list[str]
) -> None:
    await died(again, 9)
    other = Owner(again(), "r")
    await other.take_over()
    await other.store(other.resumed())
    await other.store(*other.said(StepStartedEvent, WorkflowCompletedEvent))
    assert [event.id for event in await read(reader(again()).subscribe("r", after=beyond))] == ids


async def test_a_plain_number_is_superseded_by_a_take_over_that_comes_after_it(again: Again) -> None:
    await died(again, 9)
    waiting = Waiting(again(), 12)
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(waiting.work)
            await waiting.waits.wait()
            other = Owner(again(), "r")
            await other.take_over()
            await other.store(other.resumed())
            await other.store(*other.said(WorkflowCompletedEvent))
    assert [event.id for event in waiting.events] == ["2-4", "2-5"]


async def test_a_filter_lets_what_takes_events_back_through(again: Again) -> None:
    _, lost = await died(again, 2)
    other = Owner(again(), "r")
    await other.take_over()
    await other.store(other.resumed())
    await other.store(*other.said(StepStartedEvent, StepContentEvent, WorkflowCompletedEvent, delta="b"))
    events = await read(reader(again()).subscribe("r", after=lost[-1].id, kinds=["StepContent"]))
    assert [event.event for event in events] == ["WorkflowResumed", "StepContent", "WorkflowCompleted"]


async def test_where_a_reader_stands_is_known(again: Again) -> None:
    _, lost = await died(again, 2)
    subscription = reader(again()).subscribe("r", after=lost[-1].id)
    assert subscription.last_event_id == "1-5"
    other = Owner(again(), "r")
    await other.take_over()
    await other.store(other.resumed())
    await other.store(*other.said(StepStartedEvent, WorkflowCompletedEvent))
    ids = [subscription.last_event_id async for _ in subscription]
    assert ids == ["2-4", "2-5", "2-6"]
    assert reader(again()).subscribe("r").last_event_id == "0"


@pytest.mark.parametrize("kinds", [{"StepContent"}, {"StepContent", "StepStarted", "WorkflowResumed"}])
async def test_a_reader_of_a_pruned_log_gets_what_is_left(again: Again, kinds: set[str]) -> None:
    _, lost = await died(again, 30)
    other = Owner(again(), "r")
    await other.take_over()
    await other.store(other.resumed())
    await other.store(*other.said(StepStartedEvent, *([StepContentEvent] * 40), WorkflowCompletedEvent, delta="b"))
    db = again()
    assert (await db.prune(kinds=frozenset(kinds), before=2.0**40, limit=1000)).rows
    left = [event for event in await log_of(db, "r") if event.epoch == 2]
    assert await read(reader(again()).subscribe("r", after=lost[-1].id)) == left
    with anyio.fail_after(10):
        gone = frozenset({"StepContent", "StepStarted", "WorkflowResumed", "WorkflowCompleted"})
        await db.prune(kinds=gone, before=2.0**40, limit=1000)
        with pytest.raises(StorageError, match="its events are not stored"):
            await read(reader(again()).subscribe("r", after=lost[-1].id))


async def test_a_run_that_is_deleted_ends_its_readers(again: Again) -> None:
    stored, _ = await died(again, 0)
    waiting = Waiting(again())
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(waiting.work)
            await waiting.waits.wait()
            await again().delete_session("s")
    assert [event.id for event in waiting.events] == [event.id for event in stored]


# -- a process that does not know yet that it lost the run -------------------------------------------------------------


class Slow:
    """A workflow whose first step waits; ``lose`` takes its run away, and lets the step end."""

    def __init__(self, again: Again, **options: Any) -> None:
        self.again = again
        self.entered, self.gate = anyio.Event(), anyio.Event()

        async def first(step_input: StepInput) -> Any:
            yield "one "
            yield "two "
            self.entered.set()
            await self.gate.wait()
            yield "three "

        async def second(step_input: StepInput) -> str:
            return "here"

        steps = [Step("first", executor=first), Step("second", executor=second)]
        self.db = again()
        self.workflow = Workflow(name="w", db=self.db, steps=steps, durability="sync", store_events=True, **options)

    async def lose(self, end: Any = WorkflowCompletedEvent) -> list[Any]:
        """Another process takes the run over and brings it to its end; the log."""
        other = Owner(self.again(), "r")
        await other.take_over()
        await other.store(other.resumed())
        await other.store(*other.said(StepStartedEvent, StepContentEvent, StepContentEvent, delta="again"))
        self.gate.set()
        await self.workflow_knows()
        await other.store(*other.said(end))
        return await log_of(self.again(), "r")

    async def workflow_knows(self) -> None:
        """Until the process has seen that its run is another one's."""
        while self.workflow_is_live():
            await anyio.lowlevel.checkpoint()

    @staticmethod
    def workflow_is_live() -> bool:
        from workflow_runtime.engine.run.host import find_live

        return find_live("r") is not None


def check(events: list[Any], log: list[Any]) -> None:
    assert folded(events) == folded(log)
    assert "WorkflowError" not in [event.event for event in events]
    assert [event.event for event in events].count("WorkflowCompleted") == 1


async def test_a_subscriber_in_a_process_that_lost_the_run_goes_over_to_the_log_of_its_new_owner(again: Again) -> None:
    slow = Slow(again)
    await slow.workflow.arun("x", run_id="r", session_id="s", background=True)
    waiting = Waiting(slow.db, workflow=slow.workflow)
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(waiting.work)
            await slow.entered.wait()
            await anyio.wait_all_tasks_blocked()
            log = await slow.lose()
    check(waiting.events, log)


async def test_the_stream_of_a_background_run_goes_on_with_the_new_owner(again: Again) -> None:
    slow = Slow(again)
    stream = slow.workflow.arun("x", run_id="r", session_id="s", background=True, stream=True, stream_events=True)
    found: list[Any] = []
    log: list[Any] = []
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:

            async def follow() -> None:
                async for event in stream:
                    found.append(event)

            tasks.start_soon(follow)
            await slow.entered.wait()
            await anyio.wait_all_tasks_blocked()
            log += await slow.lose()
        output = await stream.result()
    check(found, log)
    assert (output.status, output.content, output.epoch) == (RunStatus.completed, "done elsewhere", 2)


async def test_the_stream_of_a_background_run_that_failed_elsewhere_says_so(again: Again) -> None:
    slow = Slow(again)
    stream = slow.workflow.arun("x", run_id="r", session_id="s", background=True, stream=True, stream_events=True)
    found: list[Any] = []
    told: list[Fenced] = []

    async def follow() -> None:
        try:
            async for event in stream:
                found.append(event)
        except Fenced as error:
            told.append(error)

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(follow)
            await slow.entered.wait()
            log = await slow.lose(WorkflowErrorEvent)
    assert folded(found) == folded(log)
    assert found[-1].event == "WorkflowError"
    assert "failed there" in str(told[0])
    output = told[0].run_output  # type: ignore[attr-defined]  # as on whatever a step raises
    assert (output.status, output.epoch) == (RunStatus.error, 2)


async def test_the_call_that_owns_a_run_is_told_that_it_was_taken_over(again: Again) -> None:
    slow = Slow(again)
    stream = slow.workflow.arun("x", run_id="r", session_id="s", stream=True, stream_events=True)
    found: list[Any] = []
    told: list[Fenced] = []

    async def own() -> None:
        try:
            async for event in stream:
                found.append(event)
        except Fenced as error:
            told.append(error)

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(own)
            await slow.entered.wait()
            await slow.lose()
    assert "taken over" in str(told[0])
    assert "WorkflowError" not in [event.event for event in found], "that end is stored nowhere"


async def test_a_socket_of_a_background_run_goes_on_with_the_new_owner(again: Again) -> None:
    from workflow_runtime.model.codec import decode_event

    found: list[Any] = []
    ended = anyio.Event()

    class Socket:
        async def send_text(self, data: str) -> None:
            found.append(decode_event(data.encode()))
            if found[-1].event == "WorkflowCompleted":
                ended.set()

    slow = Slow(again)
    with anyio.fail_after(20):
        await slow.workflow.arun("x", run_id="r", session_id="s", background=True, websocket=Socket())
        await slow.entered.wait()
        await anyio.wait_all_tasks_blocked()
        log = await slow.lose()
        await ended.wait()
    check(found, log)


async def test_a_reader_that_joins_a_process_which_lost_the_run_does_not_get_its_events(again: Again) -> None:
    slow = Slow(again)
    await slow.workflow.arun("x", run_id="r", session_id="s", background=True)
    with anyio.fail_after(20):
        await slow.entered.wait()
        other = Owner(again(), "r")
        await other.take_over()
        await other.store(other.resumed())
        waiting = Waiting(slow.db, workflow=slow.workflow)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(waiting.work)
            while not waiting.events or waiting.events[-1].event != "WorkflowResumed":
                await anyio.lowlevel.checkpoint()
            slow.gate.set()
            await slow.workflow_knows()
            await other.store(*other.said(WorkflowCompletedEvent))
    assert folded(waiting.events) == folded(await log_of(again(), "r"))
    assert waiting.events[-1].id == f"2-{other.seq}"
