"""The connection of one event loop, and what is made on the server when it is first used."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig

from workflow_runtime.model.errors import BrokerError

from .location import Settings

__all__ = ["Connection", "translated"]

logger = logging.getLogger("workflow_runtime")
CONNECTS_WITHIN = 5.0
ANSWERS_WITHIN = 3.0
_MOST_HINTS = 1_000_000
_HINT_LIVES = 3600.0  # workers look by themselves far more often


@contextmanager
def translated(place: str) -> Iterator[None]:
    """Errors of the driver become BrokerErrors."""
    try:
        yield
    except (nats.errors.Error, TimeoutError, OSError) as error:
        said = str(error) or type(error).__name__
        raise BrokerError(
            f"NATS at {place}: {said}; is the server running, with JetStream (nats-server -js)?"
        ) from error


class Connection:
    """Of one event loop, which alone uses it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.loop = asyncio.get_running_loop()
        self._making = asyncio.Lock()
        self._client: Any = None
        self._has_stream = False

    async def client(self) -> Any:
        """Connected, or connecting again after it was; BrokerError where no server takes the first connection."""
        client = self._client
        if client is not None and not client.is_closed:
            return client
        async with self._making:
            if self._client is None or self._client.is_closed:
                self._has_stream = False
                self._client = await self._connect()
            return self._client

    async def _connect(self) -> Any:
        settings = self.settings
        options: dict[str, Any] = {
            "name": "workflow_runtime",
            "connect_timeout": 2,
            "reconnect_time_wait": 0.2,
            "max_reconnect_attempts": -1,
            "error_cb": _note,
            **settings.options,
        }
        client = Client()
        with translated(settings.place):
            try:
                async with asyncio.timeout(CONNECTS_WITHIN):
                    await client.connect(list(settings.servers), **options)
            except BaseException:
                with suppress(Exception):
                    await client.close()
                raise
        return client

    async def stream(self) -> Any:
        """JetStream, with the stream of hints."""
        client = await self.client()
        context = client.jetstream(timeout=ANSWERS_WITHIN)
        if not self._has_stream:
            with translated(self.settings.place):
                await self._make_stream(context)
            self._has_stream = True
        return context

    def forget_stream(self) -> None:
        """The server does not have it any more: it is made again at the next use."""
        self._has_stream = False

    async def _make_stream(self, context: Any) -> None:
        settings = self.settings
        wanted = StreamConfig(
            name=settings.stream,
            subjects=[f"{settings.prefix}.queue.>"],
            retention=RetentionPolicy.WORK_QUEUE,
            storage=StorageType.FILE,
            discard=DiscardPolicy.OLD,  # hints: the database has the runs
            max_msgs=_MOST_HINTS,
            max_age=_HINT_LIVES,
            num_replicas=settings.replicas,
        )
        try:
            await context.add_stream(wanted)
        except nats.js.errors.BadRequestError as error:
            if error.err_code != 10058:  # there is one of that name, made with other settings
                raise
            logger.info("NATS at %s: the stream %s is used as it is", settings.place, settings.stream)

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            with suppress(nats.errors.Error, OSError):
                await client.close()


async def _note(error: Exception) -> None:
    logger.debug("NATS: %r", error)
