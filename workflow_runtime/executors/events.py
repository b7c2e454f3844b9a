"""The events and questions of an agent, as every adapter makes them."""

from __future__ import annotations

import json
import time
from typing import Any

from ..model.executor_events import EXECUTOR_EVENTS, ExecutorEvent
from ..model.metrics import RunMetrics
from ..model.text import builtins
from .adapter import Call

__all__ = ["Events", "approval", "external_result", "form", "plain", "tool_arguments"]


class Events:
    """Makes the events of one run. ``name`` and ``agent_id`` say whose they are: a member's differ from its team's."""

    def __init__(self, call: Call, *, name: str | None = None, agent_id: str | None = None, team: bool = False) -> None:
        self._prefix = "Team" if team else ""
        self._own: dict[str, Any] = {
            "executor_run_id": call.run_id,
            "executor_id": agent_id or getattr(call.agent, "id", None) or name or call.executor_name,
            "executor_name": name or call.executor_name,
            "executor_type": "team" if team else call.executor_type,
        }
        self._arguments: dict[str, Any] = {}
        self._began = time.perf_counter()
        self.first: float | None = None
        """Seconds from the start to the first text."""

    @property
    def seconds(self) -> float:
        """Seconds from the start to now."""
        return time.perf_counter() - self._began

    def is_own(self, item: Any) -> bool:
        """Whether the library's event ``item`` is of the step's own agent or team, not of a member."""
        return not getattr(item, "parent_run_id", None)

    def make(self, event: str, **fields: Any) -> ExecutorEvent:
        """The event of ``RunEvent`` (or of ``TeamRunEvent``, for a team) with this name."""
        return EXECUTOR_EVENTS[self._prefix + event](**self._own, **fields)

    def started(self) -> ExecutorEvent:
        return self.make("RunStarted")

    def text(self, delta: str) -> ExecutorEvent:
        if self.first is None:
            self.first = time.perf_counter() - self._began
        return self.make("RunContent", content=delta, content_type="str")

    def reasoning(self, delta: str) -> ExecutorEvent:
        return self.make("ReasoningContentDelta", reasoning_content=delta)

    def tool_started(self, call_id: str, name: str, arguments: Any) -> ExecutorEvent:
        tool = _tool(call_id, name, arguments)
        self._arguments[call_id] = tool["tool_args"]
        return self.make("ToolCallStarted", tool=tool)

    def tool_was_asked_for(self, call_id: str, arguments: Any) -> None:
        """The run continues behind a question about this call, whose start was published before it."""
        self._arguments[call_id] = tool_arguments(arguments)

    def is_started(self, call_id: str) -> bool:
        """Whether the call's start was published, and its end was not."""
        return call_id in self._arguments

    def tool_completed(self, call_id: str, name: str, result: Any, *, error: bool = False) -> ExecutorEvent:
        """``result`` becomes builtins; the arguments are those of its start. ``error``: the tool failed, and the model
        reads ``result``."""
        tool = {**_tool(call_id, name, self._arguments.pop(call_id, None)), "result": plain(result)}
        if error:
            return self.make("ToolCallError", tool={**tool, "tool_call_error": True}, error=str(result))
        return self.make("ToolCallCompleted", tool=tool)

    def completed(self, content: Any, metrics: RunMetrics | None = None) -> ExecutorEvent:
        return self.make("RunCompleted", content=content, metrics=metrics)

    def paused(self) -> ExecutorEvent:
        return self.make("RunPaused")

    def continued(self) -> ExecutorEvent:
        return self.make("RunContinued")


def _tool(call_id: str, name: str, arguments: Any) -> dict[str, Any]:
    return {"tool_call_id": call_id, "tool_name": name, "tool_args": tool_arguments(arguments)}


def tool_arguments(arguments: Any) -> Any:
    """Arguments as builtins: models stream them as JSON text, which may be cut short."""
    if isinstance(arguments, str):
        try:
            return json.loads(arguments) if arguments else {}
        except ValueError:
            return arguments
    return plain(arguments) if arguments is not None else {}


def plain(value: Any) -> Any:
    """``value`` as JSON-able builtins; what JSON has nothing for becomes text."""
    try:
        return builtins(value)
    except (TypeError, ValueError, RecursionError):
        return str(value)


def approval(call_id: str, name: str, arguments: Any, **more: Any) -> dict[str, Any]:
    """The question whether a tool may run. The answer is ``confirmation`` (bool), ``confirmation_note``, and with a yes
    the arguments that a person has changed: ``user_input``."""
    tool = {**_tool(call_id, name, arguments), "requires_confirmation": True}
    return {"id": call_id, "tool_execution": tool, **more}


def external_result(call_id: str, name: str, arguments: Any, **more: Any) -> dict[str, Any]:
    """The question for the result of a tool that is run elsewhere. The answer is ``external_execution_result``."""
    tool = {**_tool(call_id, name, arguments), "external_execution_required": True}
    return {"id": call_id, "tool_execution": tool, **more}


def form(question_id: str, fields: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    """The question for values: ``fields`` have ``name``, ``field_type``, ``description``. The answer is ``user_input``."""
    return {"id": question_id, "user_input_schema": fields, **more}
