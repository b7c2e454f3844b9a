"""The event bus of one run, and the bounded buffer through which a reader follows it. (D4, D5)

``publish`` is a plain call: on one event loop it is atomic, so there is no lock and the order of events is the order of
the calls. A subscriber never waits. What has to wait (a full buffer of a reader that the run must not outrun) is awaited
afterwards by whoever published, with ``settle``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import anyio
import msgspec

from ..core.filters import Sieve
from ..model import checks
from ..model.events import CustomEvent, Event, StepContentEvent, WorkflowEvent

__all__ = ["POLICIES", "Buffer", "Bus", "ReaderTooSlow", "Text"]

POLICIES = ("block", "coalesce", "drop", "disconnect")
_MOST = 16  # a buffer that does not block holds at most this many times its size, milestones included
_DELTAS = ("StepContent", "StepProgress", "RunContent", "TeamRunContent", "ReasoningContentDelta")


class ReaderTooSlow(RuntimeError):
    """A reader fell behind by more than its buffer holds and was let go. Resume with ``after=last_seq``."""

    def __init__(self, last_seq: int) -> None:
        super().__init__(f"this reader fell behind and was disconnected; subscribe again with after={last_seq}")
        self.last_seq = last_seq


class Bus:
    """Numbers events and hands each to every subscriber, in the order of subscription.

    A subscriber in ``strict`` (recorder, projector) may refuse an event by raising; then it has no number and nobody saw
    it. One in ``observers`` may not hurt: if it raises it is detached and ``on_broken`` is told.
    """

    __slots__ = ("behind", "observers", "on_broken", "readers", "seq", "strict")

    def __init__(self, seq: int = 0) -> None:
        self.seq = seq
        self.strict: list[Callable[[Event], None]] = []
        self.observers: list[Callable[[Event], None]] = []
        self.readers: list[Buffer] = []
        self.on_broken: Callable[[Callable[[Event], None], Exception], None] | None = None
        self.behind = False

    def publish(self, event: Event) -> None:
        """Number and deliver ``event``, whose ``seq`` must be the next number."""
        for subscriber in self.strict:
            subscriber(event)
        self.seq = event.seq
        if self.observers or self.readers:
            self.deliver(event)

    def number(self, event: Event) -> None:
        """The first half: record and project the event; nobody has seen it yet."""
        for subscriber in self.strict:
            subscriber(event)
        self.seq = event.seq

    def deliver(self, event: Event) -> None:
        """The second half: show a numbered event to the observers and the readers."""
        if self.observers:
            self._observe(event)
        for reader in self.readers:
            reader.offer(event)
            if reader.full and reader.policy == "block":
                self.behind = True

    def _observe(self, event: Event) -> None:
        for observer in tuple(self.observers):
            try:
                observer(event)
            except Exception as error:
                self.observers.remove(observer)
                if self.on_broken is not None:
                    self.on_broken(observer, error)

    async def settle(self) -> None:
        """Wait until no reader that may hold the run up is full. Returns at once if none is."""
        while self.behind:
            slow = next((reader for reader in self.readers if reader.policy == "block" and reader.full), None)
            if slow is None:
                self.behind = False
                return
            await slow.drained()

    def attach(self, reader: Buffer) -> Buffer:
        self.readers.append(reader)
        return reader

    def detach(self, reader: Buffer) -> None:
        """Forget a reader. A run that waits for it goes on."""
        if reader in self.readers:
            self.readers.remove(reader)
        reader.abandon()

    def close(self, error: BaseException | None = None) -> None:
        """No event will follow: readers end after what they have, with ``error`` if there is one."""
        for reader in self.readers:
            reader.close(error)


class Buffer:
    """What a reader has not taken yet; at most ``size`` events, then ``policy`` decides.

    block: the run waits for the reader. coalesce: adjacent text deltas of one step merge. drop: the oldest deltas go,
    milestones never. disconnect: the reader is closed with ReaderTooSlow; under coalesce and drop too, when milestones
    have filled it 16 times over.
    """

    __slots__ = ("_drained", "_error", "_events", "_wake", "closed", "full", "last_seq", "policy", "sieve", "size")

    def __init__(self, size: int = 256, policy: str = "block", sieve: Sieve | None = None) -> None:
        checks.one_of(policy, "policy", POLICIES, error=ValueError)
        checks.number(size, "size", "a buffer: ", least=1, whole=True, error=ValueError)
        self.size = size
        self.policy = policy
        self.sieve = sieve
        self.full = False
        self.closed = False
        self.last_seq = 0
        self._events: deque[Event | Text] = deque()
        self._wake: anyio.Event | None = None
        self._drained: anyio.Event | None = None
        self._error: BaseException | None = None

    def __len__(self) -> int:
        return len(self._events)

    # -- the run's side ------------------------------------------------------------------------------------------------

    def offer(self, event: Event) -> None:
        if self.closed or (self.sieve is not None and not self.sieve(event)):
            return
        events = self._events
        if self.full and self.policy != "block":
            if self.policy == "disconnect" or len(events) >= _MOST * self.size:
                self.close(ReaderTooSlow(self.last_seq))
                return
            if self._make_room(event):
                return
        events.append(event)
        if len(events) >= self.size:
            self.full = True
        if self._wake is not None:
            self._wake.set()
            self._wake = None

    def _make_room(self, event: Event) -> bool:
        """Under coalesce or drop: True when ``event`` needs no place of its own any more."""
        if event.event not in _DELTAS:
            return False  # milestones may exceed the size: none is lost while the reader lives
        if self.policy == "coalesce" and self._merge(event):
            return True
        for position, waiting in enumerate(self._events):
            if waiting.event in _DELTAS:
                if self.policy == "drop":
                    del self._events[position]
                    return False
                break
        return self.policy == "drop"

    def _merge(self, event: Event) -> bool:
        last = self._events[-1] if self._events else None
        if not (isinstance(event, StepContentEvent) and isinstance(event.delta, str)):
            return False
        if isinstance(last, StepContentEvent) and isinstance(last.delta, str):
            last = self._events[-1] = Text(last)
        return isinstance(last, Text) and last.add(event)

    async def drained(self) -> None:
        """Wait until the reader has taken half of it, or has gone."""
        if self.full:
            if self._drained is None:
                self._drained = anyio.Event()
            await self._drained.wait()

    def close(self, error: BaseException | None = None) -> None:
        """Nothing will follow. The first reason stands: a reader that was disconnected did not see the run's end."""
        if self.closed:
            return
        self.closed = True
        self._error = error
        if self._wake is not None:
            self._wake.set()
            self._wake = None

    def abandon(self) -> None:
        """The reader has gone: keep nothing, hold nobody up."""
        self.closed = True
        self._events.clear()
        self._has_room()

    # -- the reader's side ---------------------------------------------------------------------------------------------

    def take_nowait(self) -> Event | None:
        """The next event, or None when there is none right now."""
        if not self._events:
            return None
        event = self._events.popleft()
        if isinstance(event, Text):
            event = event.merged()
        self.last_seq = getattr(event, "last_seq", None) or event.seq
        if self.full and len(self._events) <= self.size // 2:
            self._has_room()
        return event

    async def take(self) -> Event | None:
        """The next event; None after the last one. Raises the error that the run, or the policy, ended it with."""
        while True:
            event = self.take_nowait()
            if event is not None:
                return event
            if self.closed:
                if self._error is not None:
                    error, self._error = self._error, None
                    raise error
                return None
            if self._wake is None:
                self._wake = anyio.Event()
            await self._wake.wait()

    async def take_some(self) -> list[Event]:
        """All events that are ready, at least one; empty after the last one."""
        first = await self.take()
        if first is None:
            return []
        events = [first]
        while (event := self.take_nowait()) is not None:
            events.append(event)
        return events

    def _has_room(self) -> None:
        self.full = False
        if self._drained is not None:
            self._drained.set()
            self._drained = None


class Text:
    """Adjacent chunks of one attempt of a step, not yet joined: joining at every chunk would cost their square."""

    __slots__ = ("first", "last_seq", "parts")
    event = "StepContent"

    def __init__(self, first: StepContentEvent) -> None:
        self.first = first
        self.last_seq = first.seq
        self.parts: list[str] = [first.delta]

    def add(self, event: StepContentEvent) -> bool:
        """False when ``event`` does not continue this text."""
        first = self.first
        if event.seq != self.last_seq + 1 or (first.path, first.attempt) != (event.path, event.attempt):
            return False
        self.parts.append(event.delta)
        self.last_seq = event.seq
        return True

    def merged(self) -> StepContentEvent:
        if len(self.parts) == 1:
            return self.first
        merged: StepContentEvent = msgspec.structs.replace(
            self.first,
            delta="".join(self.parts),
            last_seq=self.last_seq,
            lengths=[len(part) for part in self.parts],
        )
        return merged


def content_after(event: StepContentEvent, after: int) -> StepContentEvent:
    """The part of a merged chunk whose numbers are larger than ``after``."""
    if event.lengths is None or after < event.seq:
        return event
    seen = after - event.seq + 1
    fields: dict[str, Any] = {name: getattr(event, name) for name in event.__struct_fields__}
    fields["seq"] = after + 1
    fields["delta"] = event.delta[sum(event.lengths[:seen]) :]
    fields["lengths"] = event.lengths[seen:]
    return StepContentEvent(**fields)


def stamp(event: Event, fields: dict[str, Any]) -> Event:
    """An event of the user's own (or an executor's) with the run's common fields."""
    if isinstance(event, CustomEvent):
        copy = CustomEvent.__new__(type(event))
        copy.__dict__.update(event.__dict__)
        copy.__dict__.update({name: value for name, value in fields.items() if value is not None})
        return copy
    known = {name: value for name, value in fields.items() if name in event.__struct_fields__}
    replaced: WorkflowEvent = msgspec.structs.replace(event, **known)
    return replaced
