"""Questions put to the user of an MCP client (elicitation), and the answers. Without I/O.

A form of the protocol has only plain fields, so a question that wants more cannot be asked this way: None, and the tool's
result then says how else it is answered.
"""

from __future__ import annotations

from typing import Any

import mcp_types as types

from ... import ErrorRequirement
from .tools import Requirement, message

__all__ = ["answer_of", "form_of"]

_PLAIN = ("string", "integer", "number", "boolean")
_KEPT = ("type", "title", "description", "enum", "default", "minimum", "maximum", "minLength", "maxLength", "format")


def form_of(asked: Requirement) -> types.ElicitRequestFormParams | None:
    """The question as a form; None if it does not fit one."""
    fields = _fields(asked)
    if fields is None:
        return None
    properties, required = fields
    schema = {"type": "object", "properties": properties, "required": required}
    return types.ElicitRequestFormParams(message=message(asked), requested_schema=schema)


def _fields(asked: Requirement) -> tuple[dict[str, Any], list[str]] | None:
    if isinstance(asked, ErrorRequirement):
        return {"decision": {"type": "string", "enum": ["retry", "skip"]}}, ["decision"]
    if asked.requires_executor_input:
        return None
    if asked.requires_route_selection:
        if asked.allow_multiple_selections:
            return None
        return {"choice": {"type": "string", "enum": list(asked.available_choices or ())}}, ["choice"]
    if asked.requires_user_input:
        form = asked.schema()["properties"]["user_input"]
        properties = {name: _plain(part) for name, part in form.get("properties", {}).items()}
        if not properties or any(part is None for part in properties.values()):
            return None
        return {name: part for name, part in properties.items() if part}, list(form.get("required", ()))
    note = {"type": "string", "description": "Why not, if not"}
    return {"confirmed": {"type": "boolean"}, "rejection_feedback": note}, ["confirmed"]


def _plain(schema: dict[str, Any]) -> dict[str, Any] | None:
    kind = schema.get("type")
    if kind not in _PLAIN or ("enum" in schema and not all(isinstance(item, str) for item in schema["enum"])):
        return None
    return {name: value for name, value in schema.items() if name in _KEPT}


def answer_of(asked: Requirement, said: types.ElicitResult) -> dict[str, Any] | None:
    """The answer that ``requirement.answer`` takes; None: the user has put it off."""
    if said.action == "cancel":
        return None
    given = {name: value for name, value in (said.content or {}).items() if value is not None and value != ""}
    if isinstance(asked, ErrorRequirement):
        return {"decision": given.get("decision", "skip") if said.action == "accept" else "skip"}
    if said.action == "decline":
        return {"confirmed": False}
    if asked.requires_route_selection:
        return {"selected_choices": [given.get("choice")]}
    if asked.requires_user_input:
        return {"user_input": given, **({"confirmed": True} if asked.requires_confirmation else {})}
    return given
