"""Deadlines of questions, which fire by themselves; and timeouts of the work, which leave people their time."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from workflow_runtime import (
    BaseDb,
    HumanReview,
    InMemoryDb,
    Parallel,
    RunContext,
    RunStatus,
    Runtime,
    Step,
    StepInput,
    StepRequirement,
    Workflow,
    WorkflowRunOutput,
)
from workflow_runtime.testing import FakeClock, Reply, ScriptedAgent

pytestmark = pytest.mark.anyio

TOOL = Reply(asks=[{"id": "t1"}], then=lambda answered: f"tool {answered[0]['confirmation']}")


async def asks(run_context: RunContext) -> str:
    return f"answer {await run_context.ask('How many?', int, timeout=60, on_timeout=ASK_POLICY[0])}"


async def asks_yes_or_no(run_context: RunContext) -> str:
    return f"answer {await run_context.ask('Go on?', bool, timeout=60, on_timeout=ASK_POLICY[0])}"


ASK_POLICY = ["cancel"]


def fails() -> str:
    raise LookupError("no")


def review(policy: str, **fields: Any) -> HumanReview:
    return HumanReview(timeout=60, on_timeout=policy, **fields)


def step(kind: str, policy: str) -> Step:
    """A step with a question of this kind, whose deadline is 60 s after it was asked."""
    if kind in ("ask", "ask yes or no"):
        ASK_POLICY[0] = policy
        return Step(name="gate", executor=asks if kind == "ask" else asks_yes_or_no, on_error="skip")
    if kind == "error":
        return Step(name="gate", executor=fails, on_error="pause", human_review=review(policy))
    if kind == "tool":
        return Step(name="gate", agent=ScriptedAgent("gate", TOOL), human_review=review(policy))
    guards: dict[str, dict[str, Any]] = {
        "confirmation": {"requires_confirmation": True},
        "output": {"requires_output_review": True},
        "form with defaults": {
            "requires_user_input": True,
            "user_input_schema": [{"name": "n", "field_type": "int", "value": 1}],
        },
        "form without": {"requires_user_input": True, "user_input_schema": [{"name": "n", "field_type": "int"}]},
    }
    return Step(name="gate", executor=lambda: "worked", human_review=review(policy, **guards[kind]))


def build(kind: str, policy: str, db: BaseDb, clock: FakeClock) -> Workflow:
    return Workflow(name="w", steps=[step(kind, policy), lambda: "after"], db=db, clock=clock, store_events=True)


KINDS = ("confirmation", "output", "form with defaults", "form without", "error", "tool", "ask", "ask yes or no")
# What comes of it: the run's status; whether the step was skipped (None: there is no output of it).
EXPECTED: dict[tuple[str, str], tuple[RunStatus, bool | None]] = {
    **{(kind, "cancel"): (RunStatus.cancelled, None) for kind in KINDS},
    **{(kind, "skip"): (RunStatus.completed, True) for kind in KINDS},
    **{(kind, "approve"): (RunStatus.completed, False) for kind in KINDS},
    ("ask yes or no", "skip"): (RunStatus.completed, False),
    ("ask", "skip"): (RunStatus.completed, False),  # AnswerRejected in the step, which here is skipped by its policy
    ("form without", "approve"): (RunStatus.cancelled, None),  # nobody can approve what nobody filled in
    ("ask", "approve"): (RunStatus.cancelled, None),
}


def check(kind: str, policy: str, output: WorkflowRunOutput) -> None:
    status, skipped = EXPECTED[kind, policy]
    assert output.status is status
    if status is RunStatus.cancelled:
        assert [event.reason for event in output.events or () if event.event == "WorkflowCancelled"] == ["timed out"]
    else:
        assert output.content == "after"
        assert output.step_results[0].skipped is skipped
        if (kind, policy) == ("ask yes or no", "approve"):
            assert output.step_results[0].content == "answer True"


def cases() -> list[tuple[str, str]]:
    """A failed step that is approved is retried, and here fails again: it has a test of its own."""
    return [key for key in EXPECTED if key != ("error", "approve")]


@pytest.mark.parametrize(("kind", "policy"), cases())
async def test_a_deadline_fires_by_itself_while_a_runtime_lives(kind: str, policy: str) -> None:
    clock, db = FakeClock(), InMemoryDb()
    workflow = build(kind, policy, db, clock)
    async with Runtime(workflow) as runtime:
        paused = await workflow.arun("in")
        await clock.wait_sleeping()
        clock.advance(59)
        await clock.wait_sleeping()  # it has looked, and found nothing
        assert runtime.report.deadlines == []
        with anyio.fail_after(60):
            async for event in workflow.subscribe(str(paused.run_id)):
                if event.event == "WorkflowPaused":
                    clock.advance(2)
    assert runtime.report.deadlines == [paused.run_id]
    output = await workflow.aget_run_output(str(paused.run_id))
    assert output is not None
    check(kind, policy, output)


@pytest.mark.parametrize(("kind", "policy"), cases())
async def test_a_deadline_takes_effect_on_the_next_touch_otherwise(db: BaseDb, kind: str, policy: str) -> None:
    clock = FakeClock()
    workflow = build(kind, policy, db, clock)
    paused = await workflow.arun("in")
    clock.advance(61)
    stored = await workflow.aget_run(str(paused.run_id))
    assert stored is not None
    assert stored.is_paused
    await workflow.acontinue_run(run_id=paused.run_id)
    output = await workflow.aget_run_output(str(paused.run_id))
    assert output is not None
    check(kind, policy, output)


async def test_a_failed_step_that_nobody_decided_about_is_tried_again_with_approve() -> None:
    clock = FakeClock()
    tries: list[int] = []

    def work() -> str:
        tries.append(1)
        if len(tries) == 1:
            raise LookupError("not yet")
        return "worked"

    gate = Step(name="gate", executor=work, on_error="pause", human_review=review("approve"))
    workflow = Workflow(name="w", steps=[gate], db=InMemoryDb(), clock=clock)
    paused = await workflow.arun("in")
    clock.advance(61)
    assert (await workflow.acontinue_run(run_id=paused.run_id)).content == "worked"


async def test_an_answer_that_was_stored_in_time_counts_even_if_the_run_is_continued_late(db: BaseDb) -> None:
    clock = FakeClock()
    gates = [
        Step(name=name, executor=lambda: "worked", human_review=review("cancel", requires_confirmation=True))
        for name in ("left", "right")
    ]
    gates[1].human_review.timeout = 600
    workflow = Workflow(name="w", steps=[Parallel(*gates, name="both")], db=db, clock=clock)
    paused = await workflow.arun("in")
    left, right = sorted(paused.active_step_requirements, key=lambda item: str(item.step_name))
    left.confirm()
    clock.advance(59)
    still = await workflow.acontinue_run(run_id=paused.run_id, step_requirements=[left])
    assert still.is_paused
    clock.advance(100)  # past the deadline of the one that was answered
    right.confirm()
    done = await workflow.acontinue_run(run_id=paused.run_id, step_requirements=[right])
    assert done.status is RunStatus.completed


async def test_an_answer_that_comes_after_the_deadline_does_not_count(db: BaseDb) -> None:
    clock = FakeClock()
    workflow = build("confirmation", "skip", db, clock)
    paused = await workflow.arun("in")
    paused.active_step_requirements[0].confirm()
    clock.advance(61)
    done = await workflow.acontinue_run(paused)
    assert done.step_results[0].skipped


# -- timeouts of the work ------------------------------------------------------------------------------------------------


async def waits(run_context: RunContext) -> str:
    return str(await run_context.ask("How many?", int))


@pytest.mark.parametrize(
    ("of_step", "of_box", "of_run"),
    [(60, None, None), (None, 60, None), (None, None, 60)],
    ids=["step", "box", "run"],
)
async def test_the_time_that_a_person_takes_is_not_the_step_s(
    of_step: float | None, of_box: float | None, of_run: float | None
) -> None:
    box = Parallel(Step(name="gate", executor=waits, timeout=of_step), name="box", timeout=of_box)
    clock = FakeClock()
    workflow = Workflow(name="w", steps=[box], db=InMemoryDb(), run_timeout=of_run, clock=clock)
    paused = await workflow.arun("in")
    assert paused.is_paused
    clock.advance(180)  # a person at lunch
    await anyio.wait_all_tasks_blocked()
    stored = await workflow.aget_run(str(paused.run_id))
    assert stored is not None
    assert stored.is_paused
    (item,) = paused.active_step_requirements
    item.answer({"user_input": {"value": 3}})
    assert (await workflow.acontinue_run(run_id=paused.run_id, step_requirements=[item])).status is RunStatus.completed


async def test_a_step_that_is_too_slow_after_the_answer_still_times_out() -> None:
    clock = FakeClock()

    async def slow(run_context: RunContext, step_input: StepInput) -> None:
        clock.advance(40)
        await run_context.ask("How many?", int)
        clock.advance(30)
        await anyio.sleep_forever()

    step = Step(name="gate", executor=slow, timeout=60)
    workflow = Workflow(name="w", steps=[step], db=InMemoryDb(), clock=clock)
    paused = await workflow.arun("in")
    (item,) = paused.active_step_requirements
    assert isinstance(item, StepRequirement)
    item.answer({"user_input": {"value": 3}})
    clock.advance(3600)
    with pytest.raises(TimeoutError):
        await workflow.acontinue_run(run_id=paused.run_id, step_requirements=[item])


@pytest.mark.parametrize("timeout", [float("inf"), 1e12, 1e18])
async def test_a_deadline_beyond_the_calendar_is_none(db: BaseDb, timeout: float) -> None:
    async def ask(run_context: RunContext) -> str:
        return str(await run_context.ask("?", timeout=timeout))

    async def receive(run_context: RunContext) -> str:
        return str(await run_context.receive("topic", timeout=timeout))

    guarded = Step("guarded", executor=lambda: "worked", requires_confirmation=True, hitl_timeout=timeout)
    paused = await Workflow(name="w", steps=[Parallel(ask, receive, guarded)], db=db).arun("x")
    assert [item.timeout_at for item in paused.active_step_requirements] == [None, None, None]
