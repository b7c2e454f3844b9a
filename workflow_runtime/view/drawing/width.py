"""How many cells of a terminal a text takes, without a library: drawings must work without rich."""

from __future__ import annotations

import unicodedata

__all__ = ["cells"]


def cells(text: str) -> int:
    """0 for characters that are drawn over the one before, 2 for wide characters, 1 for the rest."""
    if text.isascii():
        return len(text)
    return sum(map(_width, text))


def _width(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1
