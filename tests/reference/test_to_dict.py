"""to_dict: the configuration as data. What ``from_dict`` makes of it is tested in tests/test_definition.py."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel

from workflow_runtime import InMemoryDb, Loop, Parallel, Step, Steps, StepStartedEvent, Workflow, WorkflowRunEvent

from .helpers import echo

PLAIN: dict[str, Any] = {
    "name": "Report",
    "id": "report-1",
    "description": "Writes reports",
    "session_id": "s",
    "user_id": "u",
    "session_state": {"n": 1},
    "debug_mode": True,
    "stream": True,
    "stream_events": True,
    "stream_executor_events": False,
    "store_events": True,
    "store_executor_outputs": False,
    "metadata": {"team": "red"},
    "add_workflow_history_to_steps": True,
    "num_history_runs": 4,
    "cache_session": True,
    "telemetry": False,
}


class Topic(BaseModel):
    name: str


def test_to_dict_has_every_parameter_of_the_page_under_its_name() -> None:
    workflow = Workflow(
        **PLAIN,
        steps=[Step(name="a", executor=echo)],
        db=InMemoryDb(),
        events_to_skip=[WorkflowRunEvent.step_started, "StepOutput", StepStartedEvent],
        input_schema=Topic,
    )
    data = workflow.to_dict()
    assert {name: data[name] for name in PLAIN} == PLAIN
    assert data["events_to_skip"] == ["StepStarted", "StepOutput", "StepStarted"]
    assert data["input_schema"].endswith(":Topic")
    assert data["db"]["type"] == "InMemoryDb"
    assert [step["name"] for step in data["steps"]] == ["a"]


def test_to_dict_is_plain_data() -> None:
    workflow = Workflow(**PLAIN, steps=[echo])
    assert json.loads(json.dumps(workflow.to_dict())) == workflow.to_dict()


def test_to_dict_names_the_steps_at_every_depth() -> None:
    inner = Workflow(name="inner", steps=[Step(name="deep", executor=echo)])
    workflow = Workflow(
        name="outer",
        steps=[
            Steps(name="group", steps=[Loop(name="loop", steps=[Step(name="again", executor=echo)])]),
            Parallel(Step(name="left", executor=echo), inner, name="both"),
        ],
    )
    text = json.dumps(workflow.to_dict())
    for name in ("outer", "group", "loop", "again", "both", "left", "inner", "deep"):
        assert f'"{name}"' in text, name
    assert "helpers:echo" in text


def test_to_dict_is_a_copy() -> None:
    workflow = Workflow(**PLAIN, steps=[echo])
    data = workflow.to_dict()
    data["metadata"]["team"] = "blue"
    data["session_state"]["n"] = 2
    data["steps"].clear()
    assert workflow.to_dict()["metadata"] == {"team": "red"}
    assert workflow.to_dict()["session_state"] == {"n": 1}
    assert len(workflow.to_dict()["steps"]) == 1


def test_to_dict_describes_a_workflow_that_from_dict_makes_again() -> None:
    data = Workflow(**PLAIN, steps=[Step(name="a", executor=echo)], input_schema=Topic).to_dict()
    again = Workflow.from_dict(data, registry=[echo, Topic])
    assert again.to_dict() == data
    assert again.run({"name": "x"}, stream=False).content == 'echo {\n  "name": "x"\n}'
