"""``wfr serve`` in a process of its own: it starts, it is told to end under load, and the next one goes on."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import anyio
import httpx2 as httpx
import pytest

from workflow_runtime.server import Limits
from workflow_runtime.server.running import bind, server_for

from .wire import Follower

HERE = Path(__file__).parent


class Process:
    """A server process. ``port`` is known once it listens."""

    def __init__(self, *arguments: str, env: dict[str, str] | None = None) -> None:
        command = [sys.executable, "-m", "workflow_runtime.cli", "serve", "jobs.py:job", "--log-level", "warning"]
        self.popen = subprocess.Popen(
            [*command, *arguments],
            cwd=HERE,
            stderr=subprocess.PIPE,
            text=True,
            env={**{k: v for k, v in os.environ.items() if not k.startswith("WFR_")}, **(env or {})},
        )
        assert self.popen.stderr is not None
        self.said = self.popen.stderr.readline()
        self.port = int(self.said.rsplit(":", 1)[1]) if self.said.startswith("wfr: serving") else 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ended(self) -> int:
        """Its exit code, once it has ended by itself."""
        _, err = self.popen.communicate(timeout=120)
        self.said += err
        return self.popen.returncode

    def end(self, number: int = signal.SIGTERM) -> int:
        """Tell it to end, and wait for that; its exit code."""
        if self.popen.poll() is None:
            self.popen.send_signal(number)
        return self.ended()


Start = Callable[..., Process]


@pytest.fixture
def start() -> Iterator[Start]:
    """``start(*arguments)``: a server process, ended with the test."""
    with ExitStack() as stack:

        def begin(*arguments: str, **options: Any) -> Process:
            process = Process(*arguments, **options)
            stack.callback(process.end, signal.SIGKILL)
            return process

        yield begin


@pytest.fixture
def anyio_backend() -> Any:
    """The clients are asyncio's; the server has a process of its own."""
    return "asyncio"


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/runs.db"
    return str(request.getfixturevalue("postgres").new_database())


class Load:
    """Clients that start runs in every way, and note each run that they know to be accepted."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client
        self.accepted: list[str] = []
        self.streams = 0
        self.told: list[str] = []

    async def in_the_background(self) -> None:
        """One after the other, until nobody listens."""
        while True:
            try:
                answer = await self.client.post("/workflows/job/runs", json={"background": True})
            except httpx.TransportError:
                return
            if answer.status_code != 202:
                return
            self.accepted.append(answer.json()["run_id"])

    async def streamed(self) -> None:
        async with self.client.stream("POST", "/workflows/job/runs", json={"stream": True}) as answer:
            assert answer.status_code == 200
            self.accepted.append(answer.headers["x-run-id"])
            self.streams += 1
            async for _ in answer.aiter_raw():
                pass

    async def waited_for(self, run_id: str) -> None:
        answer = await self.client.post("/workflows/job/runs", json={"run_id": run_id})
        self.told.append(answer.json().get("code", "done"))


@pytest.mark.anyio
async def test_no_accepted_run_is_lost_when_the_server_is_told_to_end_under_load(
    start: Start, url: str, tmp_path: Path
) -> None:
    gate = {"JOB_GATE": str(tmp_path / "open")}
    first = start("--port", "0", "--db", url, "--grace", "0.1", env=gate)
    followers: list[Follower] = []
    async with httpx.AsyncClient(base_url=first.url, timeout=60, limits=httpx.Limits(max_connections=100)) as client:
        load = Load(client)
        async with anyio.create_task_group() as group:
            for _ in range(2):
                group.start_soon(load.in_the_background)
            for _ in range(8):
                group.start_soon(load.streamed)
            waiting = [f"waited-for-{number}" for number in range(4)]
            for run_id in waiting:
                group.start_soon(load.waited_for, run_id)
            with anyio.fail_after(60):
                while len(load.accepted) < 24 or load.streams < 8:
                    await anyio.sleep(0.005)
                for run_id in waiting:  # accepted too: nobody else would be told that the run goes on elsewhere
                    while (await client.get(f"/workflows/job/runs/{run_id}")).status_code != 200:
                        await anyio.sleep(0.005)
            followers = [Follower(first.port, f"/workflows/job/runs/{run_id}/events") for run_id in load.accepted[:16]]
            for follower in followers:
                group.start_soon(follower.connect)
            with anyio.fail_after(60):
                while not all(follower.spans for follower in followers):
                    await anyio.sleep(0.005)
            code = await anyio.to_thread.run_sync(first.end)
    assert code == 0, first.said
    assert load.told == ["stopping"] * 4, "who waited is told that the run goes on elsewhere"
    assert "WorkflowCompleted" not in {follower.names[-1] for follower in followers}
    (tmp_path / "open").touch()
    second = start("--port", str(first.port), "--db", url, env=gate)
    async with httpx.AsyncClient(base_url=second.url, timeout=60) as client:
        with anyio.fail_after(90):
            for follower in followers:
                while not await follower.connect():
                    pass
            for run_id in load.accepted:
                last = Follower(second.port, f"/workflows/job/runs/{run_id}/events")
                while not await last.connect():
                    pass
                run = (await client.get(f"/workflows/job/runs/{run_id}")).json()
                assert run["status"] == "COMPLETED"
                assert run["content"] == "0 1 2 3 4 5 6 7 8 9 "
        stored = (await client.get("/workflows/job/runs", params={"limit": 200})).json()["runs"]
    assert {run["status"] for run in stored} == {"COMPLETED"}, "those that were waited for too"
    assert all(follower.is_whole for follower in followers)
    assert await anyio.to_thread.run_sync(second.end) == 0, second.said


def test_it_serves_at_loopback_and_ends_at_ctrl_c(start: Start, tmp_path: Path) -> None:
    process = start("--port", "0", "--db", f"sqlite:///{tmp_path}/runs.db", "--grace", "0")
    assert process.said == f"wfr: serving job at http://127.0.0.1:{process.port}\n"
    answer = httpx.get(f"{process.url}/workflows")
    assert [one["id"] for one in answer.json()] == ["job"]
    assert "server" not in answer.headers
    assert process.end(signal.SIGINT) == 0, process.said


def test_it_does_not_open_the_door_to_everybody(start: Start) -> None:
    process = start("--host", "0.0.0.0", "--port", "0")
    assert process.ended() == 2
    assert "callers have to authenticate" in process.said


def test_it_asks_as_it_is_told_to(start: Start) -> None:
    process = start("--host", "0.0.0.0", "--port", "0", "--auth", "jobs.py:by_name")
    assert httpx.get(f"{process.url}/workflows").status_code == 401
    assert httpx.get(f"{process.url}/workflows", headers={"x-name": "ann"}).status_code == 200
    tokens = start("--port", "0", "--jwt", env={"WFR_JWT_KEY": "k" * 40, "WFR_JWT_AUDIENCE": "us"})
    assert httpx.get(f"{tokens.url}/workflows").status_code == 401


@pytest.mark.parametrize(
    ("arguments", "env", "said"),
    [
        (("--auth", "jobs.py:nobody"), {}, "jobs.py has no 'nobody'"),
        (("--auth", "jobs.py:HERE"), {}, "jobs.py has no 'HERE'"),
        (("--auth", "jobs.py:job"), {}, "not something to call"),
        (("--jwt",), {}, "WFR_JWT_KEY"),
        (("--jwt",), {"WFR_JWT_KEY": "x", "WFR_JWT_ALG": "RS256"}, "WFR_JWT_ALG is not known"),
        (("jobs.py:job",), {}, ""),
        (("nowhere:job",), {}, "there is no module"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_opened(
    start: Start, arguments: tuple[str, ...], env: dict[str, str], said: str
) -> None:
    process = start("--port", "0", *arguments, env=env)
    if said:
        assert process.ended() == 2
        assert said in process.said
    else:
        assert process.port, "a workflow that is named twice is one"


def test_a_server_that_cannot_start_leaves_with_the_documented_code_and_one_line(start: Start, tmp_path: Path) -> None:
    first = start("--port", "0")
    second = start("--port", str(first.port))
    assert second.ended() == 2
    assert second.said == (
        f"wfr: cannot listen at 127.0.0.1, port {first.port}: Address already in use;"
        " choose another --host or --port (0: a free port)\n"
    )
    assert httpx.get(f"{first.url}/health").status_code == 200
    for arguments, code, said in (
        (("--port", "0", "--db", "sqlite:////nowhere/at/all/runs.db"), 7, "create it"),
        (("--port", "0", "--log-level", "loud"), 2, "is not one of critical, error"),
        (("--port", "0", "--host", "no-such-host.localhost.invalid", "--jwt"), 2, "cannot listen at no-such-host"),
    ):
        process = start(*arguments, env={"WFR_JWT_KEY": "a secret of 32 bytes or more ...."})
        assert process.ended() == code, process.said
        assert said in process.said
        assert "Traceback" not in process.said


def test_the_kernel_cuts_off_who_takes_nothing() -> None:
    limits = Limits(send_timeout=1.5)
    server = server_for(None, "127.0.0.1", 0, limits=limits, grace=1.0, log_level="warning")
    with bind(server, limits) as listening:
        assert listening.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 1500
        assert (server.config.ws_max_size, server.config.timeout_graceful_shutdown) == (limits.frame, 3)
