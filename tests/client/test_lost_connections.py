"""A connection that is cut anywhere: the client's sequence of events is exact, and nothing is started twice."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from server.serving import Served

from workflow_runtime import RunStatus, Step, StepContentEvent, StepInput, Workflow
from workflow_runtime.client import Client, ConnectionLost, RunExists

from .flows import database, greeting, talking
from .proxy import Proxy

pytestmark = pytest.mark.anyio
Serve = Callable[..., Served]
Through = Callable[[Served], Proxy]


def numbers(events: list[Any]) -> list[int]:
    """The numbers that the events stand for: merged text stands for several."""
    return [n for event in events for n in range(event.seq, (getattr(event, "last_seq", None) or event.seq) + 1)]


def text(events: list[Any], path: str) -> str:
    return "".join(event.delta for event in events if isinstance(event, StepContentEvent) and event.path == path)


@pytest.mark.parametrize("every", [1, 2, 3, 5, 8, 13])
async def test_a_stream_that_is_cut_at_every_kth_event_has_each_event_once(
    served: Serve, through: Through, tmp_path: Path, every: int
) -> None:
    wire = through(served(talking(tmp_path)))
    wire.every = every
    async with Client(wire.url) as client:
        run = client.run("talking", "x", stream_events=True)
        events = [event async for event in run]
        assert numbers(events) == list(range(1, events[-1].seq + 1))
        assert events[-1].event == "WorkflowCompleted"
        assert text(events, "0.talk") == "".join(f"{n} " for n in range(20))
        assert wire.cuts > 2
        wire.every = 0
        again = [event async for event in client.workflow("talking").subscribe(run.run_id)]
        assert numbers(again) == numbers(events)


async def test_a_subscription_that_is_cut_goes_on_behind_what_was_read(
    served: Serve, through: Through, tmp_path: Path
) -> None:
    server = served(talking(tmp_path))
    wire = through(server)
    async with Client(server.url) as direct, Client(wire.url) as client:
        output = await direct.run("talking", "x")
        wire.every = 3
        assert output.run_id is not None
        async with client.workflow("talking").subscribe(output.run_id, after=7) as events:
            found = [event async for event in events]
        assert numbers(found) == list(range(8, output.last_seq + 1))
        assert events.last_event_id == found[-1].id


async def test_an_answer_that_is_lost_does_not_start_the_run_twice(
    served: Serve, through: Through, tmp_path: Path
) -> None:
    ran: list[Any] = []

    def count(step_input: StepInput) -> int:
        ran.append(step_input.input)
        return len(ran)

    wire = through(served(Workflow(name="Count", steps=[count], db=database(tmp_path))))
    async with Client(wire.url) as client:
        wire.mute = 1
        assert (await client.run("count", "awaited")).content == 1
        wire.mute = 1
        events = [event async for event in client.run("count", "streamed", stream_events=True)]
        wire.mute = 1
        pending = await client.arun("count", "background", background=True)
        assert pending.run_id is not None
        assert [event async for event in client.workflow("count").subscribe(pending.run_id)]
    assert wire.cuts == 3
    assert ran == ["awaited", "streamed", "background"]
    assert numbers(events) == list(range(1, events[-1].seq + 1))


async def test_a_chosen_id_that_is_taken_is_an_error_and_not_taken_for_an_echo(served: Serve, tmp_path: Path) -> None:
    async with Client(served(greeting(tmp_path)).url) as client:
        await client.run("greeting", "a", run_id="mine")
        with pytest.raises(RunExists):
            await client.run("greeting", "b", run_id="mine")
        with pytest.raises(RunExists):
            [event async for event in client.run("greeting", "b", run_id="mine")]


async def test_a_server_that_stays_away_is_given_up_with_the_place_to_go_on(served: Serve, tmp_path: Path) -> None:
    server = served(greeting(tmp_path))
    gone = f"http://127.0.0.1:{server.port}"
    server.stop()
    async with Client(gone, reconnect=0.2) as client:
        with pytest.raises(ConnectionLost, match=r"gave up after 0\.2 s"):
            await client.run("greeting", "x")
        with pytest.raises(ConnectionError) as lost:
            await anext(client.workflow("greeting").subscribe("some-run", after="1-7"))
        assert isinstance(lost.value, ConnectionLost)
        assert (lost.value.run_id, lost.value.last_event_id) == ("some-run", "1-7")


async def test_the_server_is_restarted_in_the_middle_and_the_client_comes_back(
    served: Serve, through: Through, tmp_path: Path
) -> None:
    waiting, going_on = anyio.Event(), threading.Event()

    async def first(step_input: StepInput) -> str:
        return "first"

    async def second(step_input: StepInput) -> str:
        while not going_on.is_set():
            await anyio.sleep(0.01)
        return "second"

    def flow() -> Workflow:
        steps = [Step("first", executor=first), Step("second", executor=second)]
        return Workflow(name="Two", steps=steps, db=database(tmp_path), store_events=True)

    old = served(flow(), grace=0.05)
    wire = through(old)
    async with Client(wire.url) as client:
        events: list[Any] = []

        async def read() -> None:
            async for event in client.run("two", "x", stream_events=True):
                events.append(event)
                if event.event == "StepStarted" and event.step_name == "second":
                    waiting.set()

        with anyio.fail_after(60):
            async with anyio.create_task_group() as group:
                group.start_soon(read)
                await waiting.wait()
                await anyio.to_thread.run_sync(old.stop)
                new = await anyio.to_thread.run_sync(served, flow())
                wire.target = new.port
                going_on.set()
    assert numbers(events) == list(range(1, events[-1].seq + 1))
    names = [event.event for event in events]
    assert names[-1] == "WorkflowCompleted"
    assert "WorkflowResumed" in names
    assert names.count("WorkflowStarted") == 1
    assert events[-1].content == "second"


async def test_each_event_comes_once_also_without_a_lost_connection_and_the_run_is_read_to_its_end(
    served: Serve, tmp_path: Path
) -> None:
    async with Client(served(talking(tmp_path)).url) as client:
        async with client.run("talking", "x", stream_events=True) as run:
            first = await anext(run)
            output = await run.result()
        assert (first.event, output.status) == ("WorkflowStarted", RunStatus.completed)
