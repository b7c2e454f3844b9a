"""A reader of server-sent events straight over a socket: it can be cut anywhere, and can stop reading."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Answer", "Follower", "open_stream"]


@dataclass
class Answer:
    """A response whose body is read as it comes. ``abort`` cuts the connection without a word."""

    status: int
    headers: dict[str, str]
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    _left: bytes = field(default=b"", repr=False)

    async def chunks(self) -> AsyncIterator[bytes]:
        while size := int(await self.reader.readline() or b"0", 16):
            yield await self.reader.readexactly(size)
            await self.reader.readexactly(2)

    async def blocks(self) -> AsyncIterator[dict[str, str]]:
        """The fields of each block: of an event, or of a comment (under "")."""
        text = b""
        async for chunk in self.chunks():
            *whole, text = (text + chunk).split(b"\n\n")
            for block in whole:
                pairs = (line.partition(":") for line in block.decode().split("\n"))
                yield {name: value.removeprefix(" ") for name, _, value in pairs}

    async def body(self) -> bytes:
        if "content-length" in self.headers:
            return await self.reader.readexactly(int(self.headers["content-length"]))
        return b"".join([chunk async for chunk in self.chunks()])

    def abort(self) -> None:
        self.writer.transport.abort()


async def open_stream(
    port: int, path: str, *, headers: dict[str, str] | None = None, method: str = "GET", receive_buffer: int = 0
) -> Answer:
    """Send a request and read the head of its answer. ``receive_buffer``: bytes that the kernel keeps for a slow reader."""
    sock = socket.socket()
    sock.setblocking(False)
    if receive_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
    reader, writer = await asyncio.open_connection(sock=sock)
    lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", *(f"{k}: {v}" for k, v in (headers or {}).items())]
    writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
    status = int((await reader.readline()).split()[1])
    found: dict[str, str] = {}
    while (line := (await reader.readline()).decode().strip()) != "":
        name, _, value = line.partition(":")
        found[name.lower()] = value.strip()
    return Answer(status, found, reader, writer)


class Follower:
    """Follows a run as an EventSource does: comes back with the id it saw last, until it is told not to (204).

    ``spans`` are the (first, last) numbers of each event it saw, in order.
    """

    def __init__(self, port: int, path: str) -> None:
        self.port = port
        self.path = path
        self.last_id = ""
        self.spans: list[tuple[int, int]] = []
        self.names: list[str] = []
        self.connections = 0

    async def connect(self, most: int | None = None) -> bool:
        """Read until the stream ends or ``most`` events came, then cut the connection. True when nothing will follow."""
        headers = {"Last-Event-ID": self.last_id} if self.last_id else {}
        answer = await open_stream(self.port, self.path, headers=headers)
        self.connections += 1
        try:
            if answer.status == 204:
                return True
            assert answer.status == 200, (answer.status, await answer.body())
            left = most
            async for block in answer.blocks():
                if "data" in block:
                    self._take(block)
                    left = left - 1 if left is not None else None
                    if left == 0:
                        return False
            return False
        except (asyncio.IncompleteReadError, ConnectionError):
            return False
        finally:
            answer.abort()
            with contextlib.suppress(ConnectionError):
                await answer.writer.wait_closed()

    def _take(self, block: dict[str, str]) -> None:
        data: dict[str, Any] = json.loads(block["data"])
        self.last_id = block["id"]
        self.names.append(block["event"])
        self.spans.append((data["seq"], int(block["id"].split("-")[1])))

    @property
    def is_whole(self) -> bool:
        """Whether it saw every number from 1 on exactly once, in order."""
        return all(
            first == before + 1 for (_, before), (first, _) in zip([(0, 0), *self.spans], self.spans, strict=False)
        )
