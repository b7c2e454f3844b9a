"""Runs that wait for a person in memory are let go in time, and cost a task each and no more. (D8)"""

from __future__ import annotations

import anyio
import pytest

from workflow_runtime import BaseDb, RunContext, RunStatus, Workflow
from workflow_runtime.engine.loop.loops import coroutines
from workflow_runtime.engine.run.host import find_parked

pytestmark = pytest.mark.anyio


async def ask(run_context: RunContext) -> str:
    return await run_context.ask("Which?", str)


async def test_runs_that_wait_have_one_task_each(db: BaseDb) -> None:
    workflow = Workflow(name="w", steps=[ask], db=db)
    await workflow.arun("x", run_id="first")
    await anyio.wait_all_tasks_blocked()
    before = len(coroutines())
    for number in range(20):
        await workflow.arun("x", run_id=f"r{number}")
    await anyio.wait_all_tasks_blocked()
    assert len(coroutines()) == before + 20
    assert find_parked("r7") is not None


async def test_each_is_let_go_after_its_own_time(db: BaseDb) -> None:
    late = Workflow(name="w", id="w", steps=[ask], db=db, evict_after=600.0)
    soon = Workflow(name="w", id="w", steps=[ask], db=db, evict_after=0.001)
    at_once = Workflow(name="w", id="w", steps=[ask], db=db, evict_after=0)
    await late.arun("x", run_id="late")
    await soon.arun("x", run_id="soon")
    await at_once.arun("x", run_id="at once")
    with anyio.fail_after(30):
        while find_parked("soon") is not None or find_parked("at once") is not None:
            await anyio.sleep(0.001)
    assert find_parked("late") is not None
    for run_id in ("late", "soon", "at once"):
        (question,) = [item for item in await late.alist_pending() if item.run_id == run_id]
        question.set_user_input(value="this")
        output = await late.acontinue_run(run_id=run_id, step_requirements=[question])
        assert (output.status, output.content) == (RunStatus.completed, "this")


async def test_one_that_was_continued_and_waits_again_has_its_whole_time_again(db: BaseDb) -> None:
    async def twice(run_context: RunContext) -> str:
        return await run_context.ask("Which?", str) + await run_context.ask("And?", str)

    workflow = Workflow(name="w", steps=[twice], db=db, evict_after=600.0)
    paused = await workflow.arun("x", run_id="r")
    run = find_parked("r")
    assert run is not None
    first = run.canceller._parked
    paused.active_step_requirements[0].set_user_input(value="a")
    paused = await workflow.acontinue_run(paused)
    await anyio.wait_all_tasks_blocked()
    second = run.canceller._parked
    assert first is not None
    assert second is not None
    assert (first.run, second.run) == (None, run)
    assert second.deadline >= first.deadline, "the clock of a loop may stand still between two steps"
