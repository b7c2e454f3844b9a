"""What a server, a client or a caller's mapping says: nothing runs, and a client's call ends, well or with our own error."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from hypothesis import given

from workflow_runtime import (
    CustomEvent,
    ErrorRequirement,
    InMemoryDb,
    StepInput,
    StepOutput,
    StepRequirement,
    Workflow,
    WorkflowRunOutput,
    WorkflowRuntimeError,
    WorkflowSession,
    requirement_from_dict,
)
from workflow_runtime.client import Client, RemoteWorkflow
from workflow_runtime.client.wire import Wire
from workflow_runtime.model.codec import event_from_dict
from workflow_runtime.server import workflow_app

from .hostile import deep, nothing_runs, tags
from .rows import nodes, replaced
from .test_stored_rows import give, pay, shop
from .test_values import json_values

pytestmark = [pytest.mark.anyio]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


# -- a hostile server -------------------------------------------------------------------------------------------------


RUN = "/workflows/shop/runs/waits"


async def recorded() -> dict[str, Any]:
    """What a real server answers, by the end of the path."""
    db = InMemoryDb()
    workflow = shop(db)
    app = workflow_app([workflow])
    found: dict[str, Any] = {}
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://127.0.0.1") as http,
    ):
        body = {"input": {"item": "lamp"}, "run_id": "waits", "session_id": "s"}
        found["started"] = (await http.post("/workflows/shop/runs", json={**body, "stream": True})).text
        for name, path in {
            "run": RUN, "history": f"{RUN}/history", "runs": "/workflows/shop/runs", "pending": "/pending",
            "session": "/sessions/s",
            "state": "/sessions/s/state", "workflow": "/workflows/shop", "workflows": "/workflows",
        }.items():  # fmt: skip
            found[name] = (await http.get(path)).json()
        found["cancel"] = (await http.post(f"{RUN}/cancel")).json()
        found["cancelled"] = (await http.get(RUN)).json()
    return found


KINDS = [
    (r"POST .*/runs$", "started"), (r"POST .*/continue$", "started"), (r"GET .*/events", "started"),
    (r".*/history", "history"),
    (r".*/cancel", "cancel"), (r"POST .*/fork", "run"), (r".*/pending", "pending"), (r"GET .*/runs(\?.*)?$", "runs"),
    (r".*/runs/[^/]*$", "run"), (r".*/state", "state"), (r".*/sessions/", "session"), (r".*/workflows$", "workflows"),
    (r".*", "workflow"),
]  # fmt: skip


class Hostile:
    """A server that answers what a real one would, with other things in its places."""

    def __init__(self, answers: dict[str, Any], all_tags: list[Any], seed: int) -> None:
        self.answers, self.tags, self.chance = answers, all_tags, random.Random(seed)
        self.wrong = 0.5  # how often an answer is spoiled
        self.url = ""

    async def handle(self, stream: anyio.abc.SocketStream) -> None:
        async with stream:
            try:
                head = b""
                while b"\r\n\r\n" not in head:
                    head += await stream.receive()
                head, _, rest = head.partition(b"\r\n\r\n")
                length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
                while length and len(rest) < int(length[1]):
                    rest += await stream.receive()
                method, path, _ = head.split(b"\r\n")[0].decode().split(" ")
                await stream.send(self.answer(method, path, rest))
            except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
                return

    def answer(self, method: str, path: str, body: bytes) -> bytes:
        name = next(name for pattern, name in KINDS if re.fullmatch(pattern, f"{method} {path}"))
        sse = name == "started" and (b'"stream":true' in body or path.partition("?")[0].endswith("/events"))
        status, sort = b"200 OK", b"text/event-stream" if sse else b"application/json"
        text = self._events(body) if sse else self._json(self.answers["run" if name == "started" else name])
        if self.chance.random() < 0.05:
            status, text = (
                self.chance.choice([b"404 Not Found", b"409 Conflict", b"400 Bad", b"500 Oh"]),
                self._json({"code": self.chance.choice(["run_exists", "run_not_paused", "", 1]), "detail": "no"}),
            )
            sort = b"application/json"
        head = b"HTTP/1.1 %s\r\ncontent-type: %s\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
        return head % (status, sort, len(text)) + text

    def _json(self, value: Any) -> bytes:
        if self.chance.random() > self.wrong:
            return json.dumps(value).encode()
        if self.chance.random() < 0.1:
            return self.chance.choice(
                [b"", b"\xff", b"null", b"[]", b"1", b"[" * 5000, b'"x"', b"{", b'{"a":1e999}', b"NaN"]
            )
        for _ in range(self.chance.choice([1, 2])):
            value = replaced(value, self.chance.choice(list(nodes(value))), self.chance.choice(self.tags))
        text = json.dumps(value).encode()
        return text.replace(b'"$"', b'"\\u0024"') if self.chance.random() < 0.3 else text

    def _events(self, body: bytes) -> bytes:
        run_id = re.search(rb'"run_id":"([^"]*)"', body)
        frames = []
        for frame in self.answers["started"].split("\n\n"):
            data = next((line[6:] for line in frame.splitlines() if line.startswith("data: ")), None)
            if data is None:
                continue
            value = json.loads(data)
            if run_id:
                value["run_id"] = run_id[1].decode()
            frames.append(b"id: 1-%d\nevent: x\ndata: %s\n\n" % (value["seq"], self._json(value)))
        if self.chance.random() < 0.3:
            self.chance.shuffle(frames)
        frames.append(
            b'id: 1-99\nevent: x\ndata: {"event":"WorkflowCompleted","seq":99,"content":{"$":"date","v":"2024-01-01"}}\n\n'
        )
        return b"".join(frames)


@asynccontextmanager
async def served(server: Hostile) -> Any:
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    server.url = f"http://127.0.0.1:{listener.extra(anyio.abc.SocketAttribute.local_port)}"
    async with listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, server.handle)
        yield server
        group.cancel_scope.cancel()


async def all_of(events: Any) -> list[Any]:
    return [event async for event in events]


def calls(client: Client) -> dict[str, Callable[[], Awaitable[Any]]]:
    w = client.workflow("shop")
    return {
        "await run": lambda: w.arun("x"),
        "stream": lambda: all_of(w.run("x", stream_events=True)),
        "background": lambda: w.arun("x", background=True),
        "continue": lambda: w.acontinue_run(run_id="waits", answers={"q": {"confirmed": True}}),
        "subscribe": lambda: all_of(w.subscribe("waits")),
        "get_run": lambda: w.aget_run("waits"),
        "list_runs": lambda: w.alist_runs(),
        "list_pending": lambda: client.alist_pending(),
        "history": lambda: w.history("waits"),
        "cancel": lambda: w.acancel_run("waits"),
        "fork": lambda: w.fork("waits"),
        "session": lambda: w.aget_session("s"),
        "state": lambda: w.aget_session_state("s"),
        "set state": lambda: w.aupdate_session_state({"k": 1}, "s"),
        "name": lambda: w.aset_session_name("s", "n"),
        "delete": lambda: w.adelete_session("s"),
        "describe": lambda: w.describe(),
        "workflows": lambda: client.workflows(),
    }


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.usefixtures("quiet")
async def test_a_hostile_server_makes_a_client_do_nothing_but_fail(tmp_path: Path, seed: int) -> None:
    answers = await recorded()
    ended: Counter[str] = Counter()
    with nothing_runs(tmp_path):
        async with served(Hostile(answers, list(tags(tmp_path)), seed)) as server:
            for _ in range(15):
                async with Client(server.url, reconnect=0.2, types=[Filed]) as client:
                    for name, call in calls(client).items():
                        try:
                            with anyio.fail_after(20):
                                found = await call()
                            repr(found)
                            for item in found if isinstance(found, list) else [found]:
                                if hasattr(item, "to_dict"):
                                    json.dumps(item.to_dict())
                            ended[f"{name} done"] += 1
                        except WorkflowRuntimeError:
                            ended[f"{name} failed"] += 1
    assert sum(count for name, count in ended.items() if name.endswith("done")) > 30, ended


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.usefixtures("quiet")
async def test_a_hostile_server_makes_a_remote_step_do_nothing_but_fail(tmp_path: Path, seed: int) -> None:
    answers = await recorded()
    ended: Counter[str] = Counter()
    with nothing_runs(tmp_path):
        async with served(Hostile(answers, list(tags(tmp_path)), seed)) as server:
            for _ in range(25):
                server.wrong = 0.2
                local = Workflow(
                    name="local",
                    db=InMemoryDb(),
                    store_events=True,
                    steps=[RemoteWorkflow(server.url, "shop", reconnect=0.2)],
                )
                try:
                    with anyio.fail_after(20):
                        output = await local.arun("x", run_id="r")
                        if output.is_paused:
                            for item in output.active_step_requirements:
                                item.confirm()
                                for asked in item.executor_requirements or ():
                                    asked.setdefault("user_input", {"value": 1})
                            output = await local.acontinue_run(run_id="r", step_requirements=output.step_requirements)
                    ended[output.status.value] += 1
                except (WorkflowRuntimeError, ValueError) as error:
                    ended[type(error).__name__] += 1
                stored = await local.aget_run("r")
                assert stored is not None
                json.dumps(stored.to_dict())
    assert len(ended) > 1, ended


# -- what a caller hands in -------------------------------------------------------------------------------------------


@dataclass
class Report:
    pages: int


class Filed(CustomEvent):
    pages: int


READERS: dict[str, Callable[[Any], Any]] = {
    "event_from_dict": event_from_dict,
    "StepOutput": StepOutput.from_dict,
    "StepInput": StepInput.from_dict,
    "WorkflowRunOutput": WorkflowRunOutput.from_dict,
    "WorkflowSession": WorkflowSession.from_dict,
    "StepRequirement": StepRequirement.from_dict,
    "ErrorRequirement": ErrorRequirement.from_dict,
    "requirement_from_dict": requirement_from_dict,
    "Workflow": lambda data: Workflow.from_dict(data, registry=[give, pay, Report]),
    "StepOutput with types": lambda data: StepOutput.from_dict(data, types=[Report]),
    "WorkflowRunOutput with types": lambda data: WorkflowRunOutput.from_dict(data, types=()),
    "StepRequirement with types": lambda data: StepRequirement.from_dict(data, types=()),
    "event with types": lambda data: event_from_dict(data, types=[Report, Filed]),
}


async def whole() -> dict[str, Any]:
    """A good mapping for each reader."""
    db = InMemoryDb()
    workflow = shop(db)
    output = await workflow.arun({"item": "lamp"}, run_id="r", session_id="s")
    session = await workflow.aget_session("s")
    assert session is not None
    question = (output.step_requirements or [])[0].to_dict()
    definition = Workflow(
        name="w",
        steps=[],
        session_state={"k": {1, 2}},
        metadata={"m": Decimal(1)},
        dependencies={"d": date(2024, 1, 1)},
    ).to_dict()
    made = {
        "event_from_dict": [event.to_dict() for event in output.events or ()],
        "StepOutput": [output.step_results[0].to_dict()],
        "StepInput": [StepInput("x", "y", {"a": output.step_results[0]}).to_dict()],
        "WorkflowRunOutput": [output.to_dict()],
        "WorkflowSession": [session.to_dict()],
        "StepRequirement": [question],
        "ErrorRequirement": [ErrorRequirement(id="e", path="p").to_dict()],
        "requirement_from_dict": [question],
        "Workflow": [definition, shop(db).to_dict()],
    }
    return {name: made.get(name.split(" ")[0], made["event_from_dict"]) for name in READERS}


@pytest.mark.parametrize("reader", READERS)
async def test_a_mapping_of_others_makes_nothing_but_values(tmp_path: Path, reader: str) -> None:
    samples = (await whole())[reader]
    chance = random.Random(1)
    read = READERS[reader]
    all_tags = list(tags(tmp_path))
    good = 0
    with nothing_runs(tmp_path):
        for odd in (None, 1, "x", [], [1], {}, {"event": 1}, {"session_id": deep(300)}, {"steps": deep(5000)}):
            expect_value_error(read, odd)
        for _ in range(1500):
            value = chance.choice(samples)
            for _ in range(chance.choice([1, 1, 3])):
                value = replaced(value, chance.choice(list(nodes(value))), chance.choice(all_tags))
            good += expect_value_error(read, value)
    assert good > (10 if reader in ("ErrorRequirement", "Workflow") else 100)


def expect_value_error(read: Callable[[Any], Any], value: Any) -> bool:
    try:
        found = read(value)
    except ValueError:
        return False
    repr(found)
    return True


@given(value=json_values)
def test_plain_json_comes_back_as_it_is(value: Any) -> None:
    output = StepOutput(value)
    assert StepOutput.from_dict(output.to_dict()) == output
    asked = StepRequirement(id="r:a@before", path="a", user_input={"k": value}, edited_output=value, is_edited=True)
    assert StepRequirement.from_json(asked.to_json()) == asked


def test_types_say_which_classes_may_come_back() -> None:
    sealed = {"$": "dataclass", "t": f"{__name__}:Report", "v": {"pages": {"$": "decimal", "v": "1.5"}}}
    assert StepOutput.from_dict({"content": sealed}).content == sealed
    assert StepOutput.from_dict({"content": sealed}, types=()).content == {"pages": Decimal("1.5")}
    assert StepOutput.from_dict({"content": sealed}, types=[Report]).content == Report(Decimal("1.5"))  # type: ignore[arg-type]
    event = {"event": "StepCompleted", "seq": 1, "content": sealed}
    assert event_from_dict(event).content == {"pages": Decimal("1.5")}
    assert event_from_dict(event, types=[Report]).content == Report(Decimal("1.5"))  # type: ignore[arg-type]
    assert event_from_dict(event, types=None).content == sealed
    escaped = (
        '{"\\u0065vent":"StepCompleted","content":{"\\u0024":"namedtuple","t":"subprocess:Popen","v":[["touch"]]}}'
    )
    assert Wire().event(escaped).content == [["touch"]]
    assert Wire([Report]).event(json.dumps(event)).content == Report(Decimal("1.5"))  # type: ignore[arg-type]
