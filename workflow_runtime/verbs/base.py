"""What the groups of verbs know of the Workflow that they belong to."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from .. import engine
from ..brokers.base import Broker
from ..model.run import WorkflowRunOutput
from ..storage.base import BaseDb

__all__ = ["Verbs"]


class Verbs:
    """The attributes of Workflow that its verbs use."""

    db: BaseDb | None
    broker: Broker | None
    id: str
    name: str | None
    description: str | None
    session_id: str | None
    user_id: str | None
    store_events: bool
    events_to_skip: list[Any]
    websocket_handler: Any
    clock: Any
    input_schema: Any
    _session_cache: dict[str, Any]
    _default_sessions: dict[str | None, str]

    def definition(self) -> engine.request.Definition:
        raise NotImplementedError

    def to_dict(self) -> dict[str, Any]:
        raise NotImplementedError

    def resolve_session(self, session_id: str | None, user_id: str | None) -> str:
        raise NotImplementedError

    def _streams(self, stream: bool | None, background: bool | None, websocket: Any) -> bool:
        raise NotImplementedError

    def _launch(
        self,
        prepare: Callable[[], Awaitable[engine.execution.Execution | engine.joined.Joined]],
        run_id: str,
        stream: bool,
        stream_events: bool | None,
        stream_executor_events: bool | None,
        background: bool,
        websocket: engine.websocket.WebSocketHandler | None,
    ) -> engine.stream.RunStream | Coroutine[Any, Any, WorkflowRunOutput]:
        raise NotImplementedError

    async def _detach(
        self, prepare: Callable[[], Awaitable[engine.execution.Execution | engine.joined.Joined]]
    ) -> WorkflowRunOutput:
        raise NotImplementedError

    def _wait(self, launch: Callable[[], Any]) -> Any:
        raise NotImplementedError
