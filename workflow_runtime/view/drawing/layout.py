"""The layout of a drawing: boxes, frames and arrows of an outline, in the units of the renderer. Pure.

A sequence runs downwards; branches are side by side between a fork and a join. Each part has one entry at the middle of its
top and one exit at the middle of its bottom, so parts fit together whatever they contain.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from ... import Outline
from ...model.kinds import shape_of

__all__ = ["Arrow", "Box", "Frame", "Picture", "Units", "lay_out"]


class Units(NamedTuple):
    """The units of a drawing. ``text`` returns the width of a text."""

    text: Callable[[str], int]
    box_height: int
    fact_height: int
    pad: int  # beside a text, within its box
    gap: int  # between branches
    down: int  # the length of an arrow
    stub: int  # the length of a line between a frame and a fork, or the end of its content
    title: int  # the height of a frame's title
    inside: int  # between a frame and its content


class Box(NamedTuple):
    x: int
    y: int
    width: int
    height: int
    part: Outline


class Frame(NamedTuple):
    x: int
    y: int
    width: int
    height: int
    part: Outline


class Arrow(NamedTuple):
    """A line through these points, with a head at the last one if ``head``; ``label`` is at its beginning."""

    points: tuple[tuple[int, int], ...]
    head: bool = True
    label: str = ""


class Picture(NamedTuple):
    width: int
    height: int
    boxes: list[Box]
    frames: list[Frame]
    arrows: list[Arrow]


class _Part(NamedTuple):
    """Something measured. ``place(x, y, picture)`` puts it with its top left corner there."""

    width: int
    height: int
    place: Callable[[int, int, Picture], None]


def lay_out(outline: Sequence[Outline], units: Units) -> Picture:
    """The picture of a workflow's steps; empty for none."""
    part = _sequence(outline, units)
    picture = Picture(part.width, part.height, [], [], [])
    part.place(0, 0, picture)
    return picture


def title_of(part: Outline) -> str:
    """A frame's title: the kind of container, its name, and its options."""
    name = part.name if part.name.partition(" ")[0] == part.kind else f"{part.kind} {part.name}"
    return ", ".join((name, *part.facts))


def _node(part: Outline, units: Units) -> _Part:
    if not part.children:
        return _box(part, units)
    many_items = shape_of(part.kind) == "items" and len(part.children) > 1  # of a run; declared is one step
    if shape_of(part.kind) in ("branches", "choice") or many_items:
        return _frame(part, _beside([([child], "") for child in part.children], units), units, forks=True)
    if shape_of(part.kind) == "decision":
        sides = [([child for child in part.children if child.branch == side], side) for side in ("if", "else")]
        return _frame(part, _beside(sides, units), units, forks=True)
    return _frame(part, _sequence(part.children, units), units, forks=False)


def _box(part: Outline, units: Units) -> _Part:
    width = max(map(units.text, (part.name, *part.facts))) + 2 * units.pad
    height = units.box_height + units.fact_height * len(part.facts)
    width += (width + 1) % 2  # an odd number of cells has a middle

    def place(x: int, y: int, picture: Picture) -> None:
        picture.boxes.append(Box(x, y, width, height, part))

    return _Part(width, height, place)


def _frame(part: Outline, inner: _Part, units: Units, *, forks: bool) -> _Part:
    width = max(inner.width + 2 * units.inside, units.text(title_of(part)) + 2 * units.pad + 2)
    width += (width + 1) % 2
    entry = units.stub if forks else units.down
    above = units.title + entry
    height = above + inner.height + units.stub + 1

    def place(x: int, y: int, picture: Picture) -> None:
        picture.frames.append(Frame(x, y, width, height, part))
        middle = x + width // 2
        inner.place(middle - inner.width // 2, y + above, picture)
        picture.arrows.append(Arrow(((middle, y + units.title), (middle, y + above)), head=not forks))
        leaves = y + above + inner.height - (1 if forks else 0)  # a join has a line of its own
        picture.arrows.append(Arrow(((middle, leaves), (middle, y + height - 1)), head=False))

    return _Part(width, height, place)


def _sequence(parts: Sequence[Outline], units: Units) -> _Part:
    found = [_node(part, units) for part in parts]
    if not found:
        return _Part(1, 0, lambda *_: None)
    width = max(part.width for part in found)
    height = sum(part.height for part in found) + units.down * (len(found) - 1)

    def place(x: int, y: int, picture: Picture) -> None:
        middle = x + width // 2
        for position, part in enumerate(found):
            part.place(middle - part.width // 2, y, picture)
            y += part.height
            if position < len(found) - 1:
                picture.arrows.append(Arrow(((middle, y), (middle, y + units.down))))
                y += units.down

    return _Part(width, height, place)


def _beside(branches: Sequence[tuple[Sequence[Outline], str]], units: Units) -> _Part:
    """Branches between a fork and a join. One without steps is a line that passes by."""
    found = [_sequence(parts, units) for parts, _ in branches]
    widths = [
        max(part.width, units.text(label) * 2 + 3 if label else 1)
        for part, (_, label) in zip(found, branches, strict=True)
    ]
    widths = [width + (width + 1) % 2 for width in widths]
    width = sum(widths) + units.gap * (len(widths) - 1)
    width += (width + 1) % 2
    tall = max((part.height for part in found), default=0)
    fork = units.down
    height = tall + fork + units.stub + 1

    def place(x: int, y: int, picture: Picture) -> None:
        middle, left = x + width // 2, x
        for part, column, (_, label) in zip(found, widths, branches, strict=True):
            center = left + column // 2
            part.place(center - part.width // 2, y + fork, picture)
            top, bottom = y + fork, y + fork + part.height
            has_steps = part.height > 0
            picture.arrows.append(Arrow(((middle, y), (center, y), (center, top)), head=has_steps, label=label))
            picture.arrows.append(
                Arrow(((center, bottom), (center, y + height - 1), (middle, y + height - 1)), head=False)
            )
            left += column + units.gap

    return _Part(width, height, place)
