"""The parameters of Workflow that say who it is, what it runs, and what its sessions start with."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

import pytest

from workflow_runtime import (
    BaseDb,
    BuildError,
    InMemoryDb,
    Loop,
    RunContext,
    Step,
    StepInput,
    Steps,
    Workflow,
    WorkflowExecutionInput,
)
from workflow_runtime.backends import SqliteDb

from .helpers import Agent, Api, Launch, echo, run_program


def count(session_state: dict[str, Any]) -> int:
    session_state["n"] = session_state.get("n", 0) + 1
    return int(session_state["n"])


def counting(**options: Any) -> Workflow:
    """Each run counts one up in its session."""
    return Workflow(steps=[Step(name="count", executor=count)], **options)


# -- name, id, description ----------------------------------------------------------------------------------------------


def test_name_is_on_outputs_events_sessions_and_contexts(db: BaseDb, launch: Launch) -> None:
    def who(run_context: RunContext) -> str | None:
        return run_context.workflow_name

    workflow = Workflow(name="Weather Report", steps=[Step(name="who", executor=who)], db=db, store_events=True)
    output = launch(workflow, "x", session_id="s")
    session = workflow.get_session("s")
    assert session is not None
    assert output.content == output.workflow_name == session.workflow_name == workflow.name == "Weather Report"
    assert {event.workflow_name for event in output.events or ()} == {"Weather Report"}


def test_name_may_be_left_out(launch: Launch) -> None:
    output = launch(Workflow(steps=[echo]), "x")
    assert output.workflow_name is None
    assert output.content == "echo x"


def test_id_is_on_outputs_events_sessions_and_contexts(db: BaseDb, launch: Launch) -> None:
    def which(run_context: RunContext) -> str:
        return run_context.workflow_id

    workflow = Workflow(id="wf-1", name="n", steps=[Step(name="which", executor=which)], db=db, store_events=True)
    output = launch(workflow, "x", session_id="s")
    session = workflow.get_session("s")
    assert session is not None
    assert output.content == output.workflow_id == session.workflow_id == workflow.id == "wf-1"
    assert {event.workflow_id for event in output.events or ()} == {"wf-1"}


@pytest.mark.parametrize(("name", "expected"), [("My Flow_X", "my-flow-x"), ("plain", "plain")])
def test_id_is_made_of_the_name(name: str, expected: str) -> None:
    assert Workflow(name=name).id == expected


def test_id_of_a_workflow_without_a_name_is_its_own() -> None:
    first, second = Workflow(), Workflow()
    assert first.id
    assert first.id != second.id


def test_description_is_what_generated_session_names_begin_with(db: BaseDb) -> None:
    workflow = counting(description="Counts what comes", db=db)
    workflow.run(session_id="s")
    name = workflow.set_session_name("s", autogenerate=True).session_name
    assert re.match(r"Counts what comes.*\d{4}-\d\d-\d\d", name or "")
    assert workflow.description == "Counts what comes"


# -- steps --------------------------------------------------------------------------------------------------------------


async def coroutine(step_input: StepInput) -> str:
    return f"coroutine {step_input.input}"


def generator(step_input: StepInput) -> Any:
    yield "generator "
    yield str(step_input.input)


async def async_generator(step_input: StepInput) -> Any:
    yield "async "
    yield str(step_input.input)


class Callable_:
    def __call__(self, step_input: StepInput) -> str:
        return f"object {step_input.input}"


@pytest.mark.parametrize(
    ("step", "content"),
    [
        (echo, "echo x"),
        (coroutine, "coroutine x"),
        (generator, "generator x"),
        (async_generator, "async x"),
        (Callable_(), "object x"),
        (functools.partial(echo), "echo x"),
        (Step(name="s", executor=echo), "echo x"),
        (Agent(), "Hello there"),
        (Workflow(name="inner", steps=[echo]), "echo x"),
        ([echo, coroutine], "coroutine x"),
        (Steps(name="group", steps=[echo]), "echo x"),
    ],
    ids=[
        "function",
        "coroutine",
        "generator",
        "async generator",
        "object",
        "partial",
        "Step",
        "agent",
        "workflow",
        "list",
        "Steps",
    ],
)
def test_steps_may_be_a_list_of_anything_that_can_run(launch: Launch, step: Any, content: str) -> None:
    assert launch(Workflow(steps=[step]), "x").content == content


def test_steps_may_be_a_steps_object(launch: Launch) -> None:
    workflow = Workflow(steps=Steps(name="all", steps=[Step(name="a", executor=echo), Step(name="b", executor=echo)]))
    output = launch(workflow, "x")
    assert [step.step_name for step in output.step_results] == ["a", "b"]


def workflow_function(execution_input: WorkflowExecutionInput, session_state: dict[str, Any]) -> str:
    return f"{execution_input.input} {session_state}"


async def workflow_coroutine(workflow: Workflow, execution_input: WorkflowExecutionInput) -> str:
    return f"{workflow.name} {execution_input.input}"


def workflow_generator(execution_input: WorkflowExecutionInput) -> Any:
    yield "chunk "
    yield str(execution_input.input)


async def workflow_async_generator(execution_input: WorkflowExecutionInput) -> Any:
    yield "achunk "
    yield str(execution_input.input)


async def workflow_of_steps(execution_input: WorkflowExecutionInput, run_context: RunContext) -> Any:
    first = await run_context.step("first", echo)
    return await run_context.step("second", lambda step_input: f"{step_input.previous_step_content}!") + str(first)


@pytest.mark.parametrize(
    ("function", "content"),
    [
        (workflow_function, "x {'k': 1}"),
        (workflow_coroutine, "w x"),
        (workflow_generator, "chunk x"),
        (workflow_async_generator, "achunk x"),
        (workflow_of_steps, "echo x!echo x"),
    ],
)
def test_steps_may_be_a_function(launch: Launch, function: Any, content: str) -> None:
    output = launch(Workflow(name="w", steps=function, session_state={"k": 1}), "x")
    assert output.content == content


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        (7, "must be a list, a Steps or a function"),
        ([7], "is an int"),
        ([Agent], "is the class Agent"),
        ([echo, echo], "two steps are named 'echo'"),
        ([lambda one, two: 1], "the parameter 'two' of .* cannot be injected"),
    ],
)
def test_steps_that_cannot_run_are_refused_when_the_workflow_is_made(steps: Any, message: str) -> None:
    with pytest.raises(BuildError, match=message):
        Workflow(steps=steps)


def test_steps_can_be_set_later(launch: Launch) -> None:
    workflow = Workflow(name="w")
    workflow.steps = [echo]
    assert launch(workflow, "x").content == "echo x"


# -- db -----------------------------------------------------------------------------------------------------------------


def test_db_keeps_runs_and_sessions(db: BaseDb, launch: Launch) -> None:
    output = launch(counting(db=db), session_id="s")
    again = counting(db=db)
    assert again.get_run(str(output.run_id)) is not None
    assert again.run(session_id="s").content == 2


def test_db_left_out_keeps_nothing(launch: Launch) -> None:
    workflow = counting()
    assert [launch(workflow, session_id="s").content for _ in range(2)] == [1, 1]
    assert workflow.get_session("s") is None


def test_db_may_be_a_url(tmp_path: Path, launch: Launch) -> None:
    url = f"sqlite:///{tmp_path}/runs.db"
    workflow = counting(db=url)
    assert isinstance(workflow.db, SqliteDb)
    launch(workflow, session_id="s")
    assert counting(db=url).get_session_state("s") == {"n": 1}


@pytest.mark.parametrize(
    ("db", "message"),
    [
        ("runs.db", "is no database URL; write for example sqlite:///runs.db"),
        ("oracle://x", "no database backend for 'oracle'; installed: .*sqlite://"),
        (7, "neither a BaseDb nor a URL"),
    ],
)
def test_db_that_is_none_is_refused_with_what_to_write(db: Any, message: str) -> None:
    with pytest.raises(BuildError, match=message):
        Workflow(db=db)


# -- session_id, user_id ------------------------------------------------------------------------------------------------


def test_session_id_is_the_default_of_every_call(db: BaseDb, api: Api, launch: Launch) -> None:
    workflow = counting(db=db, session_id="mine")
    output = launch(workflow)
    assert output.session_id == "mine"
    assert launch(workflow).content == 2
    assert api(workflow).get_session_state() == {"n": 2}
    assert api(workflow).get_last_run_output().content == 2
    assert len(api(workflow).get_chat_history()) == 0  # the runs had no input
    assert launch(workflow, session_id="other").content == 1


def test_session_id_is_made_when_it_is_left_out(db: BaseDb, launch: Launch) -> None:
    first, second = counting(db=db), counting(db=db)
    outputs = [launch(first), launch(first), launch(second)]
    assert [output.content for output in outputs] == [1, 2, 1]
    assert outputs[0].session_id == outputs[1].session_id != outputs[2].session_id
    assert all(output.session_id for output in outputs)


def test_session_id_that_is_made_is_never_shared_by_two_users(db: BaseDb, launch: Launch) -> None:
    workflow = counting(db=db)
    contents = [launch(workflow, user_id=user).content for user in ("ann", "bob", "ann", None, None)]
    assert contents == [1, 1, 2, 1, 2]


def test_user_id_is_the_default_of_every_call(db: BaseDb, launch: Launch) -> None:
    def who(run_context: RunContext) -> str | None:
        return run_context.user_id

    workflow = Workflow(steps=[Step(name="who", executor=who)], db=db, user_id="ann")
    output = launch(workflow, session_id="s")
    session = workflow.get_session("s")
    assert session is not None
    assert output.content == output.user_id == session.user_id == "ann"
    assert launch(workflow, user_id="bob").content == "bob"
    with pytest.raises(PermissionError):
        launch(workflow, user_id="bob", session_id="s")


def test_user_id_of_the_constructor_is_whose_default_session_the_verbs_read(db: BaseDb, api: Api) -> None:
    workflow = counting(db=db, user_id="ann")
    workflow.run()
    workflow.run(user_id="bob")
    assert api(workflow).get_session_state() == {"n": 1}
    assert api(workflow).get_session().user_id == "ann"


def test_user_id_reaches_agents() -> None:
    agent = Agent()
    Workflow(steps=[Step(name="a", agent=agent)], user_id="ann").run("x")
    assert agent.calls[0]["user_id"] == "ann"


# -- session_state ------------------------------------------------------------------------------------------------------


def test_session_state_is_what_a_new_session_starts_with(db: BaseDb, launch: Launch) -> None:
    workflow = counting(db=db, session_state={"n": 10})
    assert [launch(workflow, session_id=session).content for session in ("a", "a", "b")] == [11, 12, 11]
    assert workflow.get_session_state("a") == {"n": 12}


def test_session_state_of_the_constructor_is_never_changed(launch: Launch) -> None:
    def change(session_state: dict[str, Any]) -> None:
        session_state["nest"]["list"].append(1)

    given: dict[str, Any] = {"nest": {"list": []}}
    workflow = Workflow(steps=[Step(name="change", executor=change)], session_state=given)
    assert launch(workflow).session_state == {"nest": {"list": [1]}}
    assert given == {"nest": {"list": []}}


def test_session_state_persists_across_workflow_objects_and_processes(tmp_path: Path) -> None:
    program = f"""
        from workflow_runtime import Step, Workflow

        def count(session_state):
            session_state["n"] += 1
            return session_state["n"]

        workflow = Workflow(
            steps=[Step(name="count", executor=count)], session_state={{"n": 10}}, db="sqlite:///{tmp_path}/runs.db"
        )
        print(workflow.run(session_id="s").content)
    """
    assert [run_program(program) for _ in range(3)] == ["11\n", "12\n", "13\n"]


# -- metadata -----------------------------------------------------------------------------------------------------------


def test_metadata_is_stored_with_the_session_and_shown_to_steps(db: BaseDb, launch: Launch) -> None:
    def look(step_input: StepInput, run_context: RunContext) -> Any:
        return [run_context.metadata, step_input.workflow_session.metadata]

    given = {"team": {"name": "red"}}
    workflow = Workflow(steps=[Step(name="look", executor=look)], db=db, metadata=given)
    for _ in range(2):
        output = launch(workflow, session_id="s")
        assert output.content == [given, given]
        assert output.metadata == given
    session = workflow.get_session("s")
    assert session is not None
    assert session.metadata == given


def test_metadata_never_leaks_to_another_session(db: BaseDb, launch: Launch) -> None:
    workflow = Workflow(steps=[echo], db=db, metadata={"team": "red"})
    launch(workflow, "x", session_id="a")
    session = workflow.get_session("a")
    assert session is not None
    session.metadata = {"secret": 1, "team": "red"}
    workflow.save_session(session)
    launch(workflow, "x", session_id="a", metadata={"call": 1})
    launch(workflow, "x", session_id="b")
    found = workflow.get_session("b")
    assert found is not None
    assert found.metadata == {"team": "red"}
    assert workflow.metadata == {"team": "red"}


def test_metadata_of_a_session_is_kept_and_the_workflow_s_goes_over_it(db: BaseDb, launch: Launch) -> None:
    first = Workflow(steps=[echo], db=db, metadata={"nest": {"a": 1, "b": 1}, "first": 1})
    launch(first, "x", session_id="s")
    second = Workflow(steps=[echo], db=db, metadata={"nest": {"b": 2}, "second": 2})
    launch(second, "x", session_id="s")
    launch(Workflow(steps=[echo], db=db), "x", session_id="s")
    session = second.get_session("s")
    assert session is not None
    assert session.metadata == {"nest": {"a": 1, "b": 2}, "first": 1, "second": 2}


def test_metadata_of_one_call_is_not_stored_with_the_session(db: BaseDb) -> None:
    workflow = Workflow(steps=[echo], db=db)
    output = workflow.run("x", session_id="s", metadata={"call": 1})
    session = workflow.get_session("s")
    assert session is not None
    assert session.metadata is None
    stored = workflow.get_run_output(str(output.run_id))
    assert stored is not None
    assert stored.metadata == {"call": 1}


# -- cache_session ------------------------------------------------------------------------------------------------------


def watch(db: BaseDb, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of the sessions that are read from the database from now on."""
    read: list[str] = []
    load = db.load_session

    async def counting_load(session_id: str) -> Any:
        read.append(session_id)
        return await load(session_id)

    monkeypatch.setattr(db, "load_session", counting_load)
    return read


def test_cache_session_reads_the_session_of_the_last_run_from_memory(
    db: BaseDb, launch: Launch, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    workflow = counting(db=db, cache_session=True, session_state={"n": 10})
    launch(workflow, session_id="s")
    read = watch(db, monkeypatch)
    assert [launch(workflow, session_id="s").content for _ in range(3)] == [12, 13, 14]
    assert api(workflow).get_session_state("s") == {"n": 14}
    assert read == []
    assert launch(workflow, session_id="other").content == 11
    assert launch(workflow, session_id="s").content == 15
    assert read == ["other", "s"]
    assert counting(db=db).get_session_state("s") == {"n": 15}


def test_cache_session_off_reads_the_session_for_every_run(
    db: BaseDb, launch: Launch, monkeypatch: pytest.MonkeyPatch
) -> None:
    workflow = counting(db=db)
    read = watch(db, monkeypatch)
    for _ in range(2):
        launch(workflow, session_id="s")
    assert read == ["s", "s"]


def test_cache_session_sees_what_its_own_verbs_wrote(db: BaseDb, launch: Launch) -> None:
    workflow = counting(db=db, cache_session=True, metadata={"team": "red"})
    launch(workflow, session_id="s")
    workflow.update_session_state({"n": 100}, "s")
    assert launch(workflow, session_id="s").content == 101
    workflow.set_session_name("s", session_name="Talk")
    launch(workflow, session_id="s")
    assert workflow.get_session_name("s") == "Talk"
    metrics = workflow.get_session_metrics("s")
    assert metrics is not None
    assert metrics.runs == 3
    session = workflow.get_session("s")
    assert session is not None
    assert session.metadata == {"team": "red"}


def test_cache_session_overtaken_by_another_writer_loses_nothing_of_either(db: BaseDb) -> None:
    workflow = counting(db=db, cache_session=True)
    workflow.run(session_id="s")
    counting(db=db).update_session_state({"theirs": 1}, "s")
    workflow.run(session_id="s")
    assert counting(db=db).get_session_state("s") == {"n": 2, "theirs": 1}


def test_cache_session_keeps_users_apart(db: BaseDb) -> None:
    workflow = counting(db=db, cache_session=True)
    workflow.run(session_id="s", user_id="ann")
    with pytest.raises(PermissionError):
        workflow.run(session_id="s", user_id="bob")


def test_cache_session_without_a_db_keeps_the_last_session_in_memory(launch: Launch, api: Api) -> None:
    workflow = counting(cache_session=True)
    assert [launch(workflow, session_id="s").content for _ in range(3)] == [1, 2, 3]
    assert api(workflow).get_session_state("s") == {"n": 3}


# -- all of it ----------------------------------------------------------------------------------------------------------


def test_constructor_arguments_are_attributes_that_may_be_assigned(launch: Launch) -> None:
    workflow = Workflow(name="w", steps=[echo], store_events=False)
    workflow.store_events = True
    assert launch(workflow, "x").events is not None
    workflow.db = InMemoryDb()
    launch(workflow, "x", session_id="s")
    assert workflow.get_session("s") is not None


def test_constructor_refuses_a_parameter_that_it_does_not_have() -> None:
    with pytest.raises(TypeError, match="sesion_id"):
        Workflow(sesion_id="s")  # type: ignore[call-arg]  # that is the test


def test_a_workflow_object_keeps_nothing_of_its_runs() -> None:
    workflow = Workflow(steps=[Loop(steps=[echo], max_iterations=2)], session_state={"k": []}, metadata={"m": 1})
    before = {name: repr(value) for name, value in vars(workflow).items() if name not in ("_default_sessions",)}
    workflow.run("x", session_state={"mine": 1}, metadata={"mine": 1}, dependencies={"d": 1}, user_id="u")
    after = {name: repr(value) for name, value in vars(workflow).items() if name not in ("_default_sessions",)}
    assert before == after
