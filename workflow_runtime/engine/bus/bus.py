"""The event bus of one run. (D4)

``publish`` is a plain call: on one event loop it is atomic, so there is no lock and the order of events is the order of
the calls. A subscriber never waits. What has to wait (a full buffer of a reader that the run must not outrun) is awaited
afterwards by whoever published, with ``settle``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from ...core.lifecycle import MOVING
from ...model.events import CustomEvent, Event, WorkflowEvent
from .buffer import Buffer

if TYPE_CHECKING:
    from ..run.execution import Execution
    from .signals import Signal, SignalSubscriber

__all__ = ["Bus", "is_foreign", "stamp"]


class SlowLog(Protocol):
    """What keeps the log, as far as a run waits for it."""

    @property
    def behind(self) -> bool: ...

    async def drained(self) -> None: ...


class Bus:
    """Numbers events and hands each to every subscriber, in the order of subscription.

    A subscriber in ``strict`` (recorder, projector) may refuse an event by raising; then it has no number and nobody saw
    it. One in ``observers`` may not hurt: if it raises it is detached and ``on_broken`` is told. Those in ``told`` are
    handed signals.
    """

    __slots__ = ("behind", "log", "observers", "on_broken", "readers", "seq", "strict", "told")

    def __init__(self, seq: int = 0) -> None:
        self.seq = seq
        self.strict: tuple[Callable[[Event], Any], ...] = ()
        self.observers: tuple[Callable[[Event], None], ...] = ()
        self.readers: tuple[Buffer, ...] = ()
        self.on_broken: Callable[[Callable[[Event], None], Exception], None] | None = None
        self.behind = False
        self.log: SlowLog | None = None
        self.told: tuple[SignalSubscriber, ...] = ()

    def signal(self, run: Execution, signal: Signal) -> bool:
        """Hand ``signal`` to the subscriber in ``told`` that handles its kind. What that says: False when it is too late."""
        kind = type(signal)
        for subscriber in self.told:
            if kind in subscriber.handles:
                return bool(subscriber.handles[kind](subscriber, run, signal))
        raise TypeError(f"no subscriber of run {run.id} handles {signal!r}")

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
        for observer in self.observers:
            try:
                observer(event)
            except Exception as error:
                self.observers = tuple(other for other in self.observers if other is not observer)
                if self.on_broken is not None:
                    self.on_broken(observer, error)

    async def settle(self) -> None:
        """Wait until no reader that may hold the run up is full, nor the log. Returns at once if none is."""
        while self.behind:
            slow = next((reader for reader in self.readers if reader.policy == "block" and reader.full), self.log)
            if slow is self.log and self.log is not None and not self.log.behind:
                slow = None
            if slow is None:
                self.behind = False
                return
            await slow.drained()

    def attach(self, reader: Buffer) -> Buffer:
        """Show it all events from now on."""
        reader.last_seq = max(reader.last_seq, self.seq)
        self.readers = (*self.readers, reader)
        return reader

    def detach(self, reader: Buffer) -> None:
        """Forget a reader. A run that waits for it goes on."""
        self.readers = tuple(other for other in self.readers if other is not reader)
        reader.abandon()

    def close(self, error: BaseException | None = None) -> None:
        """No event will follow: readers end after what they have, with ``error`` if there is one."""
        for reader in self.readers:
            reader.close(error)


def stamp(event: Event, fields: dict[str, Any]) -> Event:
    """An event of the user's own (or an executor's) with the run's common fields.

    One of another run, which is what a step does somewhere else, keeps what it says of its own steps: it is one level
    deeper, at a path below the step's, as events of a nested workflow are.
    """
    if is_foreign(event, fields["run_id"]):
        fields = _below(event, fields)
    elif type(event) in MOVING:
        raise TypeError(
            f"a {type(event).__name__} is published by the run itself, when it begins, waits and ends; a step returns or"
            " raises, and publishes a CustomEvent"
        )
    if isinstance(event, CustomEvent):
        copy = CustomEvent.__new__(type(event))
        copy.__dict__.update(event.__dict__)
        copy.__dict__.update({name: value for name, value in fields.items() if value is not None})
        return copy
    lacking = _lacking(type(event), tuple(fields))
    known = {name: value for name, value in fields.items() if name not in lacking} if lacking else fields
    replaced: WorkflowEvent = msgspec.structs.replace(event, **known)
    return replaced


@lru_cache(maxsize=512)
def _lacking(kind: type[WorkflowEvent], names: tuple[str, ...]) -> frozenset[str]:
    """Which of these fields the events of a class do not have."""
    return frozenset(names) - set(kind.__struct_fields__)


def is_foreign(event: Event, run_id: str) -> bool:
    """True for an event that another run has published."""
    return event.run_id is not None and event.run_id != run_id


def _below(event: Event, fields: dict[str, Any]) -> dict[str, Any]:
    place = fields["path"]
    inner = f"{place}/{event.path}" if event.path else place
    return {
        **{name: fields[name] for name in ("seq", "epoch", "created_at", "run_id", "session_id")},
        "path": inner,
        "step_id": inner if event.step_id in (None, event.path) else event.step_id,
        "parent_step_id": f"{place}/{event.parent_step_id}" if event.parent_step_id else place,
        "nested_depth": fields["nested_depth"] + 1 + event.nested_depth,
        "last_seq": None,  # it has one number here, however many it had there
        "lengths": None,
        "seqs": None,
    }
