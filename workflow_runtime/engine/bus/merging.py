"""Chunks of one step merged into one event. ``core.position.content_after`` takes them apart again."""

from __future__ import annotations

import msgspec

from ...model.events import StepContentEvent

__all__ = ["LARGE", "Text"]

LARGE = 64 * 1024  # the bytes of a merged text that is not added to any more
_PER_CHUNK = 64  # bytes that a chunk costs beside its text


class Text:
    """Chunks of one attempt of a step, not yet joined: joining at every chunk would cost their square."""

    __slots__ = ("cost", "first", "last_seq", "parts", "seqs")
    event = "StepContent"

    def __init__(self, first: StepContentEvent) -> None:
        self.first = first
        self.last_seq = first.seq
        self.parts: list[str] = [first.delta]
        self.seqs: list[int] | None = None  # None: they follow on
        self.cost = self.cost_of(first)

    @property
    def key(self) -> tuple[str, int]:
        return self.first.path, self.first.attempt

    @staticmethod
    def cost_of(event: StepContentEvent) -> int:
        """About how many bytes a chunk takes while it waits."""
        return len(event.delta) + _PER_CHUNK

    def add(self, event: StepContentEvent, *, apart: bool = False) -> bool:
        """False when ``event`` is of another attempt, or does not follow on; with ``apart`` others may lie between."""
        first = self.first
        if (first.path, first.attempt) != (event.path, event.attempt):
            return False
        if self.seqs is None and event.seq != self.last_seq + 1:
            if not apart:
                return False
            self.seqs = list(range(first.seq, self.last_seq + 1))
        if self.seqs is not None:
            self.seqs.append(event.seq)
        self.parts.append(event.delta)
        self.last_seq = event.seq
        self.cost += self.cost_of(event)
        return True

    def merged(self) -> StepContentEvent:
        if len(self.parts) == 1:
            return self.first
        merged: StepContentEvent = msgspec.structs.replace(
            self.first,
            delta="".join(self.parts),
            last_seq=self.last_seq,
            lengths=[len(part) for part in self.parts],
            seqs=self.seqs,
        )
        return merged
