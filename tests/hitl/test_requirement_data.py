"""A question as a dictionary: what is always in it, and answers that an agent's tool brings along."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from workflow_runtime import (
    ErrorRequirement,
    RunStatus,
    Step,
    StepInput,
    StepOutput,
    StepRequirement,
    UserInputField,
    Workflow,
    WorkflowRunOutput,
)
from workflow_runtime.model.requirements import requirement_from_dict


def test_what_is_not_set_is_in_it_all_the_same() -> None:
    data = StepRequirement(step_id="s").to_dict()
    assert {data[name] for name in ("confirmed", "step_name", "selected_choices", "timeout_at")} == {None}
    assert (data["on_reject"], data["max_retries"], data["retry_count"]) == ("skip", 3, 0)
    assert data["requires_confirmation"] is False
    error = ErrorRequirement(step_id="s").to_dict()
    assert (error["kind"], error["decision"], error["retry_count"]) == ("error", None, 0)


def test_it_is_read_back_as_it_was() -> None:
    output = StepOutput("made", "s", steps=[StepOutput({"a": 1}, "inner", skipped=True)])
    asked = StepRequirement(
        id="r:0.s@before",
        path="0.s",
        step_id="s",
        kind="output_review",
        requires_output_review=True,
        step_output=output,
        step_input=StepInput(input={"q": 1}, previous_step_outputs={"before": StepOutput("b", "before")}),
        timeout_at=datetime(2025, 6, 15, 12, tzinfo=UTC),
        user_input_schema=[UserInputField("n", "int", value=3)],
        max_retries=None,
    )
    data = asked.to_dict()
    assert data["timeout_at"] == "2025-06-15T12:00:00+00:00"
    assert data["step_output"]["success"] is True
    assert data["step_output"]["steps"][0]["skipped"] is True
    assert data["step_input"]["previous_step_outputs"]["before"]["content"] == "b"
    again = requirement_from_dict(data)
    assert again == asked
    assert StepRequirement.from_json(asked.to_json()) == asked


def test_a_runs_dictionary_has_the_same_form() -> None:
    workflow = Workflow(
        name="W",
        steps=[lambda step_input: "one", Step(name="s", executor=lambda step_input: 2, requires_confirmation=True)],
    )
    data = workflow.run("x").to_dict()
    assert data["step_results"][0]["success"] is True
    assert data["step_results"][0]["error"] is None
    assert data["step_requirements"][0]["confirmed"] is None
    again = WorkflowRunOutput.from_dict(data)
    assert again.status == RunStatus.paused
    assert again.to_dict() == data


def test_a_field_says_what_it_is() -> None:
    field = UserInputField("n", "int", allowed_values=[1, 2], required=False)
    assert field.to_dict() == {
        "name": "n",
        "field_type": "int",
        "description": None,
        "value": None,
        "required": False,
        "allowed_values": [1, 2],
    }
    assert UserInputField.from_dict(field.to_dict()) == field
    with pytest.raises(ValueError, match=r"that is no UserInputField: .*name"):
        UserInputField.from_dict({"field_type": "int"})


TOOL = {"tool_name": "pay", "tool_args": {}}
ANSWERED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "confirmed": ({"requires_confirmation": True, "confirmed": True}, {"confirmation": True}),
    "rejected": (
        {"requires_confirmation": True, "confirmed": False, "confirmation_note": "no"},
        {"confirmation": False, "confirmation_note": "no"},
    ),
    "result": ({"external_execution_required": True, "result": "done"}, {"external_execution_result": "done"}),
    "form": (
        {"user_input_schema": [{"name": "to", "value": "Ada"}], "answered": True},
        {"user_input": {"to": "Ada"}},
    ),
    "choice": (
        {"user_feedback_schema": [{"question": "Which?", "selected_options": ["a"]}], "answered": True},
        {"user_feedback": {"Which?": ["a"]}},
    ),
}


@pytest.mark.parametrize("name", ANSWERED)
def test_an_answer_in_an_agents_tool_is_the_answer(name: str) -> None:
    tool, answer = ANSWERED[name]
    asked = StepRequirement(
        kind="executor",
        step_name="agent",
        requires_executor_input=True,
        executor_requirements=[{"id": "t1", "tool_execution": {**TOOL, **tool}}],
    )
    assert not asked.needs_executor_resolution
    (given,) = asked.given()["executor_requirements"]
    assert {key: given[key] for key in answer} == answer
    copy = StepRequirement.from_dict(asked.to_dict())
    copy.answer(asked.given())
    assert copy.is_resolved


@pytest.mark.parametrize(
    "tool",
    [
        {"requires_confirmation": True},
        {"requires_confirmation": True, "confirmed": None},
        {"external_execution_required": True, "result": None},
        {"user_input_schema": [{"name": "to", "value": "Ada"}]},  # a value that the agent suggests
    ],
)
def test_without_an_answer_it_is_still_open(tool: dict[str, Any]) -> None:
    asked = StepRequirement(
        requires_executor_input=True, executor_requirements=[{"id": "t1", "tool_execution": {**TOOL, **tool}}]
    )
    assert asked.needs_executor_resolution
    assert asked.given() == {}
