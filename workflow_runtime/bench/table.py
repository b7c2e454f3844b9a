"""Figures as text."""

from __future__ import annotations

from collections.abc import Iterator

from .load import Outcome
from .rounds import Row

__all__ = ["lines", "number", "outcome_lines"]


def number(value: float) -> str:
    """Three digits that mean something."""
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.3g}"


def lines(rows: list[Row], name: str) -> Iterator[str]:
    """One library's figures of a case, a line each."""
    for row in rows:
        figure = row.figures[name]
        if figure.median is None:
            yield f"  {row.label:48} {'-':>10} {row.unit:10} {figure.reason}".rstrip()
            continue
        spread = f"{number(min(figure.rounds))}..{number(max(figure.rounds))}" if len(figure.rounds) > 1 else ""
        yield f"  {row.label:48} {number(figure.median):>10} {row.unit:10} {spread}".rstrip()


def outcome_lines(outcome: Outcome) -> Iterator[str]:
    """What a load test found."""
    yield f"{outcome.runs:,} runs in {outcome.seconds:.2f} s: {number(outcome.throughput)} runs/s"
    for status, count in outcome.statuses.most_common():
        yield f"  {status:12} {count:,}"
    for error, count in outcome.errors.most_common(5):
        yield f"  failed       {count:,} x {error}: {outcome.messages[error]}"
    if outcome.latencies:
        found = outcome.to_dict()["latency_seconds"]
        yield "latency, ms   " + "   ".join(f"{name} {number(value * 1e3)}" for name, value in found.items())
    memory = (outcome.memory_before, outcome.memory_most, outcome.memory_after)
    before, most, after = (f"{value / 1e6:.1f}" for value in memory)
    yield f"memory, MB    {before} before, {most} at most, {after} after"
