"""What streaming over HTTP costs: events per second through SSE to 100 clients, the wait for the first, CPU per event.

``python benchmarks/server.py [--toy]``. A server process (uvicorn, ``workflow_app`` over a SQLite file) and 100 clients in
a second one, over loopback. Three cases: each client starts a run of its own and streams it; all follow one run; and, for
both, an endpoint of the same server that sends the same bytes with nothing behind it. CPU is the server process's, from
/proc, so this runs on Linux. Each case is measured three times and the median of each figure is shown.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from statistics import median, quantiles
from typing import Any

ROUNDS = 3
IDS = re.compile(rb"id: \d+-(\d+)")


# -- the server ---------------------------------------------------------------------------------------------------------


def serve(url: str, chunks: int, clients: int) -> None:
    import uvicorn
    from starlette.requests import Request
    from starlette.responses import StreamingResponse
    from starlette.routing import Route

    from workflow_runtime import Step, Workflow
    from workflow_runtime.server import Limits, workflow_app
    from workflow_runtime.server.running import bind, server_for

    held: dict[str, asyncio.Event] = {}

    async def talk(step_input: Any) -> AsyncIterator[str]:
        if step_input.input is not None:
            await held.setdefault(step_input.input, asyncio.Event()).wait()
        for number in range(chunks):
            yield f"token {number:06} "
            await asyncio.sleep(0)

    workflow = Workflow(name="talk", steps=[Step("talk", executor=talk)], db=url, telemetry=False)
    limits = Limits(connections_per_user=2 * clients, readers_per_run=2 * clients)
    app = workflow_app(workflow, limits=limits)
    kept: dict[str, list[bytes]] = {}

    async def go(request: Request) -> StreamingResponse:
        held.setdefault(request.query_params["name"], asyncio.Event()).set()
        return StreamingResponse(iter([b"gone"]))

    async def keep(request: Request) -> StreamingResponse:
        """Remember a stream, in frames, to be sent again by ``bare``."""
        kept["frames"] = [part + b"\n\n" for part in (await request.body()).split(b"\n\n") if part]
        return StreamingResponse(iter([b"kept"]))

    async def bare(request: Request) -> StreamingResponse:
        async def frames() -> AsyncIterator[bytes]:
            if "name" in request.query_params:
                await held.setdefault(request.query_params["name"], asyncio.Event()).wait()
            for frame in kept["frames"]:
                yield frame
                await asyncio.sleep(0)

        return StreamingResponse(frames(), media_type="text/event-stream")

    app.router.routes.extend(
        [Route("/go", go), Route("/keep", keep, methods=["POST"]), Route("/bare", bare, methods=["GET", "POST"])]
    )
    server: uvicorn.Server = server_for(app, "127.0.0.1", 0, limits=limits, grace=1.0, log_level="error")
    with bind(server, limits) as listening:
        print(listening.getsockname()[1], flush=True)
        server.run(sockets=[listening])


# -- the clients --------------------------------------------------------------------------------------------------------


class Seen:
    """What one client saw: seconds to the first event, events (merged text counts as what was merged), frames, bytes."""

    def __init__(self) -> None:
        self.first = 0.0
        self.data = bytearray()

    @property
    def events(self) -> int:
        return max((int(found) for found in IDS.findall(self.data)), default=0)

    @property
    def frames(self) -> int:
        return len(IDS.findall(self.data))


async def request(port: int, method: str, path: str, body: bytes = b"") -> Seen:
    began, seen = time.perf_counter(), Seen()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    kind = "Content-Type: application/json\r\n" if body else ""
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n{kind}Content-Length: {len(body)}\r\n\r\n"
    )
    writer.write(head.encode() + body)
    while data := await reader.read(1 << 16):
        seen.data += data
        if not seen.first and b"event: " in data:
            seen.first = time.perf_counter() - began
    writer.close()
    return seen


def cpu_of(pid: int) -> float:
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Figures:
    """What clients saw who each read a stream of ``events`` to its end."""

    def __init__(self, seen: list[Seen], events: int, wall: float, cpu: float) -> None:
        assert [one.events for one in seen] == [events] * len(seen), "each got all of its stream"
        events *= len(seen)
        first = quantiles([1000 * one.first for one in seen], n=100, method="inclusive")
        self.row = (events / wall, 1e6 * cpu / events, first[49], first[98], sum(one.frames for one in seen) / events)


async def own_runs(port: int, pid: int, clients: int, events: int, bare: bool) -> Figures:
    """Each client starts a run and streams it."""
    path, body = ("/bare", b"") if bare else ("/workflows/talk/runs", b'{"stream": true, "background": true}')
    cpu, wall = cpu_of(pid), time.perf_counter()
    seen = await asyncio.gather(*(request(port, "POST", path, body) for _ in range(clients)))
    return Figures(seen, events, time.perf_counter() - wall, cpu_of(pid) - cpu)


async def one_run(port: int, pid: int, clients: int, events: int, bare: bool, name: str) -> Figures:
    """All clients follow one run, which begins when all are there."""
    path = f"/bare?name={name}"
    if not bare:
        started = await request(
            port, "POST", "/workflows/talk/runs", b'{"background": true, "input": "%s"}' % name.encode()
        )
        found = re.search(rb'"run_id":"([^"]+)"', started.data)
        assert found is not None, started.data
        path = f"/workflows/talk/runs/{found[1].decode()}/events"
    readers = [asyncio.create_task(request(port, "GET", path)) for _ in range(clients)]
    await asyncio.sleep(1.0)  # all are connected and wait
    cpu, wall = cpu_of(pid), time.perf_counter()
    await request(port, "GET", f"/go?name={name}")
    seen = await asyncio.gather(*readers)
    return Figures(seen, events, time.perf_counter() - wall, cpu_of(pid) - cpu)


async def measure(port: int, pid: int, clients: int, chunks: int) -> dict[str, list[Figures]]:
    streams = await asyncio.gather(
        *(request(port, "POST", "/workflows/talk/runs", b'{"stream": true}') for _ in range(clients))
    )
    one = max(streams, key=lambda seen: seen.frames)  # of a stream that fell behind, text is merged
    assert one.events >= chunks, one.events
    frames = b"".join(
        part + b"\n\n" for part in re.findall(rb"id: [^\n]+\nevent: [^\n]+\ndata: [^\n]+(?=\n\n)", one.data)
    )
    await request(port, "POST", "/keep", frames)
    found: dict[str, list[Figures]] = {}
    for number in range(ROUNDS):
        for bare in (False, True):
            behind = "the same bytes, nothing behind" if bare else "workflow_app"
            found.setdefault(f"a run each: {behind}", []).append(await own_runs(port, pid, clients, one.events, bare))
            found.setdefault(f"one run: {behind}", []).append(
                await one_run(port, pid, clients, one.events, bare, f"{number}-{bare}")
            )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--toy", action="store_true", help="small, to see that all works: the figures mean nothing")
    parser.add_argument("--serve", nargs=3, metavar=("URL", "CHUNKS", "CLIENTS"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve(given.serve[0], int(given.serve[1]), int(given.serve[2]))
        return
    clients, chunks = (4, 20) if given.toy else (100, 500)
    with tempfile.TemporaryDirectory(dir=os.curdir) as folder:
        command = [sys.executable, __file__, "--serve", f"sqlite:///{folder}/runs.db", str(chunks), str(clients)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            try:
                found = asyncio.run(measure(int(server.stdout.readline()), server.pid, clients, chunks))
            finally:
                server.terminate()
    print(f"{clients} clients, {chunks} chunks of text in each run; medians of {ROUNDS} rounds")
    print(
        f"{'':42} {'events/s':>10} {'us CPU each':>12} {'first p50 ms':>13} {'first p99 ms':>13} {'frames/event':>13}"
    )
    for name in sorted(found):
        figures = [median(values) for values in zip(*(one.row for one in found[name]), strict=True)]
        print("{:42} {:10,.0f} {:12.1f} {:13.1f} {:13.1f} {:13.2f}".format(name, *figures))


if __name__ == "__main__":
    main()
