"""Rows as segments of rich: one row, one or more lines of exactly known width. No markup is ever parsed."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

from rich.cells import cell_len, chop_cells, set_cell_size
from rich.segment import Segment
from rich.style import Style

from ..model.kinds import shape_of
from ..view.node import State
from ..view.rows import Row

__all__ = ["ASCII", "UNICODE", "Glyphs", "Line", "STYLES", "bar", "cropped", "fit", "row_lines", "tree_lines"]

Line = list[Segment]
WIDEST = 100  # times are at this column at most, so that they stay close to the names


class Glyphs(NamedTuple):
    states: dict[State, str]
    spinner: str
    guides: dict[str, str]
    bar: str
    empty: str
    gap: str
    dot: str
    ellipsis: str


UNICODE = Glyphs(
    states={
        "pending": "○", "running": "●", "retrying": "↻", "waiting": "?", "done": "✔", "failed": "✘", "skipped": "⊘",
        "cancelled": "■", "unused": "·",
    },
    spinner="⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏",
    guides={"tee": "├─ ", "last": "└─ ", "line": "│  ", "blank": "   "},
    bar="━", empty="╌", gap="⋮", dot=" · ", ellipsis="…",
)  # fmt: skip
ASCII = Glyphs(
    states={
        "pending": " ", "running": "*", "retrying": "~", "waiting": "?", "done": "+", "failed": "x", "skipped": "-",
        "cancelled": "#", "unused": ".",
    },
    spinner="|/-\\",
    guides={"tee": "|- ", "last": "`- ", "line": "|  ", "blank": "   "},
    bar="=", empty="-", gap=":", dot=", ", ellipsis="~",
)  # fmt: skip

STYLES: dict[str, Style] = {
    "pending": Style(dim=True),
    "running": Style(color="cyan"),
    "retrying": Style(color="yellow"),
    "waiting": Style(color="magenta", bold=True),
    "done": Style(color="green"),
    "failed": Style(color="red", bold=True),
    "skipped": Style(color="yellow"),
    "cancelled": Style(color="yellow"),
    "unused": Style(dim=True),
    "guide": Style(dim=True),
    "facts": Style(dim=True),
    "time": Style(color="cyan", dim=True),
    "problem": Style(color="red"),
    "bar": Style(color="cyan"),
    "empty": Style(dim=True),
    "container": Style(italic=False),
    "plain": Style(),
    "name": Style(bold=True),
}


def fit(text: str, width: int, glyphs: Glyphs = UNICODE) -> str:
    """``text`` in at most ``width`` cells; its end gives way to an ellipsis."""
    if cell_len(text) <= width:
        return text
    if width <= 1:
        return glyphs.ellipsis[:width]
    return set_cell_size(text, width - 1).rstrip() + glyphs.ellipsis


def bar(share: float, width: int, glyphs: Glyphs) -> Line:
    """A bar of ``width`` cells, ``share`` of it filled."""
    filled = min(width, max(0, math.floor(share * width + 0.5)))
    return [Segment(glyphs.bar * filled, STYLES["bar"]), Segment(glyphs.empty * (width - filled), STYLES["empty"])]


def cropped(line: Line, width: int) -> Line:
    """Only a terminal narrower than any word needs this; a line too long would move all below it."""
    return line if Segment.get_line_length(line) <= width else Segment.adjust_line_length(line, width, pad=False)


def tree_lines(found: Iterable[Row], width: int, glyphs: Glyphs = UNICODE, frame: int | None = None) -> list[Line]:
    """All rows. ``frame`` turns the spinners; None draws a still picture."""
    return [cropped(line, width) for row in found for line in row_lines(row, width, glyphs, frame)]


def row_lines(row: Row, width: int, glyphs: Glyphs = UNICODE, frame: int | None = None) -> list[Line]:
    """The line of a row and, after a failure, the lines of the error."""
    wide = min(width, WIDEST)
    if row.is_gap:
        return [[Segment(f"{glyphs.gap} ", STYLES["guide"]), Segment(fit(row.name, wide - 2, glyphs), STYLES["facts"])]]
    guide = "".join(glyphs.guides[part] for part in row.guide)
    if cell_len(guide) > wide // 2:  # nested deeper than the terminal is wide: the important part is at the end
        guide = glyphs.ellipsis + guide[-(wide // 2) + 1 :]
    style = STYLES[row.state]
    line: Line = [Segment(guide, STYLES["guide"])] if guide else []
    line += [Segment(_glyph(row, glyphs, frame), style), Segment(" ")]
    room = wide - cell_len(guide) - 2 - (cell_len(row.time) + 1 if row.time else 0)
    name = fit(row.name, max(1, room), glyphs)
    line.append(Segment(name, _name_style(row)))
    left = room - cell_len(name)
    if row.share is not None and left >= 18:
        size = 20 if left >= 60 else 10
        line += [Segment("  "), *bar(row.share, size, glyphs), Segment(f" {row.share:4.0%}", STYLES["facts"])]
        left -= size + 7
    facts = glyphs.dot.join(row.facts)
    if facts and left >= 8:
        said = fit(facts, left - 2, glyphs)
        line += [
            Segment("  "),
            Segment(said, style if row.state in ("waiting", "failed", "retrying") else STYLES["facts"]),
        ]
        left -= cell_len(said) + 2
    if row.time:
        line += [Segment(" " * (left + 1)), Segment(row.time, STYLES["time"])]
    return [line, *_problem_lines(row, guide, wide, glyphs)]


def _glyph(row: Row, glyphs: Glyphs, frame: int | None) -> str:
    if row.state == "running" and frame is not None and not _is_container(row):
        return glyphs.spinner[frame % len(glyphs.spinner)]
    return glyphs.states[row.state]


def _is_container(row: Row) -> bool:
    return row.kind == "Workflow" or shape_of(row.kind) is not None


def _name_style(row: Row) -> Style:
    if row.state in ("pending", "unused"):
        return STYLES["pending"]
    return STYLES["name"] if not _is_container(row) and row.kind not in ("iteration", "item") else STYLES["plain"]


def _problem_lines(row: Row, guide: str, wide: int, glyphs: Glyphs, most: int = 3) -> list[Line]:
    if not row.problem:
        return []
    lead = guide.replace(glyphs.guides["tee"], glyphs.guides["line"]).replace(glyphs.guides["last"], "   ") + "  "
    room = max(10, wide - cell_len(lead))
    pieces = chop_cells(row.problem, room)
    if len(pieces) > most:
        pieces = [*pieces[: most - 1], fit("".join(pieces[most - 1 :]), room, glyphs)]
    return [[Segment(lead, STYLES["guide"]), Segment(piece, STYLES["problem"])] for piece in pieces]
