"""Endpoints of sessions."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from ... import WorkflowSession
from ...model.text import shown
from ..requests import ChangeSession, ChangeState, SessionsQuery
from .body import read_body
from .call import Call, as_json

__all__ = [
    "change_session",
    "change_state",
    "delete_session",
    "list_sessions",
    "read_session",
    "read_state",
]

_SHOWN = (
    "session_id",
    "user_id",
    "workflow_id",
    "workflow_name",
    "session_name",
    "session_state",
    "metadata",
    "created_at",
    "updated_at",
)


def _shown(session: WorkflowSession) -> dict[str, Any]:
    data = {name: getattr(session, name) for name in _SHOWN}
    return {**data, "metrics": shown(session.session_metrics)}


async def list_sessions(call: Call) -> Response:
    query = call.query(SessionsQuery)
    page = await call.service.sessions(call.user, query.workflow_id, limit=query.limit, before=query.before)
    return as_json({"sessions": page.items, "next": page.next})


async def read_session(call: Call) -> Response:
    return as_json(_shown(await call.service.session(call.user, call.path("session_id"))))


async def change_session(call: Call) -> Response:
    body = await read_body(call.request, ChangeSession, call.service.limits)
    return as_json(_shown(await call.service.rename_session(call.user, call.path("session_id"), body.session_name)))


async def delete_session(call: Call) -> Response:
    await call.service.delete_session(call.user, call.path("session_id"))
    return Response(status_code=204)


async def read_state(call: Call) -> Response:
    return as_json({"session_state": await call.service.session_state(call.user, call.path("session_id"))})


async def change_state(call: Call) -> Response:
    body = await read_body(call.request, ChangeState, call.service.limits)
    state = await call.service.change_session_state(call.user, call.path("session_id"), body.session_state)
    return as_json({"session_state": state})
