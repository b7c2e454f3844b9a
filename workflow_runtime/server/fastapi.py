"""create_router: the same routes as part of a FastAPI app, in its OpenAPI document, with its own way to tell users."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from typing import Any

from fastapi import APIRouter, Depends, Request, Response, WebSocket
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from .. import BaseDb, Webhook, Workflow
from .app import service_of, serving_span
from .auth import ANYBODY, identified
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
    webhooks: Sequence[Webhook] = (),
) -> APIRouter:
    """The routes of ``workflow_app`` for ``app.include_router(...)``; the app's lifespan runs the Runtime with its own.

    Args:
        auth: A dependency of the app that returns the caller's user id, or a ``workflow_runtime.server.User``; what it
            raises is answered as the app answers. None: loopback addresses only. A socket runs it too, so it should take
            ``HTTPConnection`` rather than ``Request``. A function whose one required parameter has no annotation gets
            the ``HTTPConnection``, as with ``workflow_app``.
        db, origins, hosts, limits, grace, recover: As for ``workflow_app``. Security headers and CORS are the app's own.
    """
    service = service_of(workflows, db=db, limits=limits, grace=grace, webhooks=webhooks)
    guard = Guard(_no_app, auth=None if auth is None else _asked, origins=origins, hosts=hosts)
    mcp = McpRoute(service)
    router = APIRouter(lifespan=serving_span(service, recover=recover, beside=mcp.running))
    caller: Any = Depends(_dependency(auth) if auth is not None else _nobody)

    async def admit(connection: HTTPConnection, user: Any) -> None:
        """Refused for a caller that this server does not answer."""
        guard.refuse_strangers(connection.scope)
        connection.scope["workflow_user"] = ANYBODY if auth is None else await identified(user)

    def add(operation: Operation) -> None:
        answer = answering(service, operation.endpoint)

        async def guarded(request: Request, workflow_user: Any = caller) -> Response:
            try:
                await admit(request, workflow_user)
            except Refused as refused:
                return refusal(refused, request.url.path)
            return await answer(request)

        async def open_to_all(request: Request) -> Response:
            return await answer(request)

        described = describe_operation(operation)
        router.add_api_route(
            operation.path,
            open_to_all if operation.is_open else guarded,
            methods=[operation.method],
            name=operation.name,
            summary=operation.summary,
            operation_id=described["operationId"],
            response_model=None,
            openapi_extra=described,
        )

    for operation in OPERATIONS:
        add(operation)

    async def speak_mcp(request: Request, workflow_user: Any = caller) -> Response:
        try:
            await admit(request, workflow_user)
        except Refused as refused:
            return refusal(refused, request.url.path)
        return _Handed(mcp)

    router.add_api_route(
        "/mcp", speak_mcp, methods=["GET", "POST", "DELETE"], name="mcp", response_model=None, include_in_schema=False
    )

    async def socket(websocket: WebSocket, workflow_user: Any = caller) -> None:
        try:
            await admit(websocket, workflow_user)
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


def _dependency(auth: Callable[..., Any]) -> Callable[..., Any]:
    """``auth`` as FastAPI understands it: FastAPI takes a parameter without annotation for one of the query."""
    call = getattr(auth, "__call__", None)  # noqa: B004
    function = call if inspect.ismethod(call) and not inspect.isclass(auth) else auth  # names are looked up where it is
    signature = inspect.signature(function)
    bare = [
        parameter
        for parameter in signature.parameters.values()
        if parameter.annotation is parameter.empty
        and parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]
    if len(bare) != 1:
        return function
    (connection,) = bare

    @wraps(function)
    def with_connection(**values: Any) -> Any:
        call: Any = function
        if connection.kind is connection.POSITIONAL_ONLY:
            return call(values.pop(connection.name), **values)
        return call(**values)

    parameters = [
        parameter.replace(
            annotation=HTTPConnection if parameter is connection else parameter.annotation,
            kind=parameter.KEYWORD_ONLY,
        )
        for parameter in signature.parameters.values()
        if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]
    with_connection.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return with_connection


def _nobody() -> None:
    return None


def _asked(_: HTTPConnection) -> None:
    return None


async def _no_app(*args: Any) -> None:
    raise NotImplementedError
