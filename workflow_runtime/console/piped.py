"""Answers from a pipe: one line each, no prompt drawn."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

from .person import Left
from .threads import in_thread

__all__ = ["Piped"]


class Piped:
    """Lines of standard input. A refused line is followed by the next one; the end of the input is Ctrl-D."""

    async def line(
        self, label: str, *, default: str = "", check: Callable[[str], Any] | None = None, words: Sequence[str] = ()
    ) -> str:
        while True:
            # The thread cannot be called back from a blocked read; it ends with the program.
            line = await in_thread(sys.stdin.readline)
            if not line:
                raise Left
            text = line.rstrip("\r\n") or default
            try:
                if check is not None:
                    check(text)
            except ValueError:
                continue
            return text

    async def text(self, label: str, default: str, suffix: str) -> str:
        return await self.line(label, default=default)
