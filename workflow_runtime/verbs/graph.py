"""Verbs that draw the workflow itself: as data, as text for other tools, for a terminal, a page and a notebook. Offline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..core.outline import Outline, outline_of
from .base import Verbs

__all__ = ["GraphVerbs"]


class GraphVerbs(Verbs):
    def outline(self) -> tuple[Outline, ...]:
        """The steps as data: name, kind, place and children of each. Empty for a callable workflow."""
        return outline_of(self.definition().plan)

    def to_mermaid(self, states: Mapping[str, str] | None = None) -> str:
        """The graph as Mermaid text. ``states`` (path to "done", "failed", "running" ...) colours what has run."""
        from ..view.drawing.text import mermaid

        return mermaid(self.outline(), states or {})

    def to_dot(self, states: Mapping[str, str] | None = None) -> str:
        """The graph for Graphviz."""
        from ..view.drawing.text import dot

        return dot(self.name or self.id, self.outline(), states or {})

    def to_ascii(self, width: int = 100, *, ascii_only: bool = False) -> str:
        """The graph for a terminal of that width; an indented list where it would not fit. ``ascii_only``: no line art."""
        from ..view.drawing.canvas import draw

        return draw(self.name or self.id, self.outline(), width, ascii_only)

    def to_svg(self, states: Mapping[str, str] | None = None) -> str:
        """The graph as one self-contained SVG element; readable on light and dark pages."""
        from ..view.drawing.svg import svg

        return svg(self.name or self.id, self.outline(), states or {})

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """What a notebook shows for the workflow."""
        return {"text/plain": repr(self), "image/svg+xml": self.to_svg()}
