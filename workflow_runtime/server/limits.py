"""How much one client may ask of a server."""

from __future__ import annotations

import msgspec

__all__ = ["Limits"]


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes are bytes, times seconds.

    Args:
        body: Of a JSON or form body without files.
        upload: Of a whole multipart body with its files.
        files: How many files one request may bring.
        frame: Of one WebSocket message from a client.
        connections_per_user: Streams and sockets that one user may have open at once (all callers together where no
            authentication is set up).
        readers_per_run: Streams and sockets that may follow one run at once.
        heartbeat: Between two signs of life of a stream that has nothing to say.
        receive_timeout: How long a client may send nothing while the rest of its request is waited for.
        send_timeout: How long a reader may take nothing of what is sent to it before it is disconnected.
        runs_per_socket: Runs that one WebSocket may follow at once.
        retry: What a browser's EventSource is told to wait before it connects again.
    """

    body: int = 1024 * 1024
    upload: int = 32 * 1024 * 1024
    files: int = 16
    frame: int = 1024 * 1024
    connections_per_user: int = 200
    readers_per_run: int = 200
    runs_per_socket: int = 32
    heartbeat: float = 15.0
    receive_timeout: float = 30.0
    send_timeout: float = 30.0
    retry: float = 1.0
