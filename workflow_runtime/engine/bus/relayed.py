"""Live events of a run that another process executes: sent by its observer, joined by a reader with the log.

Theory of operation. The log is what counts; the relay is ahead of it, and may lose something. A reader takes an event of
the relay only if it follows on from what the reader has, at the same attempt. What comes too early waits until the gap is
filled.

Two things fill it: the log, once the run commits; and the owner of the run, which is asked with a signal, and relays again
what it has published and not stored. A reader asks when it has joined the relay, for what was published before that.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from ...brokers.base import Broker, Follower
from ...core.lifecycle import is_end
from ...core.position import Position, last_number
from ...model import codec
from ...model.errors import BrokerError, UnserializableError
from ...model.events import Event
from ...storage.base import RunRow
from ..loop.loops import Loop, current_loop, spawn

if TYPE_CHECKING:
    from ..run.execution import Execution

__all__ = ["Relayed", "relay_again", "relaying"]

logger = logging.getLogger("workflow_runtime")
_HELD = 4096  # events that wait for a gap to be filled
_LARGEST = 256 * 1024  # bytes of an event that is relayed; of a larger one the reader hears from the log
_SHORTEST = 0.02  # seconds until the next look for the owner of a run that is joined before it begins
_GAP = 0.2  # seconds until the log is looked at again while something is missing


def relaying(broker: Broker) -> Callable[[Execution], Callable[[Event], None] | None]:
    """An observer of each run whose log others can read: it sends the run's events to them."""

    def make(run: Execution) -> Callable[[Event], None] | None:
        if not run.logged:
            return None

        def send(event: Event) -> None:
            if run.end_is_lost and is_end(event):
                return  # nobody sees an end that is not stored (D6)
            try:
                data = codec.encode_logged(event)
            except UnserializableError:
                return
            if len(data) <= _LARGEST:
                broker.relay(run.id, data)

        return send

    return make


def relay_again(run: Execution) -> None:
    """Somebody joins: relay what the log does not have yet."""
    broker = run.definition.broker
    if broker is None or not broker.relays or run.recorder is None or run.ended:
        return
    for row in run.recorder.pending():
        if len(row.data) <= _LARGEST:
            broker.relay(run.id, row.data)


class Relayed:
    """The relay as one reader of one run has it."""

    def __init__(self, broker: Broker, run_id: str) -> None:
        self._broker = broker
        self._run_id = run_id
        self._follower: Follower | None = None
        self._held: list[Event] = []
        self._gap = False
        self._is_away = False
        self._asked: tuple[str, int] | None = None
        self._pause = _SHORTEST
        self._loop: Loop = current_loop()

    def __del__(self) -> None:
        """A reader that was dropped must not be sent to for ever."""
        follower = self._follower
        if follower is not None:
            self._loop.call(partial(spawn, follower.aclose, "workflow_runtime relay"))

    @property
    def leads(self) -> bool:
        """Whether what comes next is to be looked for here, before the log is read."""
        return self._follower is not None and not self._gap

    async def joins(self, position: Position, row: RunRow) -> bool:
        """Follow the run, and ask its owner for what is not stored. True where the log is to be read again before anything
        is waited for; then the relay is."""
        if self._is_away:
            return False
        try:
            if self._follower is None:
                self._follower = await self._broker.follow(self._run_id)
                self._is_away = self._follower is None
                if self._follower is None:
                    return False
            if row.owner is not None and (self._gap or self._asked != (row.owner, row.attempt)):
                self._asked = row.owner, row.attempt
                await self._broker.signal(row.owner, self._run_id)
            if self._gap:
                self._hold(await self._follower.next(_GAP))
                self._gap = bool(self._held) and not self._follows(position)
        except BrokerError as error:
            logger.warning("run %s is followed from the log alone: %s", self._run_id, error)
            await self.aclose()
            self._is_away = True
            return False
        return True

    async def next(self, position: Position, timeout: float) -> list[Event]:
        """Events that follow on from ``position``; empty after ``timeout`` seconds, or where something is missing: then the
        log is to be read."""
        assert self._follower is not None
        if not self._follows(position):
            if self._asked is None:  # nobody has the run yet
                timeout, self._pause = min(timeout, self._pause), 2 * self._pause
            self._hold(await self._follower.next(timeout))
        taken: list[Event] = []
        for event in self._held:
            if _is_seen(event, position):
                continue
            if not _is_next(event, position):
                break
            taken.append(event)
            position = Position(event.epoch, last_number(event))
        self._drop_seen(position)
        self._gap = bool(self._held)
        return taken

    def _hold(self, received: list[bytes]) -> None:
        for data in received:
            try:
                event = codec.decode_event(data)
            except (ValueError, msgspec.MsgspecError):
                logger.warning("run %s: an event of the relay could not be read", self._run_id)
                continue
            if event.run_id in (None, self._run_id):
                self._held.append(event)
            else:
                logger.warning("run %s: the relay had an event of run %s", self._run_id, event.run_id)
        # What was relayed again comes behind what was held.
        self._held.sort(key=lambda event: (event.epoch, event.seq))
        del self._held[_HELD:]

    def _drop_seen(self, position: Position) -> None:
        self._held = [event for event in self._held if not _is_seen(event, position)]

    def _follows(self, position: Position) -> bool:
        """Whether what waits here begins where the reader is."""
        self._drop_seen(position)
        return bool(self._held) and _is_next(self._held[0], position)

    async def aclose(self) -> None:
        follower, self._follower = self._follower, None
        self._held.clear()
        self._gap = False
        if follower is not None:
            await follower.aclose()


def _is_seen(event: Event, position: Position) -> bool:
    return event.epoch < position.epoch or (event.epoch == position.epoch and last_number(event) <= position.seq)


def _is_next(event: Event, position: Position) -> bool:
    if position.seq == 0 and position.epoch == 0:
        return event.seq == 1
    return event.epoch == position.epoch and event.seq <= position.seq + 1
