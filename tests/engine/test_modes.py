"""Stream or not, sync or async, in the background: the same run. (D1, D2, D3)"""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio
import pytest
from verbs import MODES, Verb, expanded, listen, names, same_output

from workflow_runtime import (
    BaseDb,
    InMemoryDb,
    Parallel,
    RunContext,
    RunStatus,
    Step,
    StepInput,
    StepOutput,
    Steps,
    Workflow,
)
from workflow_runtime.backends import SqliteDb
from workflow_runtime.testing import FakeClock


def shout(step_input: StepInput) -> str:
    return str(step_input.get_input_as_string()).upper()


async def count(step_input: StepInput) -> int:
    return len(step_input.previous_step_content)


async def words(step_input: StepInput) -> AsyncIterator[str]:
    for word in str(step_input.input).split():
        yield f"{word} "


async def refuse(step_input: StepInput) -> str:
    raise LookupError("no such page")


# -- the same events, numbered and stored ------------------------------------------------------------------------------


def test_a_run_is_the_same_in_every_mode(verb: Verb) -> None:
    def make(db: BaseDb) -> Workflow:
        return Workflow(name="w", steps=[shout, Step(name="count", executor=count)], db=db, store_events=True)

    ran = verb(make, "hello")
    assert ran.status is RunStatus.completed
    assert ran.content == 5
    assert ran.names == [
        "WorkflowStarted",
        *["StepStarted", "StepOutput", "StepCompleted"] * 2,
        "WorkflowCompleted",
    ]


def test_streamed_chunks_are_the_same_in_every_mode(verb: Verb) -> None:
    def make(db: BaseDb) -> Workflow:
        return Workflow(name="w", steps=[words, shout], db=db, store_events=True)

    ran = verb(make, "one two three")
    chunks = [event.delta for event in expanded(ran.events) if event.event == "StepContent"]
    assert chunks == ["one ", "two ", "three "]
    assert ran.output.step_results[0].content == "one two three "


def test_a_run_with_branches_is_the_same_in_every_mode_path_by_path(verb: Verb) -> None:
    def make(db: BaseDb) -> Workflow:
        both = Parallel(Steps(name="left", steps=[words, shout]), Step(name="right", executor=refuse, on_error="skip"))
        return Workflow(name="w", steps=[both, count], db=db, store_events=True)

    ran = verb(make, "one two", ordered=False)
    assert ran.status is RunStatus.completed
    assert [inner.success for inner in ran.output.step_results[0].steps or ()] == [True, False]


def test_every_event_carries_the_ids_of_its_run_and_its_path(verb: Verb) -> None:
    def make(db: BaseDb) -> Workflow:
        return Workflow(name="My Flow_X", steps=[Steps(name="part", steps=[shout])], db=db, store_events=True)

    for ran in verb.each(make, "x", session_id="s", user_id="u"):
        assert {event.run_id for event in ran.events} == {ran.output.run_id}
        assert {event.session_id for event in ran.events} == {"s"}
        assert {(event.workflow_id, event.workflow_name) for event in ran.events} == {("my-flow-x", "My Flow_X")}
        assert {event.epoch for event in ran.events} == {1}
        assert [event.id for event in ran.events] == [f"1-{n}" for n in range(1, len(ran.events) + 1)]
        started = next(event for event in ran.events if event.event == "StepStarted")
        assert (started.path, started.parent_step_id, started.step_index) == ("0.part/0.shout", "0.part", (0, 0))


def test_session_state_ends_the_same_in_every_mode(verb: Verb) -> None:
    async def note(session_state: dict[str, object]) -> str:
        session_state["seen"] = [1, 2]
        return "noted"

    def make(db: BaseDb) -> Workflow:
        return Workflow(name="w", steps=[note], db=db, store_events=True, session_state={"start": True})

    ran = verb(make, session_state={"given": {"a": 1}})
    assert ran.state == {"start": True, "given": {"a": 1}, "seen": [1, 2]}


# -- runs that do not complete are stored with what they finished -------------------------------------------------------


def test_a_failed_run_is_stored_with_its_finished_steps_in_every_mode(verb: Verb) -> None:
    def make(db: BaseDb) -> Workflow:
        return Workflow(name="w", steps=[shout, refuse, count], db=db, store_events=True)

    ran = verb(make, "hello", raises=LookupError)
    assert ran.status is RunStatus.error
    assert [(result.step_name, result.content) for result in ran.output.step_results] == [("shout", "HELLO")]
    assert (ran.output.error, ran.output.error_type) == ("no such page", "LookupError")
    assert ran.names[-3:] == ["StepStarted", "StepError", "WorkflowError"]


def test_a_failed_run_raises_the_steps_own_exception_with_the_output_attached(verb: Verb) -> None:
    def make(db: BaseDb) -> Workflow:
        return Workflow(name="w", steps=[shout, refuse], db=db, store_events=True)

    for ran in verb.each(make, "x", modes=("arun", "arun-stream", "run", "run-stream")):
        assert type(ran.error) is LookupError, ran.mode
        attached = ran.error.run_output  # type: ignore[attr-defined]  # that it has one is the point
        assert same_output(attached) == same_output(ran.output)


def test_a_cancelled_run_is_stored_with_its_finished_steps_in_every_mode(verb: Verb) -> None:
    def make(db: BaseDb) -> Workflow:
        async def give_up(run_context: RunContext) -> str:
            assert await workflow.acancel_run(run_context.run_id)
            await anyio.sleep_forever()
            return "never"

        workflow = Workflow(name="w", steps=[shout, give_up, count], db=db, store_events=True)
        return workflow

    ran = verb(make, "hello")
    assert ran.status is RunStatus.cancelled
    assert [result.content for result in ran.output.step_results] == ["HELLO"]
    assert ran.names[-2:] == ["StepStarted", "WorkflowCancelled"]


def test_a_paused_run_is_stored_with_its_finished_steps_in_every_mode(verb: Verb) -> None:
    def make(db: BaseDb) -> Workflow:
        steps = [shout, Step(name="count", executor=count, requires_confirmation=True)]
        return Workflow(name="w", steps=steps, db=db, store_events=True)

    ran = verb(make, "hello")
    assert ran.status is RunStatus.paused
    assert [result.content for result in ran.output.step_results] == ["HELLO"]
    assert [item.step_name for item in ran.output.step_requirements or ()] == ["count"]
    assert ran.names[-2:] == ["StepPaused", "WorkflowPaused"]


def test_a_run_that_a_person_rejects_is_stored_in_every_mode(verb: Verb) -> None:
    def make(db: BaseDb) -> Workflow:
        async def stop_here(step_input: StepInput) -> StepOutput:
            return StepOutput("enough", stop=True)

        return Workflow(name="w", steps=[shout, stop_here, count], db=db, store_events=True)

    ran = verb(make, "x")
    assert ran.status is RunStatus.completed
    assert [result.content for result in ran.output.step_results] == ["X", "enough"]


def test_a_run_cancelled_by_timeout_is_a_failed_one_in_every_mode(verb: Verb) -> None:
    clock = FakeClock()

    async def hang(step_input: StepInput) -> str:
        clock.advance(60)
        await anyio.sleep_forever()
        return "never"

    def make(db: BaseDb) -> Workflow:
        return Workflow(name="w", steps=[shout, hang], db=db, store_events=True, run_timeout=60, clock=clock)

    ran = verb(make, "x", raises=TimeoutError)
    assert ran.status is RunStatus.error
    assert [result.content for result in ran.output.step_results] == ["X"]


# -- leaving a stream ---------------------------------------------------------------------------------------------------


@pytest.mark.anyio
@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
async def test_breaking_out_on_the_terminal_event_leaves_the_run_saved(db: BaseDb, durability: str) -> None:
    workflow = Workflow(steps=[shout, count], db=db, store_events=True, durability=durability)
    seen = None
    async for event in workflow.arun("hello", stream=True, stream_events=True):
        if event.event == "WorkflowCompleted":
            seen = await workflow.aget_run_output(str(event.run_id))  # stored before it is shown
            break
    assert seen is not None
    assert seen.status is RunStatus.completed
    assert [result.content for result in seen.step_results] == ["HELLO", 5]
    steps = ["StepStarted", "StepOutput", "StepCompleted"] * 2
    assert names(seen.events or ()) == ["WorkflowStarted", *steps, "WorkflowCompleted"]
    assert await workflow.aget_session_state(seen.session_id) == {}


def test_breaking_out_of_a_sync_stream_on_the_terminal_event_leaves_the_run_saved(sqlite: SqliteDb) -> None:
    workflow = Workflow(steps=[shout], db=sqlite)
    for event in workflow.run("x", stream=True):
        if event.event == "WorkflowCompleted":
            break
    found = workflow.get_run_output(str(event.run_id))
    assert found is not None
    assert found.status is RunStatus.completed


@pytest.mark.anyio
async def test_a_stream_yields_workflow_error_and_then_raises() -> None:
    seen, error = await listen(Workflow(steps=[refuse]).arun("x", stream=True))
    assert isinstance(error, LookupError)
    assert names(seen) == ["WorkflowStarted", "StepError", "WorkflowError"]


@pytest.mark.anyio
async def test_a_stream_yields_nothing_after_its_terminal_event() -> None:
    workflow = Workflow(steps=[shout, Step(name="ask", executor=shout, requires_confirmation=True), count])
    stream = workflow.arun("x", stream=True, stream_events=True)
    events = [event async for event in stream]
    assert names(events)[-1] == "WorkflowPaused"
    assert [event async for event in stream] == []
    assert (await stream.result()).is_paused


# -- what a mode returns ------------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_a_background_run_returns_its_pending_output_at_once_and_honours_the_run_id(db: BaseDb) -> None:
    go = anyio.Event()

    async def wait(step_input: StepInput) -> str:
        await go.wait()
        return "done"

    workflow = Workflow(steps=[wait], db=db)
    pending = await workflow.arun("x", background=True, run_id="mine")
    assert (pending.run_id, pending.status) == ("mine", RunStatus.pending)
    stored = await db.load_run("mine")
    assert stored is not None, "a background run is in the database before its caller goes on"
    go.set()
    async for _ in workflow.subscribe("mine"):
        pass
    found = await workflow.aget_run("mine")
    assert found is not None
    assert (found.status, found.content) == (RunStatus.completed, "done")


@pytest.mark.anyio
async def test_a_background_run_without_a_database_can_be_asked_for_by_its_id() -> None:
    workflow = Workflow(steps=[shout])
    stream = workflow.arun("x", background=True, stream=True)
    await stream.result()
    found = await workflow.aget_run(stream.run_id)
    assert found is not None
    assert found.content == "X"


@pytest.mark.anyio
async def test_the_reader_of_a_background_stream_may_leave_and_the_run_goes_on(db: BaseDb) -> None:
    go = anyio.Event()

    async def wait(step_input: StepInput) -> str:
        await go.wait()
        return "done"

    workflow = Workflow(steps=[wait], db=db)
    async with workflow.arun("x", background=True, stream=True, stream_events=True, run_id="left") as stream:
        async for event in stream:
            if event.event == "StepStarted":
                break
    go.set()
    async for _ in workflow.subscribe("left"):
        pass
    found = await workflow.aget_run_output("left")
    assert found is not None
    assert found.status is RunStatus.completed


def test_run_in_the_background_works_from_sync_code(sqlite: SqliteDb) -> None:
    workflow = Workflow(steps=[shout], db=sqlite)
    pending = workflow.run("x", background=True, run_id="later")
    assert pending.status is RunStatus.pending

    async def follow() -> list[str]:
        return [event.event async for event in workflow.subscribe("later")]

    assert anyio.run(follow)[-1] == "WorkflowCompleted"
    found = workflow.get_run_output("later")
    assert found is not None
    assert found.content == "X"


@pytest.mark.anyio
async def test_an_explicit_false_overrides_the_constructors_true() -> None:
    workflow = Workflow(steps=[shout], stream=True, stream_events=True)
    output = await workflow.arun("x", stream=False)
    assert output.content == "X"
    shown = names([event async for event in workflow.arun("x", stream_events=False)])
    assert shown == ["WorkflowStarted", "StepOutput", "WorkflowCompleted"]


@pytest.mark.anyio
async def test_nothing_starts_before_a_stream_is_read_or_a_coroutine_awaited() -> None:
    started: list[str] = []

    async def note(step_input: StepInput) -> str:
        started.append("ran")
        return "x"

    workflow = Workflow(steps=[note])
    stream = workflow.arun(stream=True)
    waiting = workflow.arun()
    await anyio.wait_all_tasks_blocked()
    assert started == []
    await stream.aclose()
    assert started == [], "a stream that was never read has nothing to run"
    await waiting
    assert started == ["ran"]


@pytest.mark.parametrize("mode", MODES)
def test_events_to_skip_are_not_stored_but_streamed(mode: str) -> None:
    workflow = Workflow(
        steps=[words], db=InMemoryDb(), store_events=True, events_to_skip=["StepContent", "StepStarted"], name="w"
    )
    if mode in ("arun-stream", "run-stream"):
        seen = [event.event for event in workflow.run("a b", stream=True, stream_events=True, session_id="s")]
        assert {"StepContent", "StepStarted"} <= set(seen)
    else:
        workflow.run("a b", session_id="s")
    output = workflow.get_last_run_output("s")
    assert output is not None
    assert names(output.events or ()) == ["WorkflowStarted", "StepOutput", "StepCompleted", "WorkflowCompleted"]


@pytest.mark.anyio
async def test_the_callers_lists_and_dicts_are_never_changed(db: BaseDb) -> None:
    async def change(session_state: dict[str, object], additional_data: dict[str, object]) -> str:
        session_state["new"] = 1
        nested = session_state["nest"]
        assert isinstance(nested, dict)
        nested["deep"] = 2
        return "x"

    state: dict[str, object] = {"nest": {}}
    default: dict[str, object] = {"nest": {"own": True}}
    extra: dict[str, object] = {"k": 1}
    workflow = Workflow(steps=[change], db=db, session_state=default)
    output = await workflow.arun(session_state=state, additional_data=extra)
    assert (state, default, extra) == ({"nest": {}}, {"nest": {"own": True}}, {"k": 1})
    assert output.session_state == {"nest": {"own": True, "deep": 2}, "new": 1}
