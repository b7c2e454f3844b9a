"""A wire that can be cut between a client and its server, at the moment that matters: before or after the server acts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Literal
from urllib.parse import urlsplit, urlunsplit

__all__ = ["Proxy", "proxy"]

When = Literal["never", "request", "reply"]


class Proxy:
    """``cut = "reply"``: the server does what it is asked next, and the client does not hear of it. ``"request"``: the
    server does not even get it. Either happens once, after ``skip`` messages; ``cuts`` counts."""

    def __init__(self, url: str) -> None:
        self.parts = urlsplit(url)
        self.cut: When = "never"
        self.cuts = 0
        self.skip = 0
        self.busy = 0
        self.port = 0
        self._clients: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        netloc = f"{self.parts.username or 'postgres'}@127.0.0.1:{self.port}"
        return urlunsplit(self.parts._replace(netloc=netloc, query="sslmode=disable"))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.busy += 1
        try:
            await self._serve(reader, writer)
        finally:
            self.busy -= 1

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            up_reader, up_writer = await asyncio.open_connection(self.parts.hostname, self.parts.port or 5432)
        except OSError:
            writer.transport.abort()
            return
        self._clients.add(writer)
        ways = [
            asyncio.create_task(self._pump(reader, up_writer, "request")),
            asyncio.create_task(self._pump(up_reader, writer, "reply")),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._clients.discard(writer)
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            for end in (writer, up_writer):
                end.close()
                with suppress(OSError):
                    await end.wait_closed()

    def sever(self) -> None:
        """Break all connections now."""
        for client in self._clients:
            client.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, what: When) -> None:
        while data := await _read(reader):
            if self.cut == what:
                self.skip -= 1
                if self.skip < 0:
                    self.cut = "never"
                    self.cuts += 1
                    return
            writer.write(data)
            with suppress(OSError):
                await writer.drain()


async def _read(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read(65536)
    except OSError:
        return b""


@asynccontextmanager
async def proxy(url: str) -> AsyncIterator[Proxy]:
    """A proxy for the server of ``url``; its own ``url`` leads through it."""
    made = Proxy(url)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        made.sever()
        while made.busy:
            await asyncio.sleep(0)
        await server.wait_closed()
