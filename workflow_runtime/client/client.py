"""Client: a server and its workflows; WorkflowClient: one of them, with the verbs of a local ``Workflow``."""

from __future__ import annotations

from collections.abc import Coroutine, Iterable, Mapping
from types import TracebackType
from typing import Any, Literal, Self, overload
from urllib.parse import quote

import httpx2

from ..model.run import WorkflowRunOutput
from .run import RemoteRun
from .sending import SendVerbs
from .sessions import SessionVerbs
from .starting import StartVerbs
from .transport import Transport
from .verbs import RunVerbs, pending
from .wire import Wire, told

__all__ = ["Client", "WorkflowClient"]


class WorkflowClient(StartVerbs, RunVerbs, SendVerbs, SessionVerbs):
    """One workflow of a server: ``client.workflow("support")``. It has the async methods of ``Workflow``.

    A lost call is retried for ``reconnect`` seconds, and never takes effect twice: a run's id is chosen here, before the
    request.
    """

    def __init__(self, client: Client, workflow_id: str) -> None:
        self.client = client
        self.id = workflow_id
        self.path = f"/workflows/{quote(workflow_id, safe='')}"
        self.transport = client.transport
        self.wire = client.wire

    def __repr__(self) -> str:
        return f"WorkflowClient({self.id!r} at {self.transport.url})"

    async def describe(self) -> dict[str, Any]:
        """The server's description of the workflow: description, input JSON Schema, steps, graph."""
        return told(await self.transport.call("GET", self.path), dict[str, Any])


class Client:
    """A server of workflows.

    Args:
        url: The base URL of its routes, such as "https://flows.example.com" or "http://localhost:8000/api".
        token: Sent as ``Authorization: Bearer``.
        headers: Sent with every request.
        timeout: Seconds to connect and to send.
        reconnect: Seconds for which the client retries if the server is unreachable, with growing pauses; 0: no retries.
        types: Classes of values in events, and of custom events, that may be rebuilt. A value of any other class is the
            plain JSON of its fields, since a server is not trusted to name code of this process.
        http: An ``httpx2.AsyncClient`` of your own (proxies, certificates); closing it stays with you.

    Close it with ``aclose()`` or use it as ``async with Client(...) as client``. It belongs to one event loop.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = 10.0,
        reconnect: float = 60.0,
        types: Iterable[type] = (),
        http: httpx2.AsyncClient | None = None,
    ) -> None:
        self.transport = Transport(url, token=token, headers=headers, timeout=timeout, reconnect=reconnect, http=http)
        self.wire = Wire(types)

    def __repr__(self) -> str:
        return f"Client({self.transport.url!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections. Runs are not touched."""
        await self.transport.aclose()

    def workflow(self, workflow_id: str) -> WorkflowClient:
        """The workflow of that id. No request is sent yet."""
        return WorkflowClient(self, workflow_id)

    async def workflows(self) -> list[dict[str, Any]]:
        """The server's description of each of its workflows; at least ``id``, ``name`` and ``description``."""
        found = await self.transport.call("GET", "/workflows")
        return told(found.get("workflows") if isinstance(found, dict) else found, list[dict[str, Any]])

    async def alist_pending(self, session_id: str | None = None) -> list[Any]:
        """The open requirements of all workflows, oldest first."""
        return await pending(self.transport, "/pending", session_id)

    def run(self, workflow_id: str, input: Any = None, **options: Any) -> RemoteRun:
        """``client.workflow(workflow_id).run(input, ...)``."""
        return self.workflow(workflow_id).run(input, **options)

    @overload
    def arun(self, workflow_id: str, input: Any = None, *, stream: Literal[True], **options: Any) -> RemoteRun: ...

    @overload
    def arun(
        self, workflow_id: str, input: Any = None, *, stream: Literal[False] | None = None, **options: Any
    ) -> Coroutine[Any, Any, WorkflowRunOutput]: ...

    def arun(
        self, workflow_id: str, input: Any = None, *, stream: bool | None = None, **options: Any
    ) -> RemoteRun | Coroutine[Any, Any, WorkflowRunOutput]:
        """``client.workflow(workflow_id).arun(input, ...)``."""
        return self.workflow(workflow_id).arun(input, stream=bool(stream), **options)
