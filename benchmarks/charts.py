"""Charts of a case: lines where one thing grows, bars otherwise. Less is better, unless the unit is a rate."""

from __future__ import annotations

import re
import sys
import warnings
from math import ceil, floor, log10
from pathlib import Path
from typing import Any

from workflow_runtime.bench.case import more_is_better
from workflow_runtime.bench.rounds import Row
from workflow_runtime.bench.table import number

__all__ = ["draw"]

COLOURS = ("#0b6e4f", "#6bbf59", "#8d99ae", "#d1495b", "#edae49", "#30638e", "#7a4988", "#c06014", "#00798c", "#444444")
MOST = 6  # rows in one chart
SIZE = re.compile(r"[\d,]+(?=(th)? (steps|branches|runs|run)\b)")


def draw(name: str, title: str, rows: list[Row], folder: Path) -> list[Path]:
    """Write an SVG for each unit of the case that at least two libraries have figures other than 0 in; the files, in order.

    Drawn are the case's first unit and those that have a goal; counts and ratios are for the table.
    """
    units: dict[str, list[Row]] = {}
    for row in rows:
        if row.unit not in ("x", "packages") and sum(bool(figure.median) for figure in row.figures.values()) > 1:
            units.setdefault(row.unit, []).append(row)
    units = {
        unit: found
        for place, (unit, found) in enumerate(units.items())
        if place == 0 or any(row.goal is not None for row in found)
    }
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for place, (unit, found) in enumerate(units.items()):
        file = folder / (f"{name}.svg" if place == 0 else f"{name}-{place + 1}.svg")
        file.write_bytes(_chart(f"{title} ({unit}, {'more' if more_is_better(unit) else 'less'} is better)", found))
        written.append(file)
    return written


def _library() -> Any:
    """pygal, without the finder that it leaves behind: that one warns at every later import in the process."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImportWarning)
        import pygal
        import pygal.style
    sys.meta_path[:] = [finder for finder in sys.meta_path if type(finder).__name__ != "PluginImportFixer"]
    return pygal


def _chart(title: str, rows: list[Row]) -> bytes:
    grows = len(rows) > 2 and all(SIZE.search(row.label) for row in rows) and len(_rest(rows)) == 1
    rows = rows if grows else sorted(rows, key=lambda row: row.goal is None)[:MOST]
    pygal = _library()
    style = pygal.style.Style(
        background="white", plot_background="white", colors=COLOURS, font_family="sans-serif", transition="none"
    )
    kind: Any = pygal.Line if grows else pygal.HorizontalBar
    rows = rows if grows else rows[::-1]  # its bars begin at the bottom
    values = {name: [row.figures[name].median or None for row in rows] for name in rows[0].figures}  # no logarithm of 0
    known = [value for found in values.values() for value in found if value]
    low, high = floor(log10(min(known, default=1))), ceil(log10(max(known, default=1) * 1.01))
    chart = kind(
        title=title,
        x_labels=[_label(row, grows) for row in rows],
        range=(10.0**low, 10.0**high),
        zero=10.0**low,
        y_labels=[10.0**power for power in range(low, high + 1)],
        value_formatter=number,
        logarithmic=True,
        js=[],
        style=style,
        width=900,
        height=480,
    )
    for name, found in values.items():
        if any(found):
            chart.add(name, found)
    return bytes(chart.render())


def _rest(rows: list[Row]) -> set[str]:
    return {SIZE.sub("", row.label) for row in rows}


def _label(row: Row, grows: bool) -> str:
    found = SIZE.search(row.label)
    return found.group() if grows and found else row.label
