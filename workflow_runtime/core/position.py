"""A reader's position in the log of a run, and the part of its history that stays valid after a take-over. Pure. (D3, D15)

Events are numbered once for all attempts of a run, and the log has each number once. A process may publish more than it
stores before it dies. The next attempt starts after the last *stored* event, so it uses some numbers a second time; events
that readers had seen under these numbers are superseded. A number alone therefore does not identify what a reader has seen:
a position is the attempt (``epoch``) and the number (``seq``) of the last event, which together are an event's ``id``.

``stored_end`` finds in the log where an attempt's stored events end; every reader that reconnects with a position uses it.
``Cursor`` then separates new events from those that the reader has.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, NamedTuple, Protocol

from ..model import checks
from ..model.errors import InputError
from ..model.events import Event, StepContentEvent

__all__ = ["Cursor", "Position", "Row", "content_after", "last_number", "parse_position", "stored_end"]


_LARGEST = 2**63 - 1  # the largest integer of the databases


class Position(NamedTuple):
    """What a reader has seen: everything up to number ``seq``, as it was at attempt ``epoch``. (0, 0) is the beginning.

    Positions are ordered as time is: a later attempt comes after all numbers of the attempts before it.
    """

    epoch: int
    seq: int

    def __str__(self) -> str:
        return f"{self.epoch}-{self.seq}"


class Row(Protocol):
    """One row of the log: the numbers ``seq`` to ``last_seq``, of one attempt."""

    @property
    def epoch(self) -> int: ...
    @property
    def seq(self) -> int: ...
    @property
    def last_seq(self) -> int: ...


def parse_position(after: int | str) -> Position | int:
    """An event's ``id`` as a Position, or a plain number as it is: it counts in the attempt that the run is at.

    Raises:
        InputError: ``after`` is neither.
    """
    if not isinstance(after, str):
        number: int = checks.number(after, "after", least=0, most=_LARGEST, whole=True, error=InputError)
        return number
    epoch, dash, seq = after.rpartition("-")
    if not (_is_number(seq) and (_is_number(epoch) or not dash)):
        raise InputError(f"after={after[:50]!r} is neither a seq nor an event's id such as '1-42'")
    return Position(int(epoch), int(seq)) if dash else int(seq)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 20 and int(text) <= _LARGEST


def stored_end(position: Position) -> Generator[int, Row | None, int]:
    """The number up to which the history of a reader at ``position`` agrees with the log: ``position.seq``, or the last
    stored number of the reader's attempt and those before it, if that is smaller.

    Call it only when the run is at a later attempt than the reader: until then the log may still grow under the reader's.

    It yields numbers; send it the first row of the log whose ``last_seq`` is larger, or None. The number of rows that it
    needs grows with the logarithm of the distance.
    """
    # Rows are in the order of numbers and attempts: up to ``low`` of the reader's history, after ``high`` not.
    low, high, step = -1, position.seq, 1
    while high - low > 1:
        probe = (low + high) // 2 if low >= 0 else max(high - step, 0)
        row = yield probe
        if row is None or row.epoch > position.epoch:
            high, step = probe, 2 * step
        else:
            low = min(row.last_seq, high) - 1
    return high


def last_number(event: Event) -> int:
    """The last number that an event covers: merged text covers several."""
    return getattr(event, "last_seq", None) or event.seq


class Cursor:
    """Separates the events that a reader has not seen from those that it has, and splits merged text at the reader's
    position.

    Events come in the order of the log. Without a log, merged texts may overlap within one batch (``mark`` begins one):
    text is new if its number is above the ``position`` at the last ``mark``.
    """

    __slots__ = ("_seen", "position")

    def __init__(self, position: Position) -> None:
        self.position = position
        self._seen = position

    def move(self, position: Position) -> None:
        """Read on from there."""
        self.position = self._seen = position

    def mark(self) -> None:
        """Another batch begins."""
        self._seen = self.position

    def take(self, event: Event) -> Event | None:
        """The event, or its new part; None for one that was seen. An event of a later attempt under a number that was seen
        supersedes what the reader has from that number on."""
        epoch, seq, last = event.epoch, event.seq, last_number(event)
        if epoch > self._seen.epoch:
            self._seen = Position(epoch, min(self._seen.seq, seq - 1))
        elif last <= self._seen.seq:
            return None
        if seq <= self._seen.seq and isinstance(event, StepContentEvent):
            event = content_after(event, self._seen.seq)
        behind = self.position.seq if epoch == self.position.epoch else 0
        self.position = Position(epoch, max(last, behind))
        return event


def content_after(event: StepContentEvent, after: int) -> StepContentEvent:
    """The part of a merged chunk whose numbers are larger than ``after``; it is not empty."""
    if event.lengths is None or after < event.seq:
        return event
    seqs = event.seqs
    seen = after - event.seq + 1 if seqs is None else sum(seq <= after for seq in seqs)
    fields: dict[str, Any] = {name: getattr(event, name) for name in event.__struct_fields__}
    fields["seq"] = after + 1 if seqs is None else seqs[seen]
    fields["delta"] = event.delta[sum(event.lengths[:seen]) :]
    fields["lengths"] = event.lengths[seen:]
    fields["seqs"] = seqs[seen:] if seqs is not None else None
    return StepContentEvent(**fields)
