"""When each step ran, as bars beside the tree."""

from __future__ import annotations

from rich.cells import cell_len
from rich.segment import Segment

from ..view.gantt import bounds, spans
from ..view.node import Node
from ..view.rows import Row, duration, rows
from ..view.tree import View
from .render import ASCII, STYLES, Glyphs, Line, fit

__all__ = ["gantt_lines"]

_BLOCKS = " ▏▎▍▌▋▊▉█"
_WIDEST = 140


def gantt_lines(view: View, now: float, width: int, glyphs: Glyphs, limit: int | None = None) -> list[Line]:
    """One line per step: name, bar, time; errors are shown below their step. The scale is at the top."""
    wide = min(width, _WIDEST)
    found = rows(view, now, limit)
    names = [_label(row, glyphs) for row in found]
    column = min(max((cell_len(name) for name in names), default=4) + 2, max(8, wide * 2 // 5))
    room = max(4, wide - column - 9)
    _, span = bounds(view, now)
    lines: list[Line] = [_scale(column, room, span)]
    for row, name in zip(found, names, strict=True):
        style = STYLES["facts"] if row.is_gap else STYLES[row.state if row.state in ("pending", "unused") else "plain"]
        shown = fit(name, column - 1, glyphs)
        line: Line = [Segment(shown, style), Segment(" " * (column - cell_len(shown)))]
        node = _node(view, row)
        bars = list(spans(view, node, now)) if node is not None else []
        if node is not None and bars:
            line += _bar(bars[0].start, bars[-1].end, room, row.state, glyphs)
            line.append(Segment(f" {duration(node.elapsed(view.clock(now))):>7}", STYLES["time"]))
        elif row.facts:
            line.append(Segment(fit(row.facts[0], room, glyphs), STYLES["facts"]))
        lines.append(line)
        if row.problem:
            lines.append(
                [Segment(" " * min(column, 4)), Segment(fit(row.problem, wide - 4, glyphs), STYLES["problem"])]
            )
    return lines


def _label(row: Row, glyphs: Glyphs) -> str:
    if row.is_gap:
        return f"{glyphs.gap} {row.name}"
    guide = "".join(glyphs.guides[part] for part in row.guide)
    facts = "" if not row.facts or row.state in ("pending", "unused") else f" {glyphs.dot.strip()} {row.facts[0]}"
    return f"{guide}{glyphs.states[row.state]} {row.name}{facts}"


def _node(view: View, row: Row) -> Node | None:
    return view.nodes.get(row.path) if row.path else None


def _bar(start: float, end: float, room: int, state: str, glyphs: Glyphs) -> Line:
    """A bar from ``start`` to ``end`` (shares of the whole), exact to an eighth of a cell, never empty."""
    left = min(room - 1, max(0, int(start * room)))
    length = max(0.125, min(room - left, end * room - left))
    full, rest = divmod(length, 1)
    if glyphs is ASCII:
        text = glyphs.bar * max(1, round(length))
    else:
        text = "█" * int(full) + (_BLOCKS[max(1, round(rest * 8))] if round(rest * 8) else "")
    text = text[: room - left] or _BLOCKS[1]
    return [Segment(" " * left), Segment(text, STYLES[state]), Segment(" " * (room - left - len(text)))]


def _scale(column: int, room: int, span: float) -> Line:
    end = duration(span)
    middle = duration(span / 2)
    text = f"{'0':<{room // 2}}{middle}" if room > 24 else "0"
    text = text[: max(0, room - len(end))].ljust(max(0, room - len(end))) + end
    return [Segment(" " * column), Segment(text, STYLES["facts"])]
