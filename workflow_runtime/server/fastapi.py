"""create_router: the same routes as part of a FastAPI app, in its OpenAPI document, with its own way to tell users."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from fastapi import APIRouter, Depends, Request, Response, WebSocket
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from .. import BaseDb, Workflow
from .app import service_of, serving_span
from .auth import ANYBODY, User
from .errors import Refused
from .guard import Guard
from .http.call import answering, refusal
from .http.openapi import describe_operation
from .http.operations import OPERATIONS, Operation
from .http.protocols import McpRoute
from .http.websocket import Socket
from .limits import Limits

__all__ = ["create_router"]


def create_router(
    workflows: Workflow | Iterable[Workflow],
    *,
    db: BaseDb | str | None = None,
    auth: Callable[..., Any] | None = None,
    origins: Sequence[str] = (),
    hosts: Sequence[str] | None = None,
    limits: Limits | None = None,
    grace: float = 10.0,
    recover: bool = True,
) -> APIRouter:
    """The routes of ``workflow_app`` for ``app.include_router(...)``; the app's lifespan runs the Runtime with its own.

    Args:
        auth: A dependency of the app that gives the caller's user id, or a ``workflow_runtime.server.User``; what it
            raises is answered as the app answers. None: loopback addresses only. A socket runs it too, so it should take
            ``HTTPConnection`` rather than ``Request``.
        db, origins, hosts, limits, grace, recover: As for ``workflow_app``. Security headers and CORS are the app's own.
    """
    service = service_of(workflows, db=db, limits=limits, grace=grace)
    guard = Guard(_no_app, auth=None if auth is None else _asked, origins=origins, hosts=hosts)
    mcp = McpRoute(service)
    router = APIRouter(lifespan=serving_span(service, recover=recover, beside=mcp.running))
    whoever: Any = Depends(auth if auth is not None else _nobody)

    def add(operation: Operation) -> None:
        answer = answering(service, operation.endpoint)

        async def endpoint(request: Request, workflow_user: Any = whoever) -> Response:
            try:
                guard.refuse_strangers(request.scope)
                request.scope["workflow_user"] = _user(workflow_user, auth is None)
            except Refused as refused:
                return refusal(refused, request.url.path)
            return await answer(request)

        described = describe_operation(operation)
        router.add_api_route(
            operation.path,
            endpoint,
            methods=[operation.method],
            name=operation.name,
            summary=operation.summary,
            operation_id=described["operationId"],
            response_model=None,
            openapi_extra=described,
        )

    for operation in OPERATIONS:
        add(operation)

    async def speak_mcp(request: Request, workflow_user: Any = whoever) -> Response:
        try:
            guard.refuse_strangers(request.scope)
            request.scope["workflow_user"] = _user(workflow_user, auth is None)
        except Refused as refused:
            return refusal(refused, request.url.path)
        return _Handed(mcp)

    router.add_api_route(
        "/mcp", speak_mcp, methods=["GET", "POST", "DELETE"], name="mcp", response_model=None, include_in_schema=False
    )

    async def socket(websocket: WebSocket, workflow_user: Any = whoever) -> None:
        try:
            guard.refuse_strangers(websocket.scope)
            websocket.scope["workflow_user"] = _user(workflow_user, auth is None)
        except Refused as refused:
            await websocket.send_denial_response(refusal(refused, websocket.url.path))
            return
        await Socket(service, websocket, None).serve()

    router.add_api_websocket_route("/workflows/ws", socket, name="socket")
    return router


class _Handed(Response):
    """A response that an ASGI app gives, with the request as it came."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__()
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


def _user(found: Any, anybody: bool) -> User:
    if anybody:
        return ANYBODY
    user = User(found) if isinstance(found, str) else found
    if not isinstance(user, User) or not (user.user_id or user.is_admin):
        raise Refused(401, "unauthenticated", "who are you? Send the credentials that this server asks for")
    return user


def _nobody() -> None:
    return None


def _asked(connection: HTTPConnection) -> None:
    return None


async def _no_app(*args: Any) -> None:
    raise NotImplementedError
