"""workflow_app: the ASGI app that serves workflows, alone or mounted in another one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette

from .. import Runtime, Workflow
from ..storage.base import BaseDb
from ..storage.registry import open_url
from .auth import Authenticate
from .http.routes import http_routes
from .limits import Limits
from .service import Service

__all__ = ["workflow_app"]


def workflow_app(
    workflows: Workflow | Iterable[Workflow],
    *,
    db: BaseDb | str | None = None,
    auth: Authenticate | None = None,
    limits: Limits | None = None,
    grace: float = 10.0,
    recover: bool = True,
) -> Starlette:
    """An ASGI app that serves ``workflows``; its lifespan owns a Runtime.

    Where another app mounts it, that app has to run the lifespan too: ``lifespan=app.router.lifespan_context``.

    Args:
        db: For the workflows that have none.
        auth: Finds out who asks, from a request or a socket: a User, a user id, or None for nobody.
        limits: How much one client may ask for.
        grace: Seconds that running runs get to end when the app is shut down; what is still going then goes on in the
            next process that has the database (without one it is cancelled).
        recover: Take over runs whose process died.
    """
    workflows = [workflows] if isinstance(workflows, Workflow) else list(workflows)
    shared = open_url(db) if isinstance(db, str) else db
    for workflow in workflows:
        if workflow.db is None and shared is not None:
            workflow.db = shared
    service = Service(workflows, limits=limits)

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[dict[str, Any]]:
        async with Runtime(*workflows, grace=grace, recover=recover, on_exit="release") as runtime:
            try:
                yield {"runtime": runtime}
            finally:
                service.stop()

    app = Starlette(routes=http_routes(service, auth), lifespan=lifespan)
    app.state.service = service
    return app
