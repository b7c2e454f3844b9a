"""``session.session_data``: a session's parts as one dictionary, with room for the user's own."""

from __future__ import annotations

import json
from typing import Any

import pytest

from workflow_runtime import BaseDb, StepInput, Workflow, WorkflowSession


def echo(step_input: StepInput) -> str:
    return f"echo {step_input.input}"


def make(db: BaseDb, **options: Any) -> Workflow:
    return Workflow(name="W", db=db, steps=[echo], **options)


def loaded(workflow: Workflow, session_id: str) -> WorkflowSession:
    session = workflow.get_session(session_id)
    assert session is not None
    return session


@pytest.mark.parametrize("cached", [False, True])
def test_an_entry_of_ones_own_is_stored_and_stays_while_runs_go_on(db: BaseDb, cached: bool) -> None:
    workflow = make(db, cache_session=cached)
    workflow.run("x", session_id="s")
    session = loaded(workflow, "s")
    session.session_data["custom"] = {"n": 1}
    workflow.save_session(session)
    workflow.run("y", session_id="s")
    again = loaded(make(db), "s")
    assert again.session_data["custom"] == {"n": 1}
    assert again.workflow_data == {"workflow_id": "w", "name": "W", "steps": [{"name": "echo", "type": "Step"}]}
    del again.session_data["custom"]
    workflow.save_session(again)
    assert "custom" not in loaded(workflow, "s").session_data


def test_state_and_name_can_be_written_through_it(db: BaseDb) -> None:
    workflow = make(db)
    workflow.run("x", session_id="s", session_state={"a": 1, "b": 1})
    session = loaded(workflow, "s")
    session.session_data["session_name"] = "mine"
    session.session_data["session_state"]["a"] = 2
    workflow.save_session(session)
    assert (workflow.get_session_name("s"), workflow.get_session_state("s")) == ("mine", {"a": 2, "b": 1})
    session.session_data.update(session_state={"c": 3}, more=True)
    assert (session.session_state, session.more_data) == ({"c": 3}, {"more": True})


def test_a_session_that_had_no_run_keeps_it_too(db: BaseDb) -> None:
    workflow = make(db)
    session = workflow.read_or_create_session("s")
    session.session_data["before"] = True
    workflow.save_session(session)
    workflow.run("x", session_id="s")
    again = loaded(workflow, "s")
    assert again.session_data["before"] is True
    assert again.workflow_data is not None
    assert again.workflow_data["name"] == "W"


def test_it_is_a_dictionary_like_any_other() -> None:
    session = WorkflowSession(session_id="s", session_state={"a": 1})
    data = session.session_data
    assert data == {"session_state": {"a": 1}}
    assert json.loads(json.dumps(data)) == data
    assert data.setdefault("k", 1) == 1
    assert data.pop("k") == 1
    assert data.pop("k", None) is None
    assert session.more_data == {}
    with pytest.raises(KeyError, match="counted by the runs"):
        data["session_metrics"] = {}
    with pytest.raises(KeyError, match="'session_state' is no entry of your own"):
        del data["session_state"]


def test_it_can_be_replaced_as_a_whole_and_goes_to_a_dictionary_and_back() -> None:
    session = WorkflowSession(session_id="s", session_name="old", session_state={"a": 1}, more_data={"old": 1})
    session.session_data = {**session.session_data, "session_name": "new", "own": [1]}
    assert (session.session_name, session.session_state, session.more_data) == ("new", {"a": 1}, {"old": 1, "own": [1]})
    session.session_data = None
    assert session.session_data == {"session_state": {}}
    session.session_data["own"] = 2
    assert WorkflowSession.from_dict(session.to_dict()).session_data == {"session_state": {}, "own": 2}
