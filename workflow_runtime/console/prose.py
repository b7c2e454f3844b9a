"""Markdown as rich lays it out, but with nothing lost: HTML in a text is shown as it is written, links with their target."""

from __future__ import annotations

from markdown_it import MarkdownIt
from rich.console import Console, ConsoleOptions, RenderResult
from rich.markdown import Markdown
from rich.theme import Theme

__all__ = ["prose"]

_PARSER = MarkdownIt("commonmark", {"html": False}).enable("strikethrough").enable("table")
_THEME = Theme({"markdown.code": "cyan"})  # no ground of its own: it would be a black box on a light terminal


class _Prose(Markdown):
    def __init__(self, text: str) -> None:
        super().__init__("", hyperlinks=False, code_theme="ansi_dark")
        self.parsed = _PARSER.parse(text)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        with console.use_theme(_THEME):
            yield from list(super().__rich_console__(console, options))


def prose(text: str) -> Markdown:
    """A text that has been made safe (``clean``) as something to draw."""
    return _Prose(text)
