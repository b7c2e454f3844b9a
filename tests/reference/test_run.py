"""run and arun: every parameter, what they return and what they raise, in each mode."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator
from functools import partial
from itertools import islice
from typing import Any

import anyio
import pytest
from pydantic import BaseModel

from workflow_runtime import (
    Audio,
    BaseDb,
    File,
    Image,
    InMemoryDb,
    InputError,
    Message,
    Parallel,
    RunContext,
    RunStatus,
    RunStream,
    SessionOwnerError,
    Step,
    StepInput,
    StepOutput,
    StorageError,
    SyncRunStream,
    Video,
    Workflow,
    WorkflowCompletedEvent,
    WorkflowRunOutput,
)

from .helpers import Agent, Api, Launch, echo, finished, names, run_program


class Topic(BaseModel):
    name: str
    depth: int = 1


class Seen:
    """A step that keeps what it was given."""

    def __init__(self) -> None:
        self.input: StepInput = StepInput()
        self.context: dict[str, Any] = {}

    def __call__(self, step_input: StepInput, run_context: RunContext) -> str:
        self.input = step_input
        self.context = {
            "run_id": run_context.run_id,
            "session_id": run_context.session_id,
            "user_id": run_context.user_id,
            "session_state": dict(run_context.session_state),
            "dependencies": run_context.dependencies,
            "metadata": run_context.metadata,
        }
        return "seen"


def watched(**options: Any) -> tuple[Workflow, Seen]:
    seen = Seen()
    return Workflow(name="w", steps=[Step(name="see", executor=seen)], **options), seen


# -- input -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("plain", "plain"),
        ({"a": 1, "b": ["ü"]}, '{\n  "a": 1,\n  "b": [\n    "ü"\n  ]\n}'),
        (["a", 2], '[\n  "a",\n  2\n]'),
        (Topic(name="cats"), '{\n  "name": "cats",\n  "depth": 1\n}'),
        (
            [Message(role="user", content="hi")],
            '[\n  {\n    "role": "user",\n    "content": "hi"\n  }\n]',
        ),
        (None, None),
        (7, "7"),
    ],
    ids=["str", "dict", "list", "model", "messages", "none", "int"],
)
def test_run_input_reaches_the_steps_as_it_is(launch: Launch, value: Any, text: str | None) -> None:
    workflow, seen = watched()
    output = launch(workflow, value)
    assert seen.input.input == value
    assert type(seen.input.input) is type(value)
    assert seen.input.get_input_as_string() == text
    assert output.input == value


def test_run_input_may_be_left_out(launch: Launch) -> None:
    workflow, seen = watched()
    assert launch(workflow).status is RunStatus.completed
    assert seen.input.input is None


def test_run_input_keeps_its_type_in_the_database(db: BaseDb, launch: Launch) -> None:
    workflow, _ = watched(db=db)
    for value in (Topic(name="cats"), [Message(role="user", content="hi")], {1: (2, 3)}):
        output = launch(workflow, value, session_id="s")
        stored = workflow.get_run_output(str(output.run_id))
        assert stored is not None
        assert stored.input == value
        assert type(stored.input) is type(value)


# -- what travels with the input --------------------------------------------------------------------------------------


def test_run_additional_data_reaches_every_step_and_the_output(db: BaseDb, launch: Launch) -> None:
    given = {"budget": 3, "tags": ["a"]}

    def by_name(additional_data: dict[str, Any]) -> int:
        return int(additional_data["budget"])

    seen = Seen()
    workflow = Workflow(steps=[Step(name="see", executor=seen), Step(name="by_name", executor=by_name)], db=db)
    output = launch(workflow, "x", additional_data=given)
    assert seen.input.additional_data == given
    assert output.content == 3
    assert output.additional_data == given
    stored = workflow.get_run_output(str(output.run_id))
    assert stored is not None
    assert stored.additional_data == given
    assert given == {"budget": 3, "tags": ["a"]}


MEDIA: dict[str, list[Any]] = {
    "images": [Image(url="https://example.org/a.png"), Image(content=b"\x89PNG", mime_type="image/png")],
    "videos": [Video(url="https://example.org/a.mp4", duration=2.5)],
    "audio": [Audio(content=b"RIFF", transcript="hello")],
    "files": [File(filepath="a.pdf", name="a")],
}


@pytest.mark.parametrize("kind", MEDIA)
def test_run_media_reach_the_steps_and_the_output_and_the_database(db: BaseDb, launch: Launch, kind: str) -> None:
    seen = Seen()
    workflow = Workflow(steps=[echo, Parallel(Step(name="see", executor=seen))], db=db)
    given = list(MEDIA[kind])
    output = launch(workflow, "x", **{kind: given})
    assert getattr(seen.input, kind) == MEDIA[kind]
    assert getattr(output, kind) == MEDIA[kind]
    assert getattr(workflow.get_run_output(str(output.run_id)), kind) == MEDIA[kind]
    others = [other for other in MEDIA if other != kind]
    assert [getattr(seen.input, other) for other in others] == [None, None, None]


@pytest.mark.parametrize("kind", MEDIA)
def test_run_media_lists_of_the_caller_are_never_extended(launch: Launch, kind: str) -> None:
    def more() -> StepOutput:
        output = StepOutput("more")
        setattr(output, kind, list(MEDIA[kind]))
        return output

    given = list(MEDIA[kind])
    output = launch(Workflow(steps=[Step(name="more", executor=more)]), "x", **{kind: given})
    assert given == MEDIA[kind]
    assert getattr(output, kind) == MEDIA[kind] * 2


def test_run_dependencies_and_metadata_reach_the_steps(launch: Launch) -> None:
    workflow, seen = watched(dependencies={"a": {"x": 1}}, metadata={"team": "red"})
    output = launch(workflow, "x", dependencies={"a": {"y": 2}}, metadata={"team": "blue", "call": 1})
    assert seen.context["dependencies"] == {"a": {"x": 1, "y": 2}}
    assert seen.context["metadata"] == {"team": "red", "call": 1}
    assert output.dependencies == {"a": {"x": 1, "y": 2}}
    assert output.metadata == {"team": "red", "call": 1}


# -- whose and which ------------------------------------------------------------------------------------------------------


def test_run_user_id_is_the_run_s_and_the_session_s(db: BaseDb, launch: Launch) -> None:
    workflow, seen = watched(db=db, user_id="default")
    output = launch(workflow, "x", user_id="ann", session_id="s")
    assert (output.user_id, seen.context["user_id"]) == ("ann", "ann")
    session = workflow.get_session("s")
    assert session is not None
    assert session.user_id == "ann"


def test_run_user_id_of_somebody_else_is_refused_and_nothing_is_stored(db: BaseDb, launch: Launch) -> None:
    workflow, seen = watched(db=db)
    workflow.run("x", user_id="ann", session_id="s")
    seen.input = StepInput()
    with pytest.raises(SessionOwnerError, match="another user"):
        launch(workflow, "y", user_id="bob", session_id="s")
    assert seen.input.input is None
    session = workflow.get_session("s")
    assert session is not None
    assert len(session.runs or ()) == 1


def test_run_session_id_tells_conversations_apart(db: BaseDb, launch: Launch) -> None:
    def count(session_state: dict[str, Any]) -> int:
        session_state["n"] = session_state.get("n", 0) + 1
        return int(session_state["n"])

    workflow = Workflow(steps=[Step(name="count", executor=count)], db=db)
    contents = [launch(workflow, session_id=session).content for session in ("a", "b", "a", "a")]
    assert contents == [1, 1, 2, 3]
    assert workflow.get_session_state("b") == {"n": 1}


def test_run_session_id_is_on_the_output_and_in_the_context(launch: Launch) -> None:
    workflow, seen = watched()
    output = launch(workflow, "x", session_id="s")
    assert output.session_id == seen.context["session_id"] == "s"


def test_run_run_id_may_be_chosen(db: BaseDb, launch: Launch) -> None:
    workflow, seen = watched(db=db)
    output = launch(workflow, "x", run_id="my-run")
    assert output.run_id == seen.context["run_id"] == "my-run"
    assert workflow.get_run("my-run") is not None


def test_run_run_id_that_is_taken_is_refused_before_a_step_runs(db: BaseDb, launch: Launch) -> None:
    ran: list[Any] = []
    workflow = Workflow(steps=[ran.append], db=db)
    workflow.run("a", run_id="r", session_id="s")
    for session in ("s", "other"):
        with pytest.raises(StorageError, match=r"run 'r' exists already \(COMPLETED\); leave run_id out"):
            launch(workflow, "b", run_id="r", session_id=session)
    assert len(ran) == 1
    stored = workflow.get_run("r")
    assert stored is not None
    assert stored.input == "a"


@pytest.mark.anyio
async def test_run_run_id_of_a_run_under_way_is_refused_and_that_run_stays_within_reach() -> None:
    started = anyio.Event()

    async def wait() -> None:
        started.set()
        await anyio.sleep_forever()

    workflow = Workflow(steps=[Step(name="wait", executor=wait)])
    with anyio.fail_after(60):
        pending = await workflow.arun("a", run_id="r", background=True)
        await started.wait()
        with pytest.raises(StorageError, match=r"exists already \(RUNNING\)"):
            await workflow.arun("b", run_id="r")
        assert workflow.cancel_run("r")
        assert (await finished(workflow, pending.run_id)).status is RunStatus.cancelled


# -- session_state ----------------------------------------------------------------------------------------------------


def test_run_session_state_is_merged_over_the_stored_one(db: BaseDb, launch: Launch) -> None:
    workflow, seen = watched(db=db, session_state={"nest": {"a": 1}, "list": [1]})
    launch(workflow, "x", session_id="s")
    given = {"nest": {"b": 2}, "list": [2]}
    output = launch(workflow, "y", session_id="s", session_state=given)
    merged = {"nest": {"a": 1, "b": 2}, "list": [2]}
    assert seen.context["session_state"] == merged
    assert output.session_state == merged
    assert workflow.get_session_state("s") == merged
    assert given == {"nest": {"b": 2}, "list": [2]}


def test_run_session_state_of_the_caller_is_never_changed(launch: Launch) -> None:
    def change(session_state: dict[str, Any]) -> None:
        session_state["nest"]["b"] = 2
        session_state["list"].append(3)
        session_state["new"] = 1

    given = {"nest": {"a": 1}, "list": [1]}
    output = launch(Workflow(steps=[Step(name="change", executor=change)]), session_state=given)
    assert given == {"nest": {"a": 1}, "list": [1]}
    assert output.session_state == {"nest": {"a": 1, "b": 2}, "list": [1, 3], "new": 1}


# -- stream, stream_events and what is returned ---------------------------------------------------------------------------


def two_steps(**options: Any) -> Workflow:
    return Workflow(name="w", steps=[Step(name="a", executor=echo), Step(name="b", executor=echo)], **options)


QUIET = ["WorkflowStarted", "StepOutput", "StepOutput", "WorkflowCompleted"]
LOUD = [
    "WorkflowStarted",
    *("StepStarted", "StepOutput", "StepCompleted"),
    *("StepStarted", "StepOutput", "StepCompleted"),
    "WorkflowCompleted",
]


def test_run_without_stream_returns_the_output() -> None:
    output = two_steps().run("x")
    assert isinstance(output, WorkflowRunOutput)
    assert output.status is RunStatus.completed
    assert output.content == "echo x"
    assert [step.content for step in output.step_results] == ["echo x", "echo x"]


@pytest.mark.anyio
async def test_arun_without_stream_returns_a_coroutine_of_the_output() -> None:
    output = await two_steps().arun("x")
    assert isinstance(output, WorkflowRunOutput)
    assert output.content == "echo x"


def test_run_stream_returns_an_iterator_of_events_that_ends_with_the_content() -> None:
    stream = two_steps().run("x", stream=True)
    assert isinstance(stream, SyncRunStream)
    assert isinstance(stream, Iterator)
    events = list(stream)
    assert names(events) == QUIET
    assert isinstance(events[-1], WorkflowCompletedEvent)
    assert events[-1].content == "echo x"
    assert {event.run_id for event in events} == {stream.run_id}


@pytest.mark.anyio
async def test_arun_stream_returns_an_async_iterator_without_await() -> None:
    stream = two_steps().arun("x", stream=True)
    assert isinstance(stream, RunStream)
    assert isinstance(stream, AsyncIterator)
    assert names([event async for event in stream]) == QUIET
    assert (await stream.result()).content == "echo x"


def test_run_stream_events_shows_the_steps(api: Api) -> None:
    assert names(api(two_steps()).run("x", stream=True, stream_events=True)) == LOUD
    assert names(api(two_steps()).run("x", stream=True, stream_events=False)) == QUIET


def test_run_stream_false_overrides_the_constructor_s_true(api: Api) -> None:
    output = api(two_steps(stream=True)).run("x", stream=False)
    assert isinstance(output, WorkflowRunOutput)


def test_run_stream_events_false_overrides_the_constructor_s_true(api: Api) -> None:
    workflow = two_steps(stream=True, stream_events=True)
    assert names(api(workflow).run("x", stream_events=False)) == QUIET
    assert names(api(workflow).run("x")) == LOUD


def test_run_stream_executor_events_false_overrides_the_constructor_s_true(api: Api) -> None:
    workflow = Workflow(steps=[Step(name="write", agent=Agent())], stream=True)
    assert "RunContent" in names(api(workflow).run("x"))
    assert "RunContent" not in names(api(workflow).run("x", stream_executor_events=False))


def test_run_stream_events_without_stream_changes_nothing(api: Api) -> None:
    assert api(two_steps()).run("x", stream_events=True).content == "echo x"


# -- background -----------------------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_arun_background_returns_the_pending_output_at_once(db: BaseDb) -> None:
    started, gate = anyio.Event(), anyio.Event()

    async def wait() -> str:
        started.set()
        await gate.wait()
        return "done"

    workflow = Workflow(steps=[Step(name="wait", executor=wait)], db=db)
    with anyio.fail_after(60):
        pending = await workflow.arun("x", background=True, run_id="bg", session_id="s", user_id="u")
    assert pending.status is RunStatus.pending
    assert (pending.run_id, pending.session_id, pending.user_id, pending.content) == ("bg", "s", "u", None)
    await started.wait()
    running = await workflow.aget_run("bg")
    assert running is not None
    assert running.status is RunStatus.running
    gate.set()
    output = await finished(workflow, "bg")
    assert (output.status, output.content) == (RunStatus.completed, "done")
    assert pending.status is RunStatus.pending


@pytest.mark.anyio
async def test_arun_background_with_stream_goes_on_when_its_reader_leaves(db: BaseDb) -> None:
    gate = anyio.Event()

    async def wait() -> str:
        await gate.wait()
        return "done"

    workflow = Workflow(steps=[Step(name="wait", executor=wait)], db=db)
    with anyio.fail_after(60):
        async for event in workflow.arun("x", background=True, stream=True, run_id="bg"):
            assert event.event == "WorkflowStarted"
            break
    gate.set()
    assert (await finished(workflow, "bg")).content == "done"


def test_run_background_works_too(db: BaseDb) -> None:
    gate = threading.Event()
    workflow = Workflow(steps=[Step(name="wait", executor=lambda step_input: gate.wait(60))], db=db)
    pending = workflow.run("x", background=True)
    assert pending.status is RunStatus.pending
    gate.set()
    assert anyio.run(finished, workflow, pending.run_id).content is True


@pytest.mark.anyio
async def test_arun_background_that_fails_is_stored_as_failed(db: BaseDb) -> None:
    def refuse() -> None:
        raise LookupError("no paper")

    workflow = Workflow(steps=[Step(name="bad", executor=refuse)], db=db)
    pending = await workflow.arun(background=True)
    failed = await finished(workflow, pending.run_id)
    assert (failed.status, failed.error, failed.error_type) == (RunStatus.error, "no paper", "LookupError")


# -- what is raised -------------------------------------------------------------------------------------------------------


def test_run_raises_the_exception_of_the_step_with_the_output_attached(db: BaseDb, launch: Launch) -> None:
    class Mine(Exception):
        pass

    def refuse() -> None:
        raise Mine("no paper")

    workflow = Workflow(steps=[Step(name="good", executor=echo), Step(name="bad", executor=refuse)], db=db)
    with pytest.raises(Mine, match="no paper") as caught:
        launch(workflow, "x", run_id="r")
    output = caught.value.run_output  # type: ignore[attr-defined]
    stored = workflow.get_run("r")
    assert stored is not None
    for found in (output, stored):
        assert found.status is RunStatus.error
        assert [step.content for step in found.step_results] == ["echo x"]
        assert found.content == "Workflow execution failed: no paper"


def test_run_stream_of_a_failing_run_ends_with_workflow_error_and_raises() -> None:
    def refuse() -> None:
        raise LookupError("no paper")

    stream = Workflow(steps=[Step(name="bad", executor=refuse)]).run(stream=True)
    assert names(islice(stream, 3)) == ["WorkflowStarted", "StepError", "WorkflowError"]
    with pytest.raises(LookupError):
        next(stream)


def test_run_raises_for_a_bad_input_when_it_is_called(launch: Launch) -> None:
    workflow = Workflow(steps=[echo], input_schema=Topic)
    with pytest.raises(InputError):
        _ = workflow.arun(3)
    with pytest.raises(InputError):
        launch(workflow, {"depth": "x"})


def test_run_refuses_an_argument_that_nobody_takes(launch: Launch) -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'sesion_id'"):
        launch(two_steps(), "x", sesion_id="s")


def test_run_hands_further_arguments_to_a_callable_workflow(launch: Launch) -> None:
    def flow(execution_input: Any, colour: str, size: int = 1) -> str:
        return f"{execution_input.input} {colour} {size}"

    workflow = Workflow(steps=flow)
    assert launch(workflow, "x", colour="red").content == "x red 1"
    assert launch(workflow, "x", colour="red", size=2).content == "x red 2"
    with pytest.raises(TypeError, match="'shape'"):
        launch(workflow, "x", colour="red", shape="round")


# -- from where it may be called ------------------------------------------------------------------------------------------


def test_run_works_in_several_threads_at_once(db: BaseDb) -> None:
    workflow = two_steps(db=db)
    barrier = threading.Barrier(8)
    contents: dict[int, Any] = {}

    def work(number: int) -> None:
        barrier.wait(60)
        contents[number] = workflow.run(number, session_id=f"s{number}").content

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert contents == {number: f"echo {number}" for number in range(8)}


def test_run_works_inside_a_synchronous_step() -> None:
    inner = two_steps()

    def outer(step_input: StepInput) -> Any:
        return inner.run(f"inner {step_input.input}").content

    assert Workflow(steps=[Step(name="outer", executor=outer)]).run("x").content == "echo inner x"


def test_run_inside_an_asynchronous_step_says_to_await_arun() -> None:
    inner = two_steps()

    async def outer() -> Any:
        return inner.run("x")

    with pytest.raises(RuntimeError, match="await its a-twin"):
        Workflow(steps=[Step(name="outer", executor=outer)]).run("x")


def test_run_works_inside_a_running_loop_of_one_s_own(tmp_path: Any) -> None:
    run_program(f"""
        import asyncio
        from workflow_runtime import InMemoryDb, Workflow

        workflow = Workflow(steps=[lambda step_input: "x"], db="sqlite:///{tmp_path}/runs.db")

        async def notebook():
            assert workflow.run("a").content == "x"
            assert (await workflow.arun("b")).content == "x"
            assert [event.event for event in workflow.run("c", stream=True)][-1] == "WorkflowCompleted"
            assert len(workflow.get_chat_history()) == 3

        asyncio.run(notebook())
        assert workflow.run("d").content == "x"
    """)


def test_run_and_arun_serve_one_database_from_any_loop(db: BaseDb) -> None:
    workflow = two_steps(db=db)
    workflow.run("a", session_id="s")
    for said in ("b", "c"):
        anyio.run(partial(workflow.arun, said, session_id="s"))
    workflow.run("d", session_id="s")
    assert [turn.input for turn in workflow.get_chat_history("s")] == ["a", "b", "c", "d"]


@pytest.mark.anyio
async def test_arun_of_one_workflow_may_run_many_times_at_once(db: BaseDb) -> None:
    def add(step_input: StepInput, session_state: dict[str, Any]) -> Any:
        session_state[step_input.input] = True
        return step_input.input

    workflow = Workflow(steps=[Step(name="add", executor=add)], db=db)
    outputs: dict[str, WorkflowRunOutput] = {}

    async def one(key: str) -> None:
        outputs[key] = await workflow.arun(key, session_id="s")

    async with anyio.create_task_group() as group:
        for number in range(10):
            group.start_soon(one, f"k{number}")
    assert {key: output.content for key, output in outputs.items()} == {key: key for key in outputs}
    assert await workflow.aget_session_state("s") == {f"k{number}": True for number in range(10)}
    session = await workflow.aget_session("s")
    assert session is not None
    assert len(session.runs or ()) == 10


def test_run_of_a_workflow_without_steps_says_so(launch: Launch) -> None:
    assert launch(Workflow(db=InMemoryDb()), "x").content == "No steps executed"
