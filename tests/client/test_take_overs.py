"""The client while other processes take the server's runs over: its events, put together, are the log."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from histories import FOREVER, Owner, folded, log_of
from server.flows import Gate, held
from server.serving import Served

from workflow_runtime import (
    InMemoryDb,
    RunStatus,
    Step,
    StepContentEvent,
    StepInput,
    StepStartedEvent,
    Workflow,
    WorkflowCompletedEvent,
)
from workflow_runtime.backends import SqliteDb
from workflow_runtime.client import Client, RemoteWorkflow

from .flows import database, greeting
from .proxy import Proxy

pytestmark = pytest.mark.anyio
Serve = Callable[..., Served]
Through = Callable[[Served], Proxy]


async def died(db: SqliteDb, lost: int) -> list[Any]:
    """A run of a process that is gone; what a reader of that process has seen of it."""
    owner = Owner(db, "r", workflow_id="greeting")
    await owner.start(lease_until=FOREVER)
    stored = owner.said(StepStartedEvent, StepContentEvent, StepContentEvent, delta="kept")
    await owner.store(*stored)
    return [*stored, *owner.said(*([StepContentEvent] * lost), delta="lost")]


async def takes_over(db: SqliteDb, run_id: str = "r") -> None:
    """Another process goes on with the run, to its end."""
    other = Owner(db, run_id)
    await other.take_over()
    await other.store(other.resumed())
    await other.store(*other.said(StepStartedEvent, *([StepContentEvent] * 5), delta="again"))
    await other.store(*other.said(WorkflowCompletedEvent))


async def until(condition: Callable[[], Any]) -> None:
    with anyio.fail_after(20):
        while not condition():
            await anyio.sleep(0.005)


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


@pytest.mark.parametrize("lost", [0, 1, 30])
@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_subscription_that_comes_back_gets_what_supersedes_its_history(
    served: Serve, sqlite: SqliteDb, tmp_path: Path, lost: int, when: str
) -> None:
    server = served(greeting(tmp_path))
    seen = await died(sqlite, lost)
    found: list[Any] = []
    async with Client(server.url) as client:
        events = client.workflow("greeting").subscribe("r", after=seen[-1].id)

        async def follow() -> None:
            async for event in events:
                found.append(event)

        if when == "after":
            await takes_over(sqlite)
        with anyio.fail_after(20):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(follow)
                if when == "before":
                    await until(lambda: server.service.seats.runs["r"])
                    await takes_over(sqlite)
    assert found[0].event == "WorkflowResumed"
    assert folded([*seen, *found]) == folded(await log_of(sqlite, "r"))
    assert events.last_event_id == found[-1].id


@pytest.mark.parametrize("after", ["1-33", 33])
async def test_a_take_over_while_the_connection_is_lost_is_told_to_a_reader_that_began_with_a_number_too(
    served: Serve, through: Through, sqlite: SqliteDb, tmp_path: Path, after: Any
) -> None:
    server = served(greeting(tmp_path))
    wire = through(server)
    seen = await died(sqlite, 30)
    found: list[Any] = []

    async def follow(client: Client) -> None:
        async for event in client.workflow("greeting").subscribe("r", after=after):
            found.append(event)

    async with Client(wire.url) as client:
        with anyio.fail_after(20):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(follow, client)
                await until(lambda: server.service.seats.runs["r"])
                wire.target = closed_port()
                wire.sever()
                await takes_over(sqlite)
                wire.target = server.port
    assert folded([*seen, *found]) == folded(await log_of(sqlite, "r"))


@pytest.mark.parametrize("streamed", [True, False])
async def test_a_run_whose_server_lost_it_is_followed_to_its_end_elsewhere(
    served: Serve, sqlite: SqliteDb, tmp_path: Path, streamed: bool
) -> None:
    gate = Gate()
    server = served(held(gate, database(tmp_path)))
    found: list[Any] = []
    outputs: list[Any] = []

    async def start(client: Client) -> None:
        run = client.run("held", "x", run_id="r", session_id="s", stream_events=True)
        if streamed:
            async for event in run:
                found.append(event)
        outputs.append(await run.result())

    async with Client(server.url) as client:
        with anyio.fail_after(20):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(start, client)
                await until(gate.entered.is_set)
                other = Owner(sqlite, "r")
                await other.take_over()
                gate.open()
                await other.store(other.resumed())
                await other.store(*other.said(StepContentEvent, WorkflowCompletedEvent, delta="there"))
    assert (outputs[0].status, outputs[0].content) == (RunStatus.completed, "done elsewhere")
    if streamed:
        assert folded(found) == folded(await log_of(sqlite, "r"))
        assert [event.event for event in found if event.event.startswith("Workflow")] == [
            "WorkflowStarted",
            "WorkflowResumed",
            "WorkflowCompleted",
        ]


async def test_a_run_that_was_continued_before_is_continued_behind_its_last_pause_over_lost_connections(
    served: Serve, through: Through, tmp_path: Path
) -> None:
    def pay(step_input: StepInput) -> str:
        return "paid"

    steps = [Step(name, executor=pay, requires_confirmation=True) for name in ("one", "two", "three")]
    server = served(Workflow(name="Paying", steps=steps, db=database(tmp_path), store_events=True))
    wire = through(server)
    async with Client(wire.url) as client:
        paying = client.workflow("paying")
        output = await paying.arun("x", run_id="r")
        whole = 0
        wire.every = 1
        for _ in steps:
            for item in output.active_step_requirements:
                item.confirm()
            seen = output.last_seq
            run = paying.continue_run(output, stream_events=True)
            events = [event async for event in run]
            assert [event.seq for event in events] == list(range(seen + 1, events[-1].seq + 1))
            whole += len(events)
            output = await run.result()
        assert output.status is RunStatus.completed
        assert wire.cuts >= whole - len(steps)


async def test_a_remote_step_tells_that_the_remote_run_was_resumed(
    served: Serve, sqlite: SqliteDb, tmp_path: Path
) -> None:
    gate = Gate()
    server = served(held(gate, database(tmp_path)))
    local = Workflow(
        name="Local", steps=[Step("far", agent=RemoteWorkflow(server.url, "held"))], db=InMemoryDb(), store_events=True
    )
    found: list[Any] = []

    async def start() -> None:
        async for event in local.arun("x", stream=True, stream_events=True):
            found.append(event)

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(start)
            await until(gate.entered.is_set)
            async with Client(server.url) as client:
                (row,) = (await client.workflow("held").alist_runs()).items
            other = Owner(sqlite, row.run_id)
            await other.take_over()
            gate.open()
            await other.store(other.resumed())
            await other.store(*other.said(StepContentEvent, WorkflowCompletedEvent, delta="there"))
    assert [event.seq for event in found] == list(range(1, len(found) + 1)), "the local run lost nothing"
    inner = [event.event for event in found if event.nested_depth == 1]
    assert inner[0] == "WorkflowStarted"
    assert inner[-3:] == ["WorkflowResumed", "StepContent", "WorkflowCompleted"]
    assert found[-1].content == "done elsewhere"
