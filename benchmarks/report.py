"""Results as Markdown."""

from __future__ import annotations

from typing import Any

from workflow_runtime.bench.cases import CASES
from workflow_runtime.bench.rounds import Figure, Row, from_data

__all__ = ["markdown"]


def markdown(result: dict[str, Any]) -> str:
    """All tables of a result, with what must stand beside them."""
    parts = [conditions(result)]
    for name, rows in from_data(result["tables"]).items():
        parts.append(f"### {CASES[name].title}\n\n{table(rows)}")
    return "\n\n".join(parts) + "\n"


def conditions(result: dict[str, Any]) -> str:
    """How and on what it was measured."""
    found = result["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items() if version)
    return (
        f"`{result['command']}`\n\n"
        f"{result['when']}; {found['processors']} x {found['processor']}, {found['system']}, {found['python']}; load"
        f" {found['load']} at the beginning and {found['load_after']} at the end. {versions}. Medians of"
        f" {result['rounds']} rounds, each in a fresh process, the libraries in turn; in brackets the least and the most."
    )


def table(rows: list[Row]) -> str:
    """One case: a line for each figure, a column for each library, and below it why a figure is missing."""
    columns = list(rows[0].figures)
    goals = any(row.goal is not None for row in rows)
    lines = [
        "| | unit | " + " | ".join(columns) + (" | goal |" if goals else " |"),
        "|---|---|" + "---|" * (len(columns) + goals),
    ]
    for row in rows:
        cells = [_cell(row.figures[name]) for name in columns]
        goal = [_number(row.goal) if row.goal is not None else ""] if goals else []
        lines.append("| " + " | ".join([row.label, row.unit, *cells, *goal]) + " |")
    return "\n".join(lines) + _reasons(rows)


def _cell(figure: Figure) -> str:
    if figure.median is None:
        return "-"
    spread = f" ({_number(min(figure.rounds))}..{_number(max(figure.rounds))})" if len(figure.rounds) > 1 else ""
    return f"{_number(figure.median)}{spread}"


def _number(value: float) -> str:
    """Three digits that mean something."""
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.3g}"


def _reasons(rows: list[Row]) -> str:
    reasons: dict[str, dict[str, None]] = {}
    for row in rows:
        for name, figure in row.figures.items():
            if figure.median is None and figure.reason:
                reasons.setdefault(figure.reason, {})[name] = None
    told = [f"{', '.join(who)}: {reason}." for reason, who in reasons.items()]
    return "\n\n" + " ".join(told) if told else ""
