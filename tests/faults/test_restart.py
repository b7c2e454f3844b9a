"""The database goes away in the middle of runs. (D11)"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import anyio
import anyio.to_thread
import pytest
from histories import Owner, folded, log_of
from server.serving import Served, serving
from servers import PostgresServer, postgres_server

from workflow_runtime import (
    RunStatus,
    Step,
    StepContentEvent,
    StepInput,
    StepStartedEvent,
    StorageError,
    Workflow,
    WorkflowCompletedEvent,
)
from workflow_runtime.client import Client
from workflow_runtime.engine.run.host import find_live
from workflow_runtime_postgres import PostgresDb

from .workload import end_lease, talking

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A server that only this module hurts."""
    with postgres_server(own=True) as own:
        assert isinstance(own, PostgresServer)
        yield own


@pytest.fixture
def serve() -> Iterator[Callable[[Workflow], Served]]:
    """``serve(workflow)``: a real HTTP server, in a thread of its own, until the test ends."""
    with ExitStack() as stack:
        yield lambda workflow: stack.enter_context(serving(workflow))


class Relay:
    """Steps that all runs enter before any goes on."""

    def __init__(self, runs: int) -> None:
        self.missing = runs
        self.all_here = anyio.Event()
        self.go_on = anyio.Event()
        self.ran: list[str] = []

    async def first(self, step_input: StepInput) -> str:
        self.ran.append(f"first {step_input.input}")
        return f"first {step_input.input}"

    async def wait(self, step_input: StepInput) -> str:
        self.ran.append(f"wait {step_input.input}")
        self.missing -= 1
        if not self.missing:
            self.all_here.set()
        await self.go_on.wait()
        return f"waited {step_input.input}"

    async def last(self, step_input: StepInput) -> str:
        self.ran.append(f"last {step_input.input}")
        return f"{step_input.previous_step_content}, last"

    def workflow(self, db: PostgresDb) -> Workflow:
        steps = [Step("first", executor=self.first), Step("wait", executor=self.wait), Step("last", executor=self.last)]
        return Workflow(name="relay", db=db, steps=steps, durability="sync", store_events=True)


@pytest.mark.parametrize("how", ["fast", "kill"])
async def test_fifty_running_workflows_outlive_a_restart_of_the_database(server: PostgresServer, how: Any) -> None:
    url = await anyio.to_thread.run_sync(server.new_database)
    relay = Relay(50)
    workflow = relay.workflow(PostgresDb(url))
    found: list[Any] = []

    async def run(number: int) -> None:
        found.append(await workflow.arun(number, session_id=f"s{number}"))

    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            for number in range(50):
                tasks.start_soon(run, number)
            await relay.all_here.wait()
            await anyio.to_thread.run_sync(server.stop if how == "fast" else server.kill)
            relay.go_on.set()
            await anyio.wait_all_tasks_blocked()
            await anyio.to_thread.run_sync(server.start)
    assert {output.content for output in found} == {f"waited {number}, last" for number in range(50)}
    assert len(relay.ran) == len(set(relay.ran)) == 150
    for output in found:
        stored = await workflow.aget_run(output.run_id)
        assert stored is not None
        assert stored.status is RunStatus.completed
        assert stored.events is not None
        assert [event.seq for event in stored.events] == list(range(1, output.last_seq + 1))
    assert workflow.db is not None
    await workflow.db.aclose()


async def test_a_database_that_stays_away_ends_the_run_and_it_is_recovered_when_it_is_back(
    server: PostgresServer,
) -> None:
    url = await anyio.to_thread.run_sync(server.new_database)
    relay = Relay(1)
    workflow = relay.workflow(PostgresDb(url, retry_for=0.3))
    failures: list[BaseException] = []

    async def run() -> None:
        try:
            await workflow.arun("x", run_id="00_r", session_id="s")
        except StorageError as error:
            failures.append(error)

    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run)
            await relay.all_here.wait()
            await anyio.to_thread.run_sync(server.stop)
            relay.go_on.set()
    assert len(failures) == 1
    assert "127.0.0.1" in str(failures[0])
    await anyio.to_thread.run_sync(server.start)
    db = PostgresDb(url)
    await end_lease(db, "00_r")
    second = relay.workflow(db)
    assert await second.recover() == ["00_r"]
    with anyio.fail_after(60):
        async for _ in second.subscribe("00_r"):
            pass
    output = await second.aget_run("00_r")
    assert output is not None
    assert (output.status, output.content) == (RunStatus.completed, "waited x, last")
    assert relay.ran.count("first x") == 1
    for used in (workflow, second):
        assert used.db is not None
        await used.db.aclose()


@pytest.mark.parametrize("retry_for", [30.0, 0.2])
async def test_readers_go_on_when_the_database_is_back(server: PostgresServer, retry_for: float) -> None:
    """With little patience a reader is told that the database is away; it may read on, and misses nothing."""
    url = await anyio.to_thread.run_sync(server.new_database)
    owner = Owner(PostgresDb(url), "r")
    await owner.start()
    await owner.store(*owner.said(StepStartedEvent, StepContentEvent, delta="before"))
    databases = [PostgresDb(url, retry_for=retry_for) for _ in range(2)]
    found: list[list[Any]] = [[], []]
    told: list[StorageError] = []

    async def follow(db: PostgresDb, events: list[Any]) -> None:
        subscription = Workflow(name="w", db=db, steps=[]).subscribe("r")
        while not (events and events[-1].event == "WorkflowCompleted"):
            try:
                events.append(await anext(subscription))
            except StorageError as error:
                told.append(error)
        assert [event async for event in subscription] == []

    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            for db, events in zip(databases, found, strict=True):
                tasks.start_soon(follow, db, events)
            while not all(len(events) == 2 for events in found):
                await anyio.sleep(0.01)
            await anyio.to_thread.run_sync(server.stop)
            while retry_for < 1 and len(told) < 4:
                await anyio.sleep(0.01)
            await anyio.to_thread.run_sync(server.start)
            await owner.store(*owner.said(StepContentEvent, WorkflowCompletedEvent, delta="after"))
    assert bool(told) == (retry_for < 1)
    log = await log_of(owner.db, "r")
    assert len(log) == 4
    assert [folded(events) == folded(log) for events in found] == [True, True]
    for used in (owner.db, *databases):
        await used.aclose()


async def test_a_client_follows_a_run_that_its_server_gave_up_and_takes_over_when_the_database_is_back(
    server: PostgresServer, serve: Callable[[Workflow], Served]
) -> None:
    """An end that could not be stored is shown to nobody."""
    url = await anyio.to_thread.run_sync(server.new_database)
    workflow = talking(PostgresDb(url, retry_for=0.2), lease=0.5)
    found: list[Any] = []
    half = anyio.Event()

    async def follow(client: Client) -> None:
        async for event in client.run("talking", "x", run_id="00_r", stream_events=True):
            found.append(event)
            if event.seq == 150:
                half.set()

    served = await anyio.to_thread.run_sync(serve, workflow)
    async with Client(served.url) as client:
        with anyio.fail_after(60):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(follow, client)
                await half.wait()
                await anyio.to_thread.run_sync(server.stop)
                while find_live("00_r") is not None:
                    await anyio.sleep(0.01)
                await anyio.to_thread.run_sync(server.start)
    db = PostgresDb(url)
    assert folded(found) == folded(await log_of(db, "00_r"))
    ends = [event.event for event in found if event.nested_depth == 0 and event.event.startswith("Workflow")]
    assert ends == ["WorkflowStarted", "WorkflowResumed", "WorkflowCompleted"]
    await db.aclose()
