"""The app in a uvicorn of its own: what ``wfr serve`` runs."""

from __future__ import annotations

import logging
import math
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from types import FrameType
from typing import Any

import uvicorn

from .connection import connection_class
from .guard import is_loopback
from .limits import Limits

__all__ = ["bind", "refuse_open_door", "run", "server_for"]


def refuse_open_door(host: str, has_auth: bool) -> None:
    """ValueError for an address that others can reach, where nobody is asked who they are."""
    if not has_auth and not is_loopback(host):
        raise ValueError(
            f"{host} can be reached from other machines, so callers have to authenticate: give --auth module:name"
            " (a function of the request, or a JwtAuth), or --jwt with WFR_JWT_KEY set; or stay on --host 127.0.0.1"
        )


def server_for(app: Any, host: str, port: int, *, limits: Limits, grace: float, log_level: str) -> uvicorn.Server:
    """uvicorn with this room's limits. It lets requests go on for ``grace`` seconds when it is told to end."""
    config = uvicorn.Config(
        app,
        host,
        port,
        http=connection_class(limits.receive_timeout),
        lifespan="on",
        log_level=log_level,
        access_log=log_level in ("debug", "trace"),
        server_header=False,
        proxy_headers=False,  # who asks is told by auth, not by a header that anybody can send
        ws_max_size=limits.frame,
        ws_per_message_deflate=False,  # frames are small; each connection would keep its window
        timeout_graceful_shutdown=math.ceil(grace) + 2,  # a request that waits for a run gives up after grace
    )
    return uvicorn.Server(config)


def bind(server: uvicorn.Server, limits: Limits) -> socket.socket:
    """The listening socket. A connection whose reader takes nothing for ``limits.send_timeout`` seconds is cut by the
    kernel, where it can: the server's own buffers would wait for it for ever.

    Raises:
        OSError: The address cannot be used: another program has it, there is no such host, it needs a privilege.
    """
    host, port = server.config.host, server.config.port
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        option = getattr(socket, "TCP_USER_TIMEOUT", None)
        if option is not None:
            listening.setsockopt(socket.IPPROTO_TCP, option, int(limits.send_timeout * 1000))
        listening.listen(server.config.backlog)  # who connects from now on waits until the app has started
    except BaseException:
        listening.close()
        raise
    return listening


def run(server: uvicorn.Server, listening: socket.socket) -> None:
    """Serve until SIGTERM or Ctrl-C, and return: uvicorn raises the signal again when it is done, which ends nothing.

    Raises:
        Exception: What the app could not start with, such as a StorageError.
    """

    def told(_number: int, _frame: FrameType | None) -> None:
        server.should_exit = True

    before = {number: signal.signal(number, told) for number in (signal.SIGTERM, signal.SIGINT)}
    failures = _failures_of_start(server.config.app)
    try:
        server.run(sockets=[listening])
    except SystemExit:  # uvicorn's, with a code of its own
        if not failures:
            raise
        raise failures[0] from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _failures_of_start(app: Any) -> list[Exception]:
    """A list that gets what the lifespan of ``app`` fails with as it begins. The caller tells it, so uvicorn does not."""
    failures: list[Exception] = []
    inner = app.router.lifespan_context

    @asynccontextmanager
    async def span(app: Any) -> AsyncIterator[Any]:
        async with AsyncExitStack() as stack:
            try:
                state = await stack.enter_async_context(inner(app))
            except Exception as error:
                failures.append(error)
                raise
            yield state

    app.router.lifespan_context = span
    logging.getLogger("uvicorn.error").addFilter(lambda _: not failures)
    return failures
