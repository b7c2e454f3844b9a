"""Messages over HTTP, by the typed client, and by callbacks that need no credentials."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from pydantic import BaseModel
from server.serving import Served, serving

from workflow_runtime import (
    InputError,
    MessageConflict,
    NotAwaited,
    RunContext,
    RunEnded,
    RunNotFound,
    Step,
    Workflow,
)
from workflow_runtime.backends import SqliteDb
from workflow_runtime.client import Client
from workflow_runtime.server import User

pytestmark = pytest.mark.anyio


class Payment(BaseModel):
    amount: int


def paying(path: Path, schema: Any = Payment, expires: float = 3600.0) -> Workflow:
    """A step that makes a callback, shows its address as progress, and waits for its message."""

    async def pay(run_context: RunContext) -> Any:
        callback = await run_context.callback("payment", expires=expires)
        run_context.emit(name="address", path_of=callback.path)
        payment = await run_context.receive("payment", schema)
        return payment.amount if isinstance(payment, Payment) else payment

    return Workflow(
        name="Paying", steps=[Step(name="pay", executor=pay)], db=SqliteDb(path / "runs.db"), store_events=True
    )


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def _no_blocked_loop() -> None:
    """The server has a loop of its own; what these tests do beside it may wait."""


@pytest.fixture
def served() -> Iterator[Callable[..., Served]]:
    with ExitStack() as stack:
        yield lambda *args, **options: stack.enter_context(serving(*args, **options))


def opened(http: httpx.Client, run_id: str = "r1") -> str:
    """Start a run, wait for its pause, and give the path of its callback."""
    run = http.post("/workflows/paying/runs", json={"input": "x", "run_id": run_id}).json()
    assert run["status"] == "PAUSED"
    (address,) = [event for event in run["events"] if event.get("name") == "address"]
    return str(address["path_of"])


def ended(http: httpx.Client, run_id: str = "r1") -> Any:
    with http.stream("GET", f"/workflows/paying/runs/{run_id}/events") as answer:
        for _ in answer.iter_lines():
            pass
    return http.get(f"/workflows/paying/runs/{run_id}").json()


def test_a_message_over_http_is_received_and_the_run_goes_on(served: Callable[..., Served], tmp_path: Path) -> None:
    with httpx.Client(base_url=served(paying(tmp_path)).url) as http:
        opened(http)
        where = "/workflows/paying/runs/r1/messages"
        sent = http.post(where, json={"topic": "payment", "value": {"amount": 5}, "message_id": "m"})
        assert (sent.status_code, sent.json()["awaited"], sent.json()["repeated"]) == (200, True, False)
        assert ended(http)["content"] == 5
        again = http.post(where, json={"topic": "payment", "value": {"amount": 5}, "message_id": "m"})
        assert (again.status_code, again.json()["repeated"]) == (200, True)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"topic": "payment", "value": {"amount": "much"}}, 400, "bad_input"),
        ({"topic": "", "value": 1}, 400, "bad_request"),
        ({"value": 1}, 400, "bad_request"),
        ({"topic": "else", "only_if_awaited": True}, 409, "not_awaited"),
    ],
)
def test_a_bad_message_is_refused_and_changes_nothing(
    served: Callable[..., Served], tmp_path: Path, body: Any, status: int, code: str
) -> None:
    with httpx.Client(base_url=served(paying(tmp_path)).url) as http:
        opened(http)
        refused = http.post("/workflows/paying/runs/r1/messages", json=body)
        assert (refused.status_code, refused.json()["code"]) == (status, code)
        unknown = http.post("/workflows/paying/runs/r2/messages", json={"topic": "payment"})
        assert (unknown.status_code, unknown.json()["code"]) == (404, "run_not_found")
        assert http.get("/workflows/paying/runs/r1").json()["status"] == "PAUSED"


def test_an_ended_run_takes_no_message(served: Callable[..., Served], tmp_path: Path) -> None:
    with httpx.Client(base_url=served(paying(tmp_path)).url) as http:
        path = opened(http)
        http.post("/workflows/paying/runs/r1/cancel")
        refused = http.post("/workflows/paying/runs/r1/messages", json={"topic": "payment", "value": {"amount": 1}})
        assert (refused.status_code, refused.json()["code"]) == (409, "run_ended")
        late = http.post(path, json={"amount": 1})
        assert (late.status_code, late.json()["code"]) == (409, "run_ended")


def test_a_callback_is_used_once_and_without_credentials(served: Callable[..., Served], tmp_path: Path) -> None:
    async def nobody(connection: Any) -> Any:
        return User("ada") if connection.headers.get("authorization") == "Bearer ada" else None

    url = served(paying(tmp_path), auth=nobody).url
    with httpx.Client(base_url=url, headers={"authorization": "Bearer ada"}) as ada, httpx.Client(base_url=url) as http:
        path = opened(ada)
        assert http.get("/workflows").status_code == 401
        assert http.get(path).status_code in (401, 405)
        refused = http.post(path, json={"amount": "much"})
        assert (refused.status_code, refused.json()["code"]) == (400, "bad_input")
        for _ in range(2):
            used = http.post(path, json={"amount": 7}, headers={"origin": "https://provider.example"})
            assert (used.status_code, used.json()["received"]) == (200, True)
        other = http.post(path, json={"amount": 8})
        assert (other.status_code, other.json()["code"]) == (409, "message_conflict")
        assert ended(ada)["content"] == 7
        assert http.post(path, json={"amount": 7}).status_code == 200
        assert http.post(path, json={"amount": 8}).status_code == 409


def test_a_callback_that_nobody_made_is_not_found(served: Callable[..., Served], tmp_path: Path) -> None:
    with httpx.Client(base_url=served(paying(tmp_path)).url) as http:
        path = opened(http)
        where, secret = path.rsplit("/", 1)[1].split(".")
        for token in (
            "x",
            f"{where}.",
            f"{where}.{secret[:-1]}",
            f"{where}.{secret}x",
            f"{where[:-4]}.{secret}",
            f"cjEKMC5wYXk.{secret}",
            "%00.%00",
            f"{where}.ü",
        ):
            refused = http.post(f"/callbacks/{token}", json={"amount": 1})
            assert (refused.status_code, refused.json()["code"]) == (404, "callback_not_found"), token
        assert http.get("/workflows/paying/runs/r1").json()["status"] == "PAUSED"


def test_a_callback_expires_for_its_first_use(served: Callable[..., Served], tmp_path: Path) -> None:
    with httpx.Client(base_url=served(paying(tmp_path, expires=0.001)).url) as http:
        refused = http.post(opened(http), json={"amount": 1})
        assert (refused.status_code, refused.json()["code"]) == (410, "callback_expired")


@pytest.mark.parametrize(
    ("content", "kind", "got"),
    [
        (b'{"a": [1]}', "application/json; charset=utf-8", {"a": [1]}),
        (b"1", "application/vnd.some+json", 1),
        (b"a=1&b=x+y&a=2", "application/x-www-form-urlencoded", {"a": "2", "b": "x y"}),
        (b"plain", "text/plain", "plain"),
        (b"", "", None),
    ],
)
def test_a_callback_takes_what_webhooks_send(
    served: Callable[..., Served], tmp_path: Path, content: bytes, kind: str, got: Any
) -> None:
    with httpx.Client(base_url=served(paying(tmp_path, None)).url) as http:
        path = opened(http)
        assert http.post(path, content=content, headers={"content-type": kind}).status_code == 200
        assert ended(http).get("content") == got


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b"[" * 5000, "application/json", 400),
        (b"\xff", "text/plain", 400),
        (b"\x00", "application/octet-stream", 415),
        (b"x" * 3_000_000, "text/plain", 413),
    ],
)
def test_a_callback_refuses_what_it_cannot_read(
    served: Callable[..., Served], tmp_path: Path, content: bytes, kind: str, status: int
) -> None:
    with httpx.Client(base_url=served(paying(tmp_path, None)).url) as http:
        path = opened(http)
        assert http.post(path, content=content, headers={"content-type": kind}).status_code == status
        assert http.get("/workflows/paying/runs/r1").json()["status"] == "PAUSED"


async def test_the_typed_client_sends_as_a_local_workflow_does(served: Callable[..., Served], tmp_path: Path) -> None:
    server = served(paying(tmp_path))
    with httpx.Client(base_url=server.url) as http:
        opened(http)
        async with Client(server.url) as client:
            remote = client.workflow("paying")
            with pytest.raises(InputError):
                await remote.asend("r1", "payment", {"amount": "much"})
            with pytest.raises(RunNotFound):
                await remote.asend("r2", "payment", {"amount": 1})
            with pytest.raises(NotAwaited):
                await remote.asend("r1", "else", 1, only_if_awaited=True)
            await remote.asend("r1", "else", 1, message_id="m")
            with pytest.raises(MessageConflict):
                await remote.asend("r1", "else", 2, message_id="m")
            receipt = await remote.asend("r1", "payment", Payment(amount=3))
            assert (receipt.number, receipt.awaited) == (2, True)
            assert ended(http)["content"] == 3
            with pytest.raises(RunEnded):
                await remote.asend("r1", "payment", {"amount": 1})
            with pytest.raises(InputError):
                await remote.asend("r1", "x" * 300, 1)


@pytest.mark.parametrize("schema", [Payment, None, int])
def test_the_inspector_shows_a_wait_with_a_form_for_its_message(
    served: Callable[..., Served], tmp_path: Path, schema: Any
) -> None:
    with httpx.Client(base_url=served(paying(tmp_path, schema)).url) as http:
        opened(http)
        page = http.get("/inspector/runs/r1")
        assert page.status_code == 200
        assert "Waits for a message on" in page.text
