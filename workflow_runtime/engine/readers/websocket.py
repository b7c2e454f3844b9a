"""Events pushed to a WebSocket: a reader of the bus like any other, with a task that sends. (D5)"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import anyio

from ...core.lifecycle import is_end
from ...core.position import Position
from ...model.codec import event_frame
from ...model.events import Event
from ...model.run import WorkflowRunOutput
from ..bus.buffer import Buffer
from ..loop.loops import spawn
from ..run.execution import Execution
from ..run.host import run_awaited
from ..run.joined import Joined
from .subscription import Subscription

__all__ = ["SupportsSendText", "WebSocketHandler", "as_handler", "push", "run_pushed"]

logger = logging.getLogger("workflow_runtime")
_SEND_SECONDS = 10.0
_GRACE_SECONDS = 0.25


class SupportsSendText(Protocol):
    """Starlette's and FastAPI's WebSocket, or an object of your own."""

    async def send_text(self, data: str) -> Any: ...


class WebSocketHandler:
    """A socket and how it is served: a queue of ``size`` frames, text deltas merged when it is slow.

    Each frame is one JSON object: the event with its ``event`` name, ``seq`` and ``run_id``.
    """

    def __init__(self, websocket: SupportsSendText, size: int = 256, policy: str = "coalesce") -> None:
        if not callable(getattr(websocket, "send_text", None)):
            raise TypeError(f"a websocket needs an async send_text(str) method; {type(websocket).__name__} has none")
        Buffer(size, policy)  # a ValueError now instead of at the first run
        self.websocket = websocket
        self.size = size
        self.policy = policy

    async def handle_event(self, event: Event) -> None:
        """Send one event now."""
        await self.websocket.send_text(event_frame(event).decode())


def as_handler(given: Any) -> WebSocketHandler | None:
    """A handler (or None) as it is; any object with an async ``send_text`` wrapped. TypeError for anything else."""
    if given is None or isinstance(given, WebSocketHandler):
        return given
    return WebSocketHandler(given)


class Sending:
    """The task that sends the events of one run to one socket, to its end or its pause."""

    def __init__(self, run: Execution | Joined, handler: WebSocketHandler) -> None:
        self._run = run
        self._handler = handler
        # A client of a logged run may go on from the log: what it got must have an end.
        self._buffer = Buffer(handler.size, handler.policy, apart=not run.keeps_log)
        run.attach(self._buffer)
        self._log: Subscription | None = None
        self._sent = 0
        self._done = anyio.Event()

    async def work(self) -> None:
        try:
            while (event := await self._next()) is not None:
                with anyio.fail_after(_SEND_SECONDS):
                    await self._handler.handle_event(event)
                self._sent += 1
                if is_end(event):
                    return
        except Exception as error:
            logger.info("run %s: a broken websocket was detached: %r", self._run.id, error)
        finally:
            self._run.detach(self._buffer)
            self._done.set()

    async def _next(self) -> Event | None:
        """The next event. A background run that another process has taken over goes on from the log."""
        run, buffer = self._run, self._buffer
        if self._log is None:
            event = await buffer.take()
            if event is None or isinstance(run, Joined):
                return event
            if not (is_end(event) and run.end_is_lost and run.request.background and run.logged):
                return event
            after = str(Position(buffer.last_epoch, buffer.last_seq))
            self._log = Subscription(
                run.definition.db, run.id, after=after, sieve=None, policy=self._handler.policy, size=self._handler.size
            )
        return await anext(self._log, None)

    async def flushed(self) -> None:
        """Until all is sent, or the socket has taken no frame for a moment: nobody waits for a hanging one."""
        sent = -1
        while not self._done.is_set() and self._sent != sent:
            sent = self._sent
            with anyio.move_on_after(_GRACE_SECONDS):
                await self._done.wait()


def push(run: Execution | Joined, handler: WebSocketHandler) -> Sending:
    """Send the events of ``run`` to a socket from now on. A socket that fails or hangs is let go; the run goes on."""
    sending = Sending(run, handler)
    spawn(sending.work, f"websocket of run {run.id}")
    return sending


async def run_pushed(
    prepare: Callable[[], Awaitable[Execution | Joined]], handler: WebSocketHandler
) -> WorkflowRunOutput:
    """``run_awaited`` with a socket. The caller may end its event loop right after: what is under way is sent first."""
    sending: list[Sending] = []

    async def prepared() -> Execution | Joined:
        run = await prepare()
        sending.append(push(run, handler))
        return run

    try:
        output = await run_awaited(prepared)
    except Exception:  # not when cancelled: then nobody waits for anything
        await _flush(sending)
        raise
    await _flush(sending)
    return output


async def _flush(sending: list[Sending]) -> None:
    for item in sending:
        await item.flushed()
