"""A person who answers from a script."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import anyio.lowlevel

from workflow_runtime.console.person import Interrupted, Left

__all__ = ["Person", "Interrupted", "Left"]


class Person:
    """Types the given answers, one per prompt; an exception among them is raised. ``asked`` are the labels.

    An answer that a prompt refuses is followed by the next one, as at a terminal; ``refused`` are the reasons.
    """

    def __init__(self, *answers: str | Exception, edited: str = "edited") -> None:
        self.answers = list(answers)
        self.asked: list[str] = []
        self.refused: list[str] = []
        self.edited = edited
        self.defaults: list[str] = []

    async def line(
        self, label: str, *, default: str = "", check: Callable[[str], Any] | None = None, words: Sequence[str] = ()
    ) -> str:
        await anyio.lowlevel.checkpoint()
        self.asked.append(label)
        self.defaults.append(default)
        while True:
            answer = self.answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            try:
                if check is not None:
                    check(answer)
            except ValueError as error:
                self.refused.append(str(error))
            else:
                return answer

    async def text(self, label: str, default: str, suffix: str) -> str:
        await anyio.lowlevel.checkpoint()
        self.asked.append(label)
        self.defaults.append(default)
        return self.edited
