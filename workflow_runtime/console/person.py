"""The protocol of a prompter, which asks a person, and the prompter of this terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

__all__ = ["Interrupted", "Left", "Prompter", "at_this_terminal"]


class Interrupted(Exception):
    """Ctrl-C at a prompt."""


class Left(Exception):
    """Ctrl-D at an empty prompt."""


class Prompter(Protocol):
    """Asks a person."""

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
        """A text of several lines, edited in $EDITOR if it is set. ``suffix`` is that of its file."""
        ...


def at_this_terminal(history: Sequence[str] | None = None) -> Prompter:
    """The person at this terminal. Without prompt_toolkit lines can neither be edited nor gone back to.

    Args:
        history: Earlier lines, to which the new ones are added; None: there is nothing to go back to.
    """
    try:
        from prompt_toolkit.history import InMemoryHistory

        from .prompts import Terminal
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "prompt_toolkit":
            raise
        from .plain import PlainTerminal

        return PlainTerminal()
    return Terminal(history=None if history is None else InMemoryHistory(history))
