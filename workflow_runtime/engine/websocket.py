"""Events pushed to a WebSocket: a reader of the bus like any other, with a task that sends. (D5)"""

from __future__ import annotations

import logging
from typing import Any, Protocol

import anyio

from ..model.codec import encode_event
from ..model.events import Event
from .bus import Buffer
from .execution import Execution
from .loops import spawn

__all__ = ["SupportsSendText", "WebSocketHandler", "push"]

logger = logging.getLogger("workflow_runtime")
_SEND_SECONDS = 10.0


class SupportsSendText(Protocol):
    """Starlette's and FastAPI's WebSocket, or an object of your own."""

    async def send_text(self, data: str) -> Any: ...


class WebSocketHandler:
    """A socket and how it is served: a queue of ``size`` frames, text deltas merged when it is slow.

    Each frame is one JSON object: the event with its ``event`` name, ``seq`` and ``run_id``.
    """

    def __init__(self, websocket: SupportsSendText, size: int = 256, policy: str = "coalesce") -> None:
        self.websocket = websocket
        self.size = size
        self.policy = policy

    async def handle_event(self, event: Event) -> None:
        """Send one event now."""
        await self.websocket.send_text(encode_event(event).decode())


def as_handler(given: Any) -> WebSocketHandler:
    """A handler as it is; any object with an async ``send_text`` wrapped. TypeError for anything else."""
    if isinstance(given, WebSocketHandler):
        return given
    if callable(getattr(given, "send_text", None)):
        return WebSocketHandler(given)
    raise TypeError(f"a websocket needs an async send_text(str) method; {type(given).__name__} has none")


def push(run: Execution, given: Any) -> None:
    """Send the events of ``run`` to a socket from now on. A socket that fails or hangs is let go; the run goes on."""
    handler = as_handler(given)
    buffer = run.bus.attach(Buffer(handler.size, handler.policy))

    async def send() -> None:
        try:
            while (event := await buffer.take()) is not None:
                with anyio.fail_after(_SEND_SECONDS):
                    await handler.handle_event(event)
        except Exception as error:
            logger.info("run %s: a websocket was let go: %r", run.id, error)
        finally:
            run.bus.detach(buffer)

    spawn(send, f"websocket of run {run.id}")
