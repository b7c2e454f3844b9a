"""Background runs, and the Runtime that owns them."""

from __future__ import annotations

from collections.abc import Callable

import anyio
import pytest

from workflow_runtime import (
    BaseDb,
    HumanReview,
    RunContext,
    RunStatus,
    Runtime,
    Step,
    StepInput,
    StorageError,
    Workflow,
)
from workflow_runtime.storage.base import Batch, Committed
from workflow_runtime.testing import FakeClock

pytestmark = pytest.mark.anyio
Again = Callable[[], BaseDb]


class Gate:
    """A step that waits until the test lets it go."""

    def __init__(self) -> None:
        self.entered = anyio.Event()
        self.open = anyio.Event()

    async def __call__(self, step_input: StepInput) -> str:
        self.entered.set()
        await self.open.wait()
        return f"passed {step_input.input}"


async def ended(workflow: Workflow, run_id: str) -> RunStatus:
    with anyio.fail_after(60):
        async for _ in workflow.subscribe(run_id):
            pass
    output = await workflow.aget_run(run_id)
    assert output is not None
    return output.status


async def test_a_background_run_returns_the_pending_output_and_goes_on(again: Again) -> None:
    gate = Gate()
    workflow = Workflow(name="w", db=again(), steps=[Step("gate", executor=gate)])
    output = await workflow.arun("x", run_id="00_mine", background=True)
    assert (output.run_id, output.status) == ("00_mine", RunStatus.pending)
    await gate.entered.wait()
    running = await Workflow(name="w", db=again(), steps=[Step("gate", executor=gate)]).aget_run("00_mine")
    assert running is not None
    assert running.status is RunStatus.running
    gate.open.set()
    assert await ended(workflow, "00_mine") is RunStatus.completed
    assert output.status is RunStatus.pending  # a snapshot: it does not change under its reader


async def test_the_consumer_of_a_background_stream_may_leave(again: Again) -> None:
    gate = Gate()
    workflow = Workflow(name="w", db=again(), steps=[Step("gate", executor=gate)])
    stream = workflow.arun("x", background=True, stream=True, stream_events=True)
    async for event in stream:
        if event.event == "StepStarted":
            break
    await stream.aclose()
    gate.open.set()
    assert await ended(workflow, stream.run_id) is RunStatus.completed


def test_run_in_the_background_from_a_script(again: Again) -> None:
    async def quick(step_input: StepInput) -> str:
        return "done"

    workflow = Workflow(name="w", db=again(), steps=[quick])
    output = workflow.run("x", background=True)
    assert output.status is RunStatus.pending
    assert output.run_id is not None

    from workflow_runtime.engine.loop import portal

    assert portal.call(lambda: ended(workflow, str(output.run_id))) is RunStatus.completed


async def test_a_background_run_without_a_database_can_be_asked_for_when_it_has_ended() -> None:
    gate = Gate()
    workflow = Workflow(name="w", steps=[Step("gate", executor=gate)])
    output = await workflow.arun("x", background=True)
    assert output.run_id is not None
    gate.open.set()
    assert await ended(workflow, output.run_id) is RunStatus.completed


async def test_leaving_a_runtime_waits_for_runs_that_end_within_its_grace(again: Again) -> None:
    gate = Gate()
    workflow = Workflow(name="w", db=again(), steps=[Step("gate", executor=gate)])
    async with Runtime(workflow, grace=10) as runtime:
        output = await workflow.arun("x", background=True)
        await gate.entered.wait()
        gate.open.set()
    assert runtime.report.drained == [output.run_id]
    assert runtime.report.cancelled == []


async def test_leaving_a_runtime_cancels_what_does_not_end_and_says_so(again: Again) -> None:
    gate = Gate()
    workflow = Workflow(name="w", db=again(), steps=[Step("gate", executor=gate)])
    async with Runtime(workflow, grace=0.01) as runtime:
        output = await workflow.arun("x", background=True)
        await gate.entered.wait()
    assert runtime.report.cancelled == [output.run_id]
    stored = await workflow.aget_run(str(output.run_id))
    assert stored is not None
    assert stored.status is RunStatus.cancelled


async def test_a_released_run_goes_on_in_the_next_runtime(again: Again) -> None:
    gate = Gate()
    entered: list[str] = []

    async def first(step_input: StepInput, run_context: RunContext) -> str:
        entered.append("first")
        return "first"

    def make() -> Workflow:
        return Workflow(name="w", db=again(), steps=[Step("first", executor=first), Step("gate", executor=gate)])

    async with Runtime(make(), grace=0.01, on_exit="release") as runtime:
        workflow = runtime.workflows[0]
        output = await workflow.arun("x", background=True)
        await gate.entered.wait()
    assert runtime.report.released == [output.run_id]
    gate.open.set()
    async with Runtime(make(), grace=10) as second:
        assert second.report.recovered == [output.run_id]
    stored = await make().aget_run(str(output.run_id))
    assert stored is not None
    assert (stored.status, stored.content, stored.epoch) == (RunStatus.completed, "passed x", 2)
    assert entered == ["first"]


async def test_a_run_that_is_continued_while_the_runtime_drains_is_released_too(again: Again) -> None:
    first, last, other = Gate(), Gate(), Gate()

    async def ask(step_input: StepInput, run_context: RunContext) -> str:
        return str(await run_context.ask("Go on?", bool))

    def make() -> Workflow:
        steps = [Step("first", executor=first), Step("ask", executor=ask), Step("last", executor=last)]
        return Workflow(name="w", db=again(), steps=steps)

    keeping = Workflow(name="keeping", db=again(), steps=[Step("gate", executor=other)])
    runtime = Runtime(make(), keeping, grace=1.0, on_exit="release")
    workflow = runtime.workflows[0]
    left = anyio.Event()

    async def serve() -> None:
        async with runtime:
            await left.wait()

    async with anyio.create_task_group() as group:
        group.start_soon(serve)
        output = await workflow.arun("x", background=True)
        await first.entered.wait()
        busy = await keeping.arun("x", background=True)
        await other.entered.wait()
        left.set()
        await anyio.wait_all_tasks_blocked()  # it drains
        first.open.set()
        with anyio.fail_after(60):
            async for event in workflow.subscribe(str(output.run_id)):
                if event.is_paused:
                    break
        (question,) = await workflow.alist_pending()
        question.answer({"user_input": {"value": True}})
        await workflow.acontinue_run(run_id=output.run_id, step_requirements=[question], background=True)
        with anyio.fail_after(60):
            await last.entered.wait()
    assert sorted(runtime.report.released) == sorted([str(output.run_id), str(busy.run_id)])
    last.open.set()
    async with Runtime(make(), grace=10) as second:
        assert second.report.recovered == [output.run_id]
    stored = await make().aget_run(str(output.run_id))
    assert stored is not None
    assert stored.status is RunStatus.completed


async def test_a_durable_sleep_goes_on_where_it_was_when_its_process_ended(again: Again) -> None:
    clock = FakeClock()

    async def nap(step_input: StepInput, run_context: RunContext) -> str:
        await run_context.sleep(100)
        return "woken"

    def make() -> Workflow:
        return Workflow(name="w", db=again(), clock=clock, steps=[Step("nap", executor=nap)])

    first = make()
    async with Runtime(first, grace=0.01, on_exit="release") as runtime:
        output = await first.arun("x", background=True)
        await clock.wait_sleeping(2)  # the step, and the Runtime between its rounds
        clock.advance(90)
    assert runtime.report.released == [output.run_id]
    second = make()
    assert await second.recover() == [output.run_id]
    await clock.wait_sleeping()
    clock.advance(9)
    live = await second.aget_run(str(output.run_id))
    assert live is not None
    assert live.status is RunStatus.running
    clock.advance(1.5)
    assert await ended(second, str(output.run_id)) is RunStatus.completed


async def test_a_runtime_is_the_lifespan_of_an_application(again: Again) -> None:
    gate = Gate()
    workflow = Workflow(name="w", db=again(), steps=[Step("gate", executor=gate)])
    runtime = Runtime(workflow, grace=10)
    application = object()
    async with runtime.lifespan(application) as state:
        assert state == {"runtime": runtime}
        output = await workflow.arun("x", background=True)
        await gate.entered.wait()
        gate.open.set()
    assert runtime.report.drained == [output.run_id]


async def test_a_cancelled_pause_of_a_background_run_is_told_to_its_readers(again: Again) -> None:
    asks = Step("pay", executor=lambda step_input: "paid", human_review=HumanReview(requires_confirmation=True))
    workflow = Workflow(name="w", db=again(), steps=[asks])
    run_id = str((await workflow.arun("x", background=True)).run_id)
    async with workflow.subscribe(run_id) as events:
        names = []
        async for event in events:
            names.append(event.event)
            if event.event == "WorkflowPaused":
                assert await Workflow(name="w", db=again(), steps=[asks]).acancel_run(run_id)
    assert names[-2:] == ["WorkflowPaused", "WorkflowCancelled"]
    assert [event.event async for event in workflow.subscribe(run_id)] == names, "whoever comes later sees it too"


async def test_a_background_stream_says_nothing_of_a_run_that_is_not_stored(again: Again) -> None:
    gate = Gate()
    workflow = Workflow(name="w", db=again(), steps=[Step("gate", executor=gate)], durability="exit")
    async with workflow.arun("x", background=True, stream=True, stream_events=True) as stream:
        await anext(aiter(stream))
        assert (
            await Workflow(name="w", db=again(), steps=[Step("gate", executor=gate)]).aget_run(stream.run_id)
            is not None
        )
        gate.open.set()
    assert await ended(workflow, stream.run_id) is RunStatus.completed


async def test_a_background_run_that_cannot_be_stored_is_none(again: Again) -> None:
    db = again()

    async def away(batch: Batch) -> Committed:
        raise StorageError("the database is away")

    db.commit = away  # type: ignore[method-assign]
    workflow = Workflow(name="w", db=db, steps=[lambda step_input: "done"])
    async with Runtime(workflow, recover=False, grace=60) as runtime:
        with pytest.raises(StorageError, match="away"):
            await workflow.arun("x", run_id="lost", background=True)
        with pytest.raises(StorageError, match="away"):
            await workflow.arun("x", run_id="lost", background=True, stream=True).result()
        assert await workflow.aget_run("lost") is None
    assert runtime.report.cancelled == []
    assert runtime.report.drained == []
