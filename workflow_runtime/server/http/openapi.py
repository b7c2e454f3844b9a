"""The OpenAPI 3.1 document, from the table of routes and the types of what clients send."""

from __future__ import annotations

from typing import Any

import msgspec

from ... import RunStatus
from .call import VERSION
from .operations import OPERATIONS, SSE, Operation

__all__ = ["describe_operation", "openapi_document"]

_ID = {"type": "string", "minLength": 1, "maxLength": 200}
_ERROR: dict[str, Any] = {
    "type": "object",
    "properties": {"detail": {"type": "string"}, "code": {"type": "string"}},
    "required": ["detail", "code"],
}
_SAID = {
    200: "See the summary",
    202: "Accepted: it continues after this response",
    204: "Nothing follows",
    400: "The request is not valid",
    401: "Not authenticated",
    403: "Not for this caller, or from this page",
    404: "No such thing of this user",
    408: "The rest of the request did not come",
    409: "Not in this state",
    410: "It is not stored any more",
    413: "Too large",
    415: "Another content type is needed",
    429: "Too many open connections",
    501: "The server lacks an optional package for this",
    503: "The server stops, or its database cannot be reached",
}
_RUN: dict[str, Any] = {
    "type": "object",
    "description": "A run: WorkflowRunOutput.to_dict()",
    "properties": {
        "run_id": {"type": "string"},
        "session_id": {"type": "string"},
        "workflow_id": {"type": "string"},
        "status": {"enum": [status.value for status in RunStatus]},
        "content": {},
        "step_results": {"type": "array", "items": {"type": "object"}},
        "step_requirements": {"type": "array", "items": {"type": "object"}},
        "error": {"type": "string"},
    },
    "required": ["run_id", "status"],
}
_ACCEPTED: dict[str, Any] = {
    "type": "object",
    "properties": {"run_id": {"type": "string"}, "session_id": {"type": "string"}, "status": {"type": "string"}},
    "required": ["run_id", "session_id", "status"],
}
_EVENTS = {"description": "Server-sent events: id (epoch-seq), event (its name), data (the event as a JSON object)"}
_RUNS_OUT = ("start_run", "answer_run", "fork_run", "read_run")


def openapi_document(title: str, *, secured: bool) -> dict[str, Any]:
    """The document for an app whose routes stand at its root. ``secured``: callers show a bearer token."""
    paths: dict[str, Any] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method.lower()] = describe_operation(operation)
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": title, "version": VERSION},
        "paths": paths,
    }
    if secured:
        document["components"] = {"securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}}}
        document["security"] = [{"bearer": []}]
    return document


def describe_operation(operation: Operation) -> dict[str, Any]:
    """One operation, whole in itself: FastAPI takes it as ``openapi_extra``."""
    described: dict[str, Any] = {
        "operationId": operation.name
        + ("_of_workflow" if operation.name == "list_pending" and operation.parameters else ""),
        "summary": operation.summary,
        "tags": ["health" if operation.path == "/health" else operation.path.split("/")[1]],
        "parameters": _parameters(operation),
        "responses": _responses(operation),
    }
    if operation.is_open:
        described["security"] = []
    if operation.body is not None:
        schema = inlined(operation.body)
        content = {"application/json": {"schema": schema}}
        if operation.forms:
            content["multipart/form-data"] = {"schema": _form(schema)}
        described["requestBody"] = {
            "content": content,
            "required": operation.name in ("change_session", "change_state"),
        }
    return described


def _parameters(operation: Operation) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": _ID} for name in operation.parameters
    ]
    if operation.query is not None:
        schema = inlined(operation.query)
        for name, part in schema["properties"].items():
            found.append({"name": name, "in": "query", "required": False, "schema": _without_null(part)})
    if operation.name == "read_events":
        found.append({"name": "Last-Event-ID", "in": "header", "required": False, "schema": {"type": "string"}})
    return found


def _responses(operation: Operation) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for status, media in operation.answers.items():
        said: dict[str, Any] = {"description": _SAID[status]}
        if media:
            said["content"] = {media: {"schema": _answer(operation, status, media)}}
        if status == 200 and operation.name in ("start_run", "answer_run"):
            said["content"][SSE] = {"schema": _EVENTS}
        if operation.name == "read_graph":
            said["content"] |= {kind: {"schema": {"type": "string"}} for kind in ("image/svg+xml", "text/vnd.graphviz")}
        found[str(status)] = said
    late = {408} if 413 in operation.refusals else set()  # what may be too large may also be too slow
    for status in sorted({400, 401, 403, *operation.refusals, *late, 503}):
        found.setdefault(
            str(status), {"description": _SAID[status], "content": {"application/json": {"schema": _ERROR}}}
        )
    if operation.path == "/health":
        found["503"] = {"description": _SAID[503], "content": {"application/json": {"schema": {"type": "object"}}}}
    return found


def _answer(operation: Operation, status: int, media: str) -> dict[str, Any]:
    if media != "application/json":
        return _EVENTS if media == SSE else {"type": "string"}
    if status == 202:
        return _ACCEPTED
    if operation.name in _RUNS_OUT:
        return _RUN
    return {"type": "array"} if operation.name == "list_workflows" else {"type": "object"}


def _form(schema: dict[str, Any]) -> dict[str, Any]:
    """The same body as form fields: ``message`` for the input; objects and lists as JSON text; files as themselves."""
    flags = {"type": "string", "enum": ["true", "false"]}
    fields: dict[str, Any] = {}
    for name, part in schema["properties"].items():
        kinds = {kind.get("type") for kind in part.get("anyOf", [part])}
        fields[name] = flags if "boolean" in kinds else _without_null(part) if "string" in kinds else {"type": "string"}
    if "input" in fields:
        fields["message"] = {"type": "string"}
        for name in ("images", "audio", "videos", "files"):
            fields[name] = {"type": "array", "items": {"type": "string", "format": "binary"}}
    return {"type": "object", "properties": fields}


def _without_null(part: dict[str, Any]) -> dict[str, Any]:
    kinds = [kind for kind in part.get("anyOf", ()) if kind != {"type": "null"}]
    if len(kinds) == 1:
        return {**kinds[0], **({"default": part["default"]} if part.get("default") is not None else {})}
    return {key: value for key, value in part.items() if not (key == "default" and value is None)}


def inlined(kind: type) -> dict[str, Any]:
    """The JSON Schema of a type without references, so that it can stand anywhere."""
    schema = msgspec.json.schema(kind)
    parts: dict[str, Any] = schema.pop("$defs", {})

    def resolve(value: Any) -> Any:
        if isinstance(value, dict):
            if "$ref" in value:
                return resolve(parts[value["$ref"].rpartition("/")[2]])
            return {key: resolve(item) for key, item in value.items()}
        return [resolve(item) for item in value] if isinstance(value, list) else value

    resolved: dict[str, Any] = resolve(schema)
    return resolved
