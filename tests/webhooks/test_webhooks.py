"""Events of runs are sent to webhooks over real sockets: signed, at least once, retried, and dead in the end."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import httpx2 as httpx
import pytest
from server.serving import serving
from servers import TestServer

from workflow_runtime import (
    BaseDb,
    BuildError,
    InMemoryDb,
    Retry,
    RunContext,
    RunStatus,
    Runtime,
    Step,
    StepInput,
    Webhook,
    Workflow,
)
from workflow_runtime.model.webhook import signed
from workflow_runtime.server import workflow_app
from workflow_runtime.storage.registry import open_url

from .receiver import Received, Receiver

pytestmark = pytest.mark.anyio

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SOON = Retry(attempts=5, delay=0.0, jitter=0.0)


@pytest.fixture(autouse=True)
def _no_blocked_loop() -> None:
    """These tests wait for a server in threads of its own, and nothing else runs on their loop."""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BaseDb]:
    if request.param == "memory":
        yield InMemoryDb()
        return
    if request.param == "postgres":
        server: TestServer = request.getfixturevalue("postgres")
        db = open_url(f"{server.new_database()}?max_size=4")
    else:
        db = open_url(f"sqlite:///{tmp_path}/runs.db")
    yield db
    anyio.run(db.aclose)


async def work(step_input: StepInput) -> str:
    return f"worked on {step_input.input}"


async def asks(run_context: RunContext) -> str:
    return f"answered {await run_context.ask('well?')}"


def build(*webhooks: Webhook, db: BaseDb, executor: Any = work, **options: Any) -> Workflow:
    return Workflow(name="Shop", steps=[Step(name="a", executor=executor)], db=db, webhooks=webhooks, **options)


def is_signed(request: Received, secret: str) -> bool:
    """By the specification, over the bytes that came."""
    content = b".".join([request.id.encode(), request.headers["webhook-timestamp"].encode(), request.body])
    key = base64.b64decode(secret.removeprefix("whsec_"))
    expected = base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
    return f"v1,{expected}" in request.headers["webhook-signature"].split(" ")


async def waited(receiver: Receiver, count: int) -> list[Received]:
    return await anyio.to_thread.run_sync(receiver.wait, count)


async def settled(db: BaseDb) -> None:
    while await db.list_deliveries(dead=False):
        await anyio.sleep(0.01)


async def test_the_end_of_a_run_is_sent_signed(store: BaseDb) -> None:
    with Receiver() as receiver:
        workflow = build(Webhook(url=f"{receiver.url}/hook", secret=[SECRET, f"whsec_{'b' * 32}"]), db=store)
        async with Runtime(workflow, interval=0.01):
            output = await workflow.arun("owls")
            (got,) = await waited(receiver, 1)
            with anyio.fail_after(20):
                await settled(store)
    assert (got.path, got.headers["content-type"]) == ("/hook", "application/json")
    assert is_signed(got, SECRET)
    assert is_signed(got, f"whsec_{'b' * 32}")
    assert got.json["type"] == "WorkflowCompleted"
    assert got.json["timestamp"].endswith("Z")
    assert (got.json["data"]["run_id"], got.json["data"]["content"]) == (output.run_id, "worked on owls")


async def test_a_pause_and_the_end_after_it_are_two_deliveries(store: BaseDb) -> None:
    with Receiver() as receiver:
        workflow = build(
            Webhook(url=receiver.url, events=["WorkflowPaused", "WorkflowCompleted"]), db=store, executor=asks
        )
        async with Runtime(workflow, interval=0.01):
            paused = await workflow.arun("owls", run_id="r1")
            (question,) = paused.active_step_requirements
            await waited(receiver, 1)
            question.answer({"user_input": {"value": "yes"}})
            await workflow.acontinue_run(run_id="r1", step_requirements=[question])
            first, second = await waited(receiver, 2)
    assert [first.json["type"], second.json["type"]] == ["WorkflowPaused", "WorkflowCompleted"]
    assert first.id != second.id
    assert "webhook-signature" not in first.headers


async def test_it_is_sent_whatever_else_is_stored(store: BaseDb) -> None:
    """Without store_events, with the event skipped from the log, in the background, and of nested workflows once."""
    inner = Workflow(name="inner", steps=[Step(name="b", executor=work)])
    with Receiver() as receiver:
        workflow = Workflow(
            name="w",
            steps=[Step(name="n", workflow=inner)],
            db=store,
            webhooks=[Webhook(url=receiver.url, events=["WorkflowCompleted", "StepCompleted"])],
            events_to_skip=["WorkflowCompleted", "StepCompleted"],
        )
        async with Runtime(workflow, interval=0.01):
            await workflow.arun("x", background=True)
            got = await waited(receiver, 3)
            with anyio.fail_after(20):
                await settled(store)
    kinds = sorted((item.json["type"], item.json["data"].get("path", "")) for item in got)
    assert kinds == [("StepCompleted", "0.n"), ("StepCompleted", "0.n/0.b"), ("WorkflowCompleted", "")]
    assert len(receiver.got) == 3


async def test_errors_and_redirects_are_retried_with_the_same_id_and_not_followed(store: BaseDb) -> None:
    with Receiver(500, 503, 302, 404) as receiver:
        workflow = build(Webhook(url=receiver.url, retry=SOON, secret=SECRET), db=store)
        async with Runtime(workflow, interval=0.01):
            await workflow.arun("owls")
            got = await waited(receiver, 5)
            with anyio.fail_after(20):
                await settled(store)
    assert len({item.id for item in got}) == 1
    assert {item.path for item in got} == {"/"}
    assert len({item.body for item in got}) == 1
    assert await store.list_deliveries() == []


async def test_a_delivery_that_fails_too_often_is_dead_until_it_is_retried(store: BaseDb) -> None:
    with Receiver(500, 500) as receiver:
        workflow = build(Webhook(url=receiver.url, retry=Retry(attempts=2, delay=0.0), name="orders"), db=store)
        async with Runtime(workflow, interval=0.01):
            await workflow.arun("owls", run_id="r1")
            await waited(receiver, 2)
            with anyio.fail_after(20):
                await settled(store)
                (dead,) = await store.list_deliveries(dead=True)
                assert (dead.hook, dead.run_id, dead.attempts, dead.error) == ("orders", "r1", 2, "it answered 500")
                assert await store.retry_deliveries(hook="orders") == 1
                await waited(receiver, 3)
                await settled(store)
    assert await store.list_deliveries() == []


async def test_a_receiver_that_is_gone_gets_no_second_try(store: BaseDb) -> None:
    with Receiver(410) as receiver:
        workflow = build(Webhook(url=receiver.url, retry=SOON), db=store)
        async with Runtime(workflow, interval=0.01):
            await workflow.arun("owls")
            await waited(receiver, 1)
            with anyio.fail_after(20):
                await settled(store)
    assert [row.attempts for row in await store.list_deliveries(dead=True)] == [1]


async def test_a_refused_connection_is_an_attempt(store: BaseDb) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    workflow = build(Webhook(url=f"http://127.0.0.1:{port}", retry=Retry(attempts=2, delay=0.0)), db=store)
    async with Runtime(workflow, interval=0.01):
        output = await workflow.arun("owls")
        with anyio.fail_after(20):
            await settled(store)
    assert output.status is RunStatus.completed
    (dead,) = await store.list_deliveries(dead=True)
    assert (dead.attempts, (dead.error or "").startswith("ConnectError")) == (2, True)


async def test_a_slow_receiver_is_cut_off_and_holds_up_no_other(store: BaseDb) -> None:
    go = threading.Event()

    def slow() -> int:
        go.wait(30)
        return 200

    with Receiver(*[slow] * 7) as stuck, Receiver() as other:
        hooks = [Webhook(url=stuck.url, timeout=0.5, retry=SOON, name="stuck"), Webhook(url=other.url, name="other")]
        workflow = build(*hooks, db=store)
        async with Runtime(workflow, interval=0.01):
            for _ in range(8):  # more than are sent to one receiver at the same time
                await workflow.arun("owls")
            await waited(other, 8)
            await waited(stuck, 9)
            go.set()
            with anyio.fail_after(20):
                await settled(store)
    assert len({item.id for item in stuck.got}) == 8
    assert len(other.got) == 8


async def test_several_runtimes_send_each_event_once(store: BaseDb) -> None:
    with Receiver() as receiver:
        workflow = build(Webhook(url=receiver.url), db=store)
        async with Runtime(workflow, interval=0.01), Runtime(workflow, interval=0.01):
            for _ in range(10):
                await workflow.arun("owls")
            await waited(receiver, 10)
            with anyio.fail_after(20):
                await settled(store)
    assert len({item.id for item in receiver.got}) == len(receiver.got) == 10


async def test_what_is_left_is_sent_when_a_runtime_is_left_or_by_the_next_one(store: BaseDb) -> None:
    with Receiver() as receiver:
        workflow = build(Webhook(url=receiver.url), db=store)
        await workflow.arun("owls")
        assert receiver.got == []
        async with Runtime(workflow, interval=60.0):
            await workflow.arun("bats")
        assert len(receiver.got) == 2


def test_events_are_sent_on_trio() -> None:
    async def main(url: str) -> None:
        workflow = build(Webhook(url=url), db=InMemoryDb())
        async with Runtime(workflow, interval=60.0):
            await workflow.arun("owls")

    with Receiver() as receiver:
        anyio.run(main, receiver.url, backend="trio")
        assert [item.json["type"] for item in receiver.got] == ["WorkflowCompleted"]


def test_the_vector_of_the_specification() -> None:
    headers = signed([SECRET], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"url": "ftp://example.com"}, "must be an address"),
        ({"url": "https://"}, "must be an address"),
        ({"url": "https://example.com:99999/"}, "must be an address"),
        ({"url": "https://[/"}, "must be an address"),
        ({"url": "https://example.com", "secret": []}, "24 to 64 bytes"),
        ({"url": "https://example.com", "secret": "whsec_short"}, "24 to 64 bytes"),
        ({"url": "https://example.com", "events": "WorkflowPaused"}, "list of events"),
        ({"url": "https://example.com", "events": ["WorkflowPuased"]}, "WorkflowPuased"),
        ({"url": "https://example.com", "events": ["StepContent"]}, "part of a stream"),
        ({"url": "https://example.com", "timeout": 0}, "timeout"),
    ],
)
def test_a_webhook_that_cannot_work_is_refused_when_it_is_built(options: dict[str, Any], said: str) -> None:
    with pytest.raises(BuildError, match=said):
        build(Webhook(**options), db=InMemoryDb())


def test_webhooks_need_a_database_and_names_of_their_own() -> None:
    hook = Webhook(url="https://example.com")
    with pytest.raises(BuildError, match="needs a database"):
        Workflow(name="w", steps=[Step(name="a", executor=work)], webhooks=[hook])
    with pytest.raises(BuildError, match="same name or url"):
        build(hook, hook, db=InMemoryDb())


async def test_the_command_lists_deliveries_and_sends_dead_ones_again(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/runs.db"
    with Receiver(410) as receiver:
        workflow = build(Webhook(url=receiver.url, name="orders"), db=open_url(url))
        assert workflow.db is not None
        async with Runtime(workflow, interval=0.01):
            await workflow.arun("owls", run_id="r1")
            await waited(receiver, 1)
            with anyio.fail_after(20):
                await settled(workflow.db)
            found = json.loads(await wfr("list", "--dead", "--json", "--db", url))
            assert [(row["hook"], row["run_id"], row["error"]) for row in found] == [
                ("orders", "r1", "it answered 410")
            ]
            assert "it answered 410" in await wfr("list", "--db", url)
            assert await wfr("retry", "--webhook", "other", "--db", url) == "0 will be sent again\n"
            assert json.loads(await wfr("retry", "--run", "r1", "--json", "--db", url)) == {"retried": 1}
            await waited(receiver, 2)
            with anyio.fail_after(20):
                await settled(workflow.db)
        assert await wfr("list", "--db", url) == "nothing waits to be sent\n"
    await workflow.db.aclose()


async def wfr(*arguments: str) -> str:
    command = [sys.executable, "-m", "workflow_runtime.cli", "webhooks", *arguments]
    return (await anyio.run_process(command, env={**os.environ, "COLUMNS": "160"})).stdout.decode()


def test_a_server_sends_the_events_of_its_workflows(tmp_path: Path) -> None:
    with Receiver() as receiver:
        hooks = [Webhook(url=receiver.url)]
        workflow = build(db=open_url(f"sqlite:///{tmp_path}/runs.db"))
        with serving(workflow, webhooks=hooks) as served, httpx.Client(base_url=served.url) as http:
            http.post("/workflows/shop/runs", json={"input": "owls", "run_id": "r1"})
            (got,) = receiver.wait(1)
        assert (got.json["type"], got.json["data"]["run_id"]) == ("WorkflowCompleted", "r1")
        workflow_app(workflow, webhooks=hooks)
        assert workflow.webhooks == tuple(hooks)
