"""Endpoints of other protocols, each behind an extra of its own that is loaded when it is first asked for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from typing import Any

import anyio
import anyio.abc
import anyio.to_thread
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..errors import Refused
from ..service import Service
from .body import patient
from .call import Call, refusal

__all__ = ["McpRoute", "run_agent"]


async def run_agent(call: Call) -> Response:
    module = await _loaded("agui", "workflow_runtime.server.agui.endpoint", "ag_ui")
    answer: Response = await module.run_agent(call)
    return answer


async def _loaded(extra: str, module: str, package: str) -> Any:
    """The module, loaded in a thread. Refused (501) where its extra is not installed."""
    try:
        return await anyio.to_thread.run_sync(import_module, module)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in (package, f"{package}_types"):
            raise
        raise Refused(
            501, "not_installed", f"this server lacks an extra for that: pip install 'workflow-runtime[{extra}]'"
        ) from None


class McpRoute:
    """MCP at one path: an ASGI app, since the protocol's own package reads the request. Its sessions live as long as the
    app does (``running``); the package is loaded with the first request."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._group: anyio.abc.TaskGroup | None = None
        self._handle: ASGIApp | None = None
        self._loading = anyio.Lock()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """A part of the app's lifespan."""
        async with anyio.create_task_group() as self._group:
            yield
            self._group.cancel_scope.cancel()
        self._group = self._handle = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            handle = await self._started()
        except Refused as refused:
            await refusal(refused, scope["path"])(scope, receive, send)
            return
        async with anyio.create_task_group() as group:

            async def until_stopped() -> None:
                await self._service.stopping.wait()  # a session's stream of its own would stay open for ever
                group.cancel_scope.cancel()

            group.start_soon(until_stopped)
            await handle(scope, _leaving(patient(receive, self._service.limits.receive_timeout)), send)
            group.cancel_scope.cancel()

    async def _started(self) -> ASGIApp:
        async with self._loading:
            handle = self._handle
            if handle is None:
                if self._group is None:
                    raise Refused(503, "not_started", "the lifespan of this app did not run")
                module = await _loaded("mcp", "workflow_runtime.server.mcp.http", "mcp")
                manager = await self._group.start(_hold, module.session_manager(self._service))
                self._handle = handle = module.owned(manager)
            return handle


def _leaving(receive: Receive) -> Receive:
    """A client whose request stops in the middle counts as one that has left: that is what the package knows."""

    async def receive_or_leave() -> Message:
        try:
            return await receive()
        except Refused:
            return {"type": "http.disconnect"}

    return receive_or_leave


async def _hold(manager: Any, *, task_status: anyio.abc.TaskStatus[Any]) -> None:
    async with manager.run():
        task_status.started(manager)
        await anyio.sleep_forever()
