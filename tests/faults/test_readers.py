"""HTTP servers are killed, or stopped for a while, at random moments of a fast stream; every reader has the log in the end.

Three servers share a database. A run is started through a balancer by the typed client, and followed in every way there is.
The server that executes it is killed once the client has seen so many events, and so, half of the time, is the one that
takes the run over. Readers come back at once, or when the run has been taken over, and go on with the id of the last event
that they saw, over whatever protocol comes next. What each has seen, with a later attempt replacing what it overlaps, is
compared with the log.
"""

from __future__ import annotations

import json
import os
import random
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, contextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from client.proxy import Proxy
from histories import folded, log_of
from server.wire import open_stream
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from workflow_runtime import Workflow
from workflow_runtime.client import Client
from workflow_runtime.core.lifecycle import is_end
from workflow_runtime.core.position import Position, parse_position
from workflow_runtime.model.codec import decode_event
from workflow_runtime.storage.registry import open_url

from .processes import ForkServer, is_alive, kill
from .workload import talking

pytestmark = pytest.mark.anyio

# For a long run: make faults ROUNDS=20 SEED=7, which is 60 kills for each database
ROUNDS = int(os.environ.get("WORKFLOW_RUNTIME_FAULT_ROUNDS", "1"))
SEED = int(os.environ.get("WORKFLOW_RUNTIME_FAULT_SEED", "1"))
KILLS = 3 * ROUNDS
LEASE = 0.6
LOST = (OSError, WebSocketException, EOFError, httpx2.TransportError)


class Servers:
    """Three server processes, as a balancer sees them: those that were killed are replaced."""

    def __init__(self, workers: ForkServer, url: str, tmp_path: Path, chance: random.Random) -> None:
        self._workers, self._url, self._tmp_path, self._chance = workers, url, tmp_path, chance
        self._numbers = iter(range(10_000))
        self._lock = threading.Lock()
        self.pids: dict[int, int] = {}  # by port

    async def fill(self) -> None:
        while len(self.pids) < 3:
            listens = self._tmp_path / f"port{next(self._numbers)}"
            pid = self._workers.start("serve", url=self._url, listens=str(listens), lease=LEASE)
            with anyio.fail_after(60):
                while not listens.exists():
                    assert is_alive(pid)
                    await anyio.sleep(0.01)
            with self._lock:
                self.pids[int(listens.read_text())] = pid

    def any(self) -> int:
        """The port of one of them."""
        with self._lock:
            return self._chance.choice(list(self.pids))

    def kill(self, port: int) -> None:
        """Nothing happens to one that is dead, or stopped, already."""
        with self._lock:
            pid = self.pids.pop(port, None)
        if pid is not None:
            kill(pid, signal.SIGKILL)

    @contextmanager
    def stopped(self, port: int) -> Iterator[None]:
        """It does nothing for as long as the block takes, and does not know that time has passed."""
        with self._lock:
            pid = self.pids.pop(port, None)
        if pid is None:
            yield
            return
        kill(pid, signal.SIGSTOP)
        yield
        kill(pid, signal.SIGCONT)
        with self._lock:
            self.pids[port] = pid

    def close(self) -> None:
        for pid in self.pids.values():
            kill(pid)


class Balancer(Proxy):
    """A wire to one of the servers, another one for each connection. ``last`` is the one that it chose last."""

    def __init__(self, servers: Servers) -> None:
        self._servers = servers
        self.last = 0
        super().__init__(0)

    @property
    def target(self) -> int:
        self.last = self._servers.any()
        return self.last

    @target.setter
    def target(self, port: int) -> None:
        return


@contextmanager
def balancer(servers: Servers) -> Iterator[Balancer]:
    made = Balancer(servers)
    thread = threading.Thread(target=made.run, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        made.close()
        thread.join(5)


# -- one connection, over each protocol --------------------------------------------------------------------------------


async def over_sse(port: int, run_id: str, after: str) -> AsyncIterator[Any]:
    headers = {"Last-Event-ID": after} if after != "0" else {}
    answer = await open_stream(port, f"/workflows/talking/runs/{run_id}/events", headers=headers)
    try:
        if answer.status != 200:
            return
        async for block in answer.blocks():
            if "data" in block:
                event = decode_event(block["data"].encode())
                assert event.id == block["id"]
                yield event
    finally:
        answer.abort()


async def over_socket(port: int, run_id: str, after: str) -> AsyncIterator[Any]:
    async with connect(f"ws://127.0.0.1:{port}/workflows/ws", max_size=None, ping_interval=None) as socket:
        try:
            await socket.send(json.dumps({"action": "subscribe", "run_id": run_id, "after": after}))
            async for frame in socket:
                said = json.loads(frame)
                if said["event"] not in ("connected", "subscribed"):
                    assert said["event"] != "error", said
                    yield decode_event(str(frame).encode())
        finally:
            socket.transport.abort()  # without a word: nobody waits for the server to say good-bye


class Readers:
    """The readers of one run. ``seen`` are the events of each, in the order in which they came."""

    def __init__(self, servers: Servers, workflow: Workflow, url: str, run_id: str, chance: random.Random) -> None:
        self.servers, self.workflow, self.url, self.run_id, self.chance = servers, workflow, url, run_id, chance
        self.seen: dict[str, list[Any]] = {}
        self.connections = 0

    async def subscribe(self, name: str) -> None:
        """In this process, from the database, once."""
        seen = self.seen.setdefault(name, [])
        async for event in self.workflow.subscribe(self.run_id):
            seen.append(event)

    async def client(self, name: str, client: Client) -> None:
        """The typed client, which makes its connections itself."""
        seen = self.seen.setdefault(name, [])
        async for event in client.workflow("talking").subscribe(self.run_id):
            seen.append(event)

    async def hop(self, name: str, *ways: str) -> None:
        """Connections over these protocols, each left after some events, or lost with its server."""
        seen = self.seen.setdefault(name, [])
        while not (seen and is_end(seen[-1])):
            after = seen[-1].id if seen else "0"
            if seen and self.chance.random() < 0.3:
                await self.taken_over(parse_position(after))
            self.connections += 1
            most = self.chance.choice([1, 5, 20, 80, 10_000])
            with suppress(*LOST):
                async with aclosing(self._open(self.chance.choice(ways), after)) as events:
                    async for event in events:
                        seen.append(event)
                        most -= 1
                        if not most or is_end(event):
                            break

    async def _open(self, way: str, after: str) -> AsyncIterator[Any]:
        if way == "subscribe":
            events: Any = self.workflow.subscribe(self.run_id, after=after)
        elif way == "client":
            async with Client(f"http://127.0.0.1:{self.servers.any()}", reconnect=0.0) as client:
                async for event in client.workflow("talking").subscribe(self.run_id, after=after):
                    yield event
            return
        else:
            events = (over_sse if way == "sse" else over_socket)(self.servers.any(), self.run_id, after)
            async with aclosing(events):
                async for event in events:
                    yield event
            return
        async with events:
            async for event in events:
                yield event

    async def taken_over(self, position: Position | int) -> None:
        """Wait until the run is at a later attempt than ``position``, or has ended."""
        db = self.workflow.db
        assert db is not None
        assert isinstance(position, Position)
        while True:
            row = await db.load_run(self.run_id)
            assert row is not None
            if row.attempt > position.epoch or row.status.is_final:
                return
            await db.changed(self.run_id, seen=row.seq, timeout=0.05)


async def one_run(servers: Servers, workflow: Workflow, url: str, number: int, chance: random.Random) -> Readers:
    run_id = f"00_{number}"
    readers = Readers(servers, workflow, url, run_id, chance)
    db = workflow.db
    assert db is not None
    moments = [chance.randint(1, 350)]
    if chance.random() < 0.5:
        moments.append(moments[0] + chance.randint(1, 200))

    with balancer(servers) as wire:
        async with Client(wire.url) as client, anyio.create_task_group() as tasks:
            ran = readers.seen["the caller"] = []

            async def strike(port: int) -> None:
                if chance.random() < 0.7:
                    servers.kill(port)
                    return
                row = await db.load_run(run_id)
                with servers.stopped(port), anyio.move_on_after(4 * LEASE):  # it may have locked what others wait for
                    await readers.taken_over(Position(row.attempt if row is not None else 1, 0))

            run = client.run("talking", "x", run_id=run_id, background=True, stream_events=True)
            async for event in run:
                ran.append(event)
                if len(ran) == 1:
                    tasks.start_soon(readers.subscribe, "subscribe")
                    tasks.start_soon(readers.client, "client", client)
                    tasks.start_soon(readers.hop, "events", "sse")
                    tasks.start_soon(readers.hop, "socket", "socket")
                    tasks.start_soon(readers.hop, "any", "sse", "socket", "client", "subscribe")
                if moments and len(ran) >= moments[0]:
                    moments.pop(0)
                    row = await db.load_run(run_id)
                    owners = [port for port, pid in servers.pids.items() if row and f":{pid}:" in str(row.owner)]
                    tasks.start_soon(strike, owners[0] if owners else servers.any())
            assert (await run.result()).status == "COMPLETED"
    return readers


async def test_every_reader_has_the_log_in_the_end_whenever_servers_are_killed(
    workers: ForkServer, new_url: Callable[[], str], tmp_path: Path
) -> None:
    url, chance = new_url(), random.Random(SEED)
    workflow = talking(open_url(url), LEASE)
    servers = Servers(workers, url, tmp_path, chance)
    taken_over = 0
    try:
        for number in range(KILLS):
            await servers.fill()
            with anyio.fail_after(120):
                readers = await one_run(servers, workflow, url, number, chance)
            assert workflow.db is not None
            log = await log_of(workflow.db, readers.run_id)
            numbers = [part[0] for part in folded(log)]
            assert numbers == list(range(1, numbers[-1] + 1))
            for name, seen in readers.seen.items():
                assert folded(seen) == folded(log), f"{name} of run {number}"
                assert [event.event for event in seen if is_end(event)] == ["WorkflowCompleted"], name
                assert is_end(seen[-1]), name
            taken_over += log[-1].epoch > 1
    finally:
        servers.close()
        assert workflow.db is not None
        await workflow.db.aclose()
    assert taken_over >= KILLS // 2
