"""Following a run by its id, from here and from elsewhere."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
import pytest

from workflow_runtime import BaseDb, Retention, RunNotFound, Runtime, Step, StepInput, StorageError, Workflow
from workflow_runtime.engine.readers.subscription import Subscription
from workflow_runtime.model.codec import decode_event
from workflow_runtime.storage.registry import open_url

pytestmark = pytest.mark.anyio
Again = Callable[[], BaseDb]

WORDS = [f"word{number} " for number in range(400)]


async def talk(step_input: StepInput) -> AsyncIterator[str]:
    for word in WORDS:
        await anyio.lowlevel.checkpoint()
        yield word


async def before(step_input: StepInput) -> str:
    return "before"


async def after(step_input: StepInput) -> int:
    return len(step_input.previous_step_content)


def make(db: BaseDb | None, **options: Any) -> Workflow:
    return Workflow(name="talker", db=db, steps=[Step("before", executor=before), talk, after], **options)


def numbers(events: list[Any]) -> list[int]:
    return [seq for event in events for seq in range(event.seq, (getattr(event, "last_seq", None) or event.seq) + 1)]


def text(events: list[Any]) -> str:
    return "".join(event.delta for event in events if event.event == "StepContent")


async def read(subscription: Subscription) -> list[Any]:
    with anyio.fail_after(60):
        return [event async for event in subscription]


async def test_readers_that_join_anywhere_see_one_unbroken_sequence(again: Again) -> None:
    workflow = make(again())
    stream = workflow.arun("x", background=True, stream=True, stream_events=True)
    readers: list[Subscription] = []
    found: list[list[Any]] = []

    async def collect(subscription: Subscription) -> None:
        found.append(await read(subscription))

    whole: list[Any] = []
    async with anyio.create_task_group() as tasks:
        async for event in stream:
            whole.append(event)
            if event.seq % 60 == 5:  # readers join at the start, in the text, and near the end
                subscription = make(again() if event.seq % 120 == 5 else workflow.db).subscribe(stream.run_id)
                readers.append(subscription)
                tasks.start_soon(collect, subscription)
    assert len(found) == len(readers) > 5
    for events in found:
        assert numbers(events) == list(range(1, len(whole) + 1))
        assert text(events) == "".join(WORDS)
        assert events[-1].event == "WorkflowCompleted"


async def test_a_reader_that_reconnects_after_any_event_gets_exactly_the_rest(again: Again) -> None:
    workflow = make(again())
    output = await workflow.arun("x", background=True)
    assert output.run_id is not None
    whole = await read(workflow.subscribe(output.run_id))
    last = numbers(whole)[-1]
    for seq in (0, 1, 2, 3, 4, 5, 50, 123, 250, 399, 404, last - 1):
        rest = await read(workflow.subscribe(output.run_id, after=seq))
        assert numbers(rest) == list(range(seq + 1, last + 1))
        by_id = await read(workflow.subscribe(output.run_id, after=f"1-{seq}"))
        assert by_id == rest
    assert await read(workflow.subscribe(output.run_id, after=last)) == []


async def test_stored_text_covers_many_chunks(again: Again) -> None:
    db = again()
    workflow = make(db)
    output = await workflow.arun("x", background=True)
    assert output.run_id is not None
    await read(workflow.subscribe(output.run_id))
    rows = await db.load_events(output.run_id, limit=5000)
    stored = [decode_event(row.data) for row in rows if row.kind == "StepContent"]
    assert len(stored) < len(WORDS)
    assert text(stored) == "".join(WORDS)


async def test_kinds_and_path_choose_events_and_the_end_always_comes(again: Again) -> None:
    workflow = make(again())
    output = await workflow.arun("x", background=True)
    assert output.run_id is not None
    kinds = await read(workflow.subscribe(output.run_id, kinds=["StepStarted"]))
    assert [event.event for event in kinds] == ["StepStarted"] * 3 + ["WorkflowCompleted"]
    paths = await read(workflow.subscribe(output.run_id, path="talk"))
    assert {event.path for event in paths} == {"1.talk", ""}


async def test_leaving_a_subscription_leaves_the_run_alone(again: Again) -> None:
    workflow = make(again())
    output = await workflow.arun("x", background=True)
    assert output.run_id is not None
    async with workflow.subscribe(output.run_id) as events:
        async for _ in events:
            break
    assert (await read(workflow.subscribe(output.run_id)))[-1].event == "WorkflowCompleted"


async def test_an_unknown_run_cannot_be_followed(again: Again) -> None:
    with pytest.raises(RunNotFound, match="no run '00_nobody'"):
        await read(make(again()).subscribe("00_nobody"))
    with pytest.raises(RunNotFound, match="in this process"):
        await read(make(None).subscribe("00_nobody"))
    with pytest.raises(ValueError, match="neither a seq nor an event's id"):
        make(again()).subscribe("00_nobody", after="yesterday")


async def test_a_run_whose_events_are_not_stored_says_so(again: Again) -> None:
    workflow = make(again())
    output = await workflow.arun("x")
    assert output.run_id is not None
    with pytest.raises(StorageError, match="its events are not stored"):
        await read(workflow.subscribe(output.run_id))
    assert await read(workflow.subscribe(output.run_id, after=output.last_seq)) == []


async def test_a_subscription_outlives_a_pause(again: Again) -> None:
    workflow = Workflow(
        name="w",
        db=again(),
        steps=[Step("before", executor=before), Step("gate", executor=after, requires_confirmation=True)],
    )
    output = await workflow.arun("x", background=True)
    assert output.run_id is not None
    found: list[Any] = []

    async def follow() -> None:
        async for event in workflow.subscribe(str(output.run_id)):
            found.append(event.event)
            if event.event == "WorkflowPaused":
                paused.set()

    paused = anyio.Event()
    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(follow)
            await paused.wait()
            stored = await workflow.aget_run(output.run_id)
            assert stored is not None
            stored.active_step_requirements[0].confirm()
            await workflow.acontinue_run(stored, background=True)
    assert found.index("WorkflowPaused") < found.index("StepContinued") < found.index("WorkflowCompleted")


async def test_retention_prunes_text_then_events_then_runs(again: Again) -> None:
    db = again()
    workflow = make(db)
    output = await workflow.arun("x", background=True)
    assert output.run_id is not None
    await read(workflow.subscribe(output.run_id))

    async def kinds() -> set[str]:
        return {row.kind for row in await db.load_events(str(output.run_id), limit=5000)}

    async with Runtime(workflow, retention=Retention(deltas=3600, events=3600, runs=3600)) as runtime:
        assert runtime.report.pruned == 0
    assert "StepContent" in await kinds()
    async with Runtime(workflow, retention=Retention(deltas=0)) as runtime:
        assert runtime.report.pruned > 0
    assert "StepContent" not in await kinds()
    assert "StepCompleted" in await kinds()
    async with Runtime(workflow, retention=Retention(events=0)):
        assert await kinds() == set()
    assert await workflow.aget_run(output.run_id) is not None
    async with Runtime(workflow, retention=Retention(runs=0)):
        assert await workflow.aget_run(output.run_id) is None


async def test_a_large_payload_stays_out_of_the_log_and_in_the_journal(again: Again) -> None:
    async def large(step_input: StepInput) -> str:
        return "x" * 10_000

    db = again()
    workflow = Workflow(name="w", db=db, steps=[large], store_events=True, retention=Retention(max_payload=2_000))
    output = await workflow.arun("x")
    assert output.run_id is not None
    rows = await db.load_events(output.run_id)
    assert all(len(row.data) <= 2_000 for row in rows)
    assert [row.seq for row in rows] == list(range(1, output.last_seq + 1))
    stored = await workflow.aget_run(output.run_id)
    assert stored is not None
    assert stored.content == "x" * 10_000


def test_a_database_url_names_its_backend() -> None:
    assert type(open_url("sqlite:///x.db")).__name__ == "SqliteDb"
