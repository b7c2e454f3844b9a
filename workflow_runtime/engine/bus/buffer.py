"""A reader's buffer: bounded, with a policy for when the reader is too slow. (D5)"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import anyio

from ...core.filters import Sieve
from ...model import checks
from ...model.errors import again
from ...model.events import Event, StepContentEvent
from .merging import LARGE, Text

if TYPE_CHECKING:
    pass

__all__ = ["POLICIES", "Buffer", "ReaderTooSlow"]

POLICIES = ("block", "coalesce", "drop", "disconnect")
_MOST = 16  # a buffer that does not block holds at most this many times its size, milestones included
_MOST_TEXT = 16 * 1024 * 1024  # and about so many bytes of merged text
_DELTAS = ("StepContent", "StepProgress", "RunContent", "TeamRunContent", "ReasoningContentDelta")


class ReaderTooSlow(RuntimeError):
    """A reader fell behind by more than its buffer holds and was let go. Resume with ``after=last_event_id``."""

    def __init__(self, last_seq: int, epoch: int = 0) -> None:
        self.last_seq = last_seq
        self.last_event_id = f"{epoch}-{last_seq}"
        super().__init__(
            f"this reader fell behind and was disconnected; subscribe again with after={self.last_event_id!r}"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return again, (type(self), self.args), vars(self)


class Buffer:
    """What a reader has not taken yet; at most ``size`` events, then ``policy`` decides.

    block: the run waits for the reader. coalesce: text of one step merges, with ``apart`` also over other steps' text that
    waits between, never over a milestone; then numbers of one event lie between those of another, see
    ``StepContentEvent.seqs``. drop: the oldest deltas go, milestones never. disconnect: the reader is closed with
    ReaderTooSlow.

    Under coalesce the oldest text goes too, once more than ``_MOST_TEXT`` of it waits, and other deltas once the buffer is
    filled 16 times over; under coalesce and drop the reader is disconnected when milestones have done that.
    """

    __slots__ = (
        "_apart", "_drained", "_error", "_events", "_open", "_text", "_wake",
        "closed", "full", "last_epoch", "last_seq", "policy", "sieve", "size",
    )  # fmt: skip

    def __init__(
        self, size: int = 256, policy: str = "block", sieve: Sieve | None = None, *, apart: bool = True
    ) -> None:
        checks.one_of(policy, "policy", POLICIES, error=ValueError)
        checks.number(size, "size", "a buffer: ", least=1, whole=True, error=ValueError)
        self.size = size
        self.policy = policy
        self.sieve = sieve
        self._apart = apart
        self.full = False
        self.closed = False
        self.last_seq = self.last_epoch = 0
        self._events: deque[Event | Text] = deque()
        self._open: dict[tuple[str, int], Text] = {}  # waiting text that more may be merged into
        self._text = 0
        self._wake: anyio.Event | None = None
        self._drained: anyio.Event | None = None
        self._error: BaseException | None = None

    def __len__(self) -> int:
        return len(self._events)

    # -- the run's side ------------------------------------------------------------------------------------------------

    def offer(self, event: Event) -> None:
        if self.closed or (self.sieve is not None and not self.sieve(event)):
            return
        waiting: Event | Text = event
        if self.full and self.policy != "block":
            if self.policy == "disconnect":
                self.close(ReaderTooSlow(self.last_seq, self.last_epoch))
                return
            squeezed = self._squeezed(event)
            if squeezed is None:
                return
            waiting = squeezed
            if len(self._events) >= _MOST * self.size and not self._drop_oldest():
                self.close(ReaderTooSlow(self.last_seq, self.last_epoch))
                return
        self._events.append(waiting)
        if len(self._events) >= self.size:
            self.full = True
        if self._wake is not None:
            self._wake.set()
            self._wake = None

    def _squeezed(self, event: Event) -> Event | Text | None:
        """Of a full buffer, under coalesce or drop: what ``event`` is to wait as; None when it needs no place."""
        if event.event not in _DELTAS:
            self._open.clear()  # text does not move over a milestone
            return event  # milestones may exceed the size: none is lost while the reader lives
        if self.policy == "drop":
            return event if self._drop_oldest() else None
        if not (isinstance(event, StepContentEvent) and isinstance(event.delta, str)):
            return event
        key = event.path, event.attempt
        text = self._open.get(key) or self._opened(key, event.seq)
        if text is not None and text.cost < LARGE and text.add(event, apart=self._apart):
            self._text += text.cost_of(event)
            return None
        while self._text > _MOST_TEXT and self._drop_oldest():
            pass
        text = self._open[key] = Text(event)
        self._text += text.cost
        return text

    def _opened(self, key: tuple[str, int], seq: int) -> Text | None:
        """What waits last as a text to add to, if the chunk ``seq`` follows on from it."""
        last = self._events[-1] if self._events else None
        if not (isinstance(last, StepContentEvent) and isinstance(last.delta, str)):
            return None
        if (last.path, last.attempt) != key or last.seq + 1 != seq:
            return None
        text = self._events[-1] = self._open[key] = Text(last)
        self._text += text.cost
        return text

    def _drop_oldest(self) -> bool:
        """Let the oldest delta go; False when only milestones wait."""
        for position, waiting in enumerate(self._events):
            if waiting.event in _DELTAS:
                del self._events[position]
                self._forget(waiting)
                return True
        return False

    def _forget(self, taken: Event | Text) -> None:
        """``taken`` does not wait any more."""
        if isinstance(taken, Text):
            self._text -= taken.cost
            if self._open.get(taken.key) is taken:
                del self._open[taken.key]

    @property
    def is_awaited(self) -> bool:
        """True while a reader waits for the next event."""
        return self._wake is not None

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
        self._open.clear()
        self._has_room()

    # -- the reader's side ---------------------------------------------------------------------------------------------

    def take_nowait(self) -> Event | None:
        """The next event, or None when there is none right now."""
        if not self._events:
            return None
        event = self._events.popleft()
        if isinstance(event, Text):
            self._forget(event)
            event = event.merged()
        self.last_seq = max(self.last_seq, getattr(event, "last_seq", None) or event.seq)
        self.last_epoch = event.epoch
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
                    raise ReaderTooSlow(self.last_seq, self.last_epoch) if isinstance(error, ReaderTooSlow) else error
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
        self._open.clear()  # while it is not full, milestones are taken without a look at what waits
        if self._drained is not None:
            self._drained.set()
            self._drained = None
