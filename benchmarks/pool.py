"""A worker pool: how soon a run begins, how late a live event is, how fast a cancel is, and how many runs it takes.

    python -m benchmarks.pool --db postgresql://... --broker nats://... [--runs 2000] [--workers 2]

It starts its own workers. Beside each figure over NATS stands the same message with nats-py alone: a publish to another
process's subscription, which is what no queue over NATS can be faster than.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio

from workflow_runtime import StepContentEvent, StepInput, Workflow
from workflow_runtime.brokers.registry import as_broker
from workflow_runtime.storage.registry import open_url

HERE = Path(__file__)


async def one(step_input: StepInput) -> str:
    return "one"


async def two(step_input: StepInput) -> str:
    return "two"


async def three(step_input: StepInput) -> str:
    return "three"


async def talk(step_input: StepInput) -> AsyncIterator[str]:
    for _ in range(200):
        yield f"{time.time()} "
        await anyio.sleep(0.01)


async def wait(step_input: StepInput) -> None:
    await anyio.sleep(3600)


empty = Workflow(name="bench-empty", steps=[one])
steps = Workflow(name="bench-steps", steps=[one, two, three])
talking = Workflow(name="bench-talking", steps=[talk])
waiting = Workflow(name="bench-waiting", steps=[wait])


def show(what: str, seconds: list[float]) -> None:
    ordered = sorted(seconds)
    middle, late = statistics.median(ordered) * 1000, ordered[int(len(ordered) * 0.95)] * 1000
    print(f"{what:34} p50 {middle:7.2f} ms   p95 {late:7.2f} ms   ({len(ordered)} times)", flush=True)


async def begin(workflow: Workflow, times: int) -> list[float]:
    """Seconds from the call to the first event."""
    found = []
    for _ in range(times):
        begun = time.perf_counter()
        async with workflow.arun("x", background=True, stream=True, stream_events=True) as stream:
            await anext(aiter(stream))
            found.append(time.perf_counter() - begun)
            async for _ in stream:
                pass
    return found


async def relay(workflow: Workflow) -> list[float]:
    """Seconds from a chunk's birth in the worker to its arrival here."""
    found: list[float] = []
    async with workflow.arun("x", background=True, stream=True, stream_events=True) as stream:
        async for event in stream:
            now = time.time()
            if isinstance(event, StepContentEvent):
                found += [now - float(part) for part in str(event.delta).split()]
    return found


async def cancel(workflow: Workflow, times: int) -> list[float]:
    """Seconds from the call of ``acancel_run`` to the terminal event."""
    found = []
    for _ in range(times):
        asked = 0.0
        async with workflow.arun("x", background=True, stream=True, stream_events=True) as stream:
            async for event in stream:
                if event.event == "StepStarted":
                    asked = time.perf_counter()
                    await workflow.acancel_run(stream.run_id)
                elif event.event == "WorkflowCancelled":
                    found.append(time.perf_counter() - asked)
    return found


async def throughput(workflow: Workflow, runs: int) -> tuple[float, float]:
    """Runs queued, and finished, in a second."""
    begun = time.perf_counter()
    for first in range(0, runs, 100):
        await asyncio.gather(*(workflow.arun(n, background=True) for n in range(first, min(first + 100, runs))))
    queued = time.perf_counter() - begun
    db = workflow.db
    assert db is not None
    while await db.list_queues(now=time.time()):  # noqa: ASYNC110  # other processes can only be looked at
        await asyncio.sleep(0.02)
    return runs / queued, runs / (time.perf_counter() - begun)


async def raw(url: str, times: int) -> list[float]:
    """Seconds that a message of nats-py takes there and back, halved."""
    import nats

    server = url.partition("?")[0]
    here, there = await nats.connect(server), await nats.connect(server)

    async def answer(message: Any) -> None:
        await message.respond(b"")

    await there.subscribe("bench.raw", cb=answer)
    await there.flush()
    found = []
    for _ in range(times):
        begun = time.perf_counter()
        await here.request("bench.raw", b"x")
        found.append((time.perf_counter() - begun) / 2)
    await here.close()
    await there.close()
    return found


async def measure(options: argparse.Namespace) -> None:
    db, broker = open_url(options.db), as_broker(options.broker)

    def here(workflow: Workflow) -> Workflow:
        return Workflow(name=workflow.name, steps=workflow.steps, db=db, broker=broker)

    await begin(here(empty), 3)
    show("enqueue to first event, idle", await begin(here(empty), options.times))
    show("live event to another process", await relay(here(talking)))
    show("cancel to its event", await cancel(here(waiting), options.times))
    if options.broker.startswith("nats"):
        show("raw nats-py message", await raw(options.broker, options.times))
    for workflow in (empty, steps):
        queued, done = await throughput(here(workflow), options.runs)
        print(f"{workflow.name:34} {queued:7.0f} queued/s  {done:7.0f} done/s   ({options.runs} runs)", flush=True)
    if broker is not None:
        await broker.aclose()
    await db.aclose()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--db", required=True)
    parser.add_argument("--broker", required=True)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--times", type=int, default=100)
    options = parser.parse_args()
    names = [f"{HERE}:{name}" for name in ("empty", "steps", "talking", "waiting")]
    command = [sys.executable, "-m", "workflow_runtime.cli", "worker", *names, "--log-level", "warning"]
    command += ["--db", options.db, "--broker", options.broker, "--concurrency", "200"]
    workers = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(options.workers)]
    try:
        for worker in workers:
            assert worker.stderr is not None
            worker.stderr.readline()  # it says when it takes runs
        asyncio.run(measure(options))
        cpu = _cpu([worker.pid for worker in workers])
        if cpu is not None:
            print(f"workers used {cpu:.1f} s of CPU in all", flush=True)
    finally:
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.communicate()


def _cpu(pids: list[int]) -> float | None:
    with suppress(OSError):
        parts = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in pids]
        return sum(int(part[11]) + int(part[12]) for part in parts) / 100
    return None


if __name__ == "__main__":
    main()
