"""The content of the live region at one moment: the tree, the ends of streamed texts, a line of totals.

``snapshot`` copies the needed data out of the view (on the event loop, cheap); ``Painter`` turns it into lines (in a worker
thread, while the view changes on).
"""

from __future__ import annotations

import re
from typing import NamedTuple

from rich.console import Console
from rich.segment import Segment
from rich.text import Text

from ..view.clean import clean
from ..view.node import Node
from ..view.rows import Row, counted, duration, rows, where
from ..view.tree import View
from .prose import prose
from .render import ASCII, STYLES, UNICODE, Glyphs, Line, cropped, fit, tree_lines

__all__ = ["Painter", "Snapshot", "Stream", "snapshot"]

_BESIDE = 34  # cells that a streamed text needs to be shown beside others
_MOST_STREAMS = 4
_FENCE = re.compile(r"^ {0,3}(```+|~~~+)(.*)$", re.MULTILINE)


class Stream(NamedTuple):
    """The end of a step's streamed text; ``size`` shows whether it has grown."""

    title: str
    text: str
    size: int


class Snapshot(NamedTuple):
    rows: list[Row]
    streams: list[Stream]
    hidden_streams: int
    footer: str
    is_moving: bool


def snapshot(
    view: View, now: float, height: int, *, streams: bool = True, times: bool = True, hint: str = "Ctrl-C cancels"
) -> Snapshot:
    """The view as it is now, cut to a terminal of ``height`` lines."""
    live = [node for node in view.root.walk() if node.parent is not None and node.is_live and not _has_live(node)]
    speaking = [node for node in live if streams and node.tail is not None and node.tail.size] if streams else []
    room = max(3, height - 2)
    shown = [
        Stream(where(node), node.tail.text(), node.tail.size)
        for node in speaking[-_MOST_STREAMS:]
        if node.tail is not None
    ]
    limit = room if not shown else max(3, room - min(room // 2, 14))
    return Snapshot(
        rows(view, now, limit, times=times),
        shown,
        max(0, len(speaking) - _MOST_STREAMS),
        _footer(view, now, times, hint),
        view.status in ("RUNNING", "PENDING"),
    )


def _has_live(node: Node) -> bool:
    return any(child.is_live for child in node.children.values())


def _footer(view: View, now: float, times: bool, hint: str) -> str:
    ended = total = 0
    for node in view.root.walk():
        ended += node.dropped_steps
        total += node.dropped_steps
        if node.parent is not None and not node.children:
            ended += node.is_ended
            total += 1
    parts = [duration(view.elapsed(now))] if times else []
    if total:
        parts.append(f"{ended:,} of {counted(total, 'step')}")
    if view.tokens["total_tokens"]:
        parts.append(counted(view.tokens["total_tokens"], "token"))
    parts.append(hint)
    return " · ".join(parts)


class Painter:
    """Lines for snapshots, one after the other. Text that has not grown is not laid out again."""

    def __init__(self, console: Console, *, markdown: bool) -> None:
        self.console = console
        self.markdown = markdown
        self.glyphs: Glyphs = ASCII if console.options.ascii_only else UNICODE
        self._known: dict[tuple[str, int, int, int], list[Line]] = {}

    def lines(self, shot: Snapshot, frame: int) -> list[Line]:
        """At most as many lines as the terminal has, less one, each at most as wide as it is."""
        width, height = self.console.size
        room = max(1, height - 1)
        tree = tree_lines(shot.rows, width, self.glyphs, frame)
        found = tree[: max(1, room - 1 - (4 if shot.streams else 0))]
        found += self._streams(shot, width, room - 1 - len(found))
        mark = self.glyphs.spinner[frame % len(self.glyphs.spinner)] if shot.is_moving else self.glyphs.gap
        footer = fit(shot.footer if self.glyphs is UNICODE else shot.footer.replace("·", ","), width - 2, self.glyphs)
        found.append([Segment(f"{mark} ", STYLES["running"]), Segment(footer, STYLES["facts"])])
        return [cropped(line, width) for line in found]

    def _streams(self, shot: Snapshot, width: int, room: int) -> list[Line]:
        """The streamed texts side by side if the width allows it, else one above the other."""
        streams = shot.streams
        if not streams or room < 2:
            return []
        beside = len(streams) > 1 and (width - 2 * (len(streams) - 1)) // len(streams) >= _BESIDE
        if not beside:
            streams = streams[-max(1, room // 3) :]
        column = (width - 2 * (len(streams) - 1)) // len(streams) if beside else min(width, 100)
        tall = room if beside else room // len(streams)
        blocks = [self._block(stream, column, min(tall, 14)) for stream in streams]
        if not beside:
            return [line for block in blocks for line in block]
        found: list[Line] = []
        for position in range(max(map(len, blocks))):
            line: Line = []
            for block in blocks:
                part = block[position] if position < len(block) else []
                missing = column - Segment.get_line_length(part)
                line += [*part, Segment(" " * (missing + 2))] if block is not blocks[-1] else part
            found.append(line)
        return found

    def _laid_out(self, text: str, width: int) -> list[Line]:
        if not self.markdown and text.isascii():
            return [[Segment(line)] for line in wrapped(text, width)]
        shown = prose(text) if self.markdown else Text(text)
        options = self.console.options.update(width=width, height=None)
        return [list(line) for line in self.console.render_lines(shown, options, pad=False)]

    def _block(self, stream: Stream, width: int, tall: int) -> list[Line]:
        key = (stream.title, stream.size, width, tall)
        known = self._known.get(key)
        if known is not None:
            return known
        rule = "-" if self.glyphs is ASCII else "─"
        title = fit(stream.title, max(1, width - 5), self.glyphs)
        head: Line = [Segment(f"{rule}{rule} ", STYLES["guide"]), Segment(title, STYLES["running"])]
        lines: list[Line] = []
        for share in (3, 1):  # a third of the cells is often enough to fill the lines, as paragraphs end early
            source = end_of(stream.text, tall * width // share)
            lines = self._laid_out(clean(source), width)
            while lines and not "".join(segment.text for segment in lines[-1]).strip():
                lines.pop()
            if len(lines) >= tall or len(source) == len(stream.text):
                break
        block = [head, *lines[-max(1, tall - 1) :]]
        if len(self._known) > 2 * _MOST_STREAMS:
            self._known.clear()
        self._known[key] = block
        return block


def wrapped(text: str, width: int) -> list[str]:
    """The lines of a plain ASCII text, broken between words if possible. Much faster than rich's."""
    found: list[str] = []
    for line in text.expandtabs(8).split("\n"):
        while len(line) > width:
            cut = line.rfind(" ", 0, width + 1)
            if cut <= 0:
                cut = width
            found.append(line[:cut].rstrip())
            line = line[cut:].lstrip(" ")
        found.append(line)
    return found


def end_of(text: str, characters: int) -> str:
    """About the last ``characters`` of a Markdown text, from the start of a block on; inside a code block its fence is
    put before it."""
    if len(text) <= characters:
        return text
    cut = len(text) - characters
    start = text.find("\n\n", cut)
    if start < 0 or start > len(text) - characters // 4:
        start = text.find("\n", cut)
    if start < 0 or start > len(text) - characters // 4:
        return text[cut:]
    fence = ""
    for match in _FENCE.finditer(text, 0, start):
        if not fence:
            fence = match[0]
        elif match[1].startswith(fence.strip()[:3]) and not match[2].strip():
            fence = ""
    return f"{fence}\n{text[start:].lstrip(chr(10))}" if fence else text[start:].lstrip("\n")
