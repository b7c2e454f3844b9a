"""What a workflow that is a function has published by itself, so that walking it again publishes it once. (D7)

Its steps are in the journal; its own chunks, events and progress are not, they are only counted. At each point where the
journal grows (a step, a question, ``once``, ``sleep``) the count is noted, and as many are silent when the function is
run again to go on from there. Behind the last such point a crash repeats them, as it repeats a running step's.
"""

from __future__ import annotations

from typing import Any

from ..core.journal import Journal
from ..core.plan import Node

__all__ = ["FunctionNode", "Said"]

_MARK = "!said:"


class Said:
    """The counts of one walk through the function at ``path`` ("" for the outermost)."""

    __slots__ = ("_noted", "_path", "count", "known")

    def __init__(self, path: str, journal: Journal) -> None:
        self._path = path
        self.count = 0
        self.known = self._noted = _known(journal, path) if journal.replaying else 0

    def again(self) -> bool:
        """Count one more; True when it was published before."""
        self.count += 1
        return self.count <= self.known

    def mark(self) -> tuple[str, int] | None:
        """The (path, count) to put into the journal, None when it has it."""
        if self.count <= self._noted:
            return None
        self._noted = self.count
        return f"{self._path}{_MARK}{self.count}", self.count

    def retracted(self, journal: Journal) -> list[str]:
        """The function failed; if it is tried again, all of it is new. The paths of the marks that no longer hold."""
        self._noted = 0
        return [path for path in journal.records if path.startswith(self._path + _MARK)]


class FunctionNode(Node):
    """Stands for the workflow function itself where events need a node; one for each walk through it."""

    kind = "Workflow"

    def __init__(self, said: Said, **place: Any) -> None:
        super().__init__(**place)
        self.said = said


def _known(journal: Journal, path: str) -> int:
    start = path + _MARK
    return max((record.value for known, record in journal.records.items() if known.startswith(start)), default=0)
