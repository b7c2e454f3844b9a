"""``NatsBroker``: the broker contract over NATS JetStream and plain NATS, for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from threading import Lock
from typing import Any

import nats.errors
import nats.js.errors

from workflow_runtime.brokers.base import CONTRACT, Broker, Follower, Hints, Listening, Ticket
from workflow_runtime.model.errors import BrokerError

from .connection import ANSWERS_WITHIN, Connection, translated
from .hints import NatsHints
from .location import locate
from .relay import NatsFollower, NatsListening, Outbox

__all__ = ["NatsBroker"]


class NatsBroker(Broker):
    """Workers on any number of machines, told by NATS (server 2.10 or newer with JetStream).

    The stream ``{prefix}_QUEUES`` is made when it is not there. It has hints only: the runs are in the database, so neither
    its loss nor a server that is away loses one. Events and signals go over plain NATS. Each event loop has a connection of
    its own, which is made when it is first needed, and made again whenever it breaks.

    Args:
        url: ``nats://user:password@host:4222``; several hosts are separated by commas. Its query may name ``prefix`` and
            ``replicas``. ``tls://`` for TLS.
        prefix: What all subjects begin with, "wf" by default. Installations with different ones do not see each other.
        replicas: How many servers of a cluster keep the hints: 1, 3 or 5.
        ack_wait: Seconds after which a hint whose worker has died is given to another one. It is as it was when the first
            worker of a queue and workflow came.
        options: More arguments for ``nats.connect``, such as ``user_credentials`` or ``tls``.

    Raises:
        BuildError: The URL is of another kind, or an option cannot be.
    """

    contract = CONTRACT
    relays = True

    def __init__(
        self,
        url: str,
        *,
        prefix: str | None = None,
        replicas: int | None = None,
        ack_wait: float = 30.0,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.settings = locate(url, prefix=prefix, replicas=replicas, ack_wait=ack_wait, options=dict(options or {}))
        self.place = self.settings.place
        self._lock = Lock()
        self._here: dict[asyncio.AbstractEventLoop, tuple[Connection, Outbox]] = {}

    @classmethod
    def from_url(cls, url: str) -> NatsBroker:
        """A broker for ``nats://...``; nothing is connected yet."""
        return cls(url)

    def __repr__(self) -> str:
        return f"NatsBroker({self.place!r}, prefix={self.settings.prefix!r})"

    def _of_loop(self) -> tuple[Connection, Outbox]:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise BrokerError("NatsBroker needs an asyncio event loop; on trio leave broker= out") from None
        found = self._here.get(loop)
        if found is None:
            with self._lock:
                for ended in [known for known in self._here if known.is_closed()]:
                    del self._here[ended]
                connection = Connection(self.settings)
                found = self._here[loop] = connection, Outbox(connection)
        return found

    async def open(self) -> None:
        await self._of_loop()[0].stream()

    async def aclose(self) -> None:
        with self._lock:
            known, self._here = self._here, {}
        loop = asyncio.get_running_loop()
        for connection, outbox in known.values():
            if connection.loop is loop:
                await outbox.flushed()
                await connection.close()
            elif connection.loop.is_running():
                closing = asyncio.run_coroutine_threadsafe(connection.close(), connection.loop)
                with suppress(TimeoutError):
                    await asyncio.wait_for(asyncio.wrap_future(closing), ANSWERS_WITHIN)

    async def check(self) -> None:
        connection, _ = self._of_loop()
        client = await connection.client()
        with translated(self.place):
            if not client.is_connected:
                raise nats.errors.ConnectionClosedError
            await client.flush(timeout=ANSWERS_WITHIN)

    async def offer(self, ticket: Ticket) -> None:
        connection, _ = self._of_loop()
        subject = self.settings.queue_subject(ticket.queue, ticket.workflow_id)
        for attempt in (1, 2):
            context = await connection.stream()
            try:
                with translated(self.place):
                    await context.publish(subject, ticket.run_id.encode(), stream=self.settings.stream)
                return
            except BrokerError as error:
                lost = isinstance(error.__cause__, (nats.js.errors.NoStreamResponseError, nats.js.errors.NotFoundError))
                if not lost or attempt == 2:
                    raise
                connection.forget_stream()

    async def hints(self, queues: Sequence[str], workflows: Sequence[str]) -> Hints:
        found = NatsHints(self._of_loop()[0], queues, workflows)
        try:
            await found.open()
        except BaseException:
            await found.aclose()
            raise
        return found

    async def signal(self, owner: str, run_id: str) -> None:
        client = await self._of_loop()[0].client()
        with translated(self.place):
            await client.publish(self.settings.signal_subject(owner), run_id.encode())

    async def listen(self, owner: str, heard: Callable[[str], None]) -> Listening | None:
        found = NatsListening(heard)
        await found.open(self._of_loop()[0], owner)
        return found

    def relay(self, run_id: str, event: bytes) -> None:
        with suppress(BrokerError):
            self._of_loop()[1].add(run_id, event)

    async def follow(self, run_id: str) -> Follower | None:
        found = NatsFollower()
        await found.open(self._of_loop()[0], run_id)
        return found
