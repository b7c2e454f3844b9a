"""A workflow as one SVG element: no scripts, no fonts of its own, nothing loaded. Alone it brings its colours, which fit
light and dark pages; in a page it takes that page's (``link`` makes its boxes lead somewhere)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from html import escape

from ... import Outline
from ..clean import one_line, shorten
from .icons import ICONS
from .layout import Arrow, Box, Frame, Units, lay_out, title_of
from .text import COLORS
from .width import cells

__all__ = ["svg"]

_CELL = 8  # pixels that a character takes at most, at 13 px
_UNITS = Units(
    lambda text: cells(text) * _CELL,
    box_height=34,
    fact_height=16,
    pad=22,
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
    ".l{fill:none;stroke:#6e7781;stroke-width:1.2}.h{fill:#6e7781}.i{fill:none;stroke:#6e7781;stroke-width:2}"
) + "".join(
    f"[data-state={state}]>rect,[data-state={state}]>.i{{stroke:{color};stroke-width:2;stroke-dasharray:none}}"
    for state, color in COLORS.items()
)


def svg(
    name: str,
    outline: Sequence[Outline],
    states: Mapping[str, str],
    link: Callable[[str], str | None] | None = None,
) -> str:
    """``states`` (path to state) draws the steps that have run in their colours, with a mark, and names the state in the
    tooltip.

    With ``link`` (a path to an address) the element has no style: it is for a page whose style defines the classes ``b``
    (box), ``r`` (frame), ``l`` (line), ``h`` (arrow head), ``i`` (mark), ``t`` and ``f`` (small texts).
    """
    picture = lay_out([_short(part) for part in outline], _UNITS)
    width, height = picture.width + 2 * _MARGIN, picture.height + 2 * _MARGIN
    title = escape(one_line(name))
    if not outline:
        width, height = 360, 40
    role = 'role="group"' if link else 'role="img" style="max-width:100%"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
        f' {role} aria-label="{title}">',
        "" if link else f"<title>{title}</title><style>{_STYLE}</style>",
        '<defs><marker id="wfr-head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7"'
        ' orient="auto"><path class="h" d="M0,0L8,4L0,8z"/></marker></defs>',
        f'<g transform="translate({_MARGIN},{_MARGIN})">',
    ]
    parts += [part for frame in picture.frames for part in _linked(frame.part, states, link, _frame(frame))]
    parts += [line for arrow in picture.arrows for line in _arrow(arrow)]
    parts += [part for box in picture.boxes for part in _linked(box.part, states, link, _box(box, states))]
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


def _linked(
    part: Outline, states: Mapping[str, str], link: Callable[[str], str | None] | None, inner: Iterator[str]
) -> Iterator[str]:
    """A box or a frame as a group, or as a link: its state on it, its place in the tooltip."""
    state = states.get(part.path, "")
    said = f' data-state="{escape(state)}"' if state else ""
    address = link(part.path) if link and part.kind != "gap" else None
    place = escape(one_line(part.path))
    yield f"<g{said}>" if address is None else f'<a href="{escape(address)}" data-step="{escape(part.path)}"{said}>'
    yield f"<title>{place}{f' ({escape(state)})' if state else ''}</title>"
    yield from inner
    yield "</g>" if address is None else "</a>"


def _frame(frame: Frame) -> Iterator[str]:
    x, y, width, height, part = frame
    yield f'<rect class="r" x="{x}" y="{y}" width="{width}" height="{height}" rx="8"/>'
    yield f'<text class="t" x="{x + 12}" y="{y + 16}">{escape(title_of(part))}</text>'


def _box(box: Box, states: Mapping[str, str]) -> Iterator[str]:
    x, y, width, height, part = box
    yield f'<rect class="b" x="{x}" y="{y}" width="{width}" height="{height}" rx="6"/>'
    mark = ICONS.get(states.get(part.path, ""))
    if mark:
        yield f'<path class="i" d="{mark}" transform="translate({x + 5},{y + 5}) scale(.75)"/>'
    middle = x + width // 2
    yield f'<text x="{middle}" y="{y + 22}" text-anchor="middle">{escape(part.name)}</text>'
    for row, fact in enumerate(part.facts, 1):
        yield f'<text class="f" x="{middle}" y="{y + 22 + 16 * row}" text-anchor="middle">{escape(fact)}</text>'


def _arrow(arrow: Arrow) -> Iterator[str]:
    points = " ".join(f"{x},{y}" for x, y in arrow.points)
    head = ' marker-end="url(#wfr-head)"' if arrow.head else ""
    yield f'<polyline class="l" points="{points}"{head}/>'
    if arrow.label:
        x, y = arrow.points[-1]
        yield f'<text class="t" x="{x + 6}" y="{y - 9}">{escape(arrow.label)}</text>'
