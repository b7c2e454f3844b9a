"""Steps that wait for a person are cancelled, skipped or retried: in memory, at a guard, in a paused run, after a crash."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from workflow_runtime import (
    BaseDb,
    HumanReview,
    InMemoryDb,
    Map,
    Parallel,
    RunContext,
    RunStatus,
    Runtime,
    Step,
    StepInput,
    StepNotRunning,
    Workflow,
    WorkflowRunOutput,
)

pytestmark = pytest.mark.anyio


async def quick(step_input: StepInput) -> str:
    return "quick"


async def asks(run_context: RunContext) -> str:
    return f"answered {await run_context.ask('well?')}"


def build(*steps: Any, db: BaseDb | None = None, **options: Any) -> Workflow:
    return Workflow(name="w", steps=list(steps), db=db, store_events=True, **options)


def pair(left: Any, right: Any) -> Parallel:
    return Parallel(left, right, name="p")


GUARD = HumanReview(requires_confirmation=True)


@pytest.fixture(params=["mid-step", "before", "after", "error"])
def waiting(request: pytest.FixtureRequest) -> Step:
    """A step that waits for a person, each in its own way."""

    async def fails(step_input: StepInput) -> str:
        raise ValueError("no")

    if request.param == "mid-step":
        return Step(name="a", executor=asks)
    if request.param == "before":
        return Step(name="a", executor=quick, human_review=GUARD)
    if request.param == "after":
        return Step(name="a", executor=quick, human_review=HumanReview(requires_output_review=True))
    return Step(name="a", executor=fails, on_error="pause")


async def ended(workflow: Workflow, run_id: str = "r1") -> WorkflowRunOutput:
    while True:
        output = await workflow.aget_run(run_id)
        if output is not None and output.status.is_final:
            return output
        await anyio.sleep(0.01)


async def continued(workflow: Workflow) -> WorkflowRunOutput:
    return await workflow.acontinue_run(run_id="r1", step_requirements=[])


@pytest.mark.parametrize("action", ["cancel", "skip"])
async def test_a_paused_run_goes_on_without_the_step_that_it_waited_for(db: BaseDb, waiting: Step, action: str) -> None:
    workflow = build(pair(waiting, Step(name="b", executor=quick)), Step(name="c", executor=quick), db=db)
    paused = await workflow.arun("x", run_id="r1")
    assert paused.is_paused
    receipt = await getattr(workflow, f"a{action}_step")("r1", "0.p/0.a", reason="nobody is there")
    assert not receipt.taken
    with anyio.fail_after(10):
        output = await continued(workflow)
    assert output.status is RunStatus.completed
    branch = (output.step_results[0].steps or [])[0]
    assert (branch.cancelled, branch.skipped) == (action == "cancel", action == "skip")
    assert branch.error == "nobody is there"
    assert output.step_results[1].content == "quick"
    assert await workflow.alist_pending() == []


async def test_a_runtime_carries_the_order_out(db: BaseDb, waiting: Step) -> None:
    workflow = build(pair(waiting, Step(name="b", executor=quick)), db=db)
    async with Runtime(workflow):
        await workflow.arun("x", run_id="r1")
        await workflow.acancel_step("r1", "0.p/0.a")
        with anyio.fail_after(20):
            output = await ended(workflow)
    assert output.status is RunStatus.completed
    assert [step.cancelled for step in output.step_results[0].steps or []] == [True, False]


async def test_one_of_two_waiting_branches_is_cancelled_and_the_run_waits_for_the_other(db: BaseDb) -> None:
    workflow = build(pair(Step(name="a", executor=asks), Step(name="b", executor=asks)), db=db)
    paused = await workflow.arun("x", run_id="r1")
    assert len(paused.step_requirements or []) == 2
    await workflow.acancel_step("r1", "0.p/0.a")
    with anyio.fail_after(10):
        paused = await continued(workflow)
    assert paused.is_paused
    (left,) = await workflow.alist_pending()
    assert left.path == "0.p/1.b"
    left.answer({"user_input": {"value": "yes"}})
    with anyio.fail_after(10):
        output = await workflow.acontinue_run(run_id="r1", step_requirements=[left])
    assert [step.content for step in output.step_results[0].steps or []] == [
        "Step a cancelled: cancel_step",
        "answered yes",
    ]


async def test_a_retried_step_asks_again(db: BaseDb) -> None:
    workflow = build(pair(Step(name="a", executor=asks), Step(name="b", executor=quick)), db=db)
    await workflow.arun("x", run_id="r1")
    await workflow.aretry_step("r1", "0.p/0.a")
    with anyio.fail_after(10):
        paused = await continued(workflow)
    assert paused.is_paused
    (question,) = await workflow.alist_pending()
    question.answer({"user_input": {"value": "yes"}})
    with anyio.fail_after(10):
        output = await workflow.acontinue_run(run_id="r1", step_requirements=[question])
    assert (output.step_results[0].steps or [])[0].content == "answered yes"


async def test_a_failed_step_that_waits_for_a_decision_is_retried(db: BaseDb) -> None:
    times: list[int] = []

    async def fails(step_input: StepInput) -> str:
        times.append(1)
        if len(times) == 1:
            raise ValueError("no")
        return "done"

    workflow = build(Step(name="a", executor=fails, on_error="pause"), db=db)
    await workflow.arun("x", run_id="r1")
    await workflow.aretry_step("r1", "0.a")
    with anyio.fail_after(10):
        output = await continued(workflow)
    assert (output.content, len(times)) == ("done", 2)


async def test_a_branch_that_waits_while_another_one_works(db: BaseDb, waiting: Step) -> None:
    """The run is RUNNING: the process takes the order, and the branch ends now or with the next walk."""
    begun, go = anyio.Event(), anyio.Event()

    async def works(step_input: StepInput) -> str:
        begun.set()
        await go.wait()
        return "worked"

    workflow = build(pair(waiting, Step(name="b", executor=works)), db=db)
    outputs: list[WorkflowRunOutput] = []

    async def run() -> None:
        outputs.append(await workflow.arun("x", run_id="r1"))

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run)
            await begun.wait()
            while not await workflow.alist_pending():
                await anyio.sleep(0.01)
            tasks.start_soon(workflow.acancel_step, "r1", "0.p/0.a")
            while not await db.load_messages("r1"):
                await anyio.sleep(0.01)
            go.set()
    assert outputs[0].status is RunStatus.completed
    assert [step.cancelled for step in outputs[0].step_results[0].steps or []] == [True, False]


async def test_without_a_database_a_parked_step_is_cancelled_by_the_next_continue() -> None:
    workflow = build(pair(Step(name="a", executor=asks), Step(name="b", executor=quick)))
    paused = await workflow.arun("x", run_id="r1")
    receipt = await workflow.acancel_step("r1", "0.p/0.a")
    assert not receipt.taken
    with anyio.fail_after(10):
        output = await workflow.acontinue_run(paused)
    assert [step.cancelled for step in output.step_results[0].steps or []] == [True, False]


async def test_a_path_of_a_paused_run_that_does_not_wait_is_refused(db: BaseDb) -> None:
    workflow = build(pair(Step(name="a", executor=asks), Step(name="b", executor=quick)), db=db)
    await workflow.arun("x", run_id="r1")
    with pytest.raises(StepNotRunning):
        await workflow.acancel_step("r1", "0.p/1.b")
    with pytest.raises(ValueError, match="unresolved"):
        await continued(workflow)


async def test_a_container_whose_steps_wait_is_cancelled(db: BaseDb) -> None:
    each = Map(Step(name="each", executor=asks), over=lambda: [1, 2], name="m")
    workflow = build(pair(each, Step(name="b", executor=quick)), db=db)
    await workflow.arun("x", run_id="r1")
    await workflow.acancel_step("r1", "0.p/0.m")
    with anyio.fail_after(10):
        output = await continued(workflow)
    assert output.status is RunStatus.completed
    assert [step.cancelled for step in output.step_results[0].steps or []] == [True, False]
    assert await workflow.alist_pending() == []


async def test_the_step_is_cancelled_in_another_process_that_continues_the_run(waiting: Step) -> None:
    db = InMemoryDb()
    workflow = build(pair(waiting, Step(name="b", executor=quick)), db=db, evict_after=0)
    await workflow.arun("x", run_id="r1")
    await anyio.wait_all_tasks_blocked()
    await workflow.acancel_step("r1", "0.p/0.a")
    with anyio.fail_after(10):
        output = await continued(workflow)
    assert [step.cancelled for step in output.step_results[0].steps or []] == [True, False]
