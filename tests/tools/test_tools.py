"""Workflows as tools, spoken to by the protocol package's own client over real sockets and a real process."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import mcp_types as types
import pytest
from fastapi import FastAPI, HTTPException
from mcp import Client, StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from server.serving import Served, serving
from starlette.requests import HTTPConnection

from workflow_runtime.server import User, create_router, workflow_app

from . import flows

pytestmark = pytest.mark.anyio
NAMES = ["shout", "typed", "asking", "failing", "endless"]
Connect = Callable[..., Any]


@pytest.fixture
def anyio_backend() -> str:
    """The server is uvicorn, and so on asyncio; the protocol's own client leaves generators open that trio complains of."""
    return "asyncio"


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    workflows = [getattr(flows, name)() for name in NAMES]
    with ExitStack() as stack, ThreadPoolExecutor(1) as pool:  # off the test's loop
        yield pool.submit(stack.enter_context, serving(workflows, db=f"sqlite:///{tmp_path}/runs.db")).result()


@pytest.fixture(params=["http", "http-2025", "stdio", "stdio-2025"])
def connect(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Connect]:
    """``async with connect(**options) as client``: by both transports and both eras of the protocol."""
    transport, _, era = request.param.partition("-")
    mode = "legacy" if era else "auto"
    if transport == "http":
        served: Served = request.getfixturevalue("served")
        yield lambda **options: Client(f"{served.url}/mcp", mode=mode, **options)
        return
    targets = [f"{flows.__file__}:{name}" for name in NAMES]
    command = ["-m", "workflow_runtime.cli", "mcp", *targets, "--db", f"sqlite:///{tmp_path}/runs.db"]

    @asynccontextmanager
    async def started(**options: Any) -> AsyncIterator[Client]:
        parameters = StdioServerParameters(command=sys.executable, args=command)
        async with Client(stdio_client(parameters), mode=mode, **options) as client:
            yield client

    yield started


def text(result: types.CallToolResult) -> str:
    (block,) = result.content
    assert isinstance(block, types.TextContent)
    return block.text


async def test_workflows_are_tools_with_their_input_schema(connect: Connect) -> None:
    async with connect() as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert set(tools) == {"shout-it", "typed", "asking", "failing", "endless", "answer_run"}
        assert tools["shout-it"].description == "Says it loudly"
        assert tools["shout-it"].input_schema["required"] == ["input"]
        assert set(tools["typed"].input_schema["properties"]) == {"item", "count"}


async def test_a_call_is_a_run_with_its_progress_and_result(connect: Connect) -> None:
    told: list[tuple[float, str | None]] = []

    async def tell(progress: float, total: float | None, message: str | None) -> None:
        told.append((progress, message))

    async with connect() as client:
        found = await client.call_tool("shout-it", {"input": "hello"}, progress_callback=tell)
        assert (text(found), found.is_error) == ("HELLO!", False)
        assert found.structured_content["status"] == "COMPLETED"
        typed = await client.call_tool("typed", {"item": "tea", "count": 2})
        assert typed.structured_content["content"] == {"ordered": "tea", "pieces": 2}
    assert told == [(0.5, "half way"), (1.0, "loud is done"), (2.0, "mark is done")]


async def test_what_is_wrong_is_told_to_the_model(connect: Connect) -> None:
    async with connect() as client:
        failed = await client.call_tool("failing", {"input": "x"})
        assert (text(failed), failed.is_error) == ("LookupError: nothing there", True)
        bad = await client.call_tool("typed", {"item": "tea", "count": "many"})
        assert bad.is_error
        assert "count" in text(bad)
        assert (await client.call_tool("nobody", {})).is_error
        assert (await client.call_tool("answer_run", {"workflow_id": "asking"})).is_error


async def test_a_pause_says_how_it_is_answered_and_is(connect: Connect) -> None:
    async with connect() as client:
        paused = await client.call_tool("asking", {"input": "x"})
        data = paused.structured_content
        assert (data["status"], paused.is_error) == ("PAUSED", False)
        assert data["run_id"] in text(paused)
        assert "answer_run" in text(paused)
        asked = {item["id"].rpartition("@")[0].rpartition(".")[2]: item for item in data["requirements"]}
        assert set(asked) == {"pay", "book"}
        answers = {
            asked["pay"]["id"]: {"confirmed": True},
            asked["book"]["id"]: {"user_input": {"seats": 2, "name": "Ada"}},
        }
        call = {"workflow_id": "asking", "run_id": data["run_id"], "answers": answers}
        again = await client.call_tool("answer_run", call)
        (sure,) = again.structured_content["requirements"]
        assert sure["message"] == "Sure?"
        assert (await client.call_tool("answer_run", call)).is_error, "answered before"
        done = await client.call_tool("answer_run", {**call, "answers": {sure["id"]: {"confirmed": True}}})
        assert done.structured_content["status"] == "COMPLETED"


async def test_a_client_that_can_ask_its_user_is_asked_by_form(connect: Connect) -> None:
    asked: list[str] = []

    async def user(context: Any, params: Any) -> types.ElicitResult:
        asked.append(params.message)
        properties = params.requested_schema["properties"]
        if "seats" in properties:
            return types.ElicitResult(action="accept", content={"seats": 2, "name": "Ada"})
        return types.ElicitResult(action="accept", content={"confirmed": True})

    async with connect(elicitation_callback=user) as client:
        found = await client.call_tool("asking", {"input": "x"})
        assert found.structured_content["status"] == "COMPLETED"
        assert asked[-1] == "Sure?"
        assert "Pay?" in asked[:2]


async def test_a_rejected_last_step_is_told_as_an_error(connect: Connect) -> None:
    async def user(context: Any, params: Any) -> types.ElicitResult:
        if params.message == "Sure?":
            content = {"confirmed": False, "rejection_feedback": "too dear"}
            return types.ElicitResult(action="accept", content=content)
        accepted = (
            {"seats": 2, "name": "Ada"} if "seats" in params.requested_schema["properties"] else {"confirmed": True}
        )
        return types.ElicitResult(action="accept", content=accepted)

    async with connect(elicitation_callback=user) as client:
        found = await client.call_tool("asking", {"input": "x"})
        assert (text(found), found.is_error) == ("Step sure skipped: rejected by a person (too dear)", True)
        assert found.structured_content["status"] == "COMPLETED"
        assert found.structured_content["rejected"] == {"step_name": "sure", "reason": "too dear"}


async def test_a_user_who_puts_it_off_leaves_the_run_waiting(connect: Connect) -> None:
    async def user(context: Any, params: Any) -> types.ElicitResult:
        return types.ElicitResult(action="cancel")

    async with connect(elicitation_callback=user) as client:
        found = await client.call_tool("asking", {"input": "x"})
        assert found.structured_content["status"] == "PAUSED"


async def test_a_call_that_is_given_up_cancels_its_run(served: Served, until: Callable[..., Any]) -> None:
    for mode in ("auto", "legacy"):
        flows.began.clear()
        flows.ended.clear()
        async with Client(f"{served.url}/mcp", mode=mode) as client:
            async with anyio.create_task_group() as group:
                group.start_soon(client.call_tool, "endless", {"input": "x"})
                await until(lambda: flows.began)
                group.cancel_scope.cancel()
            await until(lambda: flows.ended)
        assert flows.began == flows.ended


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_run_is_its_users_alone(tmp_path: Path, mode: str) -> None:
    users = {"a": "ada", "b": "bob"}

    def who(request: Any) -> str | None:
        return users.get(request.headers.get("x-key", ""))

    @asynccontextmanager
    async def connection(server: Served, key: str) -> AsyncIterator[Client]:
        async with (
            httpx2.AsyncClient(headers={"X-Key": key}) as http,
            Client(streamable_http_client(f"{server.url}/mcp", http_client=http), mode=mode) as client,
        ):
            yield client

    db = f"sqlite:///{tmp_path}/runs.db"
    with ExitStack() as stack, ThreadPoolExecutor(1) as pool:
        server = pool.submit(stack.enter_context, serving(flows.asking(), db=db, auth=who)).result()
        async with connection(server, "a") as ada:
            data = (await ada.call_tool("asking", {"input": "x"})).structured_content
            answers = {item["id"]: {"confirmed": False} for item in data["requirements"]}
            call = {"workflow_id": "asking", "run_id": data["run_id"], "answers": answers}
            async with connection(server, "b") as bob:
                refused = await bob.call_tool("answer_run", call)
                assert (refused.is_error, refused.structured_content) == (True, {"code": "run_not_found"})
            assert not (await ada.call_tool("answer_run", call)).is_error
        async with httpx2.AsyncClient() as nobody:
            assert (await nobody.post(f"{server.url}/mcp", json={})).status_code == 401


USERS = {
    "a": User("ada"),
    "a2": User("ada"),
    "b": User("bob"),
    "root": User(None, is_admin=True),
    "boss": User("ada", is_admin=True),
}


def by_key(connection: HTTPConnection) -> User:
    user = USERS.get(connection.headers.get("x-key", ""))
    if user is None:
        raise HTTPException(401, "who is this?")
    return user


def in_an_app(db: str) -> Any:
    return workflow_app([flows.asking(), flows.shout()], db=db, auth=by_key)


def in_a_router(db: str) -> Any:
    app = FastAPI()
    app.include_router(create_router([flows.asking(), flows.shout()], db=db, auth=by_key))
    return app


@pytest.mark.parametrize("build", [in_an_app, in_a_router])
async def test_a_session_of_the_older_protocol_is_its_users_alone(tmp_path: Path, build: Callable[[str], Any]) -> None:
    app = build(f"sqlite:///{tmp_path}/runs.db")
    server = Served(app, getattr(app.state, "service", None))
    params = {
        "protocolVersion": "2025-06-18",
        "capabilities": {"elicitation": {}},
        "clientInfo": {"name": "test", "version": "1"},
    }
    with ThreadPoolExecutor(1) as pool, ExitStack() as stack:
        pool.submit(server.start).result()
        stack.callback(lambda: pool.submit(server.stop).result())
        async with httpx2.AsyncClient(base_url=server.url, timeout=20) as http:
            session: dict[str, str] = {}

            def headers(key: str) -> dict[str, str]:
                return {"x-key": key, "accept": "application/json, text/event-stream", **session}

            async def say(key: str, **message: Any) -> httpx2.Response:
                return await http.post("/mcp", json={"jsonrpc": "2.0", **message}, headers=headers(key))

            begun = await say("a", id=1, method="initialize", params=params)
            session |= {"mcp-session-id": begun.headers["mcp-session-id"], "mcp-protocol-version": "2025-06-18"}
            assert (await say("a", method="notifications/initialized")).status_code == 202
            call = {"name": "asking", "arguments": {"input": "x"}}
            message = {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": call}
            async with http.stream("POST", "/mcp", json=message, headers=headers("a")) as stream:
                lines = stream.aiter_lines()
                question = await anext(json.loads(line[5:]) async for line in lines if line.startswith("data:"))
                assert question["method"] == "elicitation/create"
                answer = {"id": question["id"], "result": {"action": "accept", "content": {"confirmed": True}}}
                for other in ("b", "root", "boss"):
                    assert (await say(other, **answer)).status_code == 404
                    assert (await say(other, id=8, method="tools/list")).status_code == 404
                    assert (await http.delete("/mcp", headers=headers(other))).status_code == 404
                    assert (await http.get("/mcp", headers=headers(other))).status_code == 404
                assert (await say("nobody", **answer)).status_code == 401
                assert (await say("a2", **answer)).status_code == 202, "the same user with another key"
                await anext(json.loads(line[5:]) async for line in lines if line.startswith("data:"))
            assert (await say("a", id=9, method="tools/list")).status_code == 200
            assert (await http.delete("/mcp", headers=headers("a"))).status_code == 200
            assert (await say("a", id=10, method="tools/list")).status_code == 404


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_router_has_them_too_and_asks_the_apps_own_dependency(tmp_path: Path, mode: str) -> None:
    def who(connection: HTTPConnection) -> str:
        name = connection.headers.get("x-name")
        if name is None:
            raise HTTPException(418, "who is this?")
        return name

    app = FastAPI()
    db = f"sqlite:///{tmp_path}/runs.db"
    app.include_router(create_router([flows.asking(), flows.shout()], db=db, auth=who), prefix="/api")
    server = Served(app, None)
    with ThreadPoolExecutor(1) as pool, ExitStack() as stack:
        pool.submit(server.start).result()
        stack.callback(lambda: pool.submit(server.stop).result())
        url = f"{server.url}/api/mcp"
        async with httpx2.AsyncClient(headers={"X-Name": "ada"}) as http:
            async with Client(streamable_http_client(url, http_client=http), mode=mode) as ada:
                assert text(await ada.call_tool("shout-it", {"input": "x"})) == "X!"
                data = (await ada.call_tool("asking", {"input": "x"})).structured_content
            mine = await http.get(f"{server.url}/api/workflows/asking/runs/{data['run_id']}")
            assert mine.json()["user_id"] == "ada"
            evil = await http.post(url, json={}, headers={"origin": "https://evil.example"})
            assert evil.json()["code"] == "other_site"
        async with httpx2.AsyncClient() as nobody:
            assert (await nobody.post(url, json={})).status_code == 418
            assert "/api/mcp" not in (await nobody.get(f"{server.url}/openapi.json")).json()["paths"]
