"""The same routes in other people's apps: FastAPI's router, and mounted in FastAPI, Starlette and Litestar."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import httpx2 as httpx
import jwt
import pytest
from fastapi import Depends, FastAPI, Header, HTTPException
from starlette.applications import Starlette
from starlette.requests import HTTPConnection
from starlette.routing import Mount
from starlette.testclient import TestClient
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from workflow_runtime.server import JwtAuth, User, create_router, workflow_app

from .flows import chat, greeting, url_of
from .serving import Served
from .sse import frames_of

Run = Callable[[Any], httpx.Client]


@pytest.fixture
def run() -> Iterator[Run]:
    """``run(app)``: a client of a real uvicorn that runs this app."""
    with ExitStack() as stack:

        def start(app: Any) -> httpx.Client:
            server = Served(app, None)
            server.start()
            stack.callback(server.stop)
            return stack.enter_context(httpx.Client(base_url=server.url, timeout=60))

        yield start


def caller(connection: HTTPConnection) -> str:
    """How this app tells who asks."""
    name = connection.headers.get("x-name")
    if name is None:
        raise HTTPException(418, "who is this?")
    return name


def in_fastapi(tmp_path: Path) -> tuple[Any, str]:
    app = FastAPI()
    app.include_router(create_router([greeting(), chat()], db=url_of(tmp_path)), prefix="/api")
    return app, "/api"


def mounted_in_fastapi(tmp_path: Path) -> tuple[Any, str]:
    inner = workflow_app([greeting(), chat()], db=url_of(tmp_path))
    app = FastAPI(lifespan=inner.router.lifespan_context)
    app.mount("/flows", inner)
    return app, "/flows"


def mounted_in_starlette(tmp_path: Path) -> tuple[Any, str]:
    inner = workflow_app([greeting(), chat()], db=url_of(tmp_path))
    return Starlette(routes=[Mount("/flows", inner)], lifespan=inner.router.lifespan_context), "/flows"


def mounted_in_litestar(tmp_path: Path) -> tuple[Any, str]:
    from litestar import Litestar, asgi

    inner = workflow_app([greeting(), chat()], db=url_of(tmp_path))
    return Litestar(
        [asgi("/flows", is_mount=True, copy_scope=True)(inner)], lifespan=[inner.router.lifespan_context]
    ), "/flows"


@pytest.mark.parametrize("place", [in_fastapi, mounted_in_fastapi, mounted_in_starlette, mounted_in_litestar])
def test_the_routes_work_wherever_they_are(run: Run, tmp_path: Path, place: Any) -> None:
    app, prefix = place(tmp_path)
    client = run(app)
    done = client.post(f"{prefix}/workflows/greeting/runs", json={"input": "you"}).json()
    assert done["content"] == "hello you"
    with client.stream("POST", f"{prefix}/workflows/chat/runs", json={"stream": True}) as answer:
        assert [frame.event for frame in frames_of(answer.iter_lines())][-1] == "WorkflowCompleted"
    assert client.get(f"{prefix}/workflows/greeting/runs/none").status_code == 404
    assert client.get(f"{prefix}/health").json()["status"] == "ok"
    if place is not in_fastapi:  # a router has no pages for people
        page = client.get(f"{prefix}/inspector").text
        found = re.findall(r'(?:href|src|hx-get)="(/[^"]*)"', page)
        assert len(found) > 5
        assert all(address.startswith(f"{prefix}/inspector") for address in found)
        assert client.get(found[0]).status_code == 200
    with connect(f"ws://127.0.0.1:{client.base_url.port}{prefix}/workflows/ws") as socket:
        socket.send(json.dumps({"action": "subscribe", "run_id": done["run_id"]}))
        names = [json.loads(socket.recv(5))["event"] for _ in range(3)]
    assert names == ["connected", "subscribed", "WorkflowStarted"]


def test_a_router_stands_in_the_apps_document_and_asks_the_apps_own_dependency(run: Run, tmp_path: Path) -> None:
    app = FastAPI()
    app.include_router(create_router(greeting(), db=url_of(tmp_path), auth=caller))

    @app.get("/mine")
    def mine(name: str = Depends(caller)) -> str:
        return name

    client = run(app)
    document = client.get("/openapi.json").json()
    start = document["paths"]["/workflows/{workflow_id}/runs"]["post"]
    assert start["operationId"] == "start_run"
    assert "session_id" in start["requestBody"]["content"]["application/json"]["schema"]["properties"]
    assert [one["name"] for one in start["parameters"]] == ["workflow_id"]
    assert "/mine" in document["paths"]
    assert client.post("/workflows/greeting/runs", json={}).status_code == 418, "as the app answers"
    ann = {"x-name": "ann"}
    done = client.post("/workflows/greeting/runs", json={"input": 1}, headers=ann).json()
    assert done["user_id"] == "ann"
    url = f"/workflows/greeting/runs/{done['run_id']}"
    assert client.get(url, headers=ann).status_code == 200
    assert client.get(url, headers={"x-name": "ben"}).status_code == 404
    address = f"ws://127.0.0.1:{client.base_url.port}/workflows/ws"
    with connect(address, additional_headers={"x-name": "ben"}) as socket:
        socket.send(json.dumps({"action": "subscribe", "run_id": done["run_id"]}))
        assert [json.loads(socket.recv(5))["event"] for _ in range(2)] == ["connected", "error"]
        socket.send(json.dumps({"action": "authenticate", "token": "ann"}))
        assert json.loads(socket.recv(5)) == {"event": "authenticated", "user_id": "ben"}
        socket.send(json.dumps({"action": "subscribe", "run_id": done["run_id"]}))
        assert json.loads(socket.recv(5))["error_type"] == "run_not_found"
    with pytest.raises(InvalidStatus), connect(address):
        pass
    evil = {**ann, "origin": "https://evil.example"}
    assert client.post("/workflows/greeting/runs", json={}, headers=evil).json()["code"] == "other_site"


def test_a_dependency_may_give_a_user_and_must_give_one(run: Run) -> None:
    app = FastAPI()
    found: list[Any] = [User("ann", {"team": 1})]
    app.include_router(create_router(greeting(), auth=lambda: found[0]))
    client = run(app)
    assert client.post("/workflows/greeting/runs", json={}).json()["user_id"] == "ann"
    for nobody in (None, "", User(None), 7):
        found[0] = nobody
        assert client.get("/workflows").status_code == 401, nobody


def bare(connection):  # type: ignore[no-untyped-def]
    """As an ``auth`` function for ``workflow_app`` is written: without annotations."""
    return connection.headers.get("x-name")


async def bare_async(connection):  # type: ignore[no-untyped-def]
    return connection.headers.get("x-name")


class BareObject:
    def __call__(self, connection, /, team: str = "none"):  # type: ignore[no-untyped-def]
        return User(connection.headers.get("x-name"), {"team": team})


def chained(connection, team: str | None = Header(default=None)):  # type: ignore[no-untyped-def]
    return bare_async(connection) if team == "us" else None


SECRET = "a secret that is long enough for sha-256"


@pytest.mark.parametrize(
    "auth",
    [bare, bare_async, lambda connection: bare(connection), BareObject(), partial(bare), chained, JwtAuth(key=SECRET)],
    ids=["function", "async", "lambda", "object", "partial", "beside-a-header", "jwt"],
)
def test_a_router_takes_the_auth_functions_of_the_app(run: Run, tmp_path: Path, auth: Any) -> None:
    token = jwt.encode({"sub": "ada", "exp": time.time() + 600}, SECRET)
    ada = {"x-name": "ada", "team": "us", "authorization": f"Bearer {token}"}
    router = FastAPI()
    router.include_router(create_router(greeting(), db=url_of(tmp_path), auth=auth), prefix="/api")
    client = run(router)
    done = client.post("/api/workflows/greeting/runs", json={"input": 1}, headers=ada)
    assert (done.status_code, done.json().get("user_id")) == (200, "ada"), done.text
    assert client.get("/api/workflows").status_code == 401
    with connect(f"ws://127.0.0.1:{client.base_url.port}/api/workflows/ws", additional_headers=ada) as socket:
        assert json.loads(socket.recv(5))["requires_auth"] is False


@pytest.mark.parametrize("auth", [None, caller, bare], ids=["none", "annotated", "bare"])
@pytest.mark.parametrize("place", ["app", "mounted", "router"])
def test_health_asks_for_no_credentials_and_answers_under_any_name(run: Run, place: str, auth: Any) -> None:
    options: dict[str, Any] = {"auth": auth, "hosts": ["api.example.com"]}
    prefix = "" if place == "app" else "/api"
    app: Any = FastAPI()
    if place == "router":
        app.include_router(create_router(greeting(), **options), prefix=prefix)
    else:
        inner = workflow_app(greeting(), **options)
        app = (
            Starlette(routes=[Mount(prefix, inner)], lifespan=inner.router.lifespan_context)
            if place == "mounted"
            else inner
        )
    client = run(app)
    for host in ("10.1.2.3:8000", "localhost", "evil.example"):
        assert client.get(f"{prefix}/health", headers={"host": host}).json()["status"] == "ok", host
        assert client.get(f"{prefix}/workflows", headers={"host": host}).status_code >= 400, host
    assert client.get(f"{prefix}/workflows/health").status_code >= 400


def test_the_document_says_that_health_asks_for_nothing(run: Run) -> None:
    paths = run(workflow_app(greeting(), auth=lambda _: "ada")).get("/openapi.json").json()["paths"]
    assert paths["/health"]["get"]["security"] == []
    assert "security" not in paths["/workflows"]["get"]


def test_an_app_whose_lifespan_does_not_run_says_so() -> None:
    app = workflow_app(greeting())
    client = TestClient(app, base_url="http://127.0.0.1")
    assert "lifespan" in client.get("/workflows").json()["detail"]
    with client:
        assert client.get("/workflows").status_code == 200
