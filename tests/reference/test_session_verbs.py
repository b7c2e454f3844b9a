"""The verbs about sessions, each with its a-twin, on both databases."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from workflow_runtime import (
    BaseDb,
    InputError,
    Loop,
    RunMetrics,
    SessionMetrics,
    SessionNotFound,
    SessionOwnerError,
    Step,
    StepInput,
    Workflow,
    WorkflowChatInteraction,
    WorkflowRunOutput,
    WorkflowSession,
)

from .helpers import Agent, Api, echo, run_program

SESSION_VERBS = ("get_session_state", "get_session_name", "get_session_metrics")


def remember(step_input: StepInput, session_state: dict[str, Any]) -> str:
    """Keep the input in the session's state."""
    session_state.setdefault("seen", []).append(step_input.input)
    return f"echo {step_input.input}"


def chat(db: BaseDb | None, **options: Any) -> Workflow:
    return Workflow(name="chat", id="chat-1", steps=[Step(name="remember", executor=remember)], db=db, **options)


# -- get_session -----------------------------------------------------------------------------------------------------


def test_get_session_gives_the_session_with_its_runs(db: BaseDb, api: Api) -> None:
    workflow = chat(db, metadata={"team": "red"})
    first = workflow.run("a", session_id="s", user_id="u")
    second = workflow.run("b", session_id="s", user_id="u")
    workflow.run("c", session_id="other")
    session = api(workflow).get_session(session_id="s")
    assert isinstance(session, WorkflowSession)
    assert (session.session_id, session.user_id, session.workflow_id, session.workflow_name) == (
        "s",
        "u",
        "chat-1",
        "chat",
    )
    assert [run.run_id for run in session.runs or ()] == [first.run_id, second.run_id]
    assert [run.content for run in session.runs or ()] == ["echo a", "echo b"]
    assert session.session_state == {"seen": ["a", "b"]}
    assert session.metadata == {"team": "red"}
    assert session.workflow_data == {
        "workflow_id": "chat-1",
        "name": "chat",
        "steps": [{"name": "remember", "type": "Step"}],
    }
    assert session.created_at is not None
    assert session.updated_at is not None
    assert session.created_at <= session.updated_at


def test_get_session_of_an_unknown_session_is_none(db: BaseDb, api: Api) -> None:
    assert api(chat(db)).get_session(session_id="nobody") is None


def test_get_session_without_a_name_is_the_default_session(db: BaseDb, api: Api) -> None:
    workflow = chat(db)
    assert api(workflow).get_session() is None
    output = workflow.run("a")
    session = api(workflow).get_session()
    assert session.session_id == output.session_id


def test_get_session_without_a_db_is_none(api: Api) -> None:
    workflow = chat(None)
    workflow.run("a", session_id="s")
    assert api(workflow).get_session("s") is None


def test_get_session_of_another_user_is_refused(db: BaseDb, api: Api) -> None:
    workflow = chat(db)
    workflow.run("a", session_id="s", user_id="ann")
    assert api(workflow).get_session("s", user_id="ann") is not None
    with pytest.raises(PermissionError, match="another user"):
        api(workflow).get_session("s", user_id="bob")


# -- get_session_state, get_session_name, get_session_metrics: what they share ---------------------------------------


@pytest.mark.parametrize("verb", SESSION_VERBS)
def test_get_session_verbs_raise_session_not_found_for_an_unknown_session(db: BaseDb, api: Api, verb: str) -> None:
    with pytest.raises(SessionNotFound, match="nobody") as caught:
        getattr(api(chat(db)), verb)(session_id="nobody")
    assert isinstance(caught.value, KeyError)
    assert str(caught.value) == "Session not found: 'nobody'"


@pytest.mark.parametrize("verb", SESSION_VERBS)
def test_get_session_verbs_without_a_db_say_that_there_is_none(api: Api, verb: str) -> None:
    with pytest.raises(SessionNotFound, match="no db"):
        getattr(api(chat(None)), verb)("s")


@pytest.mark.parametrize("verb", SESSION_VERBS)
def test_get_session_verbs_without_a_name_read_the_default_session(db: BaseDb, api: Api, verb: str) -> None:
    workflow = chat(db)
    with pytest.raises(SessionNotFound):
        getattr(api(workflow), verb)()
    output = workflow.run("a")
    assert getattr(api(workflow), verb)() == getattr(api(workflow), verb)(session_id=output.session_id)


# -- get_session_state -----------------------------------------------------------------------------------------------


def test_get_session_state_is_what_the_runs_left(db: BaseDb, api: Api) -> None:
    workflow = chat(db, session_state={"start": {"n": 1}})
    workflow.run("a", session_id="s")
    workflow.run("b", session_id="s", session_state={"start": {"m": 2}})
    assert api(workflow).get_session_state(session_id="s") == {"start": {"n": 1, "m": 2}, "seen": ["a", "b"]}


def test_get_session_state_is_a_copy(db: BaseDb, api: Api) -> None:
    workflow = chat(db)
    workflow.run("a", session_id="s")
    api(workflow).get_session_state("s")["seen"].append("mine")
    assert api(workflow).get_session_state("s") == {"seen": ["a"]}


def test_get_session_state_holds_no_bookkeeping(db: BaseDb, api: Api) -> None:
    workflow = Workflow(steps=[echo], db=db)
    workflow.run("a", session_id="s", user_id="u")
    assert api(workflow).get_session_state("s") == {}


# -- get_session_name, set_session_name ------------------------------------------------------------------------------


def test_get_session_name_is_empty_until_one_is_set(db: BaseDb, api: Api) -> None:
    workflow = chat(db)
    workflow.run("a", session_id="s")
    assert api(workflow).get_session_name(session_id="s") == ""
    api(workflow).set_session_name(session_id="s", session_name="First talk")
    assert api(workflow).get_session_name(session_id="s") == "First talk"


def test_set_session_name_session_name_gives_the_updated_session_and_stores_it(db: BaseDb, api: Api) -> None:
    workflow = chat(db)
    workflow.run("a", session_id="s")
    session = api(workflow).set_session_name(session_id="s", session_name="Talk")
    assert isinstance(session, WorkflowSession)
    assert (session.session_id, session.session_name) == ("s", "Talk")
    assert session.session_data["session_name"] == "Talk"
    assert chat(db).get_session_name("s") == "Talk"
    assert chat(db).get_session_state("s") == {"seen": ["a"]}


def test_set_session_name_autogenerate_makes_one_of_the_description_and_the_time(db: BaseDb, api: Api) -> None:
    workflow = chat(db, description="A talk about the weather in the north of the country")
    workflow.run("a", session_id="s")
    session = api(workflow).set_session_name(session_id="s", autogenerate=True)
    assert re.fullmatch(
        r"A talk about the weather in the north of .*\d{4}-\d\d-\d\d \d\d:\d\d", session.session_name or ""
    )


def test_set_session_name_autogenerate_without_a_description_names_the_workflow_session(db: BaseDb, api: Api) -> None:
    workflow = chat(db)
    workflow.run("a", session_id="s")
    name = api(workflow).set_session_name("s", autogenerate=True).session_name
    assert re.fullmatch(r"Workflow Session.\d{4}-\d\d-\d\d \d\d:\d\d", name or "")


def test_set_session_name_without_a_session_id_names_the_default_session(db: BaseDb, api: Api) -> None:
    workflow = chat(db)
    output = workflow.run("a")
    assert api(workflow).set_session_name(session_name="Mine").session_id == output.session_id


def test_set_session_name_without_any_name_is_an_error(db: BaseDb, api: Api) -> None:
    workflow = chat(db)
    workflow.run("a", session_id="s")
    with pytest.raises(ValueError, match="autogenerate=True"):
        api(workflow).set_session_name("s")


def test_set_session_name_of_an_unknown_session_is_an_error(db: BaseDb, api: Api) -> None:
    with pytest.raises(SessionNotFound):
        api(chat(db)).set_session_name("nobody", session_name="x")


# -- get_session_metrics ---------------------------------------------------------------------------------------------


def test_get_session_metrics_is_none_while_nothing_has_ended(db: BaseDb, api: Api) -> None:
    workflow = Workflow(steps=[Step(name="ask", executor=echo, requires_confirmation=True)], db=db)
    api(workflow).save_session(WorkflowSession(session_id="fresh"))
    assert api(workflow).get_session_metrics("fresh") is None
    workflow.run("x", session_id="s")
    assert api(workflow).get_session_metrics(session_id="s") is None


def test_get_session_metrics_sums_every_counter_over_the_runs(db: BaseDb, api: Api) -> None:
    used = {
        "input_tokens": 1,
        "output_tokens": 2,
        "total_tokens": 3,
        "audio_input_tokens": 4,
        "audio_output_tokens": 5,
        "audio_total_tokens": 6,
        "cache_read_tokens": 7,
        "cache_write_tokens": 8,
        "reasoning_tokens": 9,
    }
    agent = Agent(metrics={**used, "cost": 0.25})
    workflow = Workflow(steps=[Step(name="one", agent=agent), Step(name="two", agent=agent)], db=db)
    for _ in range(3):
        workflow.run("x", session_id="s")
    metrics = api(workflow).get_session_metrics(session_id="s")
    assert isinstance(metrics, SessionMetrics)
    assert {name: getattr(metrics, name) for name in used} == {name: 6 * value for name, value in used.items()}
    assert metrics.cost == 1.5
    assert metrics.runs == 3
    assert metrics.duration is not None
    assert metrics.duration > 0
    assert set(used) | {"cost", "duration", "runs"} | {
        "time_to_first_token",
        "details",
        "additional_metrics",
    } == set(SessionMetrics.__struct_fields__)


def test_get_session_metrics_counts_failed_runs_and_what_they_used(db: BaseDb, api: Api) -> None:
    def refuse() -> None:
        raise LookupError("no")

    agent = Agent(metrics=RunMetrics(input_tokens=5))
    workflow = Workflow(steps=[Step(name="one", agent=agent), Step(name="bad", executor=refuse)], db=db)
    with pytest.raises(LookupError):
        workflow.run("x", session_id="s")
    metrics = api(workflow).get_session_metrics("s")
    assert (metrics.runs, metrics.input_tokens) == (1, 5)


def test_get_session_metrics_counts_a_paused_run_once_when_it_has_ended(db: BaseDb, api: Api) -> None:
    agent = Agent(metrics=RunMetrics(input_tokens=5))
    workflow = Workflow(
        steps=[Step(name="one", agent=agent), Step(name="ask", executor=echo, requires_confirmation=True)], db=db
    )
    paused = workflow.run("x", session_id="s")
    paused.active_step_requirements[0].confirm()
    workflow.continue_run(paused)
    metrics = api(workflow).get_session_metrics("s")
    assert (metrics.runs, metrics.input_tokens) == (1, 5)


# -- get_chat_history ------------------------------------------------------------------------------------------------


def test_get_chat_history_has_the_input_and_output_of_each_run(db: BaseDb, api: Api) -> None:
    workflow = chat(db)
    for said in ("a", "b", "c"):
        workflow.run(said, session_id="s")
    workflow.run("elsewhere", session_id="other")
    history = api(workflow).get_chat_history(session_id="s")
    assert history == [WorkflowChatInteraction(input=said, output=f"echo {said}") for said in ("a", "b", "c")]
    assert history[0].to_dict() == {"input": "a", "output": "echo a"}


@pytest.mark.parametrize(
    ("number", "expected"), [(None, ["a", "b", "c"]), (2, ["b", "c"]), (9, ["a", "b", "c"]), (0, [])]
)
def test_get_chat_history_last_n_runs_takes_the_newest(
    db: BaseDb, api: Api, number: int | None, expected: list[str]
) -> None:
    workflow = chat(db)
    for said in ("a", "b", "c"):
        workflow.run(said, session_id="s")
    history = api(workflow).get_chat_history(session_id="s", last_n_runs=number)
    assert [turn.input for turn in history] == expected


def test_get_chat_history_without_a_session_id_is_that_of_the_default_session(db: BaseDb, api: Api) -> None:
    workflow = chat(db)
    assert api(workflow).get_chat_history() == []
    workflow.run("a")
    assert [turn.output for turn in api(workflow).get_chat_history()] == ["echo a"]


def test_get_chat_history_of_a_named_session_that_is_unknown_is_an_error(db: BaseDb, api: Api) -> None:
    with pytest.raises(SessionNotFound, match="nobody"):
        api(chat(db)).get_chat_history("nobody")


# -- save_session ----------------------------------------------------------------------------------------------------


def test_save_session_stores_name_metadata_and_state(db: BaseDb, api: Api) -> None:
    workflow = chat(db)
    workflow.run("a", session_id="s", user_id="u")
    session = api(workflow).get_session("s")
    session.session_name = "Talk"
    session.metadata = {"mood": "fine"}
    session.session_state["seen"].append("added")
    session.session_state["new"] = {1: "one"}
    assert api(workflow).save_session(session) is None
    stored = chat(db).get_session("s")
    assert stored is not None
    assert (stored.session_name, stored.metadata, stored.user_id) == ("Talk", {"mood": "fine"}, "u")
    assert stored.session_state == {"seen": ["a", "added"], "new": {1: "one"}}
    assert [run.content for run in stored.runs or ()] == ["echo a"]


def test_save_session_makes_a_session_that_is_not_there(db: BaseDb, api: Api) -> None:
    workflow = chat(db)
    api(workflow).save_session(
        WorkflowSession(session_id="new", user_id="u", session_name="Made", session_state={"k": 1})
    )
    assert workflow.get_session_state("new") == {"k": 1}
    assert workflow.get_session_name("new") == "Made"
    output = workflow.run("a", session_id="new", user_id="u")
    assert output.session_state == {"k": 1, "seen": ["a"]}


def test_save_session_keeps_what_others_have_stored_since_it_was_read(db: BaseDb, api: Api) -> None:
    workflow = chat(db, session_state={"drop": 1})
    workflow.run("a", session_id="s")
    session = api(workflow).get_session("s")
    workflow.update_session_state({"theirs": 1}, "s")
    session.session_state["mine"] = 1
    del session.session_state["drop"]
    api(workflow).save_session(session)
    assert workflow.get_session_state("s") == {"seen": ["a"], "theirs": 1, "mine": 1}


def test_save_session_can_be_done_again_and_again(db: BaseDb, api: Api) -> None:
    workflow = chat(db)
    workflow.run("a", session_id="s")
    session = api(workflow).get_session("s")
    for number in range(3):
        session.session_state["n"] = number
        api(workflow).save_session(session)
    assert workflow.get_session_state("s")["n"] == 2


def test_save_session_of_another_user_is_refused_and_changes_nothing(db: BaseDb, api: Api) -> None:
    workflow = chat(db)
    workflow.run("a", session_id="s", user_id="ann")
    with pytest.raises(SessionOwnerError):
        api(workflow).save_session(WorkflowSession(session_id="s", user_id="bob", session_state={}))
    assert workflow.get_session_state("s") == {"seen": ["a"]}


def test_save_session_keeps_the_workflow_that_the_session_belongs_to(db: BaseDb, api: Api) -> None:
    chat(db).run("a", session_id="s")
    other = Workflow(name="other", id="other-1", db=db)
    session = api(other).get_session("s")
    api(other).save_session(session)
    stored = other.get_session("s")
    assert stored is not None
    assert (stored.workflow_id, stored.workflow_name) == ("chat-1", "chat")


def test_save_session_without_a_db_does_nothing(api: Api) -> None:
    api(chat(None)).save_session(WorkflowSession(session_id="s"))


# -- delete_session --------------------------------------------------------------------------------------------------


def test_delete_session_deletes_it_with_its_runs(db: BaseDb, api: Api) -> None:
    workflow = chat(db)
    gone = workflow.run("a", session_id="s")
    kept = workflow.run("b", session_id="other")
    api(workflow).delete_session(session_id="s")
    assert workflow.get_session("s") is None
    assert workflow.get_run(str(gone.run_id)) is None
    assert workflow.get_run_output(str(gone.run_id)) is None
    assert workflow.get_run_output(str(kept.run_id)) is not None


def test_delete_session_lets_the_next_run_start_afresh(db: BaseDb, api: Api) -> None:
    workflow = chat(db, session_state={"start": 1}, cache_session=True)
    workflow.run("a", session_id="s")
    api(workflow).delete_session("s")
    assert workflow.run("b", session_id="s").session_state == {"start": 1, "seen": ["b"]}


def test_delete_session_says_whether_there_was_one(db: BaseDb, api: Api) -> None:
    workflow = chat(db)
    workflow.run("a", session_id="s")
    assert api(workflow).delete_session("s") is True
    assert api(workflow).delete_session("s") is False


def test_delete_session_of_another_user_is_refused(db: BaseDb, api: Api) -> None:
    workflow = chat(db)
    workflow.run("a", session_id="s", user_id="ann")
    with pytest.raises(PermissionError):
        api(workflow).delete_session("s", user_id="bob")
    assert workflow.get_session("s") is not None


# -- update_session_state (agno's, beside the page) ------------------------------------------------------------------


def test_update_session_state_sets_keys_and_gives_the_state_after_it(db: BaseDb, api: Api) -> None:
    workflow = chat(db)
    workflow.run("a", session_id="s")
    assert api(workflow).update_session_state({"k": 1}, session_id="s") == {"seen": ["a"], "k": 1}
    assert workflow.run("b", session_id="s").session_state == {"seen": ["a", "b"], "k": 1}


# -- sessions of one database are the sessions of every workflow that uses it ----------------------------------------


def test_session_verbs_of_a_second_workflow_object_read_what_the_first_stored(db: BaseDb, api: Api) -> None:
    chat(db).run("a", session_id="s")
    again = chat(db)
    assert api(again).get_session_state("s") == {"seen": ["a"]}
    assert again.run("b", session_id="s").session_state == {"seen": ["a", "b"]}


def test_session_verbs_work_inside_a_running_loop(tmp_path: Path) -> None:
    run_program(f"""
        import asyncio
        from workflow_runtime import InMemoryDb, Workflow

        async def notebook(db):
            workflow = Workflow(steps=[lambda step_input: "x"], session_state={{"n": 1}}, db=db)
            output = workflow.run("a")
            assert workflow.get_session_state() == {{"n": 1}}
            assert workflow.get_run(output.run_id).content == "x"
            assert (await workflow.aget_session()).session_id == output.session_id
            assert [event.event for event in workflow.run("b", stream=True)][-1] == "WorkflowCompleted"

        asyncio.run(notebook(InMemoryDb()))
        asyncio.run(notebook("sqlite:///{tmp_path}/runs.db"))
    """)


@pytest.mark.anyio
async def test_the_chat_history_shows_what_a_cancelled_run_had_said(db: BaseDb) -> None:
    async def story(step_input: StepInput) -> AsyncIterator[str]:
        for word in ("Once ", "upon ", "a "):
            yield word
        if step_input.input == "long":
            await anyio.sleep_forever()

    workflow = Workflow(name="w", steps=[Loop([story], name="l", max_iterations=1)], db=db)
    async with workflow.arun("long", stream=True, session_id="s") as stream:
        async for event in stream:
            if event.event == "StepContent" and event.delta == "a ":
                break
    await workflow.arun("short", session_id="s")
    history = await workflow.aget_chat_history("s")
    assert [(turn.input, turn.output) for turn in history] == [("long", "Once upon a "), ("short", "Once upon a ")]


@pytest.mark.anyio
async def test_the_chat_history_of_a_cancelled_run_that_had_said_nothing_says_that(db: BaseDb) -> None:
    workflow = Workflow(name="w", steps=[anyio_forever], db=db)
    async with workflow.arun("x", stream=True, session_id="s", stream_events=True) as stream:
        async for event in stream:
            if event.event == "StepStarted":
                break
    assert [turn.output for turn in await workflow.aget_chat_history("s")] == [f"Run {stream.run_id} was cancelled"]


async def anyio_forever(step_input: StepInput) -> None:
    await anyio.sleep_forever()


# -- save_session: every changed part is stored or refused -----------------------------------------------------------------

CLEARED: dict[str, tuple[Any, Any]] = {
    "session_name": ("name", None),
    "metadata": ({"a": 1}, None),
    "workflow_data": ({"x": 1}, {"x": 2}),
}


@pytest.mark.parametrize("part", CLEARED)
def test_save_session_stores_what_was_set_and_then_cleared(api: Api, db: BaseDb, part: str) -> None:
    workflow = chat(db)
    api(workflow).run("x", session_id="s")
    for value in CLEARED[part]:
        session = api(workflow).get_session("s")
        setattr(session, part, value)
        api(workflow).save_session(session)
        assert getattr(api(workflow).get_session("s"), part) == value
    api(workflow).run("y", session_id="s")
    assert getattr(api(workflow).get_session("s"), part) == CLEARED[part][1]


def change(session: WorkflowSession, what: str) -> None:
    runs = session.runs or []
    if what == "a run that is added":
        session.runs = [*runs, WorkflowRunOutput(run_id="new")]
    elif what == "a run that is removed":
        session.runs = runs[1:]
    elif what == "a run that is changed":
        runs[0].content = "changed"
    elif what == "metrics":
        session.session_metrics = SessionMetrics(runs=7)
    elif what == "created_at":
        session.created_at = 1
    elif what == "updated_at":
        session.updated_at = 1
    else:
        session.user_id = None


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("a run that is added", "runs are stored by running them; 'new' is none of this session's"),
        ("a run that is removed", "runs are not deleted by saving a session"),
        ("a run that is changed", "was changed; a stored run cannot be"),
        ("metrics", "session_metrics are the sums over its runs"),
        ("created_at", "created_at and updated_at are set by the database"),
        ("updated_at", "created_at and updated_at are set by the database"),
        ("user", "a session keeps its user, 'ada'"),
    ],
)
def test_save_session_refuses_what_it_does_not_store(api: Api, db: BaseDb, what: str, message: str) -> None:
    workflow = chat(db)
    for text in "xy":
        api(workflow).run(text, session_id="s", user_id="ada")
    session = api(workflow).get_session("s")
    session.session_name = "must not be stored"
    change(session, what)
    with pytest.raises(InputError, match=message):
        api(workflow).save_session(session)
    assert api(workflow).get_session("s").session_name is None


def test_save_session_takes_a_session_that_was_read_with_some_of_its_runs(api: Api, db: BaseDb) -> None:
    workflow = chat(db)
    for text in "xyz":
        api(workflow).run(text, session_id="s")
    session = api(workflow).get_session("s", last_n_runs=1)
    api(workflow).run("later", session_id="s")
    session.session_name = "named"
    api(workflow).save_session(session)
    api(workflow).save_session(session)
    assert api(workflow).get_session("s").session_name == "named"
    assert len(api(workflow).get_session("s").runs) == 4
