"""Live events and signals, over plain NATS: nothing of them is kept, and nothing waits for them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec
import nats.errors

from workflow_runtime.brokers.base import Follower, Listening
from workflow_runtime.model.errors import BrokerError

from .connection import Connection, translated

__all__ = ["NatsFollower", "NatsListening", "Outbox"]

logger = logging.getLogger("workflow_runtime")
_MOST = 20_000  # events that wait to be sent, or to be read; what comes then is lost here, and the log has it
_CHUNK = 512 * 1024  # bytes of one message; servers take 1 MiB
_PENDING = 64 * 1024 * 1024


class Outbox:
    """Events of this loop's runs on their way. Those of a moment go in one message for each run."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._waiting: dict[str, list[bytes]] = {}
        self._count = 0
        self._task: asyncio.Task[None] | None = None

    def add(self, run_id: str, event: bytes) -> None:
        if self._count >= _MOST:
            return
        self._count += 1
        self._waiting.setdefault(run_id, []).append(event)
        if self._task is None or self._task.done():
            self._task = self._connection.loop.create_task(self._send(), name="workflow_runtime relay")

    async def _send(self) -> None:
        try:
            client = await self._connection.client()
            while self._waiting:
                waiting, self._waiting, self._count = self._waiting, {}, 0
                for run_id, events in waiting.items():
                    subject = self._connection.settings.relay_subject(run_id)
                    for payload in _messages(events):
                        await client.publish(subject, payload)
        except (BrokerError, nats.errors.Error, OSError) as error:
            self._waiting, self._count = {}, 0
            logger.debug("events were not relayed: %r", error)

    async def flushed(self) -> None:
        """Until what waits is with the client."""
        if self._task is not None:
            with suppress(asyncio.CancelledError):
                await asyncio.wait((self._task,))


def _messages(events: list[bytes]) -> list[bytes]:
    """The events as JSON arrays, each not larger than a message may be."""
    found: list[bytes] = []
    part: list[bytes] = []
    size = 0
    for event in events:
        if part and size + len(event) > _CHUNK:
            found.append(b"[" + b",".join(part) + b"]")
            part, size = [], 0
        part.append(event)
        size += len(event) + 1
    found.append(b"[" + b",".join(part) + b"]")
    return found


class NatsFollower(Follower):
    def __init__(self) -> None:
        self._ready: list[bytes] = []
        self._wake = asyncio.Event()
        self._subscription: Any = None

    async def open(self, connection: Connection, run_id: str) -> None:
        client = await connection.client()
        with translated(connection.settings.place):
            self._subscription = await client.subscribe(
                connection.settings.relay_subject(run_id), cb=self._received, pending_bytes_limit=_PENDING
            )
            await client.flush(timeout=3)  # from here on the server sends

    async def _received(self, message: Any) -> None:
        try:
            events = msgspec.json.decode(message.data, type=list[msgspec.Raw])
        except (msgspec.DecodeError, RecursionError):
            logger.warning("a message at %s is not one of events", message.subject)
            return
        if len(self._ready) + len(events) > _MOST:
            self._ready.clear()  # nobody reads
        self._ready.extend(map(bytes, events))
        self._wake.set()

    async def next(self, timeout: float) -> list[bytes]:
        if not self._ready and timeout > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    await self._wake.wait()
        self._wake.clear()
        ready, self._ready = self._ready, []
        return ready

    async def aclose(self) -> None:
        subscription, self._subscription = self._subscription, None
        await _unsubscribe(subscription)


class NatsListening(Listening):
    def __init__(self, heard: Callable[[str], None]) -> None:
        self._heard = heard
        self._subscription: Any = None

    async def open(self, connection: Connection, owner: str) -> None:
        client = await connection.client()
        with translated(connection.settings.place):
            subject = connection.settings.signal_subject(owner)
            self._subscription = await client.subscribe(subject, cb=self._received)
            await client.flush(timeout=3)

    async def _received(self, message: Any) -> None:
        with suppress(UnicodeDecodeError):
            self._heard(message.data.decode())

    async def aclose(self) -> None:
        subscription, self._subscription = self._subscription, None
        await _unsubscribe(subscription)


async def _unsubscribe(subscription: Any) -> None:
    if subscription is not None:
        with suppress(nats.errors.Error, OSError):
            await subscription.unsubscribe()
