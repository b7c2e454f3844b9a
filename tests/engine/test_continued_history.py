"""What a run knows of its session is the same after a pause as before it."""

from __future__ import annotations

import pytest

from workflow_runtime import BaseDb, RunContext, RunStatus, Step, StepInput, Workflow

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_step_behind_a_pause_finds_the_history(db: BaseDb) -> None:
    async def count(step_input: StepInput) -> int:
        return len(step_input.get_workflow_history())

    workflow = Workflow(
        name="W",
        db=db,
        steps=[Step(name="count", executor=count, requires_confirmation=True)],
        add_workflow_history_to_steps=True,
    )
    for expected in (0, 1, 2):
        output = await workflow.arun("x", session_id="s")
        output.active_step_requirements[0].confirm()
        output = await workflow.acontinue_run(output)
        assert output.content == expected


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_continued_stream_may_be_awaited_first(db: BaseDb) -> None:
    async def work(step_input: StepInput) -> str:
        return "done"

    workflow = Workflow(name="W", db=db, steps=[Step(name="work", executor=work, requires_confirmation=True)])
    output = await workflow.arun("x")
    output.active_step_requirements[0].confirm()
    stream = await workflow.acontinue_run(output, stream=True)
    assert [event.event async for event in stream][-1] == "WorkflowCompleted"
    assert (await stream.result()).status == RunStatus.completed


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_an_assigned_session_state_is_stored_and_stays_the_live_one(db: BaseDb) -> None:
    async def assign(run_context: RunContext) -> str:
        run_context.session_state = {"fresh": 1}
        run_context.session_state["more"] = 2
        return "assigned"

    async def read(session_state: dict[str, int]) -> list[str]:
        return sorted(session_state)

    workflow = Workflow(name="W", db=db, steps=[assign, read])
    output = await workflow.arun("x", session_id="s", session_state={"old": 0})
    assert output.content == ["fresh", "more"]
    assert await workflow.aget_session_state("s") == {"fresh": 1, "more": 2}


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_cancelled_run_says_that_it_was_cancelled(db: BaseDb) -> None:
    async def work(step_input: StepInput) -> str:
        return "done"

    workflow = Workflow(name="W", db=db, steps=[Step(name="work", executor=work, requires_confirmation=True)])
    output = await workflow.arun("x", run_id="r1")
    assert output.is_paused
    assert await workflow.acancel_run("r1")
    stored = await workflow.aget_run("r1")
    assert stored is not None
    assert stored.content == "Run r1 was cancelled"
    refusing = Workflow(
        name="R", steps=[Step(name="work", executor=work, requires_confirmation=True, on_reject="cancel")]
    )
    output = await refusing.arun("x")
    output.active_step_requirements[0].reject()
    output = await refusing.acontinue_run(output)
    assert output.content == "Workflow cancelled: Step 'work' was rejected"
