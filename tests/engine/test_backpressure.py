"""A slow reader never grows memory, and stalls only the run that it owns. (D5; issue: what must hold, 6)"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from verbs import expanded, listen, names, of_kind

from workflow_runtime import BaseDb, Parallel, ReaderTooSlow, RunStatus, Step, Workflow

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
    with anyio.fail_after(20):
        async with workflow.arun(stream=True, stream_events=True) as stream:
            for _ in range(TAKEN):
                await stream.__anext__()
            made = await held_back(lambda: source.made)
            assert TAKEN - 5 <= made <= TAKEN + BUFFER + 1


@pytest.mark.parametrize("kind", KINDS)
async def test_a_reader_that_goes_on_gets_every_chunk(kind: str) -> None:
    source = Source(1000)
    workflow = Workflow(steps=[source.step(kind)], buffer_size=BUFFER)
    with anyio.fail_after(20):
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
    with anyio.fail_after(20):
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
    with anyio.fail_after(20):
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
    with anyio.fail_after(20):
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
    with anyio.fail_after(20):
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


async def _prime(subscription: Any, go: anyio.Event) -> None:
    async with anyio.create_task_group() as group:

        async def first() -> None:
            await subscription.__anext__()

        group.start_soon(first)
        for _ in range(10):
            await anyio.lowlevel.checkpoint()
        go.set()
