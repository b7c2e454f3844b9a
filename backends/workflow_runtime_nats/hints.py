"""The queue of hints: one durable pull consumer for each queue and workflow, shared by all workers that have both."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from hashlib import sha256
from typing import Any

import nats.errors
import nats.js.errors
from nats.js.api import AckPolicy, ConsumerConfig

from workflow_runtime.brokers.base import Hint, Hints

from .connection import Connection, translated

__all__ = ["NatsHints"]

FETCH = 3.0  # seconds that one request for a hint stands; after a server's restart it is made again
_HASTE = 0.5  # a request that ends sooner without a hint was refused


class NatsHint(Hint):
    runs = 1

    def __init__(self, message: Any) -> None:
        self._message = message

    async def done(self) -> None:
        with suppress(nats.errors.Error):  # then it is delivered again, which costs one look
            await self._message.ack()


class NatsHints(Hints):
    def __init__(self, connection: Connection, queues: Sequence[str], workflows: Sequence[str]) -> None:
        self._connection = connection
        self._pairs = [(queue, workflow) for queue in queues for workflow in workflows]
        self._consumers: list[Any] = []
        self._fetching: dict[asyncio.Task[Any], Any] = {}

    async def open(self) -> None:
        """Make the consumers that are not there, and begin to ask."""
        context = await self._connection.stream()
        settings = self._connection.settings
        with translated(settings.place):
            for queue, workflow in self._pairs:
                subject = settings.queue_subject(queue, workflow)
                config = ConsumerConfig(
                    ack_policy=AckPolicy.EXPLICIT,
                    ack_wait=settings.ack_wait,
                    max_ack_pending=100_000,
                    max_waiting=10_000,
                    description=f"queue {queue[:100]}, workflow {workflow[:100]}",
                )
                durable = sha256(f"{queue}\0{workflow}".encode()).hexdigest()[:32]
                try:
                    consumer = await context.pull_subscribe(
                        subject, durable=durable, stream=settings.stream, config=config
                    )
                except nats.js.errors.NotFoundError:
                    self._connection.forget_stream()
                    raise
                self._consumers.append(consumer)
        for consumer in self._consumers:
            self._ask(consumer)

    def _ask(self, consumer: Any) -> None:
        task = asyncio.get_running_loop().create_task(_fetch(consumer), name="workflow_runtime hint")
        self._fetching[task] = consumer

    async def next(self, timeout: float) -> Hint | None:
        end = asyncio.get_running_loop().time() + timeout
        while True:
            left = end - asyncio.get_running_loop().time()
            if left <= 0 and not any(task.done() for task in self._fetching):
                return None
            done, _ = await asyncio.wait(self._fetching, timeout=max(0.0, left), return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                consumer = self._fetching.pop(task)
                try:
                    with translated(self._connection.settings.place):
                        try:
                            message = task.result()
                        except (nats.js.errors.NotFoundError, nats.js.errors.ServiceUnavailableError, _Refused):
                            self._connection.forget_stream()  # the server has lost its store, or the stream was deleted
                            raise
                finally:
                    self._ask(consumer)  # also after a failure: these hints can be asked again
                if message is not None:
                    return NatsHint(message)

    async def aclose(self) -> None:
        tasks, self._fetching = self._fetching, {}
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError, Exception):
                message = await task
                if message is not None:
                    await message.nak()
        for consumer in self._consumers:
            with suppress(nats.errors.Error):
                await consumer.unsubscribe()
        self._consumers.clear()


class _Refused(nats.errors.Error):
    def __str__(self) -> str:
        return "the queue of hints is not there"


async def _fetch(consumer: Any) -> Any:
    """A message, or None after some seconds without one."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    try:
        [message] = await consumer.fetch(1, timeout=FETCH)
    except (TimeoutError, nats.errors.TimeoutError):
        if loop.time() - begun < _HASTE:
            raise _Refused from None
        return None
    return message
