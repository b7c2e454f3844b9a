"""What a graph of LangGraph waits for, as questions of the run, and the answers as values to resume with."""
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false
# The library is only in the environments of those that use it.

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from langchain_core.messages import AIMessage

from ..model.text import as_text
from .adapter import ExecutorError
from .events import approval, external_result, form, plain

__all__ = ["questions", "resumed"]


def questions(state: Any) -> list[tuple[str, dict[str, Any]]]:
    """(interrupt's id, question) for all that the graph waits for; a graph that stops before a node asks about that."""
    found = [(item.id, question) for item in state.interrupts for question in _of_interrupt(item, _calls(state.values))]
    if found or not state.next:
        return found
    return [("", approval(f"before {name}", name, {})) for name in state.next]


def _of_interrupt(item: Any, calls: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """``HumanInTheLoopMiddleware`` asks about tools; any other value asks for a value."""
    requests = item.value.get("action_requests") if isinstance(item.value, dict) else None
    if requests is None:
        yield _free(item)
        return
    for position, request in enumerate(requests):
        call_id = _taken(calls, request["name"], request["args"]) or f"{item.id}-{position}"
        yield approval(call_id, request["name"], request["args"], description=request.get("description"))


def _free(item: Any) -> dict[str, Any]:
    schema = _schema(item.response_schema)
    if schema is None or schema.get("type") != "object":
        return external_result(item.id, "interrupt", {"value": plain(item.value)}, description=as_text(item.value))
    fields = [
        {"name": name, "field_type": _TYPES.get(part.get("type"), "str"), "description": part.get("description")}
        for name, part in schema.get("properties", {}).items()
    ]
    return form(item.id, fields, description=as_text(item.value))


_TYPES: dict[Any, str] = {
    "string": "str",
    "integer": "int",
    "number": "float",
    "boolean": "bool",
    "array": "list",
    "object": "dict",
}


def _schema(wanted: Any) -> dict[str, Any] | None:
    if isinstance(wanted, type) and hasattr(wanted, "model_json_schema"):
        wanted = wanted.model_json_schema()
    return wanted if isinstance(wanted, dict) else None


def _calls(values: Any) -> list[dict[str, Any]]:
    """The tool calls that the model has asked for last."""
    messages = values.get("messages") if isinstance(values, dict) else None
    for message in reversed(messages or []):
        if isinstance(message, AIMessage):
            return [dict(call) for call in message.tool_calls]
    return []


def _taken(calls: list[dict[str, Any]], name: str, arguments: Any) -> str | None:
    for call in calls:
        if (call["name"], call["args"]) == (name, arguments):
            calls.remove(call)
            return str(call["id"])
    return None


def resumed(interrupts: Any, asked: list[list[str]], answers: list[dict[str, Any]]) -> dict[str, Any]:
    """The values of the interrupts that are still open. An answered stop before a node has none.

    Raises:
        ExecutorError: A person has declined what the graph cannot go on without.
    """
    given = {item["id"]: item for item in answers}
    values: dict[str, Any] = {}
    for key, question in asked:
        answer = given.get(question, {})
        if not key:
            if answer.get("confirmation") is False:
                raise _declined(question, answer)
        else:
            values.setdefault(key, []).append(answer)
    return {item.id: _value(item, values[item.id]) for item in interrupts if item.id in values}


def _value(item: Any, answers: list[dict[str, Any]]) -> Any:
    requests = item.value.get("action_requests") if isinstance(item.value, dict) else None
    if requests is not None:
        pairs = zip(requests, answers, strict=True)
        return {"decisions": [_decision(request, answer) for request, answer in pairs]}
    (answer,) = answers
    if answer.get("confirmation") is False:
        raise _declined(as_text(item.value) or item.id, answer)
    value = answer.get("external_execution_result")
    return value if value is not None else answer.get("user_input")


def _decision(request: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    if not answer.get("confirmation"):
        note = answer.get("confirmation_note")
        return {"type": "reject", "message": note} if note else {"type": "reject"}
    changed = answer.get("user_input")
    if changed:
        return {"type": "edit", "edited_action": {"name": request["name"], "args": {**request["args"], **changed}}}
    return {"type": "approve"}


def _declined(question: str, answer: dict[str, Any]) -> ExecutorError:
    return ExecutorError(f"{question!r} was declined: {answer.get('confirmation_note') or 'no reason given'}")
