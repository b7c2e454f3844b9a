"""A workflow as one SVG element: no scripts, no fonts of its own, nothing loaded; its colours fit light and dark pages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape

from ... import Outline
from ..clean import one_line, shorten
from .layout import Arrow, Box, Frame, Units, lay_out, title_of
from .text import COLORS
from .width import cells

__all__ = ["svg"]

_CELL = 8  # pixels that a character takes at most, at 13 px
_UNITS = Units(
    lambda text: cells(text) * _CELL,
    box_height=34,
    fact_height=16,
    pad=14,
    gap=24,
    down=26,
    stub=14,
    title=24,
    inside=18,
)
_MARGIN = 8
_LONGEST = 60
# Boxes bring their own light ground; lines and titles are of a grey that can be read on white and on black.
_STYLE = (
    "text{font-family:ui-sans-serif,system-ui,sans-serif;font-size:13px;fill:#1f2328}"
    ".f{font-size:11px;fill:#59636e}.t{font-size:12px;fill:#6e7781}"
    ".b{fill:#f6f8fa;stroke:#6e7781;stroke-width:1.2}.r{fill:none;stroke:#6e7781;stroke-width:1;stroke-dasharray:4 3}"
    ".l{fill:none;stroke:#6e7781;stroke-width:1.2}"
)


def svg(name: str, outline: Sequence[Outline], states: Mapping[str, str]) -> str:
    """``states`` (path to state) draws the border of what has run in its colour and names it in the tooltip."""
    picture = lay_out([_short(part) for part in outline], _UNITS)
    width, height = picture.width + 2 * _MARGIN, picture.height + 2 * _MARGIN
    title = escape(one_line(name))
    if not outline:
        width, height = 360, 40
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
        f' role="img" aria-label="{title}" style="max-width:100%">',
        f"<title>{title}</title><style>{_STYLE}</style>",
        '<defs><marker id="wfr-head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7"'
        ' orient="auto"><path d="M0,0L8,4L0,8z" fill="#6e7781"/></marker></defs>',
        f'<g transform="translate({_MARGIN},{_MARGIN})">',
    ]
    parts += [_frame(frame, states) for frame in picture.frames]
    parts += [line for arrow in picture.arrows for line in _arrow(arrow)]
    parts += [line for box in picture.boxes for line in _box(box, states)]
    if not outline:
        parts.append(f'<text x="0" y="20">{title}: its steps are known only as it runs</text>')
    return "".join([*parts, "</g></svg>"])


def _short(part: Outline) -> Outline:
    return Outline(
        path=part.path,
        name=shorten(one_line(part.name), _LONGEST),
        kind=part.kind,
        branch=part.branch,
        facts=tuple(shorten(one_line(fact), _LONGEST) for fact in part.facts),
        children=tuple(map(_short, part.children)),
    )


def _colored(part: Outline, states: Mapping[str, str]) -> str:
    color = COLORS.get(states.get(part.path, ""))
    return f' style="stroke:{color};stroke-width:2;stroke-dasharray:none"' if color else ""


def _frame(frame: Frame, states: Mapping[str, str]) -> str:
    x, y, width, height, part = frame
    return (
        f'<rect class="r" x="{x}" y="{y}" width="{width}" height="{height}" rx="8"{_colored(part, states)}/>'
        f'<text class="t" x="{x + 12}" y="{y + 16}">{escape(title_of(part))}</text>'
    )


def _box(box: Box, states: Mapping[str, str]) -> Iterator[str]:
    x, y, width, height, part = box
    state = states.get(part.path)
    yield f"<g><title>{escape(one_line(part.path))}{f' ({escape(state)})' if state else ''}</title>"
    yield f'<rect class="b" x="{x}" y="{y}" width="{width}" height="{height}" rx="6"{_colored(part, states)}/>'
    middle = x + width // 2
    yield f'<text x="{middle}" y="{y + 22}" text-anchor="middle">{escape(part.name)}</text>'
    for row, fact in enumerate(part.facts, 1):
        yield f'<text class="f" x="{middle}" y="{y + 22 + 16 * row}" text-anchor="middle">{escape(fact)}</text>'
    yield "</g>"


def _arrow(arrow: Arrow) -> Iterator[str]:
    points = " ".join(f"{x},{y}" for x, y in arrow.points)
    head = ' marker-end="url(#wfr-head)"' if arrow.head else ""
    yield f'<polyline class="l" points="{points}"{head}/>'
    if arrow.label:
        x, y = arrow.points[-1]
        yield f'<text class="t" x="{x + 6}" y="{y - 9}">{escape(arrow.label)}</text>'
