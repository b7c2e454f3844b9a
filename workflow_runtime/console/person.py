"""Whom a question is put to, as the rest of this room sees it; ``prompts.Terminal`` is one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

__all__ = ["Interrupted", "Left", "Prompter"]


class Interrupted(Exception):
    """Ctrl-C at a prompt."""


class Left(Exception):
    """Ctrl-D at an empty prompt."""


class Prompter(Protocol):
    """Whom a question is put to."""

    async def line(
        self,
        label: str,
        *,
        default: str = "",
        check: Callable[[str], Any] | None = None,
        words: Sequence[str] = (),
    ) -> str:
        """One line of text that ``check`` accepts (it raises ValueError otherwise). Raises Interrupted, Left."""
        ...

    async def text(self, label: str, default: str, suffix: str) -> str:
        """A text of several lines, edited in $EDITOR where there is one. ``suffix`` is that of its file."""
        ...
