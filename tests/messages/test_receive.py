"""Messages into a run: received once and in order by a step that waits, in this process, in another one, or not yet."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import anyio
import pytest
from pydantic import BaseModel

from workflow_runtime import (
    BaseDb,
    Condition,
    EngineError,
    InMemoryDb,
    InputError,
    Loop,
    Map,
    MessageConflict,
    MessageRefused,
    MessageTimeout,
    NotAwaited,
    Parallel,
    Retry,
    RunContext,
    RunEnded,
    RunNotFound,
    RunStatus,
    Runtime,
    Step,
    StepChanged,
    UnserializableError,
    Workflow,
    WorkflowRunOutput,
)
from workflow_runtime.engine.start.recovery import ready_runs
from workflow_runtime.storage.base import MessageRow
from workflow_runtime.testing import FakeClock

pytestmark = pytest.mark.anyio


class Order(BaseModel):
    item: str
    count: int = 1


class Body:
    """A step that receives once from each of ``topics``, and what was done in it."""

    def __init__(self, *topics: str, **options: Any) -> None:
        self.topics = topics or ("orders",)
        self.options = options
        self.done: list[Any] = []

    async def receive(self, run_context: RunContext) -> Any:
        self.done.append("entered")
        found = []
        for topic in self.topics:
            found.append(await run_context.receive(topic, **self.options))
            self.done.append(found[-1])
        return found


def build(body: Any, db: BaseDb | None, **options: Any) -> Workflow:
    return Workflow(
        name="w",
        steps=[Step(name="wait", executor=getattr(body, "receive", body))],
        db=db,
        store_events=True,
        **options,
    )


async def started(workflow: Workflow, run_id: str = "r1") -> WorkflowRunOutput:
    output = await workflow.arun("x", run_id=run_id)
    assert output.is_paused
    await anyio.wait_all_tasks_blocked()
    return output


async def proceed(workflow: Workflow, paused: WorkflowRunOutput) -> WorkflowRunOutput:
    if workflow.db is None:
        return await workflow.acontinue_run(paused, step_requirements=[])
    return await workflow.acontinue_run(run_id=paused.run_id)


@pytest.fixture(params=["here", "evicted", "no database"])
def kept(request: pytest.FixtureRequest, db: BaseDb) -> Callable[[Any], Workflow]:
    """Builds a workflow whose waiting steps stay in memory, or are let go."""
    if request.param == "no database":
        return lambda body: build(body, None)
    if request.param == "evicted":
        return lambda body: build(body, db, evict_after=0.0)
    return lambda body: build(body, db)


async def test_a_step_waits_for_a_message(kept: Callable[[Any], Workflow]) -> None:
    body = Body()
    workflow = kept(body)
    paused = await started(workflow)
    (wait,) = paused.active_step_requirements
    assert (wait.kind, wait.topic, wait.is_resolved) == ("receive", "orders", False)
    receipt = await workflow.asend("r1", "orders", {"item": "cake"})
    assert (receipt.run_id, receipt.topic, receipt.number, receipt.repeated, receipt.awaited) == (
        "r1",
        "orders",
        1,
        False,
        True,
    )
    done = await proceed(workflow, paused)
    assert (done.status, done.content) == (RunStatus.completed, [{"item": "cake"}])
    assert done.step_requirements is not None
    (wait,) = done.step_requirements
    assert (wait.message_id, wait.user_input) == (receipt.message_id, {"value": {"item": "cake"}})
    assert body.done.count({"item": "cake"}) == 1


async def test_messages_of_a_topic_come_in_their_order(kept: Callable[[Any], Workflow]) -> None:
    body = Body("a", "b", "a", "a")
    workflow = kept(body)
    paused = await started(workflow)
    for number, topic in enumerate("abbaa"):
        await workflow.asend("r1", topic, number)
    done = await proceed(workflow, paused)
    assert done.content == [0, 1, 3, 4]


async def test_a_message_is_kept_for_a_step_that_waits_later(db: BaseDb) -> None:
    came, go = anyio.Event(), anyio.Event()

    async def first() -> str:
        came.set()
        await go.wait()
        return "first"

    body = Body("late", "late")
    workflow = Workflow(
        name="w", steps=[Step(name="first", executor=first), Step(name="wait", executor=body.receive)], db=db
    )
    outputs: list[WorkflowRunOutput] = []

    async def run() -> None:
        outputs.append(await workflow.arun("x", run_id="r1"))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run)
        await came.wait()
        assert not (await workflow.asend("r1", "late", 1)).awaited
        await workflow.asend("r1", "late", 2)
        go.set()
    assert outputs[0].content == [1, 2]
    assert outputs[0].step_requirements is None


async def test_a_running_run_goes_on_when_its_message_comes(db: BaseDb) -> None:
    """One branch waits while another works: the run is not paused, and needs nobody who continues it."""
    waiting, go = anyio.Event(), anyio.Event()

    async def works() -> str:
        waiting.set()
        await go.wait()
        return "worked"

    async def wait(run_context: RunContext) -> Any:
        found = await run_context.receive("t")
        go.set()
        return found

    workflow = Workflow(
        name="w", steps=[Parallel(Step(name="a", executor=works), Step(name="b", executor=wait))], db=db
    )
    outputs: list[WorkflowRunOutput] = []

    async def run() -> None:
        outputs.append(await workflow.arun("x", run_id="r1"))

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run)
            await waiting.wait()
            await workflow.asend("r1", "t", "go")
    assert outputs[0].status is RunStatus.completed


async def test_a_repeated_message_counts_once(kept: Callable[[Any], Workflow]) -> None:
    workflow = kept(Body("t", "t"))
    paused = await started(workflow)
    first = await workflow.asend("r1", "t", 1, message_id="m")
    again = await workflow.asend("r1", "t", 1, message_id="m")
    assert (again.repeated, again.number, again.created_at) == (True, first.number, first.created_at)
    with pytest.raises(MessageConflict):
        await workflow.asend("r1", "t", 2, message_id="m")
    paused = await proceed(workflow, paused)
    assert paused.is_paused
    await workflow.asend("r1", "t", 2)
    assert (await proceed(workflow, paused)).content == [1, 2]


async def test_a_runtime_continues_a_paused_run_that_a_message_reached(db: BaseDb) -> None:
    workflow = build(Body(), db, evict_after=0.0)
    await started(workflow)
    await workflow.asend("r1", "orders", 7)
    with anyio.fail_after(20):
        async with Runtime(workflow, interval=0.01):
            async for _ in workflow.subscribe("r1"):
                pass
            found = await workflow.aget_run("r1")
            while found is not None and found.is_paused:
                async for _ in workflow.subscribe("r1", after=found.last_seq):
                    pass
                found = await workflow.aget_run("r1")
    assert found is not None
    assert found.content == [7]


async def test_a_message_nobody_waits_for_leaves_a_paused_run_alone(db: BaseDb) -> None:
    body = Body("a")
    workflow = build(body, db, evict_after=0.0)
    await started(workflow)
    await workflow.asend("r1", "b", 1)
    async with Runtime(workflow):
        pass
    found = await workflow.aget_run("r1")
    assert found is not None
    assert (found.status, found.epoch, body.done) == (RunStatus.paused, 1, ["entered"])


async def test_a_run_that_pauses_for_a_person_is_not_continued_for_messages_that_it_did_not_wait_for(
    db: BaseDb,
) -> None:
    came, go = anyio.Event(), anyio.Event()
    entered: list[str] = []

    async def asks(run_context: RunContext) -> Any:
        entered.append("entered")
        came.set()
        await go.wait()
        return [await run_context.ask("Well?", int), await run_context.receive("t")]

    workflow = build(asks, db, evict_after=0.0)
    outputs: list[WorkflowRunOutput] = []

    async def run() -> None:
        outputs.append(await workflow.arun("x", run_id="r1"))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run)
        await came.wait()
        assert workflow.db is not None
        await workflow.db.send(MessageRow(run_id="r1", message_id="m", topic="t", created_at=1.0, data=b"5"))
        go.set()
    assert await ready_runs(db, workflow.id) == []
    async with Runtime(workflow):
        pass
    assert entered == ["entered"]
    (question,) = outputs[0].active_step_requirements
    question.answer({"user_input": {"value": 1}})
    assert (await workflow.acontinue_run(run_id="r1", step_requirements=[question])).content == [1, 5]


# -- schemas -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schema", "sent", "got"),
    [
        (Order, {"item": "cake"}, Order(item="cake")),
        (Order, Order(item="pie", count=2), Order(item="pie", count=2)),
        (int, 3, 3),
        (list[int], [1, 2], [1, 2]),
        (None, None, None),
        (None, datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)),
        (datetime, "2026-01-01T00:00:00Z", datetime(2026, 1, 1, tzinfo=UTC)),
    ],
)
@pytest.mark.parametrize("early", [True, False])
async def test_a_message_has_the_type_of_its_schema(schema: Any, sent: Any, got: Any, early: bool) -> None:
    async def body(run_context: RunContext) -> Any:
        if early:
            await run_context.receive("first")
        return await run_context.receive("t", schema)

    workflow = build(body, InMemoryDb())
    paused = await started(workflow)
    await workflow.asend("r1", "t", sent)
    if early:
        await workflow.asend("r1", "first")
    done = await proceed(workflow, paused)
    assert done.content == got
    assert type(done.content) is type(got)


async def test_a_message_that_does_not_fit_is_refused_where_its_step_waits(kept: Callable[[Any], Workflow]) -> None:
    workflow = kept(Body(schema=Order))
    paused = await started(workflow)
    with pytest.raises(InputError, match="count"):
        await workflow.asend("r1", "orders", {"item": "cake", "count": "many"})
    await workflow.asend("r1", "orders", {"item": "cake"})
    assert (await proceed(workflow, paused)).content == [Order(item="cake")]


async def test_one_that_came_before_its_step_waited_is_received_and_refused(db: BaseDb) -> None:
    async def body(run_context: RunContext) -> Any:
        await run_context.receive("first")
        try:
            return await run_context.receive("t", int)
        except MessageRefused as error:
            return [error.value, error.message_id, await run_context.receive("t", int)]

    workflow = build(body, db, evict_after=0.0)
    paused = await started(workflow)
    await workflow.asend("r1", "t", "no number", message_id="bad")
    await workflow.asend("r1", "t", 5)
    await workflow.asend("r1", "first")
    assert (await proceed(workflow, paused)).content == ["no number", "bad", 5]


# -- refusals ----------------------------------------------------------------------------------------------------------


async def test_bad_messages_are_refused_and_change_nothing(kept: Callable[[Any], Workflow]) -> None:
    workflow = kept(Body())
    paused = await started(workflow)
    with pytest.raises(RunNotFound):
        await workflow.asend("nobody", "orders", 1)
    for topic in ("", "a\0b", "x" * 300, 5):
        with pytest.raises(InputError, match="topic"):
            await workflow.asend("r1", topic, 1)  # type: ignore[arg-type]
    with pytest.raises(UnserializableError):
        await workflow.asend("r1", "orders", object())
    with pytest.raises(NotAwaited):
        await workflow.asend("r1", "else", 1, only_if_awaited=True)
    await workflow.asend("r1", "orders", 2, only_if_awaited=True)
    done = await proceed(workflow, paused)
    assert done.content == [2]
    with pytest.raises((RunEnded, RunNotFound)):
        await workflow.asend("r1", "orders", 1)


async def test_receive_refuses_what_it_cannot_do() -> None:
    refused: list[str] = []

    async def body(run_context: RunContext) -> str:
        for call in (
            lambda: run_context.receive(""),
            lambda: run_context.receive("t", timeout=-1),
            lambda: run_context.receive("t", object()),
        ):
            try:
                await call()
            except InputError as error:
                refused.append(str(error))
        return "done"

    assert (await build(body, InMemoryDb()).arun()).status is RunStatus.completed
    assert len(refused) == 3


async def test_a_function_that_decides_cannot_receive() -> None:
    async def decide(run_context: RunContext) -> bool:
        return bool(await run_context.receive("t"))

    workflow = Workflow(name="w", steps=[Condition([Step(name="a", executor=lambda: "a")], evaluator=decide, name="c")])
    with pytest.raises(EngineError, match="receive"):
        await workflow.arun()


async def test_another_topic_than_the_first_time_raises_step_changed(db: BaseDb) -> None:
    body = Body("a", "b")
    workflow = build(body, db, evict_after=0.0)
    paused = await started(workflow)
    body.topics = ("b", "a")
    await workflow.asend("r1", "a", 1)
    with pytest.raises(StepChanged, match=r"receive\(\) 1 was for 'a'"):
        await proceed(workflow, paused)


# -- time --------------------------------------------------------------------------------------------------------------


async def test_a_wait_ends_after_its_timeout(db: BaseDb) -> None:
    clock = FakeClock()

    async def body(run_context: RunContext) -> Any:
        try:
            return await run_context.receive("t", timeout=10.0)
        except MessageTimeout:
            return ["nothing", await run_context.receive("t")]

    workflow = build(body, db, clock=clock, evict_after=0.0)
    paused = await started(workflow)
    clock.advance(11)
    paused = await workflow.acontinue_run(run_id="r1")
    assert paused.is_paused
    await workflow.asend("r1", "t", "late")
    assert (await proceed(workflow, paused)).content == ["nothing", "late"]


async def test_a_message_that_came_before_the_deadline_was_looked_at_is_received(db: BaseDb) -> None:
    clock = FakeClock()
    workflow = build(Body(timeout=10.0), db, clock=clock, evict_after=0.0)
    paused = await started(workflow)
    await workflow.asend("r1", "orders", "in time")
    clock.advance(11)
    assert (await proceed(workflow, paused)).content == ["in time"]


# -- everywhere --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("evict_after", [0.0, 600.0])
async def test_steps_wait_in_every_container(db: BaseDb, evict_after: float) -> None:
    async def wait(run_context: RunContext) -> Any:
        return await run_context.receive("t")

    step = Step(name="w", executor=wait)
    workflow = Workflow(
        name="w",
        steps=[
            Parallel(Step(name="p1", executor=wait), Step(name="p2", executor=wait)),
            Map(step, over=lambda: [1, 2], name="m"),
            Loop([Step(name="l", executor=wait)], max_iterations=2, name="loop"),
            Step(name="nested", workflow=Workflow(name="inner", steps=[Step(name="i", executor=wait)])),
        ],
        db=db,
        evict_after=evict_after,
    )
    output = await started(workflow)
    rounds = 0
    while output.is_paused:
        await anyio.wait_all_tasks_blocked()
        await workflow.asend("r1", "t", rounds)
        output = await proceed(workflow, output)
        rounds += 1
    assert output.status is RunStatus.completed
    leaves = [step.content for top in output.step_results for step in top.walk() if not step.steps]
    assert sorted(str(content) for content in leaves) == [str(number) for number in range(7)]


async def test_a_retried_step_gets_the_message_that_it_had_received(db: BaseDb) -> None:
    attempts: list[Any] = []

    async def wait(run_context: RunContext) -> Any:
        found = await run_context.receive("t")
        attempts.append(found)
        if len(attempts) < 2:
            raise ConnectionError("again")
        return [found, await run_context.receive("t")]

    workflow = Workflow(
        name="w", steps=[Step(name="a", executor=wait, retry=Retry(attempts=2, delay=0.0))], db=db, evict_after=0.0
    )
    paused = await started(workflow)
    await workflow.asend("r1", "t", "one")
    await workflow.asend("r1", "t", "two")
    assert (await proceed(workflow, paused)).content == ["one", "two"]
    assert attempts == ["one", "one"]


async def test_the_message_of_a_wait_that_was_given_up_is_left_for_others(db: BaseDb) -> None:
    """The first branch ends the race while the other one waits: the message is the next step's."""

    async def wait(run_context: RunContext) -> Any:
        return await run_context.receive("t")

    async def quick(run_context: RunContext) -> Any:
        return await run_context.receive("quick")

    race = Parallel(Step(name="a", executor=wait), Step(name="b", executor=quick), name="race", wait_for="first")
    workflow = Workflow(name="w", steps=[race, Step(name="after", executor=wait)], db=db)
    paused = await started(workflow)
    await workflow.asend("r1", "quick", "q")
    paused = await proceed(workflow, paused)
    assert paused.is_paused
    await workflow.asend("r1", "t", "for the step after")
    assert (await proceed(workflow, paused)).content == "for the step after"


async def test_a_fork_receives_messages_of_its_own(db: BaseDb) -> None:
    workflow = Workflow(
        name="w", steps=[Step(name="a", executor=Body("t").receive), Step(name="b", executor=Body("t").receive)], db=db
    )
    paused = await started(workflow)
    await workflow.asend("r1", "t", 1, message_id="m")
    await workflow.asend("r1", "t", 2)
    assert (await proceed(workflow, paused)).content == [2]
    fork = await workflow.fork("r1", at="1.b", new_run_id="r2")
    assert fork.is_paused
    await workflow.asend("r2", "t", 3, message_id="m")
    assert (await proceed(workflow, fork)).content == [3]


async def test_a_person_may_give_the_message(kept: Callable[[Any], Workflow]) -> None:
    workflow = kept(Body(schema=Order))
    paused = await started(workflow)
    (wait,) = paused.active_step_requirements
    with pytest.raises(ValueError, match="item"):
        wait.answer({"user_input": {"value": {}}})
    wait.answer({"user_input": {"value": {"item": "cake"}}})
    done = await workflow.acontinue_run(paused, step_requirements=[wait])
    assert done.content == [Order(item="cake")]


# -- polling -----------------------------------------------------------------------------------------------------------


async def test_the_inbox_has_what_has_come_and_was_not_received(db: BaseDb) -> None:
    seen: list[Any] = []

    async def body(run_context: RunContext) -> Any:
        found = [await run_context.inbox("t")]
        found.append(await run_context.receive("go"))
        found.append(await run_context.inbox("t"))
        found.append(await run_context.inbox("t"))
        seen.append(found)
        await run_context.receive("end")
        return found

    workflow = build(body, db, evict_after=0.0)
    paused = await started(workflow)
    await workflow.asend("r1", "t", 1)
    await workflow.asend("r1", "t", 2)
    await workflow.asend("r1", "go")
    paused = await proceed(workflow, paused)
    assert paused.is_paused
    await anyio.wait_all_tasks_blocked()
    await workflow.asend("r1", "t", 3)
    await workflow.asend("r1", "end")
    assert (await proceed(workflow, paused)).content == [[], None, [1, 2], []]
    assert seen == [[[], None, [1, 2], []]] * 2
