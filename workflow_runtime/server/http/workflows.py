"""Endpoints of workflows: what there is to run, and what it looks like."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from ... import Outline, Workflow
from ..requests import GraphQuery
from .call import VERSION, Call, as_json

__all__ = ["health", "list_workflows", "read_graph", "read_workflow"]

_TYPES = {"svg": "image/svg+xml", "mermaid": "text/plain; charset=utf-8", "dot": "text/vnd.graphviz; charset=utf-8"}


async def health(call: Call) -> Response:
    """For whoever balances load: 503 once the process is told to end."""
    stopping = call.service.stopping.is_set()
    return as_json({"status": "stopping" if stopping else "ok", "version": VERSION}, 503 if stopping else 200)


async def list_workflows(call: Call) -> Response:
    return as_json([_described(workflow) for workflow in call.service.workflows.values()])


async def read_workflow(call: Call) -> Response:
    workflow = call.service.workflow(call.path("workflow_id"))
    return as_json(
        {
            **_described(workflow),
            "input_schema": input_schema(workflow),
            "steps": [_step(item) for item in workflow.outline()],
            "graph": workflow.to_mermaid(),
        }
    )


async def read_graph(call: Call) -> Response:
    workflow, wanted = call.service.workflow(call.path("workflow_id")), call.query(GraphQuery).format
    draw = {"svg": workflow.to_svg, "mermaid": workflow.to_mermaid, "dot": workflow.to_dot}[wanted]
    return Response(draw(), media_type=_TYPES[wanted])


def _described(workflow: Workflow) -> dict[str, Any]:
    return {"id": workflow.id, "name": workflow.name, "description": workflow.description}


def input_schema(workflow: Workflow) -> dict[str, Any] | None:
    """The JSON Schema of the input; None: anything goes."""
    schema = workflow.input_schema
    if schema is None:
        return None
    if hasattr(schema, "model_json_schema"):
        found: dict[str, Any] = schema.model_json_schema()
        return found
    from pydantic import TypeAdapter  # a TypedDict is checked by it too

    return TypeAdapter(schema).json_schema()


def _step(item: Outline) -> dict[str, Any]:
    return {
        "path": item.path,
        "name": item.name,
        "kind": item.kind,
        **({"branch": item.branch} if item.branch else {}),
        **({"facts": list(item.facts)} if item.facts else {}),
        **({"steps": [_step(child) for child in item.children]} if item.children else {}),
    }
