"""A run in a notebook: one output that is replaced during the run, permanent output below it."""

from __future__ import annotations

import io
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import anyio
from rich.console import Console

from .. import Event
from ..view.rows import rows
from ..view.tree import View
from .frame import Painter, snapshot
from .live import milestones
from .render import UNICODE, tree_lines
from .screen import lines_of
from .surface import Held, Options, clock

__all__ = ["Notebook"]

_PAUSE = 0.25  # seconds between two pictures: each one is a message to the browser
_WIDTH, _HEIGHT = 100, 36
_FONT = "Menlo,'DejaVu Sans Mono',consolas,monospace"
_PAGE = f'<pre style="white-space:pre;overflow-x:auto;line-height:1.3;font-family:{_FONT}">{{code}}</pre>'


class Notebook:
    """The surface of a Jupyter kernel."""

    wants_deltas = False

    def __init__(self, console: Console, view: View, options: Options) -> None:
        self.console = console
        self.view = view
        self.options = options
        self._held = Held()
        self._handle: Any = None
        self._shown = ""

    async def run(self) -> None:
        painter = Painter(_quiet(), markdown=self.options.markdown)
        while True:
            shot = snapshot(
                self.view,
                clock(),
                _HEIGHT,
                streams=self.options.stream,
                times=self.options.show_time,
                hint="interrupt the kernel to cancel",
            )
            self._replace(lines_of(painter.lines(shot, int(clock() / _PAUSE))))
            await anyio.sleep(_PAUSE)

    async def events(self, batch: Sequence[Event]) -> None:
        found = milestones(batch, self.view, self.options, self._held, self.console)
        if found:
            await self.say(*found)

    async def say(self, *parts: Any) -> None:
        for part in parts:
            self._display(_html(part))

    async def close(self) -> None:
        tree = tree_lines(rows(self.view, clock(), 60, times=self.options.show_time), _WIDTH, UNICODE)
        self._replace(lines_of(tree))
        self._handle = None
        held = self._held.release(self.options, self.console)
        if held is not None:
            await self.say(held)

    def _replace(self, renderable: Any) -> None:
        html = _html(renderable)
        if self._handle is None:
            self._handle = self._display(html, keep=True)
        elif html != self._shown:
            self._handle.update(_Html(html))
        self._shown = html

    def _display(self, html: str, keep: bool = False) -> Any:
        show: Any = import_module("IPython.display").display  # there is one in a notebook
        return show(_Html(html), display_id=True) if keep else show(_Html(html))


class _Html:
    """Something that a notebook shows as HTML, and everything else as text."""

    def __init__(self, html: str) -> None:
        self._html = html

    def _repr_html_(self) -> str:
        return self._html

    def __repr__(self) -> str:
        return "<a run of a workflow>"


def _quiet() -> Console:
    return Console(
        width=_WIDTH, height=_HEIGHT, file=io.StringIO(), force_terminal=True, force_jupyter=False, record=True
    )


def _html(renderable: Any) -> str:
    """As HTML with its colours; text of others is escaped by rich."""
    console = _quiet()
    console.print(renderable)
    return console.export_html(inline_styles=True, code_format=_PAGE)
