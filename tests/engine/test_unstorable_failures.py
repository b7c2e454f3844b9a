"""What a step made and no database can keep fails the step: its place, its traceback and its log record are those of any
other failure, and the run can be tried again from it."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from typing import Any

import pytest

from workflow_runtime import (
    BaseDb,
    Parallel,
    Retry,
    RunContext,
    RunExists,
    RunStatus,
    Step,
    Steps,
    UnserializableError,
    Workflow,
)

pytestmark = pytest.mark.anyio

MADE: list[Any] = []
TRIED: list[int] = []


def returned(run_context: RunContext) -> Any:
    TRIED.append(run_context.attempt)
    return MADE[0]


def in_state(run_context: RunContext) -> None:
    TRIED.append(run_context.attempt)
    run_context.session_state["made"] = MADE[0]


async def of_once(run_context: RunContext) -> Any:
    TRIED.append(run_context.attempt)
    return await run_context.once("make", lambda: MADE[0])


async def emitted(run_context: RunContext) -> None:
    TRIED.append(run_context.attempt)
    run_context.emit(made=MADE[0])


async def edited(run_context: RunContext) -> None:
    TRIED.append(run_context.attempt)
    async with run_context.edit_state() as state:
        state["made"] = MADE[0]


WAYS = [returned, in_state, of_once, emitted, edited]
PLACES: dict[str, tuple[Callable[[Step], Any], str]] = {
    "alone": (lambda step: step, "0.make"),
    "in a branch": (lambda step: Parallel(step, Step("other", executor=list), name="both"), "0.both/0.make"),
    "nested": (lambda step: Step("n", workflow=Workflow(steps=[Steps(name="s", steps=[step])])), "0.n/0.s/0.make"),
}


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("place", PLACES)
async def test_it_is_seen_as_any_other_failure(db: BaseDb, way: Any, place: str, caplog: Any) -> None:
    put, path = PLACES[place]
    MADE[:], TRIED[:] = [object()], []
    step = Step("make", executor=way, retry=Retry(attempts=3, delay=0), on_error="skip")
    workflow = Workflow(name="w", steps=[put(step)], db=db, store_events=True)
    with caplog.at_level(logging.WARNING), pytest.raises(UnserializableError, match="cannot be stored") as failed:
        await workflow.arun("x", run_id="r")
    assert TRIED == [1]  # neither tried again nor skipped
    assert any(f"In step 'make' (path {path}, attempt 1) of run r" in note for note in failed.value.__notes__)
    ours = [
        frame for frame in traceback.extract_tb(failed.value.__traceback__) if "/workflow_runtime/" in frame.filename
    ]
    assert len(ours) <= 1
    (record,) = [record for record in caplog.records if record.name == "workflow_runtime"]
    assert (record.levelname, record.run_id, record.step_path) == ("ERROR", "r", path)

    stored = await workflow.aget_run_output("r")
    assert stored is not None
    assert stored.status is RunStatus.error
    assert (stored.failed_steps or [])[0].path == path
    names = [(event.event, event.path) for event in stored.events or ()]
    assert ("StepError", path) in names
    assert names[-1][0] == "WorkflowError"
    (entry,) = [entry for entry in await workflow.history("r") if entry.path == path]
    assert (entry.status, entry.error_type) == ("failed", "UnserializableError")
    assert "cannot be stored" in str(entry.traceback)

    MADE[:] = ["text"]
    again = await workflow.aretry("r")
    async for _ in workflow.subscribe(str(again.run_id)):
        pass
    done = await workflow.aget_run_output(str(again.run_id))
    assert done is not None
    assert done.status is RunStatus.completed


async def test_a_run_that_exists_already_is_the_failure_of_the_step_that_would_start_it(db: BaseDb) -> None:
    def nothing() -> None: ...

    other = Workflow(name="other", steps=[nothing], db=db)
    await other.arun("x", run_id="taken")

    async def start() -> None:
        await other.arun("x", run_id="taken")

    skipping = Workflow(
        name="w", steps=[Step("start", executor=start, on_error="skip"), Step("after", executor=nothing)], db=db
    )
    output = await skipping.arun("x")
    assert (output.status, output.step_results[0].success) == (RunStatus.completed, False)
    failing = Workflow(name="w", steps=[Step("start", executor=start)], db=db)
    with pytest.raises(RunExists) as failed:
        await failing.arun("x")
    assert [step.path for step in failed.value.run_output.failed_steps] == ["0.start"]  # type: ignore[attr-defined]  # attached
