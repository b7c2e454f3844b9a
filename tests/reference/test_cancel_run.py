"""cancel_run and acancel_run: True for a run that is running, pending or paused, and False for any other."""

from __future__ import annotations

import threading
from typing import Any

import anyio
import anyio.to_thread
import pytest

from workflow_runtime import BaseDb, RunStatus, Step, Workflow

from .helpers import Api, echo, finished, names


async def forever() -> None:
    await anyio.sleep_forever()


def endless(db: BaseDb | None) -> Workflow:
    return Workflow(name="w", steps=[Step(name="a", executor=echo), Step(name="forever", executor=forever)], db=db)


@pytest.mark.anyio
@pytest.mark.parametrize("verb", ["cancel_run", "acancel_run"])
async def test_cancel_run_ends_a_running_run(db: BaseDb, verb: str) -> None:
    workflow = endless(db)
    seen: list[str] = []
    async for event in workflow.arun("x", stream=True, stream_events=True, run_id="r"):
        seen.append(event.event)
        if getattr(event, "step_name", None) == "forever" and event.event == "StepStarted":
            found = getattr(workflow, verb)(run_id="r")
            assert (found if verb == "cancel_run" else await found) is True
    assert seen[-1] == "WorkflowCancelled"
    assert seen.count("WorkflowCancelled") == 1
    stored = await workflow.aget_run("r")
    assert stored is not None
    assert stored.status is RunStatus.cancelled
    assert stored.step_results[0].content == "echo x"


@pytest.mark.anyio
async def test_cancel_run_makes_an_awaited_run_return_its_cancelled_output(db: BaseDb) -> None:
    workflow = endless(db)
    outputs: list[Any] = []

    async def run() -> None:
        outputs.append(await workflow.arun("x", run_id="r"))

    async with anyio.create_task_group() as group:
        group.start_soon(run)
        with anyio.fail_after(60):
            while not await workflow.acancel_run("r"):
                await anyio.lowlevel.checkpoint()
    assert outputs[0].status is RunStatus.cancelled
    assert outputs[0].is_cancelled


@pytest.mark.anyio
async def test_cancel_run_ends_a_background_run(db: BaseDb) -> None:
    workflow = endless(db)
    pending = await workflow.arun("x", background=True)
    assert await workflow.acancel_run(str(pending.run_id)) is True
    assert (await finished(workflow, pending.run_id)).status is RunStatus.cancelled


def test_cancel_run_reaches_a_run_of_another_thread(db: BaseDb) -> None:
    started = threading.Event()

    async def wait() -> None:
        started.set()
        await anyio.sleep_forever()

    workflow = Workflow(steps=[Step(name="wait", executor=wait)], db=db)
    outputs: list[Any] = []
    thread = threading.Thread(target=lambda: outputs.append(workflow.run("x", run_id="r")))
    thread.start()
    assert started.wait(60)
    assert workflow.cancel_run("r") is True
    thread.join(60)
    assert outputs[0].status is RunStatus.cancelled


def test_cancel_run_ends_a_paused_run(db: BaseDb, api: Api) -> None:
    workflow = Workflow(steps=[Step(name="ask", executor=echo, requires_confirmation=True)], db=db, store_events=True)
    paused = workflow.run("x")
    assert api(workflow).cancel_run(run_id=paused.run_id) is True
    stored = workflow.get_run(str(paused.run_id))
    assert stored is not None
    assert stored.status is RunStatus.cancelled
    assert names(stored.events)[-1] == "WorkflowCancelled"
    paused.active_step_requirements[0].confirm()
    with pytest.raises(ValueError, match="not paused"):
        workflow.continue_run(paused)


def test_cancel_run_of_a_finished_run_is_false_and_changes_nothing(db: BaseDb, api: Api) -> None:
    workflow = Workflow(steps=[echo], db=db)
    output = workflow.run("x")
    assert api(workflow).cancel_run(output.run_id) is False
    stored = workflow.get_run(str(output.run_id))
    assert stored is not None
    assert stored.status is RunStatus.completed


def test_cancel_run_of_an_unknown_run_is_false_and_is_not_remembered(db: BaseDb, api: Api) -> None:
    workflow = Workflow(steps=[echo], db=db)
    assert api(workflow).cancel_run("later") is False
    assert workflow.run("x", run_id="later").status is RunStatus.completed


def test_cancel_run_without_a_db_is_false_for_an_unknown_run(api: Api) -> None:
    assert api(Workflow(steps=[echo])).cancel_run("nothing") is False
