"""A mark for each state, for people who cannot distinguish the colours: paths in a box of 16 by 16, drawn as lines."""

from __future__ import annotations

__all__ = ["ICONS"]

_ROUND = "M8 2a6 6 0 1 0 .01 0z"
ICONS = {
    "pending": _ROUND,
    "running": f"{_ROUND}M8 4.8V8l2.4 1.6",
    "retrying": "M12.8 5.6A5.6 5.6 0 1 0 13.6 8M13 2.4v3.4H9.6",
    "waiting": "M5.6 3v10M10.4 3v10",
    "done": "M3 8.6l3.4 3.6L13 4.6",
    "failed": "M4 4l8 8M12 4l-8 8",
    "skipped": "M3.4 4l4 4-4 4M9 4l4 4-4 4",
    "cancelled": f"{_ROUND}M4 12l8-8",
    "unused": "M4 8h8",
}
