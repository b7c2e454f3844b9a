"""workflow_app: the ASGI app that serves workflows, alone or mounted in another one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from .. import BaseDb, Runtime, Webhook, Workflow
from ..storage.registry import open_url
from .auth import Authenticate
from .guard import Guard
from .http.call import Call, answering, as_json, no_route
from .http.openapi import openapi_document
from .http.operations import OPERATIONS
from .http.protocols import McpRoute
from .http.websocket import socket_route
from .limits import Limits
from .service import Service
from .shutdown import told_to_end

__all__ = ["service_of", "serving_span", "workflow_app"]

_SENT_BY_PAGES = (
    "Authorization",
    "Content-Type",
    "Last-Event-ID",
    "Mcp-Method",
    "Mcp-Name",
    "Mcp-Protocol-Version",
    "Mcp-Session-Id",
)


def workflow_app(
    workflows: Workflow | Iterable[Workflow],
    *,
    db: BaseDb | str | None = None,
    auth: Authenticate | None = None,
    origins: Sequence[str] = (),
    allow_headers: Sequence[str] = (),
    hosts: Sequence[str] | None = None,
    limits: Limits | None = None,
    grace: float = 10.0,
    recover: bool = True,
    webhooks: Sequence[Webhook] = (),
    title: str = "Workflows",
    inspector: bool = True,
) -> Starlette:
    """An ASGI app that serves ``workflows``; its lifespan owns a Runtime.

    Where another app mounts it, that app has to run the lifespan too: ``lifespan=app.router.lifespan_context``.

    Args:
        db: For the workflows that have none.
        auth: Finds out who asks, from a request or a socket: a User, a user id, or None for nobody. None: nobody is
            asked, and the app answers to loopback addresses only.
        origins: Origins such as "https://app.example.com" whose pages may call this server; others may not.
        allow_headers: Request headers that those pages may send beside ``Authorization``, ``Content-Type``,
            ``Last-Event-ID`` and the ones of MCP; for example the one that ``auth`` reads.
        hosts: Names that the server is known under; None: with ``auth`` any, else the loopback's.
        limits: How much one client may ask for.
        grace: Seconds that running runs get to end when the app is shut down; what is still going then goes on in the
            next process that has the database (without one it is cancelled).
        recover: Take over runs whose process died.
        webhooks: Where events of the runs of all workflows are sent, beside their own webhooks.
        title: What the OpenAPI document is called.
        inspector: Serve pages for people at ``/inspector``.
    """
    service = service_of(workflows, db=db, limits=limits, grace=grace, webhooks=webhooks)
    middleware = [Middleware(Guard, auth=auth, origins=origins, hosts=hosts)]
    if origins:
        allowed = Middleware(
            CORSMiddleware,
            allow_origins=list(origins),
            allow_credentials=True,
            allow_methods=["GET", "POST", "PATCH", "DELETE"],
            allow_headers=[*_SENT_BY_PAGES, *allow_headers],
            expose_headers=["X-Run-Id", "Mcp-Session-Id"],
        )
        middleware.insert(0, allowed)
    routes = [*_routes(service, openapi_document(title, secured=auth is not None)), socket_route(service, auth)]
    mcp = McpRoute(service)
    routes.append(Route("/mcp", mcp, name="mcp"))
    if inspector:
        from .inspector import inspector_routes

        routes += inspector_routes(service)
    app = Starlette(
        routes=routes,
        middleware=middleware,
        exception_handlers={HTTPException: no_route},
        lifespan=serving_span(service, recover=recover, beside=mcp.running),
    )
    app.state.service = service
    return app


def service_of(
    workflows: Workflow | Iterable[Workflow],
    *,
    db: BaseDb | str | None = None,
    limits: Limits | None = None,
    grace: float = 10.0,
    webhooks: Sequence[Webhook] = (),
) -> Service:
    """The service over these workflows; ``db`` becomes the database of those that have none."""
    workflows = [workflows] if isinstance(workflows, Workflow) else list(workflows)
    shared = open_url(db) if isinstance(db, str) else db
    for workflow in workflows:
        if workflow.db is None and shared is not None:
            workflow.db = shared
        more = [webhook for webhook in webhooks if webhook not in workflow.webhooks]
        if more:
            workflow.webhooks = (*workflow.webhooks, *more)
            workflow.definition()  # what cannot work is refused now
        workflow.to_svg()  # what draws is loaded now, not by a request
    return Service(workflows, limits=limits, grace=grace)


def serving_span(
    service: Service,
    *,
    recover: bool = True,
    beside: Callable[[], AbstractAsyncContextManager[None]] = nullcontext,
) -> Callable[[Any], AbstractAsyncContextManager[dict[str, Any]]]:
    """The lifespan of an app that serves ``service``; ``beside`` is open as long."""

    @asynccontextmanager
    async def span(_: Any) -> AsyncIterator[dict[str, Any]]:
        runtime = Runtime(*service.workflows.values(), grace=service.grace, recover=recover, on_exit="release")
        with told_to_end(service.stop):
            try:
                async with runtime:
                    service.started = True
                    try:
                        async with beside():
                            try:
                                yield {"runtime": runtime}
                            finally:
                                service.stop()
                    finally:
                        service.started = False
                        runtime.grace = service.grace_left()
            finally:
                for _, db in service.databases():
                    await db.aclose()

    return span


def _routes(service: Service, document: dict[str, Any]) -> list[BaseRoute]:
    async def openapi(_: Call) -> Response:
        return as_json(document)

    rows = [(row.path, row.endpoint, row.method, row.name) for row in OPERATIONS]
    rows.append(("/openapi.json", openapi, "GET", "openapi"))
    return [
        Route(path, answering(service, endpoint), methods=[method], name=name) for path, endpoint, method, name in rows
    ]
