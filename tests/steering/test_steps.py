"""One step of a run is cancelled, skipped or retried, and the rest of the run continues."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from workflow_runtime import (
    BaseDb,
    InMemoryDb,
    InputError,
    Loop,
    Map,
    Parallel,
    RunContext,
    RunEnded,
    RunNotFound,
    RunStatus,
    Step,
    StepInput,
    StepNotFound,
    StepNotRunning,
    StepOutput,
    StepReceipt,
    Steps,
    StepSteeredEvent,
    Workflow,
    WorkflowRunOutput,
)

pytestmark = pytest.mark.anyio


class Slow:
    """A step that works until it is ended or ``go`` is set, and what became of it."""

    def __init__(self) -> None:
        self.begun = anyio.Event()
        self.go = anyio.Event()
        self.entered = 0
        self.ended = 0

    async def work(self, step_input: StepInput) -> str:
        self.entered += 1
        self.begun.set()
        try:
            await self.go.wait()
        finally:
            self.ended += 1
        return f"worked {self.entered}"

    def again(self) -> None:
        self.begun = anyio.Event()


def seen(step_input: StepInput) -> str:
    return f"got {step_input.previous_step_content}"


async def quick(step_input: StepInput) -> str:
    return "quick"


class Run:
    """A run in a task of its own."""

    def __init__(self, workflow: Workflow) -> None:
        self.workflow = workflow
        self.output: WorkflowRunOutput | None = None

    async def work(self) -> None:
        self.output = await self.workflow.arun("x", run_id="r1")

    @property
    def steps(self) -> list[StepOutput]:
        assert self.output is not None
        return self.output.step_results


@pytest.fixture(params=["none", "memory", "sqlite"])
def any_db(request: pytest.FixtureRequest) -> BaseDb | None:
    if request.param == "none":
        return None
    return InMemoryDb() if request.param == "memory" else request.getfixturevalue("sqlite")


def build(*steps: Any, db: BaseDb | None = None, **options: Any) -> Workflow:
    return Workflow(name="w", steps=list(steps), db=db, store_events=True, **options)


async def steered(run: Run, step: Slow, path: str, action: str = "cancel", **options: Any) -> StepReceipt:
    """Start the run, steer its step once it works, and wait for the run's end."""
    receipt: list[StepReceipt] = []
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run.work)
            await step.begun.wait()
            if action == "retry":
                step.again()
            receipt.append(await getattr(run.workflow, f"a{action}_step")("r1", path, **options))
            if action == "retry":
                await step.begun.wait()
                step.go.set()
    return receipt[0]


async def test_a_cancelled_branch_leaves_the_others_and_the_next_step_sees_that(any_db: BaseDb | None) -> None:
    slow = Slow()
    parts = Parallel(Step(name="a", executor=slow.work), Step(name="b", executor=quick), name="p")
    run = Run(build(parts, Step(name="next", executor=seen), db=any_db))
    receipt = await steered(run, slow, "0.p/0.a", reason="too slow")
    assert (receipt.action, receipt.path, receipt.taken) == ("cancel", "0.p/0.a", True)
    assert slow.ended == 1
    assert run.output is not None
    assert run.output.status is RunStatus.completed
    branch = (run.steps[0].steps or [])[0]
    assert (branch.cancelled, branch.success, branch.error) == (True, False, "too slow")
    assert [step.content for step in run.steps[0].steps or []] == ["Step a cancelled: too slow", "quick"]
    assert run.steps[1].content == "got {'a': 'Step a cancelled: too slow', 'b': 'quick'}"
    told = [event for event in run.output.events or [] if isinstance(event, StepSteeredEvent)]
    assert [(event.path, event.action, event.reason, event.order_id) for event in told] == [
        ("0.p/0.a", "cancel", "too slow", receipt.message_id)
    ]


async def test_a_cancelled_step_of_a_sequence_is_followed_by_the_next_one(any_db: BaseDb | None) -> None:
    slow = Slow()
    run = Run(build(Step(name="a", executor=slow.work), Step(name="next", executor=quick), db=any_db))
    await steered(run, slow, "0.a")
    assert [(step.content, step.cancelled) for step in run.steps] == [
        ("Step a cancelled: cancel_step", True),
        ("quick", False),
    ]
    names = [event.event for event in run.output.events or []] if run.output else []
    assert names[:4] == ["WorkflowStarted", "StepStarted", "StepSteered", "StepCompleted"]


async def test_a_skipped_step_hands_its_input_on(any_db: BaseDb | None) -> None:
    slow = Slow()
    steps = [Step(name="first", executor=quick), Step(name="a", executor=slow.work), Step(name="next", executor=seen)]
    run = Run(build(*steps, db=any_db))
    await steered(run, slow, "1.a", "skip")
    assert (run.steps[1].content, run.steps[1].skipped, run.steps[1].cancelled) == ("quick", True, False)
    assert run.steps[2].content == "got quick"


async def test_a_skipped_branch_has_its_input_as_its_output(any_db: BaseDb | None) -> None:
    slow = Slow()
    parts = Parallel(Step(name="a", executor=slow.work), Step(name="b", executor=quick), name="p")
    run = Run(build(parts, db=any_db))
    await steered(run, slow, "0.p/0.a", "skip")
    assert [(step.content, step.skipped) for step in run.steps[0].steps or []] == [("x", True), ("quick", False)]


async def test_a_retried_step_begins_again_and_its_siblings_do_not(any_db: BaseDb | None) -> None:
    slow, other = Slow(), Slow()
    other.go.set()
    parts = Parallel(Step(name="a", executor=slow.work), Step(name="b", executor=other.work), name="p")
    run = Run(build(parts, db=any_db))
    await steered(run, slow, "0.p/0.a", "retry", reason="hangs")
    assert [step.content for step in run.steps[0].steps or []] == ["worked 2", "worked 1"]
    assert (slow.entered, other.entered) == (2, 1)
    assert run.output is not None
    retries = [event for event in run.output.events or [] if event.event == "StepRetry"]
    assert [(event.attempt, event.error) for event in retries] == [(1, "hangs")]


async def test_a_cancelled_container_keeps_what_its_steps_had(any_db: BaseDb | None) -> None:
    slow = Slow()
    inner = Steps(name="s", steps=[Step(name="one", executor=quick), Step(name="two", executor=slow.work)])
    run = Run(build(Parallel(inner, Step(name="b", executor=quick), name="p"), db=any_db))
    await steered(run, slow, "0.p/0.s")
    container = (run.steps[0].steps or [])[0]
    assert container.cancelled
    assert [step.content for step in container.steps or []] == ["quick"]


async def test_a_cancelled_parallel_ends_its_branches_and_keeps_those_that_had_ended(any_db: BaseDb | None) -> None:
    slow, other = Slow(), Slow()
    branches = [Step(name="a", executor=slow.work), Step(name="b", executor=quick), Step(name="c", executor=other.work)]
    run = Run(build(Parallel(*branches, name="p"), Step(name="next", executor=quick), db=any_db))
    await steered(run, slow, "0.p")
    assert [step.step_name for step in run.steps[0].steps or []] == ["b"]
    assert (slow.ended, other.ended, run.steps[1].content) == (1, 1, "quick")
    assert run.output is not None
    assert run.output.status is RunStatus.completed


async def test_an_item_of_a_map_and_an_iteration_of_a_loop(any_db: BaseDb | None) -> None:
    slow = Slow()

    async def work(step_input: StepInput) -> Any:
        return step_input.input if step_input.input == "y" else await slow.work(step_input)

    each = Map(Step(name="each", executor=work), over=lambda: ["y", "z"], name="m")
    run = Run(build(each, db=any_db))
    await steered(run, slow, "0.m#1/0.each")
    assert next((step.content, step.cancelled) for step in run.steps[0].steps or []) == ("y", False)
    assert (run.steps[0].steps or [])[1].cancelled

    slow = Slow()
    loop = Loop(steps=[Step(name="a", executor=slow.work), Step(name="b", executor=quick)], max_iterations=1, name="l")
    run = Run(build(loop, db=None if any_db is None else InMemoryDb()))
    await steered(run, slow, "0.l#0/0.a")
    assert [step.cancelled for step in run.steps[0].steps or []] == [True, False]


async def test_a_cancelled_loop_keeps_the_steps_of_its_iterations(any_db: BaseDb | None) -> None:
    slow = Slow()
    loop = Loop(steps=[Step(name="b", executor=quick), Step(name="a", executor=slow.work)], max_iterations=3, name="l")
    run = Run(build(loop, db=any_db))
    await steered(run, slow, "0.l")
    assert [step.step_name for step in run.steps[0].steps or []] == ["b"]


async def test_a_step_inside_a_nested_workflow(any_db: BaseDb | None) -> None:
    slow = Slow()
    inner = Workflow(name="inner", steps=[Step(name="a", executor=slow.work), Step(name="b", executor=quick)])
    run = Run(build(Step(name="nest", workflow=inner), db=any_db))
    await steered(run, slow, "0.nest/0.a")
    assert [step.cancelled for step in run.steps[0].steps or []] == [True, False]


async def test_a_step_of_a_function_gives_the_function_its_output(any_db: BaseDb | None) -> None:
    slow = Slow()
    entered: list[int] = []

    async def flow(run_context: RunContext) -> str:
        entered.append(1)
        output = await run_context.step_output("a", slow.work)
        return f"{output.cancelled} {await run_context.step('b', quick)}"

    run = Run(Workflow(name="w", steps=flow, db=any_db, store_events=True))
    await steered(run, slow, "a")
    assert run.output is not None
    assert (run.output.content, entered) == ("True quick", [1])


async def test_a_step_that_fails_because_it_is_cancelled_is_cancelled(any_db: BaseDb | None) -> None:
    begun = Slow()

    async def breaks(step_input: StepInput) -> None:
        begun.begun.set()
        try:
            await anyio.sleep_forever()
        finally:
            raise ValueError("cut off")

    run = Run(build(Step(name="a", executor=breaks), Step(name="b", executor=quick), db=any_db))
    await steered(run, begun, "0.a")
    assert [step.cancelled for step in run.steps] == [True, False]
    assert run.output is not None
    assert (run.output.status, run.output.failed_steps) == (RunStatus.completed, None)


async def test_what_a_step_gives_after_it_was_cancelled_comes_too_late(any_db: BaseDb | None) -> None:
    begun = Slow()

    async def stubborn(step_input: StepInput) -> str:
        begun.begun.set()
        try:
            await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class():
            return "in spite of that"
        return "never"

    run = Run(build(Step(name="a", executor=stubborn), db=any_db))
    await steered(run, begun, "0.a")
    assert run.steps[0].cancelled
    assert run.output is not None
    assert [event.event for event in run.output.events or []].count("StepCompleted") == 1


@pytest.mark.parametrize("action", ["cancel", "skip", "retry"])
async def test_what_an_ended_step_had_changed_of_the_state_is_discarded(db: BaseDb, action: str) -> None:
    slow = Slow()

    async def changes(run_context: RunContext, step_input: StepInput) -> str:
        run_context.session_state["times"] = run_context.session_state.get("times", 0) + 1
        return await slow.work(step_input)

    async def keeps(run_context: RunContext) -> None:
        run_context.session_state["kept"] = True

    for parts in ([Step(name="a", executor=changes)], [Parallel(Step(name="a", executor=changes), name="p")]):
        slow = Slow()
        workflow = build(Step(name="first", executor=keeps), *parts, db=db, session_state={"times": 0})
        run = Run(workflow)
        await steered(run, slow, "1.a" if isinstance(parts[0], Step) else "1.p/0.a", action)
        assert run.output is not None
        found = await workflow.aget_session_state(run.output.session_id or "")
        assert found == {"times": 1 if action == "retry" else 0, "kept": True}
        await workflow.adelete_session(run.output.session_id or "")


# -- what is refused ---------------------------------------------------------------------------------------------------


async def test_what_cannot_be_steered_is_refused_and_nothing_changes(any_db: BaseDb | None) -> None:
    slow = Slow()
    steps = [Step(name="a", executor=quick), Step(name="b", executor=slow.work), Step(name="c", executor=quick)]
    run = Run(build(*steps, db=any_db))
    workflow = run.workflow
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run.work)
            await slow.begun.wait()
            for path in ("0.a", "2.c"):  # ended, and not begun
                for verb in (workflow.acancel_step, workflow.askip_step, workflow.aretry_step):
                    with pytest.raises(StepNotRunning, match=path):
                        await verb("r1", path)
            with pytest.raises(StepNotFound if any_db is not None else StepNotRunning):
                await workflow.acancel_step("r1", "0.nothing")
            with pytest.raises(RunNotFound):
                await workflow.acancel_step("other", "1.b")
            with pytest.raises(InputError):
                await workflow.acancel_step("r1", "")
            slow.go.set()
    assert [step.content for step in run.steps] == ["quick", "worked 1", "quick"]
    with pytest.raises(RunEnded if any_db is not None else RunNotFound):
        await workflow.acancel_step("r1", "1.b")


async def test_an_order_that_is_sent_again_counts_once(db: BaseDb) -> None:
    slow = Slow()
    run = Run(build(Step(name="a", executor=slow.work), Step(name="b", executor=slow.work), db=db))
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run.work)
            await slow.begun.wait()
            slow.again()
            first = await run.workflow.acancel_step("r1", "0.a", message_id="m1")
            await slow.begun.wait()
            again = await run.workflow.acancel_step("r1", "0.a", message_id="m1")
            assert (first.message_id, again.message_id, again.taken) == ("m1", "m1", True)
            slow.go.set()
    assert [step.cancelled for step in run.steps] == [True, False]


async def test_no_message_can_be_sent_on_the_topic_of_orders(db: BaseDb) -> None:
    with pytest.raises(InputError):
        await build(Step(name="a", executor=quick), db=db).asend("r1", "!step", {})


@pytest.mark.parametrize("stored", [False, True], ids=["unstored", "stored"])
async def test_a_step_whose_error_handler_works_is_itself_tried_again(db: BaseDb, stored: bool) -> None:
    slow = Slow()
    log: list[str] = []

    def fly(step_input: StepInput) -> str:
        log.append("fly")
        if log.count("fly") == 1:
            raise ValueError("no seats left")
        return "flew"

    def hold(step_input: StepInput) -> str:
        log.append("hold")
        return "held"

    def free(step_output: StepOutput) -> None:
        log.append("free")

    handler = Steps(name="instead", steps=[Step(name="hold", executor=hold, compensate=free), slow.work])
    flight = Step(name="flight", executor=fly, on_error=handler)
    workflow = Workflow(name="w", steps=[flight, seen], db=db if stored else None)
    outputs: list[WorkflowRunOutput] = []

    async def go() -> None:
        outputs.append(await workflow.arun("x", run_id="r"))

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(go)
            await slow.begun.wait()
            await workflow.aretry_step("r", "0.flight")
    [output] = outputs
    assert output.content == "got flew"
    assert log == ["fly", "hold", "free", "fly"]
    assert output.failed_steps is None
    if stored:
        entries = await workflow.history("r")
        assert [entry.path for entry in entries if entry.path.startswith("0.flight/") and "!" not in entry.path] == []


@pytest.mark.parametrize("what", ["0.box", "0.box/0.work"])
async def test_a_key_that_a_cancelled_part_added_to_the_state_is_gone(db: BaseDb, what: str) -> None:
    slow = Slow()

    async def work(step_input: StepInput, run_context: RunContext) -> str:
        assert run_context.session_state is not None
        run_context.session_state["half"] = "done"
        return await slow.work(step_input)

    workflow = Workflow(name="w", steps=[Steps(name="box", steps=[work]), seen], db=db)
    outputs: list[WorkflowRunOutput] = []

    async def go() -> None:
        outputs.append(await workflow.arun("x", run_id="r", session_id="s"))

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(go)
            await slow.begun.wait()
            await workflow.acancel_step("r", what)
    assert not outputs[0].session_state
    assert not await workflow.aget_session_state("s")


async def test_a_retry_whose_process_died_while_it_undid_the_error_handler_is_ended_by_the_next(db: BaseDb) -> None:
    from workflow_runtime.engine.run.host import find_live

    slow, freeing = Slow(), anyio.Event()
    log: list[str] = []

    def fly(step_input: StepInput) -> str:
        log.append("fly")
        if log.count("fly") == 1:
            raise ValueError("no seats left")
        return "flew"

    def hold(step_input: StepInput) -> str:
        log.append("hold")
        return "held"

    async def free(step_output: StepOutput) -> None:
        if not freeing.is_set():
            freeing.set()
            await anyio.sleep_forever()
        log.append("free")

    handler = Steps(name="instead", steps=[Step(name="hold", executor=hold, compensate=free), slow.work])
    flight = Step(name="flight", executor=fly, on_error=handler)
    workflow = Workflow(name="w", steps=[flight, seen], db=db, durability="sync", store_events=True)
    with anyio.fail_after(10):
        await workflow.arun("x", run_id="r", background=True)
        await slow.begun.wait()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(workflow.aretry_step, "r", "0.flight")
            await freeing.wait()
            live = find_live("r")
            assert live is not None
            await live.release()
            tasks.cancel_scope.cancel()
        assert await workflow.recover() == ["r"]
        async for event in workflow.subscribe("r"):
            if event.event == "WorkflowCompleted":
                break
    assert log == ["fly", "hold", "free", "fly"]
