"""The app in a uvicorn of its own: what ``wfr serve`` runs."""

from __future__ import annotations

import math
import signal
import socket
from types import FrameType
from typing import Any

import uvicorn

from .guard import is_loopback
from .limits import Limits

__all__ = ["bind", "refuse_open_door", "run", "server_for"]


def refuse_open_door(host: str, has_auth: bool) -> None:
    """ValueError for an address that others can reach, where nobody is asked who they are."""
    if not has_auth and not is_loopback(host):
        raise ValueError(
            f"{host} can be reached from other machines, so callers have to say who they are: give --auth module:name"
            " (a function of the request, or a JwtAuth), or --jwt with WFR_JWT_KEY set; or stay on --host 127.0.0.1"
        )


def server_for(app: Any, host: str, port: int, *, limits: Limits, grace: float, log_level: str) -> uvicorn.Server:
    """uvicorn with this room's limits. It lets requests go on for ``grace`` seconds when it is told to end."""
    config = uvicorn.Config(
        app,
        host,
        port,
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
    kernel, where it can: the server's own buffers would wait for it for ever."""
    listening = server.config.bind_socket()
    option = getattr(socket, "TCP_USER_TIMEOUT", None)
    if option is not None and listening.family in (socket.AF_INET, socket.AF_INET6):
        listening.setsockopt(socket.IPPROTO_TCP, option, int(limits.send_timeout * 1000))
    listening.listen(server.config.backlog)  # who connects from now on waits until the app has started
    return listening


def run(server: uvicorn.Server, listening: socket.socket) -> None:
    """Serve until SIGTERM or Ctrl-C, and return: uvicorn raises the signal again when it is done, which ends nothing."""

    def told(number: int, frame: FrameType | None) -> None:
        server.should_exit = True

    before = {number: signal.signal(number, told) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        server.run(sockets=[listening])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
