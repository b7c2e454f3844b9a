"""Readers of a server while other processes take its runs over: events, sockets, requests that wait."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import anyio
import httpx2 as httpx
import pytest
from histories import FOREVER, Owner, folded, log_of
from websockets.asyncio.client import connect

from workflow_runtime import StepContentEvent, StepStartedEvent, WorkflowCompletedEvent
from workflow_runtime.backends import SqliteDb
from workflow_runtime.model.codec import decode_event

from .flows import Gate, chat, held, url_of
from .serving import Served
from .sse import frames_of

pytestmark = pytest.mark.anyio
Serve = Callable[..., Served]


@pytest.fixture
def anyio_backend() -> Any:
    """The clients are asyncio's; the server has a loop of its own."""
    return "asyncio"


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[SqliteDb]:
    """The server's file, as another process has it."""
    found = SqliteDb(tmp_path / "runs.db")
    yield found
    await found.aclose()


async def died(db: SqliteDb, lost: int) -> list[Any]:
    """A run of a process that is gone, as nobody has found out yet; what a reader of that process has seen of it."""
    owner = Owner(db, "r", workflow_id="chat")
    await owner.start(lease_until=FOREVER)
    stored = owner.said(StepStartedEvent, StepContentEvent, StepContentEvent, delta="kept")
    await owner.store(*stored)
    return [*stored, *owner.said(*([StepContentEvent] * lost), delta="lost")]


async def takes_over(db: SqliteDb) -> None:
    """Another process goes on with the run, to its end."""
    other = Owner(db, "r")
    await other.take_over()
    await other.store(other.resumed())
    await other.store(*other.said(StepStartedEvent, *([StepContentEvent] * 5), delta="again"))
    await other.store(*other.said(WorkflowCompletedEvent))


def events_of(answer: httpx.Response) -> list[Any]:
    frames = frames_of(answer.text.splitlines())
    events = [decode_event(json.dumps(frame.data).encode()) for frame in frames]
    assert [event.id for event in events] == [frame.id for frame in frames]
    return events


@pytest.mark.parametrize("lost", [0, 1, 30])
@pytest.mark.parametrize("how", ["header", "query"])
@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_reader_that_comes_back_gets_what_supersedes_its_history(
    served: Serve, db: SqliteDb, tmp_path: Path, lost: int, how: str, when: str
) -> None:
    server = served(chat(), db=url_of(tmp_path))
    seen = await died(db, lost)
    ways: dict[str, Any] = {
        "header": {"headers": {"Last-Event-ID": seen[-1].id}},
        "query": {"params": {"after": seen[-1].id}},
    }
    found: list[Any] = []

    async def follow(client: httpx.AsyncClient) -> None:
        found.extend(events_of(await client.get("/workflows/chat/runs/r/events", **ways[how])))

    async with httpx.AsyncClient(base_url=server.url, timeout=20) as client:
        if when == "after":
            await takes_over(db)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(follow, client)
            if when == "before":
                while not server.service.seats.runs["r"]:
                    await anyio.sleep(0.005)
                await takes_over(db)
    assert found[0].event == "WorkflowResumed"
    assert folded([*seen, *found]) == folded(await log_of(db, "r"))
    assert [event.event for event in found].count("WorkflowCompleted") == 1


async def test_a_number_counts_in_the_attempt_that_the_run_is_at(served: Serve, db: SqliteDb, tmp_path: Path) -> None:
    server = served(chat(), db=url_of(tmp_path))
    await died(db, 30)
    await takes_over(db)
    async with httpx.AsyncClient(base_url=server.url, timeout=20) as client:
        answer = await client.get("/workflows/chat/runs/r/events", params={"after": 9})
        assert [event.id for event in events_of(answer)] == ["2-10", "2-11"]


@pytest.mark.parametrize(
    ("position", "status"), [("1-41", 200), ("1-3", 200), ("2-10", 200), ("2-11", 204), ("11", 204)]
)
async def test_only_who_has_seen_the_end_that_counts_is_told_not_to_come_back(
    served: Serve, db: SqliteDb, tmp_path: Path, position: str, status: int
) -> None:
    server = served(chat(), db=url_of(tmp_path))
    await died(db, 38)
    await takes_over(db)
    async with httpx.AsyncClient(base_url=server.url, timeout=20) as client:
        answer = await client.get("/workflows/chat/runs/r/events", headers={"Last-Event-ID": position})
        assert answer.status_code == status


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_socket_that_comes_back_gets_what_supersedes_its_history(
    served: Serve, db: SqliteDb, tmp_path: Path, when: str
) -> None:
    server = served(chat(), db=url_of(tmp_path))
    seen = await died(db, 30)
    if when == "after":
        await takes_over(db)
    found: list[Any] = []
    async with connect(f"ws://127.0.0.1:{server.port}/workflows/ws") as socket:
        await socket.send(json.dumps({"action": "subscribe", "run_id": "r", "after": seen[-1].id}))
        with anyio.fail_after(20):
            while not found or found[-1]["event"] != "subscribed":
                found.append(json.loads(await socket.recv()))
            if when == "before":
                await takes_over(db)
            while found[-1]["event"] != "WorkflowCompleted":
                found.append(json.loads(await socket.recv()))
    rest = [decode_event(json.dumps(item).encode()) for item in found[2:]]
    assert folded([*seen, *rest]) == folded(await log_of(db, "r"))


# -- a server that has lost the run, and does not know it yet ----------------------------------------------------------


async def lost_while(server: Served, db: SqliteDb, gate: Gate) -> None:
    """The step of the server's run has begun; another process takes the run over, and then the step ends."""
    with anyio.fail_after(20):
        while not gate.entered.is_set():
            await anyio.sleep(0.005)
    other = Owner(db, "r")
    await other.take_over()
    gate.open()
    await other.store(other.resumed())
    await other.store(*other.said(StepStartedEvent, *([StepContentEvent] * 5), delta="again"))
    await other.store(*other.said(WorkflowCompletedEvent))


@pytest.mark.parametrize("background", [False, True])
async def test_a_request_that_started_the_run_is_streamed_what_the_new_owner_says(
    served: Serve, db: SqliteDb, tmp_path: Path, background: bool
) -> None:
    gate = Gate()
    server = served(held(gate), db=url_of(tmp_path))
    found: list[Any] = []

    async def start() -> None:
        body = {"run_id": "r", "session_id": "s", "stream": True, "background": background}
        async with httpx.AsyncClient(base_url=server.url, timeout=20) as client:
            found.extend(events_of(await client.post("/workflows/held/runs", json=body)))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(start)
        await lost_while(server, db, gate)
    assert folded(found) == folded(await log_of(db, "r"))
    names = [event.event for event in found]
    assert "WorkflowError" not in names
    assert (names[-1], names.count("WorkflowCompleted")) == ("WorkflowCompleted", 1)


async def test_a_request_that_waits_for_its_run_is_told_how_it_ended_elsewhere(
    served: Serve, db: SqliteDb, tmp_path: Path
) -> None:
    gate = Gate()
    server = served(held(gate), db=url_of(tmp_path))
    found: list[Any] = []

    async def start() -> None:
        async with httpx.AsyncClient(base_url=server.url, timeout=20) as client:
            body = {"run_id": "r", "session_id": "s"}
            found.append((await client.post("/workflows/held/runs", json=body)).json())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(start)
        await lost_while(server, db, gate)
    assert (found[0]["status"], found[0]["content"], found[0]["epoch"]) == ("COMPLETED", "done elsewhere", 2)


async def test_a_socket_that_started_the_run_hears_what_the_new_owner_says(
    served: Serve, db: SqliteDb, tmp_path: Path
) -> None:
    gate = Gate()
    server = served(held(gate), db=url_of(tmp_path))
    found: list[Any] = []
    async with connect(f"ws://127.0.0.1:{server.port}/workflows/ws") as socket:
        await socket.send(json.dumps({"action": "start", "workflow_id": "held", "run_id": "r", "session_id": "s"}))
        await lost_while(server, db, gate)
        with anyio.fail_after(20):
            while not found or found[-1]["event"] != "WorkflowCompleted":
                found.append(json.loads(await socket.recv()))
    assert folded(decode_event(json.dumps(item).encode()) for item in found[1:]) == folded(await log_of(db, "r"))
