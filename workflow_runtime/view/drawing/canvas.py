"""A workflow drawn with characters: boxes and arrows, or an indented list if there is no room for them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from ... import Outline
from ..clean import one_line
from .layout import Arrow, Picture, Units, lay_out, title_of
from .width import cells

__all__ = ["draw", "listing"]

_UNITS = Units(cells, box_height=3, fact_height=1, pad=2, gap=3, down=2, stub=1, title=1, inside=2)
_WIDEST = 400

# Each line is a set of directions that meet in a cell; the character is chosen when all lines are drawn.
_UP, _DOWN, _LEFT, _RIGHT = 1, 2, 4, 8
_LINES = {
    0: " ", _UP: "│", _DOWN: "│", _UP | _DOWN: "│", _LEFT: "─", _RIGHT: "─", _LEFT | _RIGHT: "─",
    _DOWN | _RIGHT: "╭", _DOWN | _LEFT: "╮", _UP | _RIGHT: "╰", _UP | _LEFT: "╯",
    _UP | _DOWN | _RIGHT: "├", _UP | _DOWN | _LEFT: "┤", _DOWN | _LEFT | _RIGHT: "┬", _UP | _LEFT | _RIGHT: "┴",
    _UP | _DOWN | _LEFT | _RIGHT: "┼",
}  # fmt: skip


def draw(name: str, outline: Sequence[Outline], width: int, ascii_only: bool) -> str:
    """The picture if it is at most ``width`` cells wide, else the list."""
    if not outline:
        return f"{one_line(name)}: its steps are known only as it runs"
    safe = [_safe(part) for part in outline]
    picture = lay_out(safe, _UNITS) if sum(1 for part in safe for _ in part.walk()) <= _WIDEST else None
    if picture is None or picture.width > width:
        return "\n".join(listing(safe, ascii_only))
    return "\n".join(_paint(picture, ascii_only))


def listing(outline: Sequence[Outline], ascii_only: bool, lead: str = "") -> Iterator[str]:
    """One line per step, indented as they are nested."""
    tee, last, line, blank = ("|- ", "`- ", "|  ", "   ") if ascii_only else ("├─ ", "└─ ", "│  ", "   ")
    for position, part in enumerate(outline):
        is_last = position == len(outline) - 1
        said = title_of(part) if part.children else ", ".join((part.name, *part.facts))
        branch = f"{part.branch}: " if part.branch else ""
        yield f"{lead}{last if is_last else tee}{branch}{said}"
        yield from listing(part.children, ascii_only, lead + (blank if is_last else line))


def _safe(part: Outline) -> Outline:
    return Outline(
        path=part.path,
        name=one_line(part.name),
        kind=part.kind,
        branch=part.branch,
        facts=tuple(map(one_line, part.facts)),
        children=tuple(map(_safe, part.children)),
    )


def _paint(picture: Picture, ascii_only: bool) -> list[str]:
    height = picture.height
    lines = [[0] * picture.width for _ in range(height)]
    texts: list[tuple[int, int, str]] = []
    for frame in picture.frames:
        _outline_box(lines, frame.x, frame.y, frame.width, frame.height)
        texts.append((frame.x + 2, frame.y, f" {title_of(frame.part)} "))
    for box in picture.boxes:
        _outline_box(lines, box.x, box.y, box.width, box.height)
        for row, text in enumerate((box.part.name, *box.part.facts), 1):
            texts.append((box.x + (box.width - cells(text)) // 2, box.y + row, text))
    for arrow in picture.arrows:
        _line(lines, arrow)
        if arrow.head:
            x, y = arrow.points[-1]
            texts.append((x, y - 1, "v" if ascii_only else "▼"))
        if arrow.label:
            x, y = arrow.points[-1]
            texts.append((x + 2, y - 1, arrow.label))
    found = [[_character(cell, ascii_only) for cell in row] for row in lines]
    for x, y, text in texts:
        _write(found[y], x, text)
    return ["".join(row).rstrip() for row in found]


def _outline_box(lines: list[list[int]], x: int, y: int, width: int, height: int) -> None:
    right, bottom = x + width - 1, y + height - 1
    _stroke(lines, x, y, right, y)
    _stroke(lines, x, bottom, right, bottom)
    _stroke(lines, x, y, x, bottom)
    _stroke(lines, right, y, right, bottom)


def _line(lines: list[list[int]], arrow: Arrow) -> None:
    points = list(arrow.points)
    for (x1, y1), (x2, y2) in pairwise(points):
        is_last = (x2, y2) == points[-1]
        # An arrow ends above its target and begins below its source, since the borders are drawn already.
        if x1 == x2:
            _stroke(
                lines, x1, y1, x2, y2 - 1 if is_last and arrow.head else y2 if not is_last else min(y2, len(lines) - 1)
            )
        else:
            _stroke(lines, x1, y1, x2, y2)


def _stroke(lines: list[list[int]], x1: int, y1: int, x2: int, y2: int) -> None:
    """A straight line between two cells, both included."""
    if y1 == y2:
        for x in range(min(x1, x2), max(x1, x2) + 1):
            lines[y1][x] |= (_LEFT if x > min(x1, x2) else 0) | (_RIGHT if x < max(x1, x2) else 0)
    else:
        for y in range(min(y1, y2), max(y1, y2) + 1):
            lines[y][x1] |= (_UP if y > min(y1, y2) else 0) | (_DOWN if y < max(y1, y2) else 0)


def _character(directions: int, ascii_only: bool) -> str:
    shown = _LINES[directions]
    if not ascii_only:
        return shown
    return shown if shown == " " else "|" if shown == "│" else "-" if shown == "─" else "+"


def _write(row: list[str], x: int, text: str) -> None:
    """Put a text over the cells from ``x`` on; a wide character takes two of them."""
    for character in text:
        width = cells(character)
        if width == 0 and x > 0:
            row[x - 1] += character
            continue
        row[x] = character
        for extra in range(1, width):
            row[x + extra] = ""
        x += width
