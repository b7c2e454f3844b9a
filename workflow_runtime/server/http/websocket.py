"""The socket ``/workflows/ws``: start, follow, answer and cancel runs over one connection.

A client sends JSON objects with an ``action``; the server sends JSON objects with an ``event``: the events of runs, each
as ``arun(websocket=...)`` sends it, and a few of its own in lower case (connected, subscribed, pong, error ...). A run
that was started here goes on when the socket closes.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import anyio.lowlevel
import msgspec
from starlette.routing import WebSocketRoute
from starlette.types import Scope
from starlette.websockets import WebSocket, WebSocketDisconnect

from ... import ReaderTooSlow
from ...model.codec import event_frame
from ...model.wire import WIRE
from ..auth import Authenticate, User, authenticated
from ..errors import Refused, as_refused
from ..requests import StartRun
from ..service import Service
from .call import wants_types
from .frames import (
    AnswerFrame,
    AuthenticateFrame,
    CancelFrame,
    FollowFrame,
    Frame,
    LeaveFrame,
    PingFrame,
    StartFrame,
    parse_frame,
)
from .sse import Source

__all__ = ["Socket", "socket_route"]

logger = logging.getLogger("workflow_runtime")

_AUTH_SECONDS = 10.0
_CLOSE_SECONDS = 1.0
_FLUSH = 64 * 1024
_ENCODER = msgspec.json.Encoder()


def socket_route(service: Service, auth: Authenticate | None) -> WebSocketRoute:
    async def endpoint(websocket: WebSocket) -> None:
        await Socket(service, websocket, auth).serve()

    return WebSocketRoute("/workflows/ws", endpoint, name="socket")


class Socket:
    """One connection. Each run that it follows has a task; all send through ``_send``, one frame at a time."""

    def __init__(self, service: Service, websocket: WebSocket, auth: Authenticate | None) -> None:
        self._service = service
        self._websocket = websocket
        self._auth = auth
        self._user: User | None = websocket.scope.get("workflow_user")
        self._typed = wants_types(websocket.headers)
        self._sending = anyio.Lock()
        self._unseen = 0
        self._following: dict[str, anyio.CancelScope] = {}
        self._group: anyio.abc.TaskGroup | None = None
        self._actions: dict[type[Frame], Callable[[Any], Awaitable[None]]] = {
            AuthenticateFrame: self._authenticate,
            PingFrame: self._ping,
            StartFrame: self._start,
            FollowFrame: self._follow,
            LeaveFrame: self._leave,
            AnswerFrame: self._answer,
            CancelFrame: self._cancel,
        }

    async def serve(self) -> None:
        """Until the client leaves, takes nothing for too long, or the server stops."""
        await self._websocket.accept()
        code = 1000
        async with anyio.create_task_group() as group:
            self._group = group
            group.start_soon(self._until_stopped)
            try:
                await self._talk()
            except WebSocketDisconnect:
                return
            except TimeoutError:  # it does not read
                code = 1013
            except Refused as refused:
                with anyio.move_on_after(_CLOSE_SECONDS):
                    await self._tell(refused)
                code = 1009 if refused.status == 413 else 1008
            finally:
                group.cancel_scope.cancel()
        if self._service.stopping.is_set():
            code = 1012
        with anyio.move_on_after(_CLOSE_SECONDS):
            await self._close(code)

    async def _close(self, code: int) -> None:
        try:
            await self._websocket.close(code)
        except (RuntimeError, WebSocketDisconnect):  # it is closed already
            logger.debug("a socket was closed twice")

    async def _until_stopped(self) -> None:
        await self._service.stopping.wait()
        assert self._group is not None
        self._group.cancel_scope.cancel()

    async def _talk(self) -> None:
        """Serve what the client asks for. Raises what ends the socket."""
        await self._say(event="connected", message="workflow_runtime", wire=WIRE, requires_auth=self._user is None)
        with anyio.move_on_after(_AUTH_SECONDS) as waiting:
            while self._user is None:
                await self._one(await self._receive())
        if waiting.cancelled_caught or self._user is None:
            raise Refused(401, "unauthenticated", "authenticate first")
        with self._service.seats.taken(self._user):
            while True:
                await self._one(await self._receive())

    async def _receive(self) -> bytes:
        message = await self._websocket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1005))
        text = message.get("text")
        data: bytes = text.encode("utf-8", "replace") if text is not None else message.get("bytes") or b""
        if len(data) > self._service.limits.frame:
            raise Refused(413, "too_large", "the frame is too large")
        return data

    async def _one(self, text: bytes) -> None:
        """One frame of the client. What it asks for may be refused; the socket stays."""
        try:
            frame = parse_frame(text)
            if self._user is None and not isinstance(frame, (AuthenticateFrame, PingFrame)):
                await self._say(event="auth_required", error="authenticate first")
                return
            await self._actions[type(frame)](frame)
        except (WebSocketDisconnect, TimeoutError):
            raise
        except Exception as error:
            await self._tell(error)

    async def _tell(self, error: Exception, **more: Any) -> None:
        refused = as_refused(error)
        if refused is None:
            logger.error("a socket's request failed", exc_info=error)
            refused = Refused(500, "internal", "an unexpected error; see the server's log")
        await self._say(event="error", error=refused.message, error_type=refused.code, **more)

    async def _say(self, **fields: Any) -> None:
        await self._send(_ENCODER.encode(fields))

    async def _send(self, *frames: bytes) -> None:
        """Raises TimeoutError where the client takes nothing for ``limits.send_timeout`` seconds."""
        async with self._sending:
            for frame in frames:
                with anyio.fail_after(self._service.limits.send_timeout):
                    await self._websocket.send_text(frame.decode())
                self._unseen += len(frame)
                if self._unseen > _FLUSH:  # the loop has to turn before a full socket is seen to be full
                    self._unseen = 0
                    await anyio.lowlevel.checkpoint()

    # -- actions -------------------------------------------------------------------------------------------------------

    async def _authenticate(self, frame: AuthenticateFrame) -> None:
        """The token counts as if it had come in the header. Who is known stays who they are."""
        if self._user is not None:
            await self._say(event="authenticated", user_id=self._user.user_id)
            return
        headers = [pair for pair in self._websocket.scope["headers"] if pair[0] != b"authorization"]
        shown: Scope = {
            **self._websocket.scope,
            "headers": [*headers, (b"authorization", b"Bearer " + frame.token.encode("latin-1", "replace"))],
        }
        try:
            self._user = await authenticated(self._auth, WebSocket(shown, self._nothing, self._nothing))
        except Refused as refused:
            await self._say(event="auth_error", error=refused.message, error_type=refused.code)
        else:
            await self._say(event="authenticated", user_id=self._user.user_id)

    @staticmethod
    async def _nothing(*_: Any) -> Any:
        raise RuntimeError("a socket that is only looked at")

    async def _ping(self, frame: PingFrame) -> None:
        await self._say(event="pong")

    async def _start(self, frame: StartFrame) -> None:
        options = {name: getattr(frame, name) for name in StartRun.__struct_fields__ if hasattr(frame, name)}
        start = StartRun(**{**options, "input": frame.message if frame.input is None else frame.input}, background=True)
        self._refuse_too_many()
        run = await self._service.begin(self._who(), frame.workflow_id, start)
        self._send_events_of(run, run.run_id)

    async def _follow(self, frame: FollowFrame) -> None:
        user, after = self._who(), frame.position
        workflow_id = frame.workflow_id or await self._service.workflow_of(user, frame.run_id)
        source = await self._service.subscribe(user, workflow_id, frame.run_id, after=after)
        run = await self._service.run(user, workflow_id, frame.run_id)
        if frame.run_id not in self._following:
            self._refuse_too_many()
        await self._say(event="subscribed", run_id=frame.run_id, status=run.status, after=after, last_seq=run.last_seq)
        self._send_events_of(source, frame.run_id)

    async def _leave(self, frame: LeaveFrame) -> None:
        scope = self._following.pop(frame.run_id, None)
        if scope is not None:
            scope.cancel()
        await self._say(event="unsubscribed", run_id=frame.run_id)

    async def _answer(self, frame: AnswerFrame) -> None:
        run = await self._service.proceed(self._who(), frame.workflow_id, frame.run_id, frame.all_answers())
        if frame.run_id in self._following:  # a subscription sees what follows
            await run.aclose()
        else:
            self._send_events_of(run, frame.run_id)

    async def _cancel(self, frame: CancelFrame) -> None:
        cancelled = await self._service.cancel(self._who(), frame.workflow_id, frame.run_id)
        await self._say(event="cancelling", run_id=frame.run_id, cancelled=cancelled)

    def _who(self) -> User:
        assert self._user is not None
        return self._user

    # -- following -----------------------------------------------------------------------------------------------------

    def _refuse_too_many(self) -> None:
        if len(self._following) >= self._service.limits.runs_per_socket:
            raise Refused(
                429, "too_many_runs", "this socket follows too many runs; unsubscribe, or wait for one to end"
            )

    def _send_events_of(self, source: Source, run_id: str) -> None:
        """Send a run's events from a task of its own, in the place of what was followed of that run before."""
        known = self._following.pop(run_id, None)
        if known is not None:
            known.cancel()
        scope = self._following[run_id] = anyio.CancelScope()
        assert self._group is not None
        self._group.start_soon(self._pump, source, run_id, scope)

    async def _send_all(self, source: Source, run_id: str) -> None:
        try:
            with self._service.seats.following(run_id):
                while events := await source.take_some():
                    await self._send(*[event_frame(event, typed=self._typed) for event in events])
        except (TimeoutError, WebSocketDisconnect):
            raise
        except ReaderTooSlow:
            await self._tell(Refused(429, "too_slow", "too slow; subscribe again after the last event"), run_id=run_id)
        except Exception as error:
            await self._tell(error, run_id=run_id)

    async def _pump(self, source: Source, run_id: str, scope: anyio.CancelScope) -> None:
        try:
            with scope:
                await self._send_all(source, run_id)
        except TimeoutError:  # it does not read
            assert self._group is not None
            self._group.cancel_scope.cancel()
        except WebSocketDisconnect:  # the task that receives sees it too
            logger.debug("a socket closed while run %s was sent", run_id)
        finally:
            if self._following.get(run_id) is scope:
                del self._following[run_id]
            with anyio.CancelScope(shield=True):
                await source.aclose()
