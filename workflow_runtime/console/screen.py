"""A region at the bottom of a terminal that is drawn over in place, while other things are printed above it.

Built on rich's render hooks, like ``rich.live``, with three differences: only changed lines are written; after a resize,
lines that the terminal wrapped again are counted, so that none is left behind; text that steps print themselves is cleaned,
so that it cannot move the cursor out of its lines.
"""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from rich.ansi import AnsiDecoder
from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderableType, RenderHook, RenderResult
from rich.control import Control
from rich.segment import ControlType, Segment
from rich.text import Text

from ..view.clean import clean
from .render import Line, cropped

__all__ = ["Region", "encodable", "lines_of"]

_CONTROL = ((ControlType.ERASE_IN_LINE, 2),)  # marks a segment as control: rich writes its text as it is, at width 0


class _Segments:
    """Ready segments as a renderable."""

    def __init__(self, segments: list[Segment]) -> None:
        self.segments = segments

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        return self.segments


class Region(RenderHook):
    """The lines at the bottom. All methods block while the terminal does; call them from a worker thread.

    ``lock`` serialises everything that is written while the region is open.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self.lock = threading.RLock()
        self._drawn: list[Line] = []
        self._width = console.width
        self._next: list[Line] | None = None
        self._open = False

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Own the bottom of the terminal; on leaving the drawn lines are gone and the cursor is back."""
        outer = sys.stdout, sys.stderr
        with self.lock:
            self._open, self._drawn = True, []
            self.console.show_cursor(False)
            self.console.push_render_hook(self)
            sys.stdout = _Guard(self, outer[0])
            sys.stderr = _Guard(self, outer[1])
        try:
            yield
        finally:
            with self.lock:
                for guard in (sys.stdout, sys.stderr):
                    if isinstance(guard, _Guard):
                        guard.finish()
                sys.stdout, sys.stderr = outer
                self.draw([])
                self._open = False
                self.console.pop_render_hook()
                self.console.show_cursor(True)

    def draw(self, lines: list[Line]) -> None:
        """Show these lines, each at most as wide as the console, in the place of the ones before."""
        with self.lock:
            if not self._open:
                return
            if self.console.options.ascii_only:
                lines = [[encoded(self.console, segment) for segment in line] for line in lines]
            self._next = lines
            self.console.print(Control(), crop=False)

    def print(self, *renderables: RenderableType) -> None:
        """Print above the region, for good."""
        with self.lock:
            for renderable in renderables:
                self.console.print(encodable(self.console, renderable))

    # -- rich's side ---------------------------------------------------------------------------------------------------

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        with self.lock:
            width = self.console.width
            if self._next is not None:  # they may have been made before the terminal became narrower
                self._next = [cropped(line, width) for line in self._next]
            if self._next is not None and width == self._width:
                lines, self._next = self._next, None
                changed = self._changes(lines)
                self._drawn = lines
                return [_Segments(changed)]
            lines = [cropped(line, width) for line in self._drawn] if self._next is None else self._next
            above = renderables if self._next is None else []
            erase = self._erase(width)
            self._next, self._width = None, width
            self._drawn = lines
            return [_Segments(erase), *above, _Segments(_joined(lines))]

    def _erase(self, width: int) -> list[Segment]:
        """Back to the first cell of the region, everything from there on gone."""
        if not self._drawn:
            return []
        rows = len(self._drawn)
        if width < self._width:  # the terminal has wrapped lines that became too long
            rows = sum(max(1, -(-Segment.get_line_length(line) // max(1, width))) for line in self._drawn)
        return [_control("\r" + _up(rows - 1) + "\x1b[J")]

    def _changes(self, lines: list[Line]) -> list[Segment]:
        """The control codes that turn the drawn lines into these, with the cursor at the end of the last line before and
        after."""
        drawn = self._drawn
        if lines == drawn:
            return []
        if not lines:
            return self._erase(self._width)
        found = [_control("\r" + _up(len(drawn) - 1))] if drawn else []
        for position, line in enumerate(lines):
            if position:
                found.append(Segment.line())
            if position >= len(drawn) or drawn[position] != line:
                found.append(_control("\x1b[2K"))
                found.extend(line)
        extra = len(drawn) - len(lines)
        if extra > 0:
            found.append(_control("\n\x1b[2K" * extra + _up(extra)))
        return found


def _control(text: str) -> Segment:
    return Segment(text, None, _CONTROL)


def _up(count: int) -> str:
    return f"\x1b[{count}A" if count > 0 else ""


def _joined(lines: list[Line]) -> list[Segment]:
    found: list[Segment] = []
    for position, line in enumerate(lines):
        if position:
            found.append(Segment.line())
        found.extend(line)
    return found


class _Guard(io.TextIOBase):
    """Replaces stdout or stderr while the region is open: whole lines are printed above it, colours kept.

    ``print`` writes a line and its end by two calls, so each thread has its own unfinished line.
    """

    def __init__(self, region: Region, file: TextIO) -> None:
        self._region = region
        self._partial: dict[int, str] = {}  # by thread
        self._decoder = AnsiDecoder()
        self.rich_proxied_file = file  # the file that rich itself writes to

    def __getattr__(self, name: str) -> Any:
        return getattr(self.rich_proxied_file, name)

    def write(self, text: str) -> int:
        with self._region.lock:
            thread = threading.get_ident()
            *lines, partial = (self._partial.pop(thread, "") + text).split("\n")
            if partial:
                self._partial[thread] = partial
            for line in lines:
                self._region.print(self._shown(line))
        return len(text)

    def _shown(self, line: str) -> Text:
        decoded = self._decoder.decode_line(line.rstrip("\r"))
        safe = clean(decoded.plain)
        return decoded if safe == decoded.plain else Text(safe)

    def flush(self) -> None:
        """A line is shown once it is whole."""

    def finish(self) -> None:
        """Show the rest of unfinished lines."""
        with self._region.lock:
            while self._partial:
                self._region.print(self._shown(self._partial.pop(next(iter(self._partial)))))

    def isatty(self) -> bool:
        return self.rich_proxied_file.isatty()

    def fileno(self) -> int:
        return self.rich_proxied_file.fileno()


def encodable(console: Console, renderable: RenderableType) -> RenderableType:
    """The same, with a ``?`` for each character that the console's encoding does not have."""
    if not console.options.ascii_only:
        return renderable
    return _Segments([encoded(console, segment) for segment in console.render(renderable)])


def encoded(console: Console, segment: Segment) -> Segment:
    if segment.control or segment.text.isascii():
        return segment
    return Segment(segment.text.encode(console.encoding, "replace").decode(console.encoding), segment.style)


def lines_of(lines: list[Line]) -> RenderableType:
    """Ready lines as something to print."""
    return _Segments([*_joined(lines), Segment.line()])
