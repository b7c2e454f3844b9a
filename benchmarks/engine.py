"""What the engine costs: steps, events, chunks, branches, concurrent runs, saved runs, replay, the sync wrapper, import.

``python benchmarks/engine.py [--toy] [--json FILE] [CASE ...]``. CPU time of all threads unless the unit says wall;
the median of several rounds. Each case checks that it did the work it says, and fails if not. ``--toy`` is for the tests.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from statistics import median
from typing import Any

from workflow_runtime import Map, Parallel, Step, StepInput, Workflow
from workflow_runtime.backends import SqliteDb

Row = tuple[str, float, str]
ROUNDS = 7


async def same(step_input: StepInput) -> Any:
    return step_input.input


async def nap(step_input: StepInput) -> str:
    await asyncio.sleep(0.1)
    return "rested"


def steps(count: int, function: Any = same) -> list[Step]:
    return [Step(f"step{number}", executor=function) for number in range(count)]


def cpu(loop: asyncio.AbstractEventLoop, work: Callable[[], Awaitable[Any]], rounds: int) -> float:
    """Median CPU seconds of one round, after one to warm up."""
    loop.run_until_complete(work())  # type: ignore[arg-type]  # any awaitable will do
    spent = []
    for _ in range(rounds):
        start = time.process_time()
        loop.run_until_complete(work())  # type: ignore[arg-type]  # any awaitable will do
        spent.append(time.process_time() - start)
    return median(spent)


def case_steps(loop: asyncio.AbstractEventLoop, scale: float) -> list[Row]:
    rows: list[Row] = []
    for count in (10, 100, 1000):
        workflow = Workflow(name="steps", steps=steps(count))
        runs = max(1, int(2000 * scale / count))

        async def work(workflow: Workflow = workflow, runs: int = runs, count: int = count) -> None:
            for _ in range(runs):
                output = await workflow.arun("x")
                assert len(output.step_results) == count

        rows.append((f"no-op step, {count} in a run", cpu(loop, work, ROUNDS) / runs / count * 1e6, "us"))
    return rows


def case_events(loop: asyncio.AbstractEventLoop, scale: float) -> list[Row]:
    count = max(10, int(1000 * scale))
    workflow = Workflow(name="events", steps=steps(count))
    seen = 0

    async def work() -> None:
        nonlocal seen
        numbers = [event.seq async for event in workflow.arun("x", stream=True, stream_events=True)]
        assert numbers == list(range(1, 3 * count + 3))
        seen = len(numbers)

    return [("streamed event", cpu(loop, work, ROUNDS) / max(seen, 1) * 1e6, "us")]


def case_chunks(loop: asyncio.AbstractEventLoop, scale: float) -> list[Row]:
    count = max(100, int(20_000 * scale))

    async def eager(step_input: StepInput) -> AsyncIterator[str]:
        for _ in range(count):
            yield "x"

    async def patient(step_input: StepInput) -> AsyncIterator[str]:
        for _ in range(count):
            await asyncio.sleep(0)
            yield "x"

    rows: list[Row] = []
    for label, function in (("producer does not await", eager), ("producer awaits each", patient)):
        workflow = Workflow(name="chunks", steps=[function])

        async def work(workflow: Workflow = workflow) -> None:
            text = [event.delta async for event in workflow.arun("x", stream=True) if event.event == "StepContent"]
            assert len(text) == count

        rows.append((f"streamed chunk, {label}", cpu(loop, work, 3) / count * 1e6, "us"))
    return rows


def case_first_event(loop: asyncio.AbstractEventLoop, scale: float) -> list[Row]:
    workflow = Workflow(name="first", steps=steps(3))
    waited: list[float] = []

    async def work() -> None:
        for _ in range(max(20, int(1000 * scale))):
            start = time.perf_counter()
            async with workflow.arun("x", stream=True) as stream:
                async for event in stream:
                    assert event.event == "WorkflowStarted"
                    waited.append(time.perf_counter() - start)
                    break

    loop.run_until_complete(work())
    waited.sort()
    return [
        ("first event, p50", waited[len(waited) // 2] * 1e6, "us wall"),
        ("first event, p99", waited[len(waited) * 99 // 100] * 1e6, "us wall"),
    ]


def case_parallel(loop: asyncio.AbstractEventLoop, scale: float) -> list[Row]:
    rows: list[Row] = []
    for count in (10, 100, 1000):
        if count > 1000 * scale + 10:
            continue
        workflow = Workflow(name="parallel", steps=[Parallel(*steps(count), name="all")])

        async def work(workflow: Workflow = workflow, count: int = count) -> None:
            for _ in range(1000 // count):
                output = await workflow.arun("x")
                assert len(output.step_results[0].steps or ()) == count

        rows.append((f"Parallel branch, {count}", cpu(loop, work, ROUNDS) / (1000 // count) / count * 1e6, "us"))
    return rows


def case_concurrent(loop: asyncio.AbstractEventLoop, scale: float) -> list[Row]:
    """In a process of its own, so that the peak of its memory is this case's."""
    count = max(10, int(10_000 * scale))
    code = (
        "import asyncio, json, sys; sys.path.insert(0, sys.argv[1]); from benchmarks.engine import concurrent;"
        "print(json.dumps(asyncio.run(concurrent(int(sys.argv[2])))))"
    )
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    done = subprocess.run([sys.executable, "-c", code, here, str(count)], capture_output=True, text=True, check=True)
    wall, kilobytes = json.loads(done.stdout)
    return [
        (f"{count} runs of 3 x 100 ms at once", wall, "s wall"),
        (f"{count} runs of 3 x 100 ms at once", kilobytes, "KB a run"),
    ]


def peak_memory() -> int:
    """Peak resident KB of this process. getrusage begins with what the parent had. Linux only."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))


async def concurrent(count: int) -> tuple[float, float]:
    """(wall seconds, KB of peak memory a run)."""
    workflow = Workflow(name="concurrent", steps=steps(3, nap))
    await workflow.arun("x")
    gc.collect()
    before = peak_memory()
    start = time.perf_counter()
    outputs = await asyncio.gather(*(workflow.arun("x") for _ in range(count)))
    wall = time.perf_counter() - start
    assert all(output.status == "COMPLETED" for output in outputs)
    return wall, (peak_memory() - before) / count


def case_saved(loop: asyncio.AbstractEventLoop, scale: float) -> list[Row]:
    rows: list[Row] = []
    runs = max(20, int(1000 * scale))
    with tempfile.TemporaryDirectory(dir=".") as folder:
        for durability in ("exit", "async", "sync"):
            for events in (False, True):
                db = SqliteDb(f"{folder}/{durability}{events}.db")
                workflow = Workflow(name="saved", db=db, steps=steps(3), durability=durability, store_events=events)
                label = f'saved in SQLite, 3 steps, "{durability}"{", all events" if events else ""}'
                start = time.perf_counter()
                loop.run_until_complete(_saved(workflow, runs))
                rows.append((f"{label}, 32 at a time", runs / (time.perf_counter() - start), "runs/s wall"))
                loop.run_until_complete(db.aclose())
    return rows


async def _saved(workflow: Workflow, runs: int) -> None:
    places = asyncio.Semaphore(32)

    async def one(number: int) -> None:
        async with places:
            await workflow.arun(number, session_id=f"s{number}")

    await asyncio.gather(*(one(number) for number in range(runs)))
    last = await workflow.aget_last_run_output(f"s{runs - 1}")
    assert last is not None
    assert len(last.step_results) == 3


def case_session(loop: asyncio.AbstractEventLoop, scale: float) -> list[Row]:
    """A run in a session's beginning, and after many runs of it."""
    many = max(50, int(5000 * scale))
    with tempfile.TemporaryDirectory(dir=".") as folder:
        db = SqliteDb(f"{folder}/session.db")
        workflow = Workflow(name="session", db=db, steps=steps(1))

        async def some(count: int) -> None:
            for _ in range(count):
                await workflow.arun("x", session_id="s")

        first = cpu(loop, lambda: some(20), 3) / 20
        loop.run_until_complete(_crowd(workflow, many))
        last = cpu(loop, lambda: some(20), 3) / 20
        stored = loop.run_until_complete(workflow.aget_session("s"))
        assert stored is not None
        assert len(stored.runs or ()) == many + 160
        loop.run_until_complete(db.aclose())
    return [
        ("run in a new session", first * 1e6, "us"),
        (f"run in a session of {many} runs", last * 1e6, "us"),
        ("ratio", last / first, "x"),
    ]


async def _crowd(workflow: Workflow, count: int) -> None:
    places = asyncio.Semaphore(32)

    async def one() -> None:
        async with places:
            await workflow.arun("x", session_id="s")

    await asyncio.gather(*(one() for _ in range(count)))


def case_replay(loop: asyncio.AbstractEventLoop, scale: float) -> list[Row]:
    items = max(20, int(5000 * scale))

    async def over(step_input: StepInput) -> list[int]:
        return list(range(items))

    with tempfile.TemporaryDirectory(dir=".") as folder:
        db = SqliteDb(f"{folder}/replay.db")
        step = Map(Step("item", executor=same), over=over, max_concurrency=50)
        workflow = Workflow(name="replay", db=db, steps=[step], store_events=True)
        output = loop.run_until_complete(_run(workflow))

        async def read() -> None:
            numbers = [event.seq async for event in workflow.subscribe(str(output.run_id))]
            assert numbers == list(range(1, output.last_seq + 1))

        spent = cpu(loop, read, 5) / output.last_seq
        loop.run_until_complete(db.aclose())
    return [("replayed event from SQLite", spent * 1e6, "us"), ("the same", 1 / spent, "events/s of CPU")]


async def _run(workflow: Workflow) -> Any:
    return await workflow.arun("x")


def case_wrapper(loop: asyncio.AbstractEventLoop, scale: float) -> list[Row]:
    workflow = Workflow(name="wrapper", steps=steps(1))
    runs = max(20, int(500 * scale))

    async def asynchronous() -> None:
        for _ in range(runs):
            assert (await workflow.arun("x")).content == "x"

    rows = [("await arun()", cpu(loop, asynchronous, ROUNDS) / runs * 1e6, "us")]
    assert workflow.run("x").content == "x"
    start = time.process_time()
    for _ in range(runs):
        workflow.run("x")
    return [*rows, ("run()", (time.process_time() - start) / runs * 1e6, "us")]


def case_import(loop: asyncio.AbstractEventLoop, scale: float) -> list[Row]:
    """With byte code, as after an installation: in an environment that keeps none, compiling is most of an import."""
    code = (
        "import time; before = time.process_time(); {0}; spent = time.process_time() - before;"
        "print(spent, int(open('/proc/self/statm').read().split()[1]) / 256)"  # getrusage keeps the parent's peak
    )
    programs = {
        "import anyio": "import anyio",
        "import asyncio, anyio, msgspec": "import asyncio, anyio, msgspec",
        "import workflow_runtime": "import workflow_runtime",
        "from workflow_runtime import Workflow": "from workflow_runtime import Workflow",
    }
    spent: dict[str, list[tuple[float, float]]] = {label: [] for label in programs}
    with tempfile.TemporaryDirectory() as folder:
        kept = {**os.environ, "PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": folder}
        for number in range(max(2, int(12 * scale))):
            for label, program in programs.items():
                command = [sys.executable, "-c", code.format(program)]
                found = subprocess.run(command, capture_output=True, text=True, env=kept, check=True).stdout.split()
                if number:  # the first one wrote the byte code
                    spent[label].append((float(found[0]), float(found[1])))
    rows: list[Row] = [(label, median(seconds for seconds, _ in found) * 1e3, "ms") for label, found in spent.items()]
    return rows + [(label, median(size for _, size in found), "MB RSS") for label, found in spent.items()]


CASES = {name.removeprefix("case_"): call for name, call in list(globals().items()) if name.startswith("case_")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(CASES)}; default: all")
    parser.add_argument("--toy", action="store_true", help="small, to see that the cases do what they say")
    parser.add_argument("--json", help="write the rows to this file as well")
    given = parser.parse_args()
    unknown = set(given.cases) - set(CASES)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; the cases are {', '.join(CASES)}")
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    rows: list[Row] = []
    print(f"Python {platform.python_version()}, {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}")
    for name in given.cases or CASES:
        for label, value, unit in CASES[name](loop, 0.01 if given.toy else 1.0):
            rows.append((label, value, unit))
            print(f"{label:62} {value:12,.2f} {unit}", flush=True)
    loop.close()
    if given.json:
        with open(given.json, "w") as file:
            json.dump([{"case": label, "value": value, "unit": unit} for label, value, unit in rows], file, indent=1)


if __name__ == "__main__":
    main()
