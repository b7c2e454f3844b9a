"""Following a run by server-sent events: replay, live, reconnecting, heartbeats, slow and many readers."""

from __future__ import annotations

import asyncio
import gc
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import httpx2 as httpx
import pytest

from workflow_runtime import CustomEvent, RunContext, StepInput, Workflow
from workflow_runtime.server import Limits

from .flows import Gate, approval, chat, held, url_of
from .serving import Served
from .sse import frames_of
from .wire import Follower, open_stream

pytestmark = pytest.mark.anyio

Serve = Callable[..., Served]
Api = Callable[..., httpx.Client]


@pytest.fixture
def anyio_backend() -> Any:
    """The clients here are asyncio's; the server has a loop of its own."""
    return ("asyncio", {"use_uvloop": True})


def test_a_stream_says_how_it_wants_to_be_read(api: Api) -> None:
    client = api(chat(), limits=Limits(retry=2.5))
    run_id = client.post("/workflows/chat/runs", json={}).json()["run_id"]
    answer = client.get(f"/workflows/chat/runs/{run_id}/events")
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store, no-transform"
    assert answer.headers["x-accel-buffering"] == "no"
    assert answer.text.startswith("retry: 2500\n\n")
    head = client.head(f"/workflows/chat/runs/{run_id}/events")
    assert (head.status_code, head.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")


def test_a_reader_that_was_cut_off_anywhere_gets_exactly_the_rest(api: Api) -> None:
    client = api(chat(chunks=4, durability="sync"))
    run_id = client.post("/workflows/chat/runs", json={}).json()["run_id"]
    url = f"/workflows/chat/runs/{run_id}/events"
    whole = frames_of(client.get(url).text.splitlines())
    for position, frame in enumerate(whole[:-1]):
        for ways in (
            {"headers": {"Last-Event-ID": frame.id}},
            {"params": {"after": frame.seq}},
            {"params": {"after": frame.id}},
        ):
            rest = frames_of(client.get(url, **ways).text.splitlines())
            assert [(f.id, f.data) for f in rest] == [(f.id, f.data) for f in whole[position + 1 :]]
    both = client.get(url, headers={"Last-Event-ID": whole[2].id}, params={"after": 0})
    assert len(frames_of(both.text.splitlines())) == len(whole) - 3, "the header wins: an EventSource repeats its URL"


def test_a_reader_that_has_seen_everything_is_told_not_to_come_back(api: Api) -> None:
    client = api(chat())
    run_id = client.post("/workflows/chat/runs", json={}).json()["run_id"]
    url = f"/workflows/chat/runs/{run_id}/events"
    last = frames_of(client.get(url).text.splitlines())[-1]
    assert client.get(url, headers={"Last-Event-ID": last.id}).status_code == 204


def test_events_are_chosen_by_name_and_path(api: Api) -> None:
    client = api(approval())
    run_id = client.post("/workflows/approval/runs", json={}).json()["run_id"]
    client.post(f"/workflows/approval/runs/{run_id}/cancel")
    url = f"/workflows/approval/runs/{run_id}/events"
    found = frames_of(client.get(url, params={"kinds": "StepPaused,WorkflowStarted"}).text.splitlines())
    assert [frame.event for frame in found] == ["WorkflowStarted", "StepPaused", "StepPaused", "WorkflowCancelled"]
    found = frames_of(client.get(url, params={"kinds": "StepPaused", "path": "both/pay"}).text.splitlines())
    assert [frame.event for frame in found] == ["StepPaused", "WorkflowCancelled"]


@pytest.mark.parametrize("after", ["x", "1-", "-1", "1-2-3", "9" * 30, "1-" + "9" * 30, "²"])
def test_a_position_that_is_none_is_refused(api: Api, after: str) -> None:
    client = api(chat())
    run_id = client.post("/workflows/chat/runs", json={}).json()["run_id"]
    answer = client.get(f"/workflows/chat/runs/{run_id}/events", params={"after": after})
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_position")


def test_of_a_run_whose_events_are_all_skipped_the_end_comes(api: Api) -> None:
    names = ["WorkflowStarted", "StepStarted", "StepContent", "StepOutput", "StepCompleted", "WorkflowCompleted"]
    client = api(chat(events_to_skip=names))
    run_id = client.post("/workflows/chat/runs", json={}).json()["run_id"]
    answer = client.get(f"/workflows/chat/runs/{run_id}/events")
    assert answer.status_code == 200
    assert [frame.event for frame in frames_of(answer.text.splitlines())] == ["WorkflowCompleted"]


async def test_an_idle_stream_shows_that_it_lives(served: Serve, tmp_path: Path) -> None:
    gate = Gate()
    server = served(held(gate), db=url_of(tmp_path), limits=Limits(heartbeat=0.05))
    async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:
        run_id = (await client.post("/workflows/held/runs", json={"background": True})).json()["run_id"]
    answer = await open_stream(server.port, f"/workflows/held/runs/{run_id}/events")
    beats = 0
    with anyio.fail_after(60):
        async for block in answer.blocks():
            beats += block.get("") == "heartbeat"
            if beats == 2:
                gate.open()
            if block.get("event") == "WorkflowCompleted":
                break
    answer.abort()
    assert beats >= 2


async def test_a_paused_run_is_followed_through_its_pause(served: Serve, tmp_path: Path) -> None:
    server = served(approval(), db=url_of(tmp_path))
    async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:
        run = (await client.post("/workflows/approval/runs", json={})).json()
        follower = Follower(server.port, f"/workflows/approval/runs/{run['run_id']}/events")
        async with anyio.create_task_group() as group:
            group.start_soon(follower.connect)
            answers = {
                item["id"]: {"user_input": {"seats": 1}} if item.get("requires_user_input") else {"confirmed": True}
                for item in run["step_requirements"]
            }
            url = f"/workflows/approval/runs/{run['run_id']}/continue"
            answered = await client.post(url, json={"answers": answers, "background": True})
            assert answered.status_code == 202, answered.text
    assert follower.is_whole
    assert {"WorkflowPaused", "WorkflowCompleted"} <= set(follower.names)


async def test_five_hundred_readers_killed_at_random_see_every_event_once(served: Serve, tmp_path: Path) -> None:
    gate = Gate()

    def story() -> Workflow:
        async def tell(step_input: Any) -> Any:
            for number in range(40):
                if number == 10:
                    await gate.passed()
                yield f"{number} "

        return Workflow(name="Story", steps=[tell])

    limits = Limits(connections_per_user=600, readers_per_run=50)
    server = served(story(), db=url_of(tmp_path), limits=limits)
    chance = random.Random(7)

    async def crowd() -> None:
        async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:
            ids = [
                (await client.post("/workflows/story/runs", json={"background": True})).json()["run_id"]
                for _ in range(50)
            ]
        followers = [Follower(server.port, f"/workflows/story/runs/{ids[n % 50]}/events") for n in range(500)]

        async def follow(follower: Follower) -> None:
            while not await follower.connect(chance.choice([1, 2, 4, 8, None])):
                pass

        with anyio.fail_after(60):
            async with anyio.create_task_group() as group:
                for follower in followers:
                    group.start_soon(follow, follower)
                while not all(follower.spans for follower in followers):
                    await anyio.sleep(0.01)
                gate.open()
        assert all(follower.is_whole for follower in followers)
        assert {follower.names[-1] for follower in followers} == {"WorkflowCompleted"}
        assert len({follower.spans[-1] for follower in followers}) == 1
        assert sum(follower.connections for follower in followers) > 1000

    counted: list[Counter[str]] = []
    for _ in range(2):
        await crowd()
        await left_alone(server)
        counted.append(server.call(things))
    assert (counted[1] - counted[0]).total() < 50, "a crowd leaves nothing behind: not one object per run"


async def left_alone(server: Served) -> None:
    """Until the server has let go of every reader."""
    with anyio.fail_after(60):
        while server.service.seats.users or server.service.seats.runs:
            await anyio.sleep(0.01)


async def things() -> Counter[str]:
    """How many objects there are of what the server is made of, by their types."""
    gc.collect()
    kinds = (type(item) for item in gc.get_objects())
    rooms = ("workflow_runtime", "workflow_runtime_sqlite", "starlette")  # uvicorn's timers keep some
    found = Counter(
        f"{kind.__module__}.{kind.__name__}" for kind in kinds if str(kind.__module__).split(".")[0] in rooms
    )
    assert found["workflow_runtime.engine.readers.subscription.Subscription"] == 0
    assert len(asyncio.all_tasks()) < 20
    return found


async def test_a_reader_that_stops_reading_is_left_and_holds_nobody_up(served: Serve, tmp_path: Path) -> None:
    async def flood(step_input: Any) -> Any:
        for _ in range(400):
            yield "x" * 20_000

    workflow = Workflow(name="Flood", steps=[flood], db=url_of(tmp_path))
    server = served(workflow, limits=Limits(send_timeout=0.3))
    async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:
        run_id = (await client.post("/workflows/flood/runs", json={"background": True})).json()["run_id"]
        path = f"/workflows/flood/runs/{run_id}/events"
        stalled = [await open_stream(server.port, path, receive_buffer=4096) for _ in range(3)]
        reader = Follower(server.port, path)
        with anyio.fail_after(60):
            await reader.connect()
        assert reader.is_whole
        assert reader.names[-1] == "WorkflowCompleted"
        assert (await client.get(f"/workflows/flood/runs/{run_id}")).json()["status"] == "COMPLETED"
    await left_alone(server)
    for answer in stalled:
        answer.abort()


async def test_there_are_only_so_many_seats(served: Serve, tmp_path: Path) -> None:
    gate = Gate()
    server = served(held(gate), db=url_of(tmp_path), limits=Limits(connections_per_user=3, readers_per_run=2))
    async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:
        ids = [
            (await client.post("/workflows/held/runs", json={"background": True})).json()["run_id"] for _ in range(2)
        ]
        paths = [f"/workflows/held/runs/{run_id}/events" for run_id in ids]
        taken = [await open_stream(server.port, path) for path in (paths[0], paths[0], paths[1])]
        assert [answer.status for answer in taken] == [200, 200, 200]
        full = await client.get(paths[1])
        assert (full.status_code, full.json()["code"]) == (429, "too_many_connections")
        refused = await client.post("/workflows/held/runs", json={"stream": True, "run_id": "never"})
        assert refused.status_code == 429
        assert (await client.get("/workflows/held/runs/never")).status_code == 404, "it was not started"
        taken.pop().abort()
        with anyio.fail_after(60):
            while server.service.seats.users[None] > 2:
                await anyio.sleep(0.01)
        crowded = await client.get(paths[0])
        assert (crowded.status_code, crowded.json()["code"]) == (429, "too_many_readers")
        for answer in taken:
            answer.abort()
        gate.open()
    await left_alone(server)


def test_events_that_were_pruned_are_gone_and_said_to_be(api: Api, tmp_path: Path) -> None:
    from workflow_runtime.backends import SqliteDb

    client = api(chat())
    run_id = client.post("/workflows/chat/runs", json={}).json()["run_id"]

    async def prune() -> None:
        db = SqliteDb(tmp_path / "runs.db")
        kinds = frozenset({"WorkflowStarted", "WorkflowCompleted"})
        assert (await db.prune(kinds=kinds, before=2**40, limit=1000)).rows
        from workflow_runtime.model.codec import event_names

        await db.prune(kinds=event_names(), before=2**40, limit=1000)
        await db.aclose()

    anyio.run(prune)
    answer = client.get(f"/workflows/chat/runs/{run_id}/events")
    assert (answer.status_code, answer.json()["code"]) == (410, "events_gone")


def test_an_events_name_is_no_place_to_put_another_event(api: Api) -> None:
    class Sly(CustomEvent):
        event = "Sly\n\nid: 9-9\nevent: WorkflowCompleted\rdata: {}"

    def step(step_input: StepInput, run_context: RunContext) -> str:
        run_context.emit(Sly(id="9-9\n\ndata: x", text="a\n\nevent: b\u2028\r"))
        return "done"

    client = api(Workflow(name="Sly", steps=[step]))
    run_id = client.post("/workflows/sly/runs", json={}).json()["run_id"]
    frames = frames_of(client.get(f"/workflows/sly/runs/{run_id}/events").text.split("\n"))
    assert [int(frame.id.split("-")[1]) for frame in frames] == list(range(1, len(frames) + 1))
    assert [frame.data["text"] for frame in frames if "text" in frame.data] == ["a\n\nevent: b\u2028\r"]
    assert [frame.event for frame in frames].count("WorkflowCompleted") == 1
