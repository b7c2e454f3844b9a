"""A step of a run is cancelled from another process, by the command; and in a race with its completion."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest
from servers import TestServer

from workflow_runtime import (
    Parallel,
    RunContext,
    RunEnded,
    RunStatus,
    Runtime,
    Step,
    StepInput,
    StepNotRunning,
    Workflow,
    WorkflowRunOutput,
)
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


async def wfr(url: str, *arguments: str) -> tuple[int, str]:
    """``wfr`` in a process of its own: its exit code and what it printed."""
    command = [sys.executable, "-m", "workflow_runtime.cli", *arguments, "--db", url]
    done = await anyio.run_process(command, stderr=subprocess.STDOUT, check=False)
    return done.returncode, done.stdout.decode()


async def quick(step_input: StepInput) -> str:
    return "quick"


async def asks(run_context: RunContext) -> str:
    return f"answered {await run_context.ask('well?')}"


async def test_a_running_step_is_cancelled_skipped_and_retried_by_the_command(url: str) -> None:
    begun = anyio.Event()
    entered: list[str] = []

    async def works(step_input: StepInput) -> str:
        entered.append("a")
        begun.set()
        await anyio.sleep_forever()
        return "never"

    async def works_again(step_input: StepInput) -> str:
        entered.append("b")
        if entered.count("b") == 1:
            await anyio.sleep_forever()
        return "worked"

    steps = [Step(name="a", executor=works), Step(name="b", executor=works_again), Step(name="c", executor=works)]
    workflow = Workflow(name="w", steps=[Parallel(*steps, name="p")], db=open_url(url), store_events=True)
    outputs: list[WorkflowRunOutput] = []

    async def run() -> None:
        outputs.append(await workflow.arun("x", run_id="run1"))

    assert workflow.db is not None
    with anyio.fail_after(120):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run)
            await begun.wait()
            code, text = await wfr(url, "cancel-step", "run1", "0.p/9.nothing")
            assert (code, "neither runs nor waits" in text) == (6, True), text
            code, text = await wfr(url, "cancel-step", "run1", "0.p/0.a", "--reason", "slow", "--json")
            assert code == 0, text
            assert json.loads(text)["taken"] is True
            assert (await wfr(url, "retry-step", "run1", "0.p/1.b"))[0] == 0
            code, text = await wfr(url, "skip-step", "run1", "0.p/2.c")
            assert (code, text) == (0, "skipped: 0.p/2.c\n")
    steps_of = outputs[0].step_results[0].steps or []
    assert [(step.cancelled, step.skipped, step.content) for step in steps_of] == [
        (True, False, "Step a cancelled: slow"),
        (False, False, "worked"),
        (False, True, "x"),
    ]
    code, text = await wfr(url, "cancel-step", "run1", "0.p/0.a")
    assert (code, "has ended" in text) == (6, True), text
    assert (await wfr(url, "cancel-step", "nothing", "0.a"))[0] == 5
    await workflow.db.aclose()


async def test_a_paused_run_is_continued_without_the_step_by_its_runtime(url: str) -> None:
    parts = Parallel(Step(name="a", executor=asks), Step(name="b", executor=quick), name="p")
    workflow = Workflow(name="w", steps=[parts], db=open_url(url), store_events=True)
    assert workflow.db is not None
    with anyio.fail_after(120):
        async with Runtime(workflow):
            await workflow.arun("x", run_id="run1")
            code, text = await wfr(url, "cancel-step", "run1", "0.p/0.a")
            assert (code, text.splitlines()[0]) == (0, "stored: 0.p/0.a will be cancelled")
            while not (output := await workflow.aget_run("run1")) or not output.status.is_final:
                await anyio.sleep(0.01)
    assert output.status is RunStatus.completed
    assert [step.cancelled for step in output.step_results[0].steps or []] == [True, False]
    await workflow.db.aclose()


async def test_an_order_races_with_the_completion_of_its_step(url: str) -> None:
    """Either the step has completed, and the order is refused, or it is cancelled: the receipt says which."""
    go = anyio.Event()

    async def works(step_input: StepInput) -> str:
        await go.wait()
        return "worked"

    parts = [Step(name="a", executor=works), Step(name="b", executor=quick)]
    workflow = Workflow(name="w", steps=parts, db=open_url(url), store_events=True)
    assert workflow.db is not None
    seen: set[bool] = set()
    with anyio.fail_after(120):
        for number in range(24):
            go = anyio.Event()
            run_id = f"run{number}"
            outputs: list[WorkflowRunOutput] = []
            receipts: list[Any] = []

            async def run(run_id: str = run_id, outputs: list[WorkflowRunOutput] = outputs) -> None:
                outputs.append(await workflow.arun("x", run_id=run_id))

            async def order(run_id: str = run_id, receipts: list[Any] = receipts, number: int = number) -> None:
                try:
                    receipts.append((await workflow.acancel_step(run_id, "0.a")).taken)
                except (StepNotRunning, RunEnded):
                    receipts.append(False)

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(run)
                while not await workflow.db.load_run(run_id):
                    await anyio.lowlevel.checkpoint()
                tasks.start_soon(order)
                for _ in range(number):
                    await anyio.lowlevel.checkpoint()
                go.set()
            first = outputs[0].step_results[0]
            assert first.cancelled is receipts[0], (number, first, receipts)
            names = [event.event for event in outputs[0].events or []]
            assert names.count("StepCompleted") == 2
            assert ("StepSteered" in names) is first.cancelled
            seen.add(first.cancelled)
    assert seen
    await workflow.db.aclose()
