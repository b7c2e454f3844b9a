"""Workflows as MCP tools, and the outputs of runs as their results. Without I/O."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import mcp_types as types
import msgspec

from ... import ErrorRequirement, RunStatus, StepRequirement, Workflow, WorkflowRunOutput
from ...model.text import shown
from ..http.workflows import input_schema
from ..rejected import rejected_step, rejection

__all__ = ["ANSWER", "Requirement", "answer_tool", "message", "names", "open_questions", "result", "told", "tool"]

Requirement = StepRequirement | ErrorRequirement
ANSWER = "answer_run"
_ANY_INPUT = {
    "type": "object",
    "properties": {"input": {"description": "What the workflow is to work on"}},
    "required": ["input"],
    "additionalProperties": False,
}


def names(workflows: Iterable[Workflow]) -> dict[str, Workflow]:
    """Tool names, and the workflow of each: its id in the characters that a tool's name may have."""
    found: dict[str, Workflow] = {}
    for workflow in workflows:
        name = re.sub(r"[^A-Za-z0-9_.-]", "_", workflow.id)[:100] or "workflow"
        while name in found or name == ANSWER:
            name += "_"
        found[name] = workflow
    return found


def tool(name: str, workflow: Workflow) -> types.Tool:
    schema = input_schema(workflow)
    fits = schema is not None and schema.get("type") == "object"
    return types.Tool(
        name=name,
        title=workflow.name or None,
        description=workflow.description or f"Run the workflow {workflow.name or workflow.id}",
        input_schema=schema if fits and schema is not None else _ANY_INPUT,
    )


def answer_tool() -> types.Tool:
    """The tool by which a paused run goes on where the client has no way to ask its user."""
    return types.Tool(
        name=ANSWER,
        title="Answer a paused run",
        description="Answer the questions in the result of a paused workflow run, and continue it. Ask the user first.",
        input_schema={
            "type": "object",
            "properties": {
                "workflow_id": {"type": "string"},
                "run_id": {"type": "string"},
                "answers": {
                    "type": "object",
                    "description": "By requirement id, an object that fits the requirement's schema",
                    "additionalProperties": {"type": "object"},
                },
            },
            "required": ["workflow_id", "run_id", "answers"],
            "additionalProperties": False,
        },
    )


def result(workflow: Workflow, output: WorkflowRunOutput) -> types.CallToolResult:
    """How a run ended, or what it waits for, for a model and for a program."""
    data: dict[str, Any] = {
        "workflow_id": workflow.id,
        "run_id": output.run_id,
        "session_id": output.session_id,
        "status": output.status.value,
    }
    if output.is_paused:
        asked = open_questions(output)
        data["requirements"] = [{"id": item.id, "message": message(item), "schema": item.schema()} for item in asked]
        lines = [f"- {item.id}: {message(item)}\n  schema: {_json(item.schema())}" for item in asked]
        return told(
            f"Run {output.run_id} of {workflow.id} has paused and waits for an answer:\n" + "\n".join(lines) + "\n"
            f"Ask the user, then call {ANSWER} with workflow_id {workflow.id!r}, run_id {output.run_id!r} and answers by"
            " requirement id.",
            data,
        )
    if output.status is RunStatus.error:
        return told(f"{output.error_type}: {output.error}", data, is_error=True)
    if output.is_cancelled:
        return told(f"Run {output.run_id} was cancelled: {output.get_content_as_string()}", data, is_error=True)
    data["content"] = shown(output.content)
    rejected = rejected_step(output.step_results)
    if rejected is not None:
        data["rejected"] = {"step_name": rejected.step_name, "reason": rejected.error}
        return told(rejection(rejected), data, is_error=True)
    return told(output.get_content_as_string(), data)


def told(text: str, data: Mapping[str, Any] | None = None, *, is_error: bool = False) -> types.CallToolResult:
    return types.CallToolResult(
        content=[types.TextContent(text=text)],
        structured_content=dict(data) if data is not None else None,
        is_error=is_error,
    )


def open_questions(output: WorkflowRunOutput) -> list[Requirement]:
    return [*output.active_step_requirements, *output.active_error_requirements]


def message(asked: Requirement) -> str:
    """The question as a person reads it."""
    if isinstance(asked, ErrorRequirement):
        return f"Step '{asked.step_name}' failed: {asked.error_message}. Retry or skip?"
    said = asked.confirmation_message or asked.user_input_message or asked.output_review_message
    return said or f"Step '{asked.step_name}' needs an answer"


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
