"""Compensation: the effects of completed steps are undone when the run, or a part of it, is given up."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from verbs import Verb, names, of_kind

from workflow_runtime import (
    BaseDb,
    BuildError,
    Compensation,
    Condition,
    InMemoryDb,
    Loop,
    Map,
    Parallel,
    Retry,
    Router,
    RunContext,
    RunStatus,
    Step,
    StepInput,
    StepOutput,
    Steps,
    Workflow,
)
from workflow_runtime.testing import FakeClock

pytestmark = pytest.mark.anyio


class Sold(RuntimeError):
    pass


class World:
    """What the steps of a run have done outside, and undone."""

    def __init__(self) -> None:
        self.log: list[str] = []

    def step(self, name: str, **options: Any) -> Step:
        def work(step_input: StepInput) -> str:
            self.log.append(f"do {name}")
            return f"{name}-7"

        def undo(step_output: StepOutput) -> None:
            self.log.append(f"undo {step_output.content}")

        return Step(name=name, executor=work, **{"compensate": undo, **options})

    @property
    def undone(self) -> list[str]:
        return [line.removeprefix("undo ") for line in self.log if line.startswith("undo ")]


async def sold_out(step_input: StepInput) -> str:
    raise Sold("no seats left")


def test_a_run_that_fails_undoes_its_completed_steps_last_first_in_every_mode(verb: Verb) -> None:
    def make(db: BaseDb | None) -> Workflow:
        world = World()
        return Workflow(name="trip", steps=[world.step("car"), world.step("hotel"), sold_out], db=db, store_events=True)

    ran = verb(make, "x", raises=Sold)
    assert ran.status is RunStatus.error
    assert isinstance(ran.error, Sold)
    assert names(ran.events)[-4:] == ["WorkflowCompensating", "StepCompensated", "StepCompensated", "WorkflowError"]
    told = of_kind(ran.events, "WorkflowCompensating")[0]
    assert (told.outcome, told.error, told.error_type) == ("ERROR", "no seats left", "Sold")
    assert told.steps == ["1.hotel", "0.car"]
    assert [event.path for event in of_kind(ran.events, "StepCompensated")] == ["1.hotel", "0.car"]
    assert [(item.path, item.is_undone) for item in ran.output.compensations or ()] == [
        ("1.hotel", True),
        ("0.car", True),
    ]
    assert ran.output.error == "no seats left"


async def test_the_functions_get_the_output_of_their_step_and_may_be_async(db: BaseDb) -> None:
    seen: list[Any] = []

    async def undo(output: StepOutput, run_context: RunContext, execution_input: Any, session_state: Any) -> None:
        seen.append((output.content, output.step_name, run_context.step_name, execution_input.input))
        session_state["undone"] = True

    workflow = Workflow(
        name="w", steps=[Step(name="a", executor=lambda step_input: {"id": 3}, compensate=undo), sold_out], db=db
    )
    with pytest.raises(Sold):
        await workflow.arun("in", session_id="s")
    assert seen == [({"id": 3}, "a", "a", "in")]
    assert await workflow.aget_session_state("s") == {"undone": True}


async def test_a_run_that_is_cancelled_undoes_what_had_completed_and_stays_running_until_then(db: BaseDb) -> None:
    world, reached, go = World(), anyio.Event(), anyio.Event()
    statuses: list[Any] = []

    async def undo(step_output: StepOutput, run_context: RunContext) -> None:
        reached_undo.set()
        await go.wait()
        assert not run_context.cancelled
        world.log.append(f"undo {step_output.content}")

    async def wait(step_input: StepInput) -> None:
        reached.set()
        await anyio.sleep_forever()

    reached_undo = anyio.Event()
    workflow = Workflow(name="w", steps=[world.step("car", compensate=undo), wait], db=db, store_events=True)
    output = await workflow.arun("x", background=True)
    with anyio.fail_after(10):
        await reached.wait()
        assert await workflow.acancel_run(output.run_id)
        await reached_undo.wait()
        running = await workflow.aget_run_output(output.run_id)
        statuses.append(running.status)
        assert await workflow.acancel_run(output.run_id)  # again: it does not interrupt the compensation
        await anyio.lowlevel.checkpoint()
        assert world.undone == []
        go.set()
        async for event in workflow.subscribe(output.run_id):
            if event.event == "WorkflowCancelled":
                break
        ended = await workflow.aget_run_output(output.run_id)
    assert statuses == [RunStatus.running]
    assert ended.status is RunStatus.cancelled
    assert world.undone == ["car-7"]
    assert names(ended.events)[-3:] == ["WorkflowCompensating", "StepCompensated", "WorkflowCancelled"]


async def test_a_caller_that_is_cancelled_waits_for_the_compensations(db: BaseDb, anyio_backend_name: str) -> None:
    world, reached = World(), anyio.Event()

    async def wait(step_input: StepInput) -> None:
        reached.set()
        await anyio.sleep_forever()

    async def undo(step_output: StepOutput) -> None:
        await anyio.lowlevel.checkpoint()
        world.log.append("undo car")

    workflow = Workflow(name="w", steps=[world.step("car", compensate=undo), wait], db=db)
    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            group.start_soon(workflow.arun, "x")
            await reached.wait()
            group.cancel_scope.cancel()
    assert world.undone == ["car"]


# -- what is given up ----------------------------------------------------------------------------------------------------


async def test_a_skipped_condition_undoes_what_it_had_finished_and_the_run_continues(db: BaseDb) -> None:
    world = World()
    workflow = Workflow(
        name="w",
        steps=[
            world.step("before"),
            Condition([world.step("a"), world.step("b"), sold_out], on_error="skip", name="maybe"),
            world.step("after"),
        ],
        db=db,
        store_events=True,
    )
    output = await workflow.arun("x")
    assert output.status is RunStatus.completed
    assert world.log == ["do before", "do a", "do b", "undo b-7", "undo a-7", "do after"]
    assert [item.path for item in output.compensations or ()] == ["1.maybe/if.1.b", "1.maybe/if.0.a"]
    assert "WorkflowCompensating" not in names(output.events)


async def test_a_skipped_nested_workflow_undoes_what_it_had_finished() -> None:
    world = World()
    inner = Workflow(name="inner", steps=[world.step("a"), sold_out])
    workflow = Workflow(name="w", steps=[Step(name="n", workflow=inner, on_error="skip"), world.step("after")])
    output = await workflow.arun("x")
    assert output.status is RunStatus.completed
    assert world.log == ["do a", "undo a-7", "do after"]


async def test_a_nested_workflow_that_is_retried_undoes_each_attempt(db: BaseDb) -> None:
    world = World()
    attempts = [1, 2]

    def flaky(step_input: StepInput) -> str:
        if attempts:
            attempts.pop()
            raise Sold("again")
        return "ok"

    inner = Workflow(name="inner", steps=[world.step("a"), flaky])
    workflow = Workflow(
        name="w",
        steps=[Step(name="n", workflow=inner, retry=Retry(attempts=3, delay=0)), sold_out],
        db=db,
    )
    with pytest.raises(Sold):
        await workflow.arun("x")
    assert world.log == ["do a", "undo a-7", "do a", "undo a-7", "do a", "undo a-7"]


async def test_a_branch_that_lost_is_undone_at_once(db: BaseDb) -> None:
    world, done = World(), anyio.Event()

    async def slow(step_input: StepInput) -> None:
        done.set()
        await anyio.sleep_forever()

    async def quick(step_input: StepInput) -> str:
        await done.wait()
        return "quick"

    workflow = Workflow(
        name="w",
        steps=[
            Parallel(Steps(name="loser", steps=[world.step("a"), slow]), quick, wait_for="first", name="race"),
            world.step("after"),
        ],
        db=db,
    )
    with anyio.fail_after(10):
        output = await workflow.arun("x")
    assert output.status is RunStatus.completed
    assert world.log == ["do a", "undo a-7", "do after"]


async def test_rounds_and_items_are_each_undone(db: BaseDb) -> None:
    log: list[Any] = []

    def work(step_input: StepInput, run_context: RunContext) -> str:
        return f"{run_context.path}={step_input.input}"

    def undo(step_output: StepOutput) -> None:
        log.append(step_output.content)

    workflow = Workflow(
        name="w",
        steps=[
            Loop([Step(name="s", executor=work, compensate=undo)], max_iterations=2, name="l"),
            Map(Step(name="m", executor=work, compensate=undo), over=lambda: [1, 2], max_concurrency=1, name="each"),
            Router(
                [Step(name="r", executor=work, compensate=undo)], selector=lambda step_input: ["r", "r"], name="choose"
            ),
            sold_out,
        ],
        db=db,
    )
    with pytest.raises(Sold):
        await workflow.arun("x")
    assert log == [
        "2.choose#1/0.r=x",
        "2.choose/0.r=x",
        "1.each#1/0.m=2",
        "1.each#0/0.m=1",
        "0.l#1/0.s=x",
        "0.l#0/0.s=x",
    ]


async def test_a_step_of_a_function_is_undone(db: BaseDb) -> None:
    world = World()
    car = world.step("car")

    async def trip(run_context: RunContext) -> None:
        await run_context.step("car", car.executor, compensate=car.compensate)
        await run_context.step("flight", sold_out)

    workflow = Workflow(name="w", steps=trip, db=db)
    with pytest.raises(Sold):
        await workflow.arun("x")
    assert world.log == ["do car", "undo car-7"]


async def test_a_step_that_was_cut_off_is_undone_by_a_function_of_its_own(db: BaseDb) -> None:
    log: list[Any] = []
    reached = anyio.Event()

    async def wait(step_input: StepInput) -> AsyncIterator[str]:
        yield "half"
        reached.set()
        await anyio.sleep_forever()

    async def fails(step_input: StepInput) -> None:
        await reached.wait()
        raise Sold("no")

    def running(step_output: StepOutput) -> None:
        log.append(("running", step_output.content, step_output.success))

    workflow = Workflow(
        name="w",
        steps=[
            Parallel(
                Step(name="a", executor=wait, compensate=lambda o: log.append("wrong"), compensate_running=running),
                Step(name="b", executor=fails, compensate_running=lambda: log.append("wrong")),
                name="p",
            )
        ],
        db=db,
    )
    with pytest.raises(Sold):
        await workflow.arun("x")
    assert log == [("running", "half", False)]


# -- what fails ----------------------------------------------------------------------------------------------------------


def test_a_compensation_that_fails_is_told_with_the_error_of_the_run(verb: Verb) -> None:
    def refuse(step_output: StepOutput) -> None:
        raise ConnectionError("bank is closed")

    def make(db: BaseDb | None) -> Workflow:
        world = World()
        return Workflow(
            name="w", steps=[world.step("a"), world.step("pay", compensate=refuse), sold_out], db=db, store_events=True
        )

    ran = verb(make, "x", raises=Sold)
    assert isinstance(ran.error, Sold)
    assert any("bank is closed" in note for note in ran.error.__notes__)
    assert ran.output.error == "no seats left; '1.pay' was not compensated: ConnectionError: bank is closed"
    assert ran.output.error_type == "Sold"
    (left,) = ran.output.not_undone
    assert (left.path, left.step_name, left.attempts, left.error_type) == ("1.pay", "pay", 1, "ConnectionError")
    assert names(ran.events)[-3:] == ["StepCompensationFailed", "StepCompensated", "WorkflowError"]


async def test_a_compensation_is_tried_again_as_its_retry_says(db: BaseDb) -> None:
    clock, calls = FakeClock(), []

    def refuse(session_state: dict[str, Any], run_context: RunContext) -> None:
        calls.append(run_context.attempt)
        session_state[f"try{run_context.attempt}"] = True
        if run_context.attempt < 3:
            raise ConnectionError("closed")

    workflow = Workflow(
        name="w",
        steps=[
            Step(
                name="pay",
                executor=lambda step_input: "paid",
                compensate=Compensation(refuse, retry=Retry(attempts=3, delay=5, jitter=0)),
            ),
            sold_out,
        ],
        db=db,
        clock=clock,
        store_events=True,
    )
    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:

            async def run() -> None:
                with pytest.raises(Sold):
                    await workflow.arun("x", session_id="s", run_id="r")

            group.start_soon(run)
            for delay in (5, 10):
                await clock.wait_sleeping()
                clock.advance(delay)
    output = await workflow.aget_run_output("r")
    assert calls == [1, 2, 3]
    delays = [event.delay for event in of_kind(output.events, "StepCompensationFailed")]
    assert delays == [5, 10]
    assert output.not_undone == []
    assert await workflow.aget_session_state("s") == {"try3": True}


@pytest.mark.parametrize("name", ["ask", "receive", "sleep", "step"])
async def test_a_compensation_cannot_wait(name: str) -> None:
    async def undo(run_context: RunContext) -> None:
        await {
            "ask": lambda: run_context.ask("?"),
            "receive": lambda: run_context.receive("t"),
            "sleep": lambda: run_context.sleep(1),
            "step": lambda: run_context.step("s", sold_out),
        }[name]()

    workflow = Workflow(name="w", steps=[Step(name="a", executor=lambda: "a", compensate=undo), sold_out])
    with pytest.raises(Sold) as caught:
        await workflow.arun("x")
    (left,) = caught.value.run_output.not_undone  # type: ignore[attr-defined]
    assert f"run_context.{name}() does not work in a compensation" in (left.error or "")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"compensate": 3}, "must be a function or a Compensation"),
        ({"compensate": lambda a, b: None}, "cannot be injected"),
        ({"compensate_running": "x"}, "must be a function or a Compensation"),
        ({"compensate": lambda: (yield)}, "is a generator"),
    ],
)
def test_what_cannot_compensate_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(BuildError, match=message):
        Workflow(name="w", steps=[Step(name="a", executor=sold_out, **options)])


async def test_a_fork_does_not_undo_what_its_origin_has_done(db: BaseDb) -> None:
    world = World()
    quiet = Step(name="end", executor=lambda step_input: "end")
    good = Workflow(name="w", steps=[world.step("a"), world.step("b"), quiet], db=db)
    output = await good.arun("x")
    loud = Step(name="end", executor=sold_out)
    bad = Workflow(name="w", steps=[world.step("a"), world.step("b"), loud], db=db)
    del world.log[:]
    with pytest.raises(Sold):
        await bad.fork(output.run_id, at="1.b")
    assert world.log == ["do b", "undo b-7"]


async def test_a_run_cannot_be_forked_behind_a_step_that_was_compensated(db: BaseDb) -> None:
    world = World()
    workflow = Workflow(name="w", steps=[world.step("a"), sold_out], db=db)
    with pytest.raises(Sold):
        await workflow.arun("x", run_id="r")
    with pytest.raises(LookupError, match="was compensated"):
        await workflow.fork("r", at="1.sold_out")
    with pytest.raises(Sold):
        await workflow.fork("r", at="0.a")


async def test_without_a_failure_nothing_is_undone() -> None:
    world = World()
    output = await Workflow(name="w", steps=[world.step("a")], db=InMemoryDb()).arun("x")
    assert (output.compensations, output.not_undone, world.undone) == (None, [], [])


# -- pauses, processes ---------------------------------------------------------------------------------------------------


def asking(world: World, db: BaseDb | None, **options: Any) -> Workflow:
    async def ask(run_context: RunContext) -> str:
        return str(await run_context.ask("ok?"))

    return Workflow(name="w", steps=[world.step("car"), ask], db=db, store_events=True, **options)


@pytest.mark.parametrize("evict_after", [0.0, 300.0], ids=["evicted", "parked"])
async def test_a_paused_run_that_is_cancelled_is_compensated(db: BaseDb, evict_after: float) -> None:
    world = World()
    workflow = asking(world, db, evict_after=evict_after)
    with anyio.fail_after(10):
        paused = await workflow.arun("x")
        assert paused.is_paused
        assert await workflow.acancel_run(str(paused.run_id))
        ended = await workflow.aget_run_output(str(paused.run_id))
    assert ended is not None
    assert ended.status is RunStatus.cancelled
    assert world.undone == ["car-7"]
    assert names(ended.events or ())[-3:] == ["WorkflowCompensating", "StepCompensated", "WorkflowCancelled"]


@pytest.mark.parametrize("evict_after", [0.0, 300.0], ids=["evicted", "parked"])
async def test_a_paused_run_that_no_database_keeps_is_compensated(evict_after: float) -> None:
    world = World()
    workflow = asking(world, None, evict_after=evict_after)
    with anyio.fail_after(10):
        paused = await workflow.arun("x")
        assert await workflow.acancel_run(str(paused.run_id))
    assert paused.status is RunStatus.cancelled
    assert world.undone == ["car-7"]


async def test_a_rejection_that_ends_the_run_compensates(db: BaseDb) -> None:
    world = World()
    confirmed = Step(name="pay", executor=lambda: "paid", requires_confirmation=True, on_reject="cancel")
    workflow = Workflow(name="w", steps=[world.step("car"), confirmed], db=db)
    with anyio.fail_after(10):
        paused = await workflow.arun("x")
        paused.active_step_requirements[0].reject("no")
        output = await workflow.acontinue_run(paused)
    assert output.status is RunStatus.cancelled
    assert world.undone == ["car-7"]


async def test_an_output_that_a_person_rejected_is_undone_before_it_is_made_again(db: BaseDb) -> None:
    world = World()
    reviewed = world.step("letter", requires_output_review=True, on_reject="retry")
    workflow = Workflow(name="w", steps=[reviewed, sold_out], db=db)
    with anyio.fail_after(10):
        paused = await workflow.arun("x")
        paused.active_step_requirements[0].reject("again")
        paused = await workflow.acontinue_run(paused)
        assert world.log == ["do letter", "undo letter-7", "do letter"]
        paused.active_step_requirements[0].confirm()
        with pytest.raises(Sold):
            await workflow.acontinue_run(paused)
    assert world.log == ["do letter", "undo letter-7", "do letter", "undo letter-7"]


async def test_a_cancel_that_only_the_database_knows_is_compensated(db: BaseDb) -> None:
    world = World()

    async def last(run_context: RunContext) -> str:
        assert workflow.db is not None
        await workflow.db.request_cancel(run_context.run_id, now=0.0)  # as another process does
        return "end"

    workflow = Workflow(name="w", steps=[world.step("car"), last], db=db, durability="sync", store_events=True)
    with anyio.fail_after(10):
        output = await workflow.arun("x")
    assert output.status is RunStatus.cancelled
    assert world.undone == ["car-7"]
    assert names(output.events or ())[-3:] == ["WorkflowCompensating", "StepCompensated", "WorkflowCancelled"]


async def test_a_cancel_while_a_failed_run_compensates_keeps_its_error(db: BaseDb) -> None:
    world = World()

    async def undo(step_output: StepOutput, run_context: RunContext) -> None:
        assert await workflow.acancel_run(run_context.run_id)
        world.log.append("undo car")

    workflow = Workflow(name="w", steps=[world.step("car", compensate=undo), sold_out], db=db)
    with anyio.fail_after(10):
        output = await workflow.arun("x", run_id="r")
    assert (output.status, output.error, output.error_type) == (RunStatus.cancelled, "no seats left", "Sold")
    assert world.undone == ["car"]


async def test_an_output_that_cannot_be_stored_fails_the_run_and_compensates() -> None:
    world = World()
    workflow = Workflow(name="w", steps=[world.step("car"), lambda: object()], db=InMemoryDb())
    with pytest.raises(TypeError):
        await workflow.arun("x")
    assert world.undone == ["car-7"]


async def test_a_compensation_shows_in_the_history_and_in_the_rows_of_a_view(db: BaseDb) -> None:
    from workflow_runtime.view.recall import recall
    from workflow_runtime.view.rows import rows
    from workflow_runtime.view.tree import View

    def refuse(step_output: StepOutput) -> None:
        raise ConnectionError("closed")

    world = World()
    workflow = Workflow(
        name="w", steps=[world.step("car"), world.step("pay", compensate=refuse), sold_out], db=db, store_events=True
    )
    with pytest.raises(Sold):
        await workflow.arun("x", run_id="r")
    output = await workflow.aget_run_output("r")
    history = await workflow.history("r")
    assert [(entry.path, entry.status, entry.error) for entry in history if entry.kind == "compensation"] == [
        ("1.pay!compensate:1", "failed", "closed"),
        ("0.car!compensate:0", "done", None),
    ]
    assert output is not None
    for events in ((), output.events or ()):
        view = View("w")
        recall(view, output, history, events)
        assert [row.facts for row in rows(view, 0.0)][:2] == [
            ("compensated",),
            ("not compensated: ConnectionError: closed",),
        ]


async def test_a_process_that_lets_go_of_a_run_leaves_the_rest_of_its_compensations_to_the_next(db: BaseDb) -> None:
    from workflow_runtime.engine.run.host import find_live

    world, reached = World(), anyio.Event()

    async def hang(step_output: StepOutput) -> None:
        world.log.append("begin car")
        if not reached.is_set():
            reached.set()
            await anyio.sleep_forever()
        world.log.append("undo car")

    steps = [world.step("car", compensate=hang), world.step("hotel"), sold_out]
    workflow = Workflow(name="w", steps=steps, db=db, store_events=True)
    with anyio.fail_after(10):
        await workflow.arun("x", run_id="r", background=True)
        await reached.wait()
        live = find_live("r")
        assert live is not None
        await live.release()
        assert (await db.load_run("r")).status is RunStatus.running  # type: ignore[union-attr]
        assert await workflow.recover() == ["r"]
        async for event in workflow.subscribe("r"):
            if event.event == "WorkflowError":
                break
    output = await workflow.aget_run_output("r")
    assert output is not None
    assert (output.status, output.error, output.error_type) == (RunStatus.error, "no seats left", "Sold")
    assert world.log == ["do car", "do hotel", "undo hotel-7", "begin car", "begin car", "undo car"]
    assert [step.step_name for step in output.step_results] == ["car", "hotel"]
    assert [step.path for step in output.failed_steps or ()] == ["2.sold_out"]


@pytest.mark.parametrize("evict_after", [0.0, 300.0], ids=["evicted", "parked"])
async def test_a_condition_that_a_person_lets_try_again_starts_over_once(db: BaseDb, evict_after: float) -> None:
    world = World()
    fails = [True]

    async def flaky(step_input: StepInput) -> str:
        if fails:
            fails.pop()
            raise Sold("first")
        return "ok"

    async def ask(run_context: RunContext) -> str:
        return str(await run_context.ask("and now?"))

    maybe = Condition([world.step("a"), flaky, world.step("b"), ask], on_error="pause", name="maybe")
    workflow = Workflow(name="w", steps=[maybe, sold_out], db=db, evict_after=evict_after)
    with anyio.fail_after(10):
        paused = await workflow.arun("x")
        paused.active_error_requirements[0].retry()
        paused = await workflow.acontinue_run(paused)
        assert world.log == ["do a", "undo a-7", "do a", "do b"]
        paused.active_step_requirements[0].set_user_input(value="go")
        with pytest.raises(Sold, match="no seats"):
            await workflow.acontinue_run(paused)
    assert world.log == ["do a", "undo a-7", "do a", "do b", "undo b-7", "undo a-7"]


async def test_a_retry_whose_process_died_while_it_compensated_starts_over_in_the_next(db: BaseDb) -> None:
    from workflow_runtime.engine.run.host import find_live

    world, reached = World(), anyio.Event()
    fails = [True]

    async def hang(step_output: StepOutput) -> None:
        world.log.append("begin")
        if not reached.is_set():
            reached.set()
            await anyio.sleep_forever()
        world.log.append("undo")

    async def flaky(step_input: StepInput) -> str:
        world.log.append("flaky")
        if fails:
            fails.pop()
            raise Sold("first")
        return "ok"

    inner = Workflow(name="inner", steps=[world.step("car", compensate=hang), flaky])
    nested = Step(name="n", workflow=inner, retry=Retry(attempts=2, delay=0))
    workflow = Workflow(name="w", steps=[nested, sold_out], db=db, durability="sync", store_events=True)
    with anyio.fail_after(10):
        await workflow.arun("x", run_id="r", background=True)
        await reached.wait()
        live = find_live("r")
        assert live is not None
        await live.release()
        assert await workflow.recover() == ["r"]
        async for event in workflow.subscribe("r"):
            if event.event == "WorkflowError":
                break
    once = ["do car", "flaky"]
    assert world.log == [*once, "begin", "begin", "undo", *once, "begin", "undo"]
    output = await workflow.aget_run_output("r")
    assert output is not None
    assert (output.error, output.not_undone) == ("no seats left", [])


async def test_a_container_that_somebody_cancels_alone_is_compensated_at_once(db: BaseDb) -> None:
    world, reached = World(), anyio.Event()

    async def wait(step_input: StepInput) -> None:
        reached.set()
        await anyio.sleep_forever()

    box = Steps(name="box", steps=[world.step("a"), wait])
    workflow = Workflow(name="w", steps=[box, world.step("after")], db=db)
    with anyio.fail_after(10):
        run = await workflow.arun("x", background=True)
        await reached.wait()
        await workflow.acancel_step(str(run.run_id), "0.box")
        async for event in workflow.subscribe(str(run.run_id)):
            if event.event == "WorkflowCompleted":
                break
    assert world.log == ["do a", "undo a-7", "do after"]


@pytest.mark.parametrize("in_branch", [False, True], ids=["sequence", "branch"])
@pytest.mark.parametrize("stored", [False, True], ids=["unstored", "stored"])
async def test_what_a_failed_attempt_of_a_compensation_changed_of_the_state_does_not_count(
    db: BaseDb, in_branch: bool, stored: bool
) -> None:
    async def refund(step_output: StepOutput, run_context: RunContext, session_state: dict[str, Any]) -> None:
        async def pay() -> str:
            session_state["paid"] = True
            return "paid"

        await run_context.once("pay", pay)
        if "first" not in tried:
            tried.append("first")
            session_state["half"] = "done"
            raise Sold("not yet")
        session_state["refunded"] = True

    tried: list[str] = []
    again = Compensation(refund, retry=Retry(attempts=2, delay=0))
    maybe: Any = Condition([World().step("a", compensate=again), sold_out], on_error="skip", name="maybe")
    if in_branch:
        maybe = Parallel(maybe, World().step("other"), name="both")
    workflow = Workflow(name="w", steps=[maybe, World().step("after")], db=db if stored else None)
    output = await workflow.arun("x", session_id="s")
    assert output.session_state == {"paid": True, "refunded": True}


async def test_a_step_that_was_compensated_and_done_again_stands_in_a_fork(db: BaseDb) -> None:
    world = World()
    fails = [True]

    async def flaky(step_input: StepInput) -> str:
        if fails:
            fails.pop()
            raise Sold("first")
        return "ok"

    inner = Workflow(name="inner", steps=[world.step("a"), flaky])
    nested = Step(name="n", workflow=inner, retry=Retry(attempts=2, delay=0))
    workflow = Workflow(name="w", steps=[nested, world.step("b")], db=db)
    await workflow.arun("x", run_id="r")
    fork = await workflow.fork("r", "1.b")
    assert fork.status is RunStatus.completed
    assert world.log == ["do a", "undo a-7", "do a", "do b", "do b"]


async def test_what_a_compensation_changed_of_the_state_is_stored_and_in_the_history(db: BaseDb) -> None:
    async def take(step_input: StepInput, session_state: dict[str, Any]) -> None:
        session_state["seat"] = "taken"

    async def free(step_output: StepOutput, session_state: dict[str, Any]) -> None:
        session_state["seat"] = "free"

    async def wrong(step_input: StepInput, session_state: dict[str, Any]) -> None:
        session_state["what"] = (number for number in range(1))

    workflow = Workflow(name="w", steps=[Step(name="take", executor=take, compensate=free), wrong], db=db)
    with pytest.raises(TypeError, match="session_state"):
        await workflow.arun("x", session_id="s", run_id="r")
    output, session = await workflow.aget_run_output("r"), await workflow.aget_session("s")
    assert output is not None
    assert session is not None
    assert output.session_state == session.session_state == {"seat": "free"}
    [entry] = [entry for entry in await workflow.history("r") if entry.kind == "compensation"]
    assert entry.changes == {"seat": ("taken", "free")}
