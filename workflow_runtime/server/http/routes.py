"""The JSON routes."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from ... import WorkflowRunOutput
from ..auth import Authenticate, User, authenticated
from ..errors import Refused, as_refused
from ..requests import StartRun
from ..service import ServedRun, Service
from .sse import EventStream

__all__ = ["http_routes"]

logger = logging.getLogger("workflow_runtime")

Endpoint = Callable[[Service, User, Request], Awaitable[Response]]


def as_json(data: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(data), status, media_type="application/json")


def http_routes(service: Service, auth: Authenticate | None) -> list[BaseRoute]:
    def route(path: str, endpoint: Endpoint, method: str) -> Route:
        async def call(request: Request) -> Response:
            try:
                return await endpoint(service, await authenticated(auth, request), request)
            except Exception as error:
                refused = as_refused(error)
                if refused is None:
                    logger.exception("%s %s failed", request.method, request.url.path)
                    refused = Refused(500, "internal", "something went wrong here; the server's log says what")
                return as_json(refused.to_dict(), refused.status)

        return Route(path, call, methods=[method], name=endpoint.__name__)

    return [
        route("/workflows/{workflow_id}/runs", start_run, "POST"),
        route("/workflows/{workflow_id}/runs/{run_id}", read_run, "GET"),
        route("/workflows/{workflow_id}/runs/{run_id}/events", read_events, "GET"),
    ]


async def start_run(service: Service, user: User, request: Request) -> Response:
    try:
        start = msgspec.json.decode(await request.body(), type=StartRun)
    except msgspec.DecodeError as error:
        raise Refused(400, "bad_request", str(error)) from None
    found = await service.start(user, request.path_params["workflow_id"], start)
    if isinstance(found, ServedRun):
        return EventStream(found, service.limits, seat=service.reading(user, found.run_id), stopping=service.stopping)
    if start.background:
        return as_json({"run_id": found.run_id, "session_id": found.session_id, "status": found.status}, 202)
    return run_json(found)


async def read_run(service: Service, user: User, request: Request) -> Response:
    return run_json(await service.run(user, request.path_params["workflow_id"], request.path_params["run_id"]))


async def read_events(service: Service, user: User, request: Request) -> Response:
    run_id = request.path_params["run_id"]
    after = request.headers.get("last-event-id") or request.query_params.get("after") or 0
    source = await service.subscribe(user, request.path_params["workflow_id"], run_id, after=after)
    return EventStream(source, service.limits, seat=service.reading(user, run_id), stopping=service.stopping)


def run_json(output: WorkflowRunOutput) -> Response:
    return as_json(output.to_dict())
