"""run_context: what a step can know and do beyond its input."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from verbs import Verb, expanded, names, of_kind

from workflow_runtime import (
    BaseDb,
    CustomEvent,
    EngineError,
    InMemoryDb,
    Parallel,
    Retry,
    RunContext,
    RunStatus,
    Step,
    StepInput,
    Steps,
    UnserializableError,
    Workflow,
)
from workflow_runtime.core.lifecycle import MOVING
from workflow_runtime.testing import FakeClock

# -- who and where -------------------------------------------------------------------------------------------------------


def test_it_knows_the_run_the_step_and_what_came_with_the_call(verb: Verb) -> None:
    async def tell(run_context: RunContext) -> dict[str, Any]:
        return {
            "run": run_context.run_id,
            "session": run_context.session_id,
            "user": run_context.user_id,
            "workflow": (run_context.workflow_id, run_context.workflow_name),
            "step": (run_context.step_name, run_context.path, run_context.attempt),
            "state": dict(run_context.session_state),
            "with": (run_context.dependencies, run_context.metadata),
            "key": run_context.idempotency_key,
            "cancelled": run_context.cancelled,
        }

    def make(db: BaseDb) -> Workflow:
        return Workflow(
            name="My Flow", steps=[Step("tell", executor=tell)], db=db, store_events=True, metadata={"own": 1}
        )

    options = {"run_id": "r", "session_id": "s", "user_id": "u", "session_state": {"k": 1}}
    for ran in verb.each(make, dependencies={"d": 1}, metadata={"call": 2}, **options):
        assert ran.content == {
            "run": "r",
            "session": "s",
            "user": "u",
            "workflow": ("my-flow", "My Flow"),
            "step": ("tell", "0.tell", 1),
            "state": {"k": 1},
            "with": ({"d": 1}, {"own": 1, "call": 2}),
            "key": "r:0.tell",
            "cancelled": False,
        }


def test_in_a_nested_workflow_it_knows_the_inner_workflow_and_the_outer_run() -> None:
    async def tell(run_context: RunContext) -> list[Any]:
        return [run_context.workflow_name, run_context.path, run_context.run_id]

    inner = Workflow(name="inner", steps=[Step("tell", executor=tell)])
    assert Workflow(name="outer", steps=[inner]).run(run_id="r").content == ["inner", "0.inner/0.tell", "r"]


# -- emit and progress ---------------------------------------------------------------------------------------------------


class PageFound(CustomEvent):
    """An event of this module's own, with any fields."""


@dataclass
class Scored(CustomEvent):
    score: int = 0
    event = "Scored"


def test_custom_events_keep_their_type_and_carry_the_steps_stamps(verb: Verb) -> None:
    async def tell(run_context: RunContext) -> None:
        run_context.emit(text="hello", n=1)
        run_context.emit(PageFound(page=7))
        run_context.emit(Scored(score=3))

    def make(db: BaseDb) -> Workflow:
        return Workflow(name="w", steps=[Step("tell", executor=tell)], db=db, store_events=True)

    ran = verb(make)
    plain, page, scored = (event for event in ran.output.events or () if isinstance(event, CustomEvent))
    assert (plain.event, plain.text, plain.n) == ("CustomEvent", "hello", 1)
    assert (type(page), page.event, page.page) == (PageFound, "CustomEvent", 7)
    assert (type(scored), scored.event, scored.score) == (Scored, "Scored", 3)
    assert {event.path for event in (plain, page, scored)} == {"0.tell"}
    assert [event.seq for event in (plain, page, scored)] == [3, 4, 5]
    assert plain.step_name == "tell"


def test_the_callers_own_event_object_is_not_changed() -> None:
    mine = PageFound(page=7)

    async def tell(run_context: RunContext) -> None:
        run_context.emit(mine)
        run_context.emit(mine)

    events = list(Workflow(steps=[tell]).run(stream=True, stream_events=True))
    assert [event.seq for event in of_kind(events, "CustomEvent")] == [3, 4]
    assert mine.seq == 0


@pytest.mark.anyio
async def test_custom_events_are_streamed_without_stream_events_too() -> None:
    async def tell(run_context: RunContext) -> None:
        run_context.emit(text="hello")

    seen = names([event async for event in Workflow(steps=[tell]).arun(stream=True)])
    assert seen == ["WorkflowStarted", "CustomEvent", "StepOutput", "WorkflowCompleted"]


def test_progress_says_how_far_a_step_is(verb: Verb) -> None:
    async def work(run_context: RunContext) -> None:
        run_context.progress(1, 4)
        run_context.progress(2.5, text="almost")

    ran = verb(lambda db: Workflow(name="w", steps=[work], db=db, store_events=True))
    assert [(event.done, event.total, event.text) for event in of_kind(ran.events, "StepProgress")] == [
        (1, 4, None),
        (2.5, None, "almost"),
    ]


@pytest.mark.anyio
async def test_an_event_that_cannot_be_stored_is_refused_where_it_is_emitted(db: BaseDb) -> None:
    refused: list[UnserializableError] = []

    async def tell(run_context: RunContext) -> str:
        try:
            run_context.emit(thing=object())
        except UnserializableError as error:
            refused.append(error)
        return "went on"

    workflow = Workflow(steps=[Step("tell", executor=tell)], db=db, store_events=True)
    output = await workflow.arun()
    assert "0.tell: CustomEvent.thing" in str(refused[0])
    assert output.content == "went on"
    assert [event.seq for event in output.events or ()] == list(range(1, output.last_seq + 1)), "it took no number"


@pytest.mark.anyio
async def test_an_event_after_the_end_of_the_run_is_refused() -> None:
    kept: list[RunContext] = []

    async def keep(run_context: RunContext) -> None:
        kept.append(run_context)

    await Workflow(steps=[keep]).arun()
    with pytest.raises(EngineError, match="has ended"):
        kept[0].emit(text="too late")
    with pytest.raises(EngineError, match="has ended"):
        kept[0].progress(1)


# -- once ----------------------------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_once_computes_a_value_once_over_all_attempts(db: BaseDb) -> None:
    computed: list[str] = []

    async def pay(run_context: RunContext) -> list[Any]:
        async def charge() -> dict[str, int]:
            computed.append("charge")
            await anyio.lowlevel.checkpoint()
            return {"receipt": len(computed)}

        def look_up() -> str:
            computed.append("look up")
            return "price"

        found = [await run_context.once("charge", charge), await run_context.once("price", look_up)]
        if run_context.attempt < 3:
            raise ConnectionError("after the payment")
        return found

    step = Step("pay", executor=pay, retry=Retry(attempts=3, delay=0))
    output = await Workflow(steps=[step], db=db).arun()
    assert output.content == [{"receipt": 1}, "price"]
    assert computed == ["charge", "look up"]


@pytest.mark.anyio
async def test_once_is_per_step_and_key(db: BaseDb) -> None:
    async def draw(run_context: RunContext) -> list[Any]:
        return [await run_context.once(key, lambda key=key: f"{run_context.step_name}.{key}") for key in "aba"]

    output = await Workflow(steps=[Parallel(Step("x", executor=draw), Step("y", executor=draw))], db=db).arun()
    assert [inner.content for inner in output.step_results[0].steps or ()] == [
        ["x.a", "x.b", "x.a"],
        ["y.a", "y.b", "y.a"],
    ]


@pytest.mark.anyio
async def test_once_keeps_its_value_when_the_run_is_paused_and_continued_elsewhere(db: BaseDb) -> None:
    computed: list[int] = []

    async def flaky(run_context: RunContext) -> Any:
        value = await run_context.once("id", lambda: computed.append(1) or {"id": len(computed)})
        if len(computed) == 1 and not fixed:
            raise ConnectionError("down")
        return value

    fixed: list[bool] = []
    options: dict[str, Any] = {"steps": [Step("flaky", executor=flaky, on_error="pause")], "db": db, "name": "w"}
    paused = await Workflow(**options).arun(run_id="r")
    assert paused.is_paused
    fixed.append(True)
    paused.active_error_requirements[0].retry()
    done = await Workflow(**options).acontinue_run(run_id="r", step_requirements=paused.error_requirements)
    assert done.content == {"id": 1}
    assert computed == [1]


@pytest.mark.anyio
async def test_a_value_of_once_that_cannot_be_stored_fails_the_step_with_its_path(db: BaseDb) -> None:
    async def hold(run_context: RunContext) -> None:
        await run_context.once("handle", object)

    with pytest.raises(UnserializableError, match=r"0\.hold!once:handle"):
        await Workflow(steps=[Step("hold", executor=hold)], db=db).arun()


# -- sleep ---------------------------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_sleep_waits_for_the_workflows_clock() -> None:
    clock = FakeClock()

    async def nap(run_context: RunContext) -> float:
        await run_context.sleep(60)
        await run_context.sleep(30)
        return clock.time()

    started = clock.time()
    outputs: list[Any] = []
    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:

            async def run() -> None:
                outputs.append(await Workflow(steps=[nap], clock=clock).arun())

            group.start_soon(run)
            for seconds in (60, 30):
                await clock.wait_sleeping()
                clock.advance(seconds)
                while clock.sleeping:
                    await anyio.lowlevel.checkpoint()
    assert outputs[0].content == started + 90


@pytest.mark.anyio
async def test_a_step_entered_again_sleeps_only_for_what_is_left(db: BaseDb) -> None:
    clock = FakeClock()
    entered = 0

    async def nap(run_context: RunContext) -> str:
        nonlocal entered
        entered += 1
        await run_context.sleep(100)
        if entered == 1:
            raise ConnectionError("after the sleep")
        return "rested"

    async def run() -> Any:
        return await Workflow(name="w", steps=[Step("nap", executor=nap, on_error="pause")], db=db, clock=clock).arun(
            run_id="r"
        )

    paused: list[Any] = []
    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:

            async def first() -> None:
                paused.append(await run())

            group.start_soon(first)
            await clock.wait_sleeping()
            clock.advance(100)
        paused[0].active_error_requirements[0].retry()
        slept = len([seconds for seconds in clock.slept if seconds > 1])
        done = await Workflow(
            name="w", steps=[Step("nap", executor=nap, on_error="pause")], db=db, clock=clock
        ).acontinue_run(paused[0])
    assert done.content == "rested"
    assert len([seconds for seconds in clock.slept if seconds > 1]) == slept, "its time had passed"


# -- the calls that do not fit ------------------------------------------------------------------------------------------


def test_step_is_for_callable_workflows_only() -> None:
    async def wrong(run_context: RunContext) -> None:
        await run_context.step("inner", lambda step_input: "x")

    with pytest.raises(EngineError, match=r"works in a callable workflow only"):
        Workflow(steps=[wrong]).run()


@pytest.mark.anyio
async def test_edit_state_sees_a_fresh_state_and_commits_when_it_is_left(db: BaseDb) -> None:
    seen: list[Any] = []

    async def edit(run_context: RunContext) -> None:
        other = Workflow(steps=[lambda session_state: session_state.update(theirs=1)], db=db)
        await other.arun(session_id="s")
        async with run_context.edit_state() as state:
            seen.append(dict(state))
            state["mine"] = state["theirs"] + 1
        seen.append(await workflow.aget_session_state("s"))

    workflow = Workflow(steps=[edit], db=db)
    await workflow.arun(session_id="s")
    assert seen == [{"theirs": 1}, {"theirs": 1, "mine": 2}]


def test_chunks_and_events_of_a_step_are_numbered_in_the_order_they_were_made(verb: Verb) -> None:
    async def mixed(run_context: RunContext) -> Any:
        yield "a"
        run_context.emit(mark=1)
        yield "b"

    ran = verb(lambda db: Workflow(name="w", steps=[mixed], db=db, store_events=True))
    assert names(expanded(ran.events))[2:5] == ["StepContent", "CustomEvent", "StepContent"]


@pytest.mark.anyio
async def test_the_state_can_be_replaced_as_a_whole() -> None:
    async def replace(run_context: RunContext) -> None:
        run_context.session_state.clear()
        run_context.session_state.update(new=True)

    workflow = Workflow(steps=[replace], db=InMemoryDb())
    await workflow.arun(session_id="s", session_state={"old": True})
    assert await workflow.aget_session_state("s") == {"new": True}


def test_a_step_that_asks_for_nothing_but_its_input_runs_without_a_context() -> None:
    assert Workflow(steps=[lambda step_input: type(step_input).__name__]).run().content == StepInput.__name__


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_what_a_step_assigns_to_the_context_the_steps_after_it_find() -> None:
    async def assigns(step_input: StepInput, run_context: RunContext) -> str:
        run_context.output_schema = int
        run_context.dependencies = {**(run_context.dependencies or {}), "b": 2}
        return "assigned"

    def finds(step_input: StepInput, run_context: RunContext) -> Any:
        return [run_context.output_schema, run_context.dependencies, run_context.metadata, run_context.messages]

    workflow = Workflow(
        name="W",
        steps=[assigns, Parallel(Steps(name="s", steps=[finds]), name="p")],
        dependencies={"a": 1},
        metadata={"m": 1},
    )
    output = await workflow.arun("x")
    assert output.step_results[1].steps[0].steps[0].content == [int, {"a": 1, "b": 2}, {"m": 1}, None]  # type: ignore[index]
    assert workflow.dependencies == {"a": 1}
    again = await Workflow(name="W", steps=[finds]).arun("x")
    assert again.content == [None, None, None, None]


@pytest.mark.anyio
@pytest.mark.parametrize("kind", sorted(MOVING, key=lambda kind: kind.__name__), ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("way", ["emit", "yield"])
async def test_a_step_cannot_say_how_its_run_goes(db: BaseDb, kind: type[Any], way: str) -> None:
    async def emitting(run_context: RunContext) -> str:
        run_context.emit(kind())
        return "unreached"

    async def yielding() -> AsyncIterator[Any]:
        yield kind()

    step = Step("says", executor=emitting if way == "emit" else yielding)
    workflow = Workflow(steps=[step], db=db, store_events=True)
    with pytest.raises(TypeError, match=f"a {kind.__name__} is published by the run itself"):
        await workflow.arun("x", run_id="r")
    stored = await workflow.aget_run_output("r")
    assert stored is not None
    assert stored.status is RunStatus.error
    assert [event.event for event in stored.events or ()][-1] == "WorkflowError"
