"""Messages that another process sends: by the command, and to a run that works on while it waits."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest
from servers import TestServer

from workflow_runtime import Parallel, RunContext, RunStatus, Step, Workflow, WorkflowRunOutput
from workflow_runtime.storage.base import RECEIVES, RunFilter
from workflow_runtime.storage.registry import open_url

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def _no_blocked_loop() -> None:
    """These tests wait for other processes, and nothing else runs on their loop."""


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/runs.db"
    server: TestServer = request.getfixturevalue("postgres")
    return f"{server.new_database()}?max_size=4"


async def send(url: str, *arguments: str) -> None:
    """``wfr send`` in a process of its own."""
    command = [sys.executable, "-m", "workflow_runtime.cli", "send", "--db", url, *arguments]
    done = await anyio.run_process(command, stderr=subprocess.STDOUT, check=False)
    assert done.returncode == 0, done.stdout.decode()


async def test_a_run_that_works_hears_of_a_message_of_another_process(url: str) -> None:
    waiting, go = anyio.Event(), anyio.Event()

    async def works() -> str:
        waiting.set()
        await go.wait()
        return "worked"

    async def wait(run_context: RunContext) -> Any:
        found = await run_context.receive("t")
        go.set()
        return found

    parts = Parallel(Step(name="a", executor=works), Step(name="b", executor=wait), name="p")
    workflow = Workflow(name="w", steps=[parts], db=open_url(url))
    outputs: list[WorkflowRunOutput] = []

    async def run() -> None:
        outputs.append(await workflow.arun("x", run_id="r1"))

    assert workflow.db is not None
    with anyio.fail_after(120):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run)
            await waiting.wait()
            while not any(row.kind == f"{RECEIVES}t" for row in await workflow.db.load_requirements("r1")):
                await anyio.lowlevel.checkpoint()
            await send(url, "r1", "t", '{"a": 1}')
    assert outputs[0].status is RunStatus.completed
    assert [step.content for step in outputs[0].step_results[0].steps or ()] == ["worked", {"a": 1}]
    await workflow.db.aclose()


async def test_a_run_that_pauses_meanwhile_does_not_sleep_through_it(url: str) -> None:
    """Messages come from another database object at every moment around the pause: each round is received."""

    async def wait(run_context: RunContext) -> list[Any]:
        return [await run_context.receive("t") for _ in range(20)]

    workflow = Workflow(name="w", steps=[Step(name="b", executor=wait)], db=open_url(url), evict_after=0.0)
    other = Workflow(name="w", steps=[Step(name="b", executor=wait)], db=open_url(url))
    assert workflow.db is not None
    assert other.db is not None
    done: list[WorkflowRunOutput] = []

    async def run() -> None:
        output = await workflow.arun("x", run_id="r1")
        while output.is_paused:
            assert workflow.db is not None
            where = RunFilter(statuses=frozenset({RunStatus.paused}), signalled=True)
            if await workflow.db.list_runs(where):
                output = await workflow.acontinue_run(run_id="r1")
            else:
                await anyio.lowlevel.checkpoint()
        done.append(output)

    with anyio.fail_after(120):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run)
            while await other.db.load_run("r1") is None:
                await anyio.lowlevel.checkpoint()
            for number in range(20):
                await other.asend("r1", "t", number)
    assert done[0].content == list(range(20))
    await workflow.db.aclose()
    await other.db.aclose()


async def test_a_paused_run_is_continued_in_another_process_with_its_message(url: str) -> None:
    def build() -> Workflow:
        async def wait(run_context: RunContext) -> Any:
            return await run_context.receive("t", int, timeout=3600)

        return Workflow(name="w", steps=[Step(name="b", executor=wait)], db=open_url(url), evict_after=0.0)

    first = build()
    assert (await first.arun("x", run_id="r1")).is_paused
    assert first.db is not None
    await first.db.aclose()
    await send(url, "r1", "t", "5", "--id", "m", "--json")
    second = build()
    assert second.db is not None
    assert (await second.acontinue_run(run_id="r1")).content == 5
    await send(url, "r1", "t", "5", "--id", "m")
    await second.db.aclose()
