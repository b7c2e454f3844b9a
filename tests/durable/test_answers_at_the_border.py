"""An answer belongs to one question of one run, whatever the verb, the database and the container. A continue goes as far
as its answers reach."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest

from workflow_runtime import (
    AlreadyAnswered,
    BaseDb,
    Condition,
    Loop,
    Map,
    Parallel,
    QuestionWithdrawn,
    Retry,
    Router,
    RunContext,
    RunNotPaused,
    RunStatus,
    Runtime,
    Step,
    StepInput,
    Steps,
    Workflow,
    WorkflowRunOutput,
)
from workflow_runtime.testing import FakeClock

pytestmark = pytest.mark.anyio
Again = Callable[[], BaseDb]


class Payments:
    """A step that pays what the run is about, and what it has paid."""

    def __init__(self) -> None:
        self.paid: list[Any] = []

    def pay(self, step_input: StepInput) -> str:
        self.paid.append(step_input.input)
        return f"paid {step_input.input}"

    async def ask(self, step_input: StepInput, run_context: RunContext) -> str:
        if await run_context.ask("Pay?", bool):
            self.paid.append(step_input.input)
        return f"paid {step_input.input}"

    def guarded(self) -> Step:
        return Step("pay", executor=self.pay, requires_confirmation=True)

    def asking(self) -> Step:
        return Step("pay", executor=self.ask)


def flow(payments: Payments) -> Callable[..., Awaitable[str]]:
    async def run(run_context: RunContext) -> str:
        return str(await run_context.step("pay", payments.pay, requires_confirmation=True))

    return run


CONTAINERS: dict[str, Callable[[Payments], Any]] = {
    "step": lambda made: [made.guarded()],
    "ask": lambda made: [made.asking()],
    "steps": lambda made: [Steps(name="all", steps=[made.guarded()])],
    "parallel": lambda made: [Parallel(made.guarded(), Step("other", executor=lambda: "x"), name="both")],
    "asking in parallel": lambda made: [Parallel(made.asking(), Step("other", executor=lambda: "x"), name="both")],
    "loop": lambda made: [Loop(name="loop", steps=[made.guarded()], max_iterations=1)],
    "condition": lambda made: [Condition([made.guarded()], evaluator=lambda: True, name="if")],
    "router": lambda made: [Router([made.guarded()], selector=lambda: "pay", name="way")],
    "map": lambda made: [Map(made.guarded(), over=lambda step_input: [step_input.input], name="each")],
    "nested": lambda made: [Workflow(name="inner", steps=[made.guarded()])],
    "function": flow,
}


async def awaited(workflow: Workflow, **options: Any) -> WorkflowRunOutput:
    return await workflow.acontinue_run(**options)


async def streamed(workflow: Workflow, **options: Any) -> WorkflowRunOutput:
    return await workflow.acontinue_run(**options, stream=True).result()


async def in_background(workflow: Workflow, **options: Any) -> WorkflowRunOutput:
    pending = await workflow.acontinue_run(**options, background=True)
    async for _ in workflow.subscribe(str(pending.run_id), after=pending.last_seq):
        pass
    found = await workflow.aget_run_output(str(pending.run_id))
    assert found is not None
    return found


async def synchronous(workflow: Workflow, **options: Any) -> WorkflowRunOutput:
    found = await asyncio.to_thread(workflow.continue_run, **options)
    assert isinstance(found, WorkflowRunOutput)
    return found


VERBS = {"await": awaited, "stream": streamed, "background": in_background, "sync": synchronous}


def confirm_all(output: WorkflowRunOutput) -> list[Any]:
    for item in output.active_step_requirements:
        item.answer({"user_input": {"value": True}} if item.kind == "ask" else {"confirmed": True})
    return output.active_step_requirements


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("container", CONTAINERS)
async def test_an_answer_never_lands_in_another_run(again: Again, container: str, verb: str) -> None:
    payments = Payments()
    workflow = Workflow(name="Refund", steps=CONTAINERS[container](payments), db=again())
    small = await workflow.arun("5 to Ada", session_id="ada", user_id="ada")
    large = await workflow.arun("9000 to Bob", session_id="bob", user_id="bob")
    answers = confirm_all(small)
    assert [item.run_id for item in answers] == [small.run_id]
    with pytest.raises(ValueError, match=f"is of run '{small.run_id}'; continue that run with it"):
        await VERBS[verb](workflow, run_id=large.run_id, step_requirements=answers)
    with pytest.raises(ValueError, match="give one of the two"):
        await VERBS[verb](workflow, run_response=small, run_id=large.run_id)
    assert payments.paid == []
    still = await workflow.aget_run_output(str(large.run_id))
    assert still is not None
    assert [item.is_open for item in still.step_requirements or ()] == [True]
    done = await VERBS[verb](workflow, run_id=small.run_id, step_requirements=answers)
    assert (done.status, payments.paid) == (RunStatus.completed, ["5 to Ada"])


@pytest.mark.parametrize("stored", [True, False], ids=["stored", "not stored"])
async def test_without_a_database_neither(stored: bool) -> None:
    payments = Payments()
    workflow = Workflow(name="Refund", steps=[payments.guarded()], store_events=stored)
    small, large = await workflow.arun("small"), await workflow.arun("large")
    with pytest.raises(ValueError, match="continue that run with it"):
        await workflow.acontinue_run(large, step_requirements=confirm_all(small))
    assert payments.paid == []
    assert (await workflow.acontinue_run(small)).content == "paid small"
    confirm_all(large)
    assert (await workflow.acontinue_run(large)).content == "paid large"


@pytest.mark.parametrize("whole", [True, False], ids=["with the whole list", "with its own"])
async def test_a_back_office_lists_decides_and_continues_each(again: Again, whole: bool) -> None:
    payments = Payments()
    workflow = Workflow(name="Refund", steps=[payments.guarded()], db=again())
    for name in ("good", "fraud", "fair"):
        await workflow.arun(name, session_id=name)
    pending = await workflow.alist_pending()
    assert [item.step_input.input for item in pending] == ["good", "fraud", "fair"]
    for item in pending:
        if item.step_input.input == "fraud":
            item.reject("fraud")
        else:
            item.confirm()
    for item in pending:
        done = await workflow.acontinue_run(run_id=item.run_id, step_requirements=pending if whole else [item])
        assert done.status is RunStatus.completed
    assert payments.paid == ["good", "fair"]
    assert await workflow.alist_pending() == []


async def test_pending_questions_come_in_pages_and_all_without_a_limit(again: Again) -> None:
    workflow = Workflow(name="Refund", steps=[Payments().guarded()], db=again())
    for number in range(7):
        await workflow.arun(number, session_id=f"s{number}")
    found: list[Any] = []
    while page := await workflow.alist_pending(limit=3, after=found[-1] if found else None):
        assert len(page) <= 3
        found += page
    assert [item.step_input.input for item in found] == list(range(7))
    assert [item.id for item in await workflow.alist_pending()] == [item.id for item in found]
    assert len(await asyncio.to_thread(workflow.list_pending, limit=2)) == 2
    with pytest.raises(ValueError, match="must be the last requirement of the page before"):
        await workflow.alist_pending(after=3)


class Branches:
    """Branches that ask in their middle or at a guard, and how often each was entered."""

    def __init__(self) -> None:
        self.entered: list[str] = []

    def asking(self, name: str) -> Step:
        async def ask(run_context: RunContext) -> str:
            self.entered.append(name)
            return f"{name} {await run_context.ask(f'{name}?', str)}"

        return Step(name, executor=ask)

    def guarded(self, name: str) -> Step:
        def run() -> str:
            self.entered.append(name)
            return name

        return Step(name, executor=run, requires_confirmation=True)

    def workflow(self, db: BaseDb | None, **options: Any) -> Workflow:
        made = [self.asking("a"), self.guarded("b"), self.asking("c"), self.guarded("d")]
        return Workflow(name="W", steps=[Parallel(*made, name="all")], db=db, store_events=True, **options)


@pytest.mark.parametrize("evict_after", [0.0, 300.0], ids=["let go", "steps wait"])
@pytest.mark.parametrize("order", ["abcd", "dcba", "bdac"])
async def test_branches_answered_one_by_one_by_as_many_processes(again: Again, order: str, evict_after: float) -> None:
    branches = Branches()
    output = await branches.workflow(again(), evict_after=evict_after).arun("x", run_id="r")
    assert sorted(branches.entered) == ["a", "c"]
    for name in order:
        if evict_after == 0.0:
            await anyio.wait_all_tasks_blocked()
        before = list(branches.entered)
        (item,) = [item for item in output.active_step_requirements if item.step_name == name]
        item.answer({"user_input": {"value": "yes"}} if item.kind == "ask" else {"confirmed": True})
        output = await branches.workflow(again(), evict_after=evict_after).acontinue_run(
            run_id="r", step_requirements=[item]
        )
        ran = branches.entered[len(before) :]
        assert set(ran) <= {name}, "a step was entered whose question is open"
        assert ran or evict_after, "the answered step was not entered"
    assert output.status is RunStatus.completed
    assert [step.content for step in output.step_results[0].steps or ()] == ["a yes", "b", "c yes", "d"]
    assert all(branches.entered.count(name) <= 2 for name in "ac")
    assert all(branches.entered.count(name) == 1 for name in "bd")
    told = [event.step_name for event in output.events or () if event.event == "StepContinued"]
    assert sorted(told) == ["a", "b", "c", "d"]
    assert all(item.used_at is not None for item in output.step_requirements or ())


async def test_a_guard_is_passed_while_another_branch_waits_without_a_database() -> None:
    branches = Branches()
    workflow = branches.workflow(None)
    output = await workflow.arun("x")
    for name in "bdca":
        (item,) = [item for item in output.active_step_requirements if item.step_name == name]
        item.answer({"user_input": {"value": "yes"}} if item.kind == "ask" else {"confirmed": True})
        output = await workflow.acontinue_run(output)
        assert name in branches.entered
    assert (output.status, branches.entered.count("b"), branches.entered.count("d")) == (RunStatus.completed, 1, 1)


class Beside:
    """A branch that asks while another one works until it is let."""

    def __init__(self) -> None:
        self.done = anyio.Event()

    def workflow(self, db: BaseDb, **options: Any) -> Workflow:
        async def asks(run_context: RunContext) -> str:
            return str(await run_context.ask("Name?", str))

        async def works() -> str:
            await self.done.wait()
            return "worked"

        steps = [Parallel(Step("asks", executor=asks), Step("works", executor=works), name="both")]
        return Workflow(name="Beside", steps=steps, db=db, durability="sync", store_events=True, **options)


async def pending_of(workflow: Workflow) -> list[Any]:
    with anyio.fail_after(20):
        while not (found := await workflow.alist_pending()):
            await anyio.sleep(0.01)
    return found


@pytest.mark.parametrize("verb", ["await", "stream", "background"])
@pytest.mark.parametrize("foreign", [False, True], ids=["same loop", "another loop"])
async def test_an_answer_to_a_running_run_is_taken_and_joins_it(again: Again, verb: str, foreign: bool) -> None:
    beside = Beside()
    workflow = beside.workflow(again())
    run = asyncio.create_task(workflow.arun("x", run_id="r"))
    other = beside.workflow(again())
    (item,) = await pending_of(other)
    assert item.run_id == "r"
    with pytest.raises(RunNotPaused, match="RUNNING"):
        await other.acontinue_run(run_id="r", step_requirements=[])
    item.answer({"user_input": {"value": "Ada"}})
    if foreign:  # as another process would: through the database alone
        joined = asyncio.create_task(asyncio.to_thread(other.continue_run, run_id="r", step_requirements=[item]))
    else:
        joined = asyncio.create_task(VERBS[verb](other, run_id="r", step_requirements=[item]))
    with anyio.fail_after(20):
        while not [row for row in await other.db.load_requirements("r") if row.used_at is not None]:  # type: ignore[union-attr]  # it has one
            await anyio.sleep(0.01)
        assert not run.done()
        assert not joined.done()
        beside.done.set()
        first, second = await run, await joined
    assert first.status is second.status is RunStatus.completed
    assert [step.content for step in first.step_results[0].steps or ()] == ["Ada", "worked"]
    assert second.content == first.content
    with pytest.raises(RunNotPaused, match="COMPLETED"):
        await other.acontinue_run(run_id="r", step_requirements=[item])


async def test_leaving_a_joined_stream_cancels_nothing(again: Again) -> None:
    beside = Beside()
    workflow = beside.workflow(again())
    run = asyncio.create_task(workflow.arun("x", run_id="r"))
    (item,) = await pending_of(workflow)
    item.answer({"user_input": {"value": "Ada"}})
    async with workflow.acontinue_run(run_id="r", step_requirements=[item], stream=True, stream_events=True) as stream:
        async for event in stream:
            assert event.run_id == "r"
            break
    beside.done.set()
    with anyio.fail_after(20):
        assert (await run).status is RunStatus.completed


async def test_a_deadline_passes_while_the_run_works_elsewhere(again: Again) -> None:
    clock, done = FakeClock(), anyio.Event()

    async def asks(run_context: RunContext) -> str:
        try:
            return str(await run_context.ask("Name?", str, timeout=60, on_timeout="skip"))
        except Exception as error:
            return type(error).__name__

    async def works() -> str:
        await done.wait()
        return "worked"

    steps = [Parallel(Step("asks", executor=asks), Step("works", executor=works), name="both")]
    workflow = Workflow(name="W", steps=steps, db=again(), durability="sync", clock=clock, lease=1000)
    run = asyncio.create_task(workflow.arun("x", run_id="r"))
    await pending_of(workflow)
    clock.advance(61)
    async with Runtime(workflow) as runtime:
        assert runtime.report.deadlines == ["r"]
        with anyio.fail_after(20):
            while await workflow.alist_pending():
                await anyio.sleep(0.01)
        done.set()
        output = await run
    assert [step.content for step in output.step_results[0].steps or ()] == ["AnswerRejected", "worked"]


# -- withdrawn questions -----------------------------------------------------------------------------------------------


async def quick() -> str:
    await anyio.lowlevel.checkpoint()
    return "won"


async def fails() -> str:
    await anyio.lowlevel.checkpoint()
    raise RuntimeError("broken")


def asking_step(name: str = "asks", **options: Any) -> Step:
    async def ask(run_context: RunContext) -> str:
        return str(await run_context.ask("needed?", str))

    return Step(name, executor=ask, **options)


class Inner:
    """A nested workflow of a branch that asks and one that fails, at first."""

    def __init__(self) -> None:
        self.failures = 1

    async def fail(self) -> str:
        await anyio.lowlevel.checkpoint()
        if self.failures:
            self.failures -= 1
            raise RuntimeError("broken")
        return "well"

    def step(self, **options: Any) -> Step:
        branches = Parallel(asking_step(), Step("fails", executor=self.fail), name="both")
        return Step("p", workflow=Workflow(name="inner", steps=[branches]), **options)


GIVEN_UP: dict[str, Callable[[], Any]] = {
    "a race was lost": lambda: Parallel(asking_step(), Step("quick", executor=quick), name="p", wait_for="first"),
    "at a guard, a race was lost": lambda: Parallel(
        Step("asks", executor=quick, requires_confirmation=True),
        Step("quick", executor=quick),
        name="p",
        wait_for="first",
    ),
    "skipped": lambda: Inner().step(on_error="skip"),
}


@pytest.mark.parametrize("how", GIVEN_UP)
async def test_the_question_of_a_branch_that_was_given_up_is_withdrawn(again: Again, how: str) -> None:
    gate = Step("gate", executor=lambda: "done", requires_confirmation=True)
    workflow = Workflow(name="w", db=again(), steps=[GIVEN_UP[how](), gate], store_events=True)
    output = await workflow.arun("x")
    assert [item.step_name for item in output.active_step_requirements] == ["gate"]
    assert [item.step_name for item in await workflow.alist_pending()] == ["gate"]
    lost = [item for item in output.step_requirements or () if item.withdrawn_at is not None]
    told = [event.requirement_id for event in output.events or () if event.event == "StepQuestionWithdrawn"]
    assert told == [item.id for item in lost]
    assert len(lost) == 1 or how.startswith("at a guard")  # it may not have been asked before the race was over
    for item in lost:
        item.answer({"user_input": {"value": "late"}} if item.kind == "ask" else {"confirmed": True})
        with pytest.raises(QuestionWithdrawn, match="needs no answer"):
            await workflow.acontinue_run(run_id=output.run_id, step_requirements=[item])
    done = await Workflow(name="w", db=again(), steps=[GIVEN_UP[how](), gate]).acontinue_run(
        run_id=output.run_id, step_requirements=confirm_all(output)
    )
    assert (done.status, done.content) == (RunStatus.completed, "done")


async def test_an_attempt_that_is_tried_again_asks_again(again: Again) -> None:
    workflow = Workflow(name="w", db=again(), steps=[Inner().step(retry=Retry(attempts=2, delay=0))], store_events=True)
    output = await workflow.arun("x")
    (item,) = output.active_step_requirements
    item.answer({"user_input": {"value": "yes"}})
    done = await workflow.acontinue_run(run_id=output.run_id, step_requirements=[item])
    assert done.status is RunStatus.completed
    told = [event.event for event in done.events or ()]
    assert told.count("StepQuestionWithdrawn") == told.count("StepContinued") == 1


@pytest.mark.parametrize("how", ["cancelled", "failed"])
async def test_a_run_that_ends_leaves_no_question_open(again: Again, how: str) -> None:
    other = Step("other", executor=fails, requires_confirmation=True)
    workflow = Workflow(name="w", db=again(), steps=[Parallel(asking_step(), other, name="p")])
    output = await workflow.arun("x", run_id="r")
    asks, gate = sorted(output.active_step_requirements, key=lambda item: item.step_name)
    if how == "cancelled":
        assert await workflow.acancel_run("r")
    else:
        gate.confirm()
        with pytest.raises(RuntimeError, match="broken"):
            await workflow.acontinue_run(run_id="r", step_requirements=[gate])
    assert await workflow.alist_pending() == []
    found = await workflow.aget_run_output("r")
    assert found is not None
    assert found.active_step_requirements == []
    asks.answer({"user_input": {"value": "late"}})
    with pytest.raises(RunNotPaused):
        await workflow.acontinue_run(run_id="r", step_requirements=[asks])


# -- what is kept of answers -------------------------------------------------------------------------------------------


async def test_a_finished_run_shows_every_answer(again: Again) -> None:
    def build() -> Workflow:
        steps = [Step(name, executor=lambda: "x", requires_confirmation=True) for name in ("one", "two")]
        return Workflow(name="w", db=again(), steps=[*steps, Step("three", executor=lambda: "x")])

    output = await build().arun("x", run_id="r", session_id="s")
    for _ in range(2):
        output = await build().acontinue_run(run_id="r", step_requirements=confirm_all(output))
    shown = [output, await build().aget_run("r"), await build().aget_run_output("r")]
    session = await build().aget_session("s")
    assert session is not None
    shown += session.runs or []
    for found in shown:
        assert found is not None
        assert [(item.step_name, item.confirmed, item.is_open) for item in found.step_requirements or ()] == [
            ("one", True, False),
            ("two", True, False),
        ]
        assert all(item.answered_at is not None for item in found.step_requirements or ())


@pytest.mark.parametrize("words", ["too dear", "timed out", "nobody answered in time"])
async def test_no_words_of_a_person_are_taken_for_a_deadline(again: Again, words: str) -> None:
    workflow = Workflow(name="w", db=again(), steps=[Payments().guarded(), Step("after", executor=lambda: "x")])
    output = await workflow.arun("x")
    (item,) = output.active_step_requirements
    item.reject(words)
    output = await workflow.acontinue_run(run_id=output.run_id, step_requirements=[item])
    assert output.step_results[0].content == "Step pay skipped: rejected by a person"
    assert output.step_results[0].error == words


async def test_the_second_answer_to_a_question_says_when_the_first_came(again: Again) -> None:
    gates = [Step(name, executor=lambda: "x", requires_confirmation=True) for name in ("a", "b")]
    workflow = Workflow(name="w", db=again(), steps=[Parallel(*gates, name="both")])
    output = await workflow.arun("x", run_id="r")
    first, _ = output.active_step_requirements
    first.confirm()
    await workflow.acontinue_run(run_id="r", step_requirements=[first])
    with pytest.raises(AlreadyAnswered) as caught:
        await workflow.acontinue_run(run_id="r", step_requirements=[first])
    assert caught.value.requirement_id == first.id
    with pytest.raises(ValueError, match="unresolved step requirements: \\['b'\\]"):
        await workflow.acontinue_run(run_id="r", step_requirements=[])
