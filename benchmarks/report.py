"""Results as Markdown, and the tables and charts of a page of the documentation rewritten from them."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from workflow_runtime.bench.cases import CASES
from workflow_runtime.bench.rounds import Figure, Row, from_data
from workflow_runtime.bench.table import number

from .charts import draw

__all__ = ["markdown", "rewrite"]


def markdown(result: dict[str, Any]) -> str:
    """All tables of a result, with what must stand beside them."""
    parts = [conditions(result)]
    for name, rows in from_data(result["tables"]).items():
        parts.append(f"### {CASES[name].title}\n\n{_when(result, name)}\n\n{table(rows)}")
    return "\n\n".join(parts) + "\n"


def rewrite(page: Path, result: dict[str, Any], charts: Path) -> None:
    """Put tables and charts between the page's markers: ``<!-- bench:CASE -->`` ... ``<!-- end -->``, and what was measured
    on between ``<!-- bench:conditions -->`` ... ``<!-- end -->``. Cases that are not in the result stay as they are."""
    found = {"conditions": conditions(result)}
    for name, rows in from_data(result["tables"]).items():
        title = CASES[name].title
        pictures = [os.path.relpath(file, page.parent) for file in draw(name, title, rows, charts)]
        shown = [f"![{title}]({picture})" for picture in pictures]
        found[name] = "\n\n".join([f"**{title}.** {_when(result, name)}", table(rows), *shown])

    def put(match: re.Match[str]) -> str:
        text = found.get(match[1])
        return match[0] if text is None else f"<!-- bench:{match[1]} -->\n\n{text}\n\n<!-- end -->"

    page.write_text(re.sub(r"<!-- bench:(\w+) -->.*?<!-- end -->", put, page.read_text(), flags=re.DOTALL))


def _when(result: dict[str, Any], name: str) -> str:
    """When a case was measured, and under which load: a page's tables may come from several runs."""
    found = result["when"][name]
    rounds = "1 round" if result["rounds"] == 1 else f"{result['rounds']} rounds"
    return f"{found['when']}, {rounds}, load {found['load']} to {found['load_after']}."


def conditions(result: dict[str, Any]) -> str:
    """How and on what it was measured."""
    found = result["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items() if version)
    toy = " **These are toy sizes: the figures mean nothing.**" if result["toy"] else ""
    return (
        f"`{result['command']}`\n\n"
        f"{found['processors']} x {found['processor']}, {found['system']}, {found['python']}. {versions}. Medians of the"
        f" rounds, each in a fresh process, the libraries in turn; in brackets the least and the most. A library that took"
        f" more than a minute for a case was measured once.{toy}"
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
        goal = [number(row.goal) if row.goal is not None else ""] if goals else []
        lines.append("| " + " | ".join([row.label, row.unit, *cells, *goal]) + " |")
    return "\n".join(lines) + _reasons(rows)


def _cell(figure: Figure) -> str:
    if figure.median is None:
        return "-"
    spread = f" ({number(min(figure.rounds))}..{number(max(figure.rounds))})" if len(figure.rounds) > 1 else ""
    return f"{number(figure.median)}{spread}"


def _reasons(rows: list[Row]) -> str:
    """Which library could not do something, and why."""
    reasons: dict[str, dict[str, None]] = {}
    for row in rows:
        for name, figure in row.figures.items():
            if figure.median is None and figure.reason:
                reasons.setdefault(figure.reason, {})[name] = None
    told = [f"{', '.join(who)}: {reason}." for reason, who in reasons.items()]
    return "\n\n" + " ".join(told) if told else ""
