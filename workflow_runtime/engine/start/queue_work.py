"""The part of a Runtime that takes queued runs: a dispatcher for each database and broker, and one set of slots."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from ...brokers.base import Broker, Listening
from ...brokers.local import LocalBroker
from ...core.filters import skip_sieve
from ...model import checks
from ...model.errors import BrokerError, BuildError
from ...storage.base import BaseDb
from ..loop.process import current
from ..run.heartbeat import look_now
from ..run.request import Definition
from .dispatch import Dispatcher, Slots
from .queued import DEFAULT_QUEUE
from .recovery import Home

if TYPE_CHECKING:
    from .runtime import RuntimeReport

__all__ = ["QueueWork", "named_queues"]

logger = logging.getLogger("workflow_runtime")
_KEPT = 1000  # ids of runs that were taken


def named_queues(queues: Any, where: str) -> list[str] | None:
    """The names as a list; BuildError for what is none."""
    if queues is None:
        return None
    if isinstance(queues, str) or not isinstance(queues, Iterable):
        raise BuildError(f"{where}queues={queues!r} must be a list of names; write queues=[{DEFAULT_QUEUE!r}]")
    return [checks.identifier(checks.text(name, "queues", where), "queues", where) for name in queues]


class QueueWork:
    """``await start()``, and ``await stop()``: after it no run is taken any more, and each that was has begun."""

    def __init__(
        self,
        workflows: list[Any],
        definition: Callable[[Any], Definition],
        queues: list[str] | None,
        concurrency: int,
        report: RuntimeReport,
        look_for_ready: Callable[[], Awaitable[None]],
    ) -> None:
        self.slots = Slots(concurrency)
        self._workflows = workflows
        self._definition = definition
        self._queues = queues
        self._report = report
        self._look_for_ready = look_for_ready
        self._dispatchers: list[Dispatcher] = []
        self._listening: list[Listening] = []

    async def start(self) -> None:
        pairs = {
            (id(item.db), id(item.broker)): (item.db, item.broker) for item in self._workflows if item.db is not None
        }
        for db, broker in pairs.values():
            if broker is not None:
                await self._listen(broker)
            queues = self._queues
            if queues is None:
                queues = [DEFAULT_QUEUE] if broker is None else []
            if queues:
                homes = partial(self._homes, db, broker)
                parked = self._report.parked.append
                at = broker or LocalBroker(db)
                self._dispatchers.append(
                    Dispatcher(db, at, queues, self.slots, homes, self._took, parked, self._look_for_ready)
                )
        for dispatcher in self._dispatchers:
            dispatcher.start()

    async def _listen(self, broker: Broker) -> None:
        """Hear at once of signals for the runs of this process."""
        try:
            listening = await broker.listen(current().owner, look_now)
        except BrokerError as error:  # the heartbeat looks by itself
            logger.warning("Runtime: signals are read from the database alone: %s", error)
            return
        if listening is not None:
            self._listening.append(listening)

    def _homes(self, db: BaseDb, broker: Broker | None) -> dict[str, Home]:
        return {
            workflow.id: Home(self._definition(workflow), workflow.store_events, skip_sieve(workflow.events_to_skip))
            for workflow in self._workflows
            if workflow.db is db and workflow.broker is broker
        }

    def _took(self, run_id: str) -> None:
        self._report.taken_total += 1
        self._report.taken.append(run_id)
        del self._report.taken[:-_KEPT]

    async def stop(self) -> None:
        for dispatcher in self._dispatchers:
            await dispatcher.stop()
        await self.slots.wait_begun()
        self._dispatchers.clear()

    async def close(self) -> None:
        """Hear of no more signals."""
        for listening in self._listening:
            try:
                await listening.aclose()
            except BrokerError as error:
                logger.debug("the broker was gone: %s", error)
        self._listening.clear()
