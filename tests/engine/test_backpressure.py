"""A slow reader never grows memory, and stalls only the run that it owns. (D5)"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from verbs import expanded, listen, names, of_kind

from workflow_runtime import BaseDb, InMemoryDb, Parallel, ReaderTooSlow, RunContext, RunStatus, Step, Workflow
from workflow_runtime.engine.bus.recorder import MOST_ROWS

pytestmark = pytest.mark.anyio

CHUNKS, TAKEN, BUFFER = 100_000, 200, 64

Until = Callable[[Callable[[], Any]], Any]


class Source:
    """Generators of every kind that count what they have made. ``count`` is all that there is to make."""

    def __init__(self, count: int = CHUNKS) -> None:
        self.count = count
        self.made = 0

    def sync(self) -> Iterator[str]:
        for _ in range(self.count):
            self.made += 1
            yield "x"

    async def coroutine(self) -> AsyncIterator[str]:
        for _ in range(self.count):
            self.made += 1
            yield "x"

    def step(self, kind: str, name: str = "source") -> Step:
        if kind == "agent":
            return Step(name=name, agent=_Talker(self))
        if kind == "async":
            return Step(name=name, executor=self.coroutine)
        return Step(name=name, executor=self.sync, offload=kind == "thread")


class _Talker:
    name = "talker"

    def __init__(self, source: Source) -> None:
        self.source = source

    async def arun(self, input: Any) -> AsyncIterator[Any]:
        async with aclosing(self.source.coroutine()) as chunks:
            async for chunk in chunks:
                yield {"event": "RunContent", "content": chunk}


async def held_back(count: Callable[[], int]) -> int:
    """The count once the run is as far ahead as its buffer lets it, and has had many chances to go further."""
    while count() < TAKEN + BUFFER // 2 - 2:  # it may go on when half of the buffer is free
        await anyio.lowlevel.checkpoint()
    for _ in range(200):
        await anyio.lowlevel.checkpoint()
    return count()


KINDS = ["async", "inline", "thread", "agent"]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_run_is_at_most_a_buffer_ahead_of_a_reader_that_stops(kind: str) -> None:
    source = Source()
    workflow = Workflow(steps=[source.step(kind)], buffer_size=BUFFER)
    with anyio.fail_after(60):
        async with workflow.arun(stream=True, stream_events=True) as stream:
            for _ in range(TAKEN):
                await stream.__anext__()
            made = await held_back(lambda: source.made)
            assert TAKEN - 5 <= made <= TAKEN + BUFFER + 1


@pytest.mark.parametrize("kind", KINDS)
async def test_a_reader_that_goes_on_gets_every_chunk(kind: str) -> None:
    source = Source(1000)
    workflow = Workflow(steps=[source.step(kind)], buffer_size=BUFFER)
    with anyio.fail_after(60):
        async with workflow.arun(stream=True, stream_events=True) as stream:
            for _ in range(TAKEN):
                await stream.__anext__()
            rest = [event async for event in stream]
            output = await stream.result()
    assert output.content == "x" * 1000
    assert rest[-1].event == "WorkflowCompleted"
    assert rest[-1].seq == TAKEN + len(rest), "none was lost"


async def test_parallel_sources_are_held_back_together() -> None:
    sources = [Source() for _ in range(4)]
    branches = [source.step("async", f"source{n}") for n, source in enumerate(sources)]
    workflow = Workflow(steps=[Parallel(*branches)], buffer_size=BUFFER)
    with anyio.fail_after(60):
        async with workflow.arun(stream=True) as stream:
            for _ in range(TAKEN):
                await stream.__anext__()
            made = await held_back(lambda: sum(source.made for source in sources))
            assert made <= TAKEN + BUFFER + len(sources)


async def test_the_rest_of_the_loop_goes_on_while_a_run_waits_for_its_reader() -> None:
    source = Source()
    async with Workflow(steps=[source.step("async")], buffer_size=BUFFER).arun(stream=True) as stream:
        await stream.__anext__()
        other = await Workflow(steps=[lambda step_input: "other"]).arun()
    assert other.content == "other"


async def test_a_run_that_nobody_streams_is_not_held_back() -> None:
    source = Source(5000)
    output = await Workflow(steps=[source.step("async")], buffer_size=1).arun()
    assert output.content == "x" * 5000


async def test_a_reader_of_a_background_run_never_stalls_it(db: BaseDb) -> None:
    source = Source(5000)
    workflow = Workflow(steps=[source.step("async")], db=db, buffer_size=BUFFER)
    with anyio.fail_after(60):
        async with workflow.arun(stream=True, stream_events=True, background=True, run_id="r") as stream:
            first = await stream.__anext__()
            async for _ in workflow.subscribe("r"):
                pass
            found = await workflow.aget_run_output("r")
            assert found is not None
            assert found.status is RunStatus.completed
            rest = expanded([event async for event in stream])
    assert [event.seq for event in rest] == list(range(first.seq + 1, 1 + found.last_seq)), "and its text was merged"


async def test_a_subscriber_that_stops_never_stalls_the_run_and_is_served_from_the_log(db: BaseDb) -> None:
    source = Source(5000)
    workflow = Workflow(steps=[source.step("async")], db=db, store_events=True)
    started = anyio.Event()

    async def wait_for_reader(step_input: Any) -> None:
        await started.wait()

    workflow.steps = [wait_for_reader, source.step("async")]
    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: workflow.arun(run_id="r"))
            await anyio.lowlevel.checkpoint()
            while await workflow.aget_run("r") is None:
                await anyio.lowlevel.checkpoint()
            subscription = workflow.subscribe("r")
            first = await subscription.__anext__()
            started.set()
        rest = expanded([event async for event in subscription])
    assert first.event == "WorkflowStarted"
    assert [event.seq for event in rest] == list(range(2, rest[-1].seq + 1))
    assert "".join(event.delta for event in of_kind(rest, "StepContent")) == "x" * 5000


@pytest.mark.parametrize("policy", ["coalesce", "drop", "disconnect"])
async def test_a_slow_subscriber_without_a_log_gets_what_its_policy_says(policy: str) -> None:
    go, reading = anyio.Event(), anyio.Event()
    source = Source(2000)

    async def gate(step_input: Any) -> None:
        reading.set()
        await go.wait()

    workflow = Workflow(steps=[gate, source.step("async")])
    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: workflow.arun(run_id="r"))
            await reading.wait()
            subscription = workflow.subscribe("r", policy=policy, size=16)
            # Attached once it has asked for the first time; then it does not read before the run has ended.
            group.start_soon(_prime, subscription, go)
        events, error = await listen(subscription)
    chunks = of_kind(expanded(events), "StepContent")
    if policy == "coalesce":
        assert len(chunks) == 2000
        assert names(events)[-1] == "WorkflowCompleted"
    elif policy == "drop":
        assert 0 < len(chunks) < 2000
        assert names(events)[-1] == "WorkflowCompleted"
    else:
        assert isinstance(error, ReaderTooSlow)
    assert source.made == 2000, "the run was not held up"


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_the_slow_reader_of_a_background_run_with_branches_gets_everything_from_the_log(db: BaseDb) -> None:
    async def braided() -> AsyncIterator[str]:
        for _ in range(2000):
            yield "x"
            await anyio.lowlevel.checkpoint()

    branches = Parallel(Step(name="left", executor=braided), Step(name="right", executor=braided))
    workflow = Workflow(name="w", steps=[branches], db=db, buffer_size=16)
    stream = workflow.arun(background=True, stream=True, stream_events=True)
    with anyio.fail_after(60):
        first = await stream.__anext__()
        async for event in workflow.subscribe(stream.run_id):  # the run ends; its stream has not been read meanwhile
            last = event.seq
        rest, error = await listen(stream)
    assert error is None
    numbers = [event.seq for event in expanded([first, *rest])]
    assert numbers == list(range(1, last + 1))
    assert names(rest)[-1] == "WorkflowCompleted"


@pytest.mark.parametrize("stored", [False, True])
async def test_an_event_s_id_is_where_its_reader_goes_on_also_behind_merged_text(stored: bool) -> None:
    workflow = Workflow(name="w", steps=[Source(500).step("async")], db=InMemoryDb(), store_events=stored)
    stream = workflow.arun(background=True, stream=True, stream_events=True)
    events, _ = await listen(workflow.subscribe(stream.run_id)) if await stream.__anext__() else ([], None)
    merged = next(event for event in events if getattr(event, "lengths", None))
    rest, _ = await listen(workflow.subscribe(stream.run_id, after=merged.id))
    assert next(event.seq for event in expanded(rest)) == merged.last_seq + 1


async def _prime(subscription: Any, go: anyio.Event) -> None:
    async with anyio.create_task_group() as group:

        async def first() -> None:
            await subscription.__anext__()

        group.start_soon(first)
        for _ in range(10):
            await anyio.lowlevel.checkpoint()
        go.set()


class Stuck(InMemoryDb):
    """A database whose commits of events wait until they are let go."""

    def __init__(self) -> None:
        super().__init__()
        self.go = anyio.Event()
        self.most = 0

    async def commit(self, batch: Any) -> Any:
        if batch.events:
            self.most = max(self.most, len(batch.events))
            await self.go.wait()
        return await super().commit(batch)


@pytest.mark.parametrize("edits", [False, True])
async def test_a_run_waits_for_a_database_that_cannot_keep_up_with_its_log(until: Until, edits: bool) -> None:
    made = 0

    async def rows(run_context: RunContext) -> AsyncIterator[int]:
        nonlocal made
        for made in range(1, 20_001):  # counted
            yield made

    async def in_an_edit(run_context: RunContext) -> AsyncIterator[int]:
        async with run_context.edit_state():  # while it is held nothing can be committed, so nothing can be waited for
            async for row in rows(run_context):
                yield row

    db = Stuck()
    workflow = Workflow(steps=[in_an_edit if edits else rows], db=db, store_events=True)
    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: workflow.arun(run_id="r"))
            if not edits:
                await until(lambda: made >= MOST_ROWS - 10)
                for _ in range(50):
                    await anyio.lowlevel.checkpoint()
                assert made <= MOST_ROWS + 10
            db.go.set()
    output = await workflow.aget_run_output("r")
    assert output is not None
    assert (output.status, made) == (RunStatus.completed, 20_000)
    assert [event.seq for event in output.events or ()] == list(range(1, output.last_seq + 1))
    assert edits or db.most <= MOST_ROWS + 10
