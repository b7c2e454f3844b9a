"""How long a cancel takes that comes from another process: from ``acancel_run`` until the run's end is stored.

``python benchmarks/cancel.py [--toy]``. A worker process executes the runs; this one cancels them through the database they
share, one at a time: runs that wait in a step, runs that wait for their turn in a session (``session_policy="queue"``), and
paused runs, which nobody executes. SQLite in a temporary file, and PostgreSQL as the tests start it, on this machine. Wall
time, since it is mostly waiting: how often the worker looks is what is measured.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
KINDS = ("running", "pending", "paused")


def workflow(url: str, kind: str) -> Any:
    import anyio

    from workflow_runtime import Step, Workflow

    async def wait(step_input: Any) -> None:
        await anyio.sleep(600)

    policy = "queue" if kind == "pending" else "merge"
    step = Step("wait", executor=wait, requires_confirmation=kind == "paused")
    return Workflow(name=kind, steps=[step], db=url, session_policy=policy, telemetry=False)


async def work(url: str, count: int) -> None:
    """The worker: starts the runs of each kind, says so, and goes on until its input ends."""
    made: dict[str, Any] = {kind: workflow(url, kind) for kind in KINDS}
    first = await made["pending"].arun(session_id="queue", run_id="first", background=True)
    assert first.run_id == "first"
    for number in range(count):
        for kind in KINDS:
            session = "queue" if kind == "pending" else f"{kind}{number}"
            await made[kind].arun(session_id=session, run_id=f"{kind}{number}", background=True)
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    made["pending"].cancel_run("first")
    for number in range(count):
        for kind in KINDS:
            made[kind].cancel_run(f"{kind}{number}")


async def stored_as(flow: Any, run_id: str, statuses: tuple[str, ...]) -> None:
    while True:
        row = await flow.db.load_run(run_id)
        if row is not None and row.status in statuses:
            return
        await asyncio.sleep(0.001)


async def cancels(url: str, count: int) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for kind in KINDS:
        flow = workflow(url, kind)
        taken = found[kind] = []
        for number in range(count):
            run_id = f"{kind}{number}"
            await stored_as(flow, run_id, (kind.upper(), "RUNNING") if kind != "paused" else ("PAUSED",))
            begun = time.perf_counter()
            assert await flow.acancel_run(run_id), run_id
            await stored_as(flow, run_id, ("CANCELLED",))
            taken.append((time.perf_counter() - begun) * 1000)
        await flow.db.aclose()
    return found


def measure(name: str, url: str, count: int) -> None:
    worker = subprocess.Popen(
        [sys.executable, __file__, "--worker", url, "--count", str(count)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert worker.stdin is not None
    assert worker.stdout is not None
    assert worker.stdout.readline() == "ready\n"
    found = asyncio.run(cancels(url, count))
    worker.stdin.close()
    worker.wait(timeout=60)
    for kind, taken in found.items():
        print(f"{name:<12}{kind:<10}{median(taken):>10.0f} ms{max(taken):>10.0f} ms", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--toy", action="store_true", help="small, to see that it works")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--count", type=int, default=20, help="runs of each kind")
    given = parser.parse_args()
    if given.worker:
        asyncio.run(work(given.worker, given.count))
        return
    count = 2 if given.toy else given.count
    print(f"{'database':<12}{'run':<10}{'median':>13}{'longest':>13}")
    with tempfile.TemporaryDirectory() as folder:
        measure("SQLite", f"sqlite:///{folder}/runs.db", count)
    sys.path.append(str(ROOT / "tests"))
    from servers import postgres_server

    with postgres_server() as server:
        measure("PostgreSQL", server.new_database(), count)


if __name__ == "__main__":
    main()
