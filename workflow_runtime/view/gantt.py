"""The times of each step as shares of the run's time, for every timeline. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from .node import Node, State
from .tree import View

__all__ = ["Span", "bounds", "spans"]

_MOST_ATTEMPTS = 20


class Span(NamedTuple):
    """A bar from ``start`` to ``end``, both from 0 to 1; ``seconds`` long. ``attempt`` counts from 1, ``error`` is why it
    failed."""

    start: float
    end: float
    state: State
    seconds: float
    attempt: int = 1
    error: str = ""


def bounds(view: View, now: float) -> tuple[float, float]:
    """(start, length) of the whole on the view's clock, in seconds; the length is never 0."""
    return view.root.started_at or 0.0, max(view.elapsed(now), 1e-6)


def spans(view: View, node: Node, now: float) -> Iterator[Span]:
    """One bar per attempt of the node, the last one in the state that the node is in. None if it has not started."""
    if node.started_at is None:
        return
    clock = view.clock(now)
    start, length = bounds(view, now)
    end = clock if node.ended_at is None else node.ended_at
    began = node.started_at

    def span(left: float, right: float, state: State, attempt: int, error: str = "") -> Span:
        first, last = (min(1.0, max(0.0, (at - start) / length)) for at in (left, right))
        return Span(first, max(first, last), state, max(0.0, right - left), attempt, error)

    skipped = max(0, len(node.attempts) - _MOST_ATTEMPTS)
    for number, attempt in enumerate(node.attempts, 1):
        if number > skipped:
            yield span(began, min(began + attempt.seconds, end), "failed", number, attempt.error)
        began = min(began + attempt.seconds + attempt.delay, end)
    yield span(began, end, node.state, len(node.attempts) + 1, node.error or "")
