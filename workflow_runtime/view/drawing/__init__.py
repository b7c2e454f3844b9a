"""Pictures of a workflow from its outline: Mermaid and DOT text, lines for a terminal, SVG. Pure; needs no library."""

from __future__ import annotations

__all__: list[str] = []
