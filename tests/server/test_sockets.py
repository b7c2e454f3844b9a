"""The socket: start, follow, come back, answer, cancel; and what it makes of frames that are none."""

from __future__ import annotations

import json
import socket as stdlib_socket
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import anyio
import httpx2 as httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from workflow_runtime import Workflow
from workflow_runtime.server import Limits

from .flows import Gate, approval, chat, held, url_of
from .serving import Served, serving

pytestmark = pytest.mark.anyio
Serve = Callable[..., Served]


@pytest.fixture
def anyio_backend() -> Any:
    """The client is asyncio's; the server has a loop of its own."""
    return "asyncio"


def talk(server: Served, **options: Any) -> AbstractAsyncContextManager[ClientConnection]:
    return connect(f"ws://127.0.0.1:{server.port}/workflows/ws", max_size=None, **options)


async def say(socket: ClientConnection, action: str, **fields: Any) -> None:
    await socket.send(json.dumps({"action": action, **fields}))


async def hear(socket: ClientConnection, *names: str) -> list[dict[str, Any]]:
    """Everything that is said up to the first frame of one of these names."""
    found: list[dict[str, Any]] = []
    with anyio.fail_after(60):
        while not found or found[-1]["event"] not in names:
            found.append(json.loads(await socket.recv()))
    return found


def numbers(events: list[dict[str, Any]]) -> list[int]:
    """The numbers of all events that frames stand for: merged text stands for several."""
    return [number for e in events for number in range(e["seq"], (e.get("last_seq") or e["seq"]) + 1)]


async def test_a_run_is_started_and_its_events_come_as_they_are_stored(served: Serve, tmp_path: Path) -> None:
    server = served(chat(), db=url_of(tmp_path))
    async with talk(server) as socket:
        hello = (await hear(socket, "connected"))[0]
        assert hello["requires_auth"] is False
        await say(socket, "start-workflow", workflow_id="chat", message="x", session_id="s")
        events = await hear(socket, "WorkflowCompleted")
        run_id = events[-1]["run_id"]
        await say(socket, "ping")
        assert (await hear(socket, "pong"))[-1] == {"event": "pong"}
        await say(socket, "reconnect", run_id=run_id)  # as agno's clients call it
        again = await hear(socket, "WorkflowCompleted")
    assert again[0] == {
        "event": "subscribed",
        "run_id": run_id,
        "status": "COMPLETED",
        "after": 0,
        "last_seq": again[0]["last_seq"],
    }
    assert numbers(again[1:]) == numbers(events) == list(range(1, events[-1]["seq"] + 1))
    assert {event["session_id"] for event in events} == {"s"}


async def test_a_run_goes_on_without_its_socket_and_another_one_gets_the_rest(served: Serve, tmp_path: Path) -> None:
    gate = Gate()
    server = served(held(gate), db=url_of(tmp_path))
    async with talk(server) as socket:
        await say(socket, "start", workflow_id="held", run_id="r")
        seen = (await hear(socket, "StepContent"))[1:]
        socket.transport.abort()
    gate.open()
    async with talk(server) as socket:
        await say(socket, "subscribe", workflow_id="held", run_id="r", after=f"1-{seen[-1]['seq']}")
        rest = (await hear(socket, "WorkflowCompleted"))[2:]
    assert numbers([*seen, *rest]) == list(range(1, rest[-1]["seq"] + 1))
    assert rest[-1]["content"] == "before after"


async def test_agnos_event_index_counts_from_zero(served: Serve, tmp_path: Path) -> None:
    server = served(chat(durability="sync"), db=url_of(tmp_path))
    async with talk(server) as socket:
        await say(socket, "start", workflow_id="chat", run_id="r")
        await hear(socket, "WorkflowCompleted")
        await say(socket, "reconnect", run_id="r", last_event_index=1)
        assert (await hear(socket, "StepContent", "WorkflowCompleted"))[1]["seq"] == 3


async def test_several_runs_share_a_socket(served: Serve, tmp_path: Path) -> None:
    server = served([chat(), approval()], db=url_of(tmp_path))
    async with talk(server) as socket:
        for name in "abc":
            await say(socket, "start", workflow_id="chat", run_id=name)
        ended: set[str] = set()
        while len(ended) < 3:
            ended.add((await hear(socket, "WorkflowCompleted"))[-1]["run_id"])
    assert ended == {"a", "b", "c"}


async def test_a_paused_run_is_answered_over_the_socket(served: Serve, tmp_path: Path) -> None:
    server = served(approval(), db=url_of(tmp_path))
    async with talk(server) as socket:
        await say(socket, "start", workflow_id="approval", run_id="r")
        paused = (await hear(socket, "WorkflowPaused"))[-1]
        asked = paused["step_requirements"]
        wrong = {item["id"]: {"user_input": {"seats": "x"}} for item in asked if item.get("requires_user_input")}
        await say(socket, "answer", workflow_id="approval", run_id="r", answers=wrong)
        assert (await hear(socket, "error"))[-1]["error_type"] == "bad_answer"
        for item in asked:
            item |= {"user_input": {"seats": 2}} if item.get("requires_user_input") else {"confirmed": True}
        await say(socket, "continue-workflow", workflow_id="approval", run_id="r", step_requirements=asked)
        assert (await hear(socket, "WorkflowCompleted"))[-1]["content"] == "paid, seats 2"
        await say(socket, "answer", workflow_id="approval", run_id="r", answers={})
        assert (await hear(socket, "error"))[-1]["error_type"] == "run_not_paused"


async def test_who_follows_a_run_sees_what_its_answers_lead_to_once(served: Serve, tmp_path: Path) -> None:
    server = served(approval(), db=url_of(tmp_path))
    async with httpx.AsyncClient(base_url=server.url) as client:
        run = (await client.post("/workflows/approval/runs", json={})).json()
    answers = {
        item["id"]: {"user_input": {"seats": 1}} if item.get("requires_user_input") else {"confirmed": True}
        for item in run["step_requirements"]
    }
    async with talk(server) as socket:
        await say(socket, "subscribe", run_id=run["run_id"])
        events = (await hear(socket, "WorkflowPaused"))[2:]
        await say(socket, "answer", workflow_id="approval", run_id=run["run_id"], answers=answers)
        events += await hear(socket, "WorkflowCompleted")
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))


async def test_a_run_is_cancelled_and_left_over_the_socket(served: Serve, tmp_path: Path) -> None:
    server = served(held(Gate()), db=url_of(tmp_path))
    async with talk(server) as socket:
        await say(socket, "start", workflow_id="held", run_id="r")
        await hear(socket, "StepStarted")
        await say(socket, "cancel", workflow_id="held", run_id="r")
        heard = [e["event"] for e in await hear(socket, "WorkflowCancelled", "cancelling")]
        heard += [e["event"] for e in await hear(socket, "WorkflowCancelled", "cancelling")]
        assert {"cancelling", "WorkflowCancelled"} <= set(heard)
        await say(socket, "start", workflow_id="held", run_id="other")
        await hear(socket, "StepStarted")
        await say(socket, "unsubscribe", run_id="other")
        await hear(socket, "unsubscribed")
        await say(socket, "cancel", workflow_id="held", run_id="other")
        assert (await hear(socket, "cancelling"))[-1]["cancelled"] is True


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ("", "bad_frame"),
        ("nonsense", "bad_frame"),
        ("[]", "bad_frame"),
        ("null", "bad_frame"),
        ("{}", "unknown_action"),
        ('{"action": "fly"}', "unknown_action"),
        ('{"action": {"a": 1}}', "unknown_action"),
        ('{"action": "subscribe"}', "bad_frame"),
        ('{"action": "subscribe", "run_id": 3}', "bad_frame"),
        ('{"action": "subscribe", "run_id": "none"}', "run_not_found"),
        ('{"action": "subscribe", "run_id": "../../etc/passwd"}', "run_not_found"),
        ('{"action": "subscribe", "run_id": "a\\u0000b"}', "run_not_found"),
        ('{"action": "start-workflow", "workflow_id": "none"}', "workflow_not_found"),
        ('{"action": "start-workflow", "workflow_id": "chat", "session_id": "a\\u0000"}', "bad_frame"),
        ('{"action": "cancel", "workflow_id": "chat", "run_id": "none"}', "run_not_found"),
        ('{"action": "answer", "workflow_id": "chat", "run_id": "none", "step_requirements": [{}]}', "bad_answer"),
        ('{"action": "start", "workflow_id": "chat", "input": ' + "[" * 200 + "]" * 200 + "}", "bad_frame"),
        ('{"action": "start", "workflow_id": "chat", "input": ' + "[" * 3000 + "]" * 3000 + "}", "bad_frame"),
        ('{"action": "start", "workflow_id": "chat", "input": ' + "[" * 99999 + "]" * 99999 + "}", "bad_frame"),
        (json.dumps({"action": "start-workflow", "workflow_id": "chat", "run_id": "a/b"}), "bad_frame"),
        (json.dumps({"action": "start-workflow", "workflow_id": "chat", "run_id": "☃"}), "bad_frame"),
        (json.dumps({"action": "start-workflow", "workflow_id": "chat", "session_id": "a/b"}), "bad_frame"),
    ],
)
async def test_a_frame_that_does_not_fit_is_refused_and_the_socket_stays(
    served: Serve, tmp_path: Path, frame: str, code: str
) -> None:
    server = served(chat(), db=url_of(tmp_path))
    async with talk(server) as socket:
        await socket.send(frame)
        error = (await hear(socket, "error"))[-1]
        assert error["error_type"] == code
        await say(socket, "ping")
        await hear(socket, "pong")


async def test_a_frame_that_is_too_large_ends_the_socket(served: Serve, tmp_path: Path) -> None:
    server = served(chat(), db=url_of(tmp_path), limits=Limits(frame=1000))
    async with talk(server) as socket:
        await say(socket, "start", workflow_id="chat", input="x" * 2000)
        with pytest.raises(ConnectionClosed) as closed:
            await hear(socket, "never")
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1009


async def test_a_socket_follows_only_so_many_runs(served: Serve, tmp_path: Path) -> None:
    server = served(held(Gate()), db=url_of(tmp_path), limits=Limits(runs_per_socket=2, connections_per_user=1))
    async with talk(server) as socket:
        for name in "ab":
            await say(socket, "start", workflow_id="held", run_id=name)
            await hear(socket, "StepStarted")
        await say(socket, "start", workflow_id="held", run_id="c")
        assert (await hear(socket, "error"))[-1]["error_type"] == "too_many_runs"
        async with talk(server) as second:
            assert (await hear(second, "error"))[-1]["error_type"] == "too_many_connections"
        for name in "ab":
            await say(socket, "cancel", workflow_id="held", run_id=name)


async def test_a_socket_that_does_not_read_is_closed(served: Serve, tmp_path: Path) -> None:
    async def flood(step_input: Any) -> Any:
        for _ in range(400):
            yield "x" * 20_000

    pings = {"ws_ping_interval": 0.3, "ws_ping_timeout": 0.3}
    server = served(Workflow(name="Flood", steps=[flood]), db=url_of(tmp_path), uvicorn_config=pings)
    small = stdlib_socket.create_connection(("127.0.0.1", server.port))
    small.setsockopt(stdlib_socket.SOL_SOCKET, stdlib_socket.SO_RCVBUF, 4096)
    async with talk(server, sock=small, max_queue=1, close_timeout=0.1) as socket:
        await say(socket, "start", workflow_id="flood", run_id="r")
        async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:
            await client.get("/workflows/flood/runs/r/events")
        with anyio.fail_after(60):
            while server.service.seats.users:
                await anyio.sleep(0.01)
        socket.transport.abort()


async def test_a_page_of_another_site_opens_no_socket(served: Serve, tmp_path: Path) -> None:
    server = served(chat(), db=url_of(tmp_path))
    with pytest.raises(InvalidStatus) as refused:
        async with talk(server, origin="https://evil.example"):
            pass
    assert refused.value.response.status_code == 403
    async with talk(server, origin=server.url) as socket:
        await hear(socket, "connected")


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)
_ACTIONS = [
    "start-workflow",
    "subscribe",
    "reconnect",
    "continue-workflow",
    "answer",
    "cancel",
    "ping",
    "authenticate",
    "x",
]
_FIELDS = [
    "workflow_id",
    "run_id",
    "session_id",
    "input",
    "answers",
    "step_requirements",
    "after",
    "last_event_index",
    "token",
]
_FRAMES = st.one_of(
    st.text(max_size=50),
    st.binary(max_size=50),
    _JSON.map(json.dumps),
    st.builds(
        lambda action, fields: json.dumps({"action": action, **fields}),
        st.sampled_from(_ACTIONS) | _JSON,
        st.dictionaries(st.sampled_from(_FIELDS), _JSON | st.sampled_from(["chat", "r", "1-2"]), max_size=6),
    ),
)


def test_no_frame_breaks_the_server(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with serving(chat(), db=url_of(tmp_path)) as server:

        @given(frames=st.lists(_FRAMES, min_size=1, max_size=12))
        @settings(max_examples=60)
        def fuzz(frames: list[Any]) -> None:
            anyio.run(send_all, frames)

        async def send_all(frames: list[Any]) -> None:
            async with talk(server) as socket:
                for frame in frames:
                    await socket.send(frame)
                await say(socket, "ping")
                pongs = frames.count('{"action": "ping"}')
                for _ in range(pongs + 1):
                    heard = await hear(socket, "pong")
                    assert not [item for item in heard if item.get("error_type") in ("internal", "storage")]

        fuzz()
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
