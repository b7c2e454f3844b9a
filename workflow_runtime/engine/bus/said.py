"""What a function has published by itself, so that entering it again publishes it once. (D7)

The steps of a workflow that is a function are in the journal; its own chunks, events and progress are not, they are only
counted; and so are those of a step that asks in its middle. At each point where the journal grows (a step, a question,
``once``, ``sleep``) the count is noted, and as many are silent when the function is run again to go on from there. Behind
the last such point a crash repeats them, as it repeats a running step's.

A step that has not asked is not entered again but started anew, with its start told: then all of it is told, and so nothing
is noted before its first question.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...core.journal import Journal

if TYPE_CHECKING:
    from ..run.frame import Frame

__all__ = ["Said", "place_of_round", "take_back"]

_MARK = "!said:"
_ROUND = "!round"


class Said:
    """The counts of one walk through the function at ``path`` ("" for the outermost). ``noting``: from its start on."""

    __slots__ = ("_noted", "_path", "count", "known", "noting")

    def __init__(self, path: str, journal: Journal, *, noting: bool = True) -> None:
        self._path = path
        self.count = 0
        marks = _marks(journal, path)
        self.known = self._noted = max((journal.records[mark].value or 0 for mark in marks), default=0)
        self.noting = noting or bool(marks)

    def again(self) -> bool:
        """Count one more; True when it was published before."""
        self.count += 1
        return self.count <= self.known

    def mark(self, journal: Journal) -> tuple[str, int] | None:
        """The (path, count) to put into the journal, None when it has it."""
        if not self.noting or self.count <= self._noted:
            return None
        self._noted = self.count
        return f"{self._path}{_MARK}{len(_marks(journal, self._path))}", self.count


def take_back(frame: Frame, path: str) -> None:
    """What was said at ``path`` does not count any more, since it failed: when it is tried again, all of it is new."""
    places = (path + _MARK, path + _ROUND)
    for mark in [known for known in frame.run.journal.records if known.startswith(places) and _MARK in known]:
        frame.remember(mark, 0)


def place_of_round(path: str, number: int) -> str:
    """Where the counts of an executor stand that goes on after its pause ``number``: that is another walk."""
    return f"{path}{_ROUND}{number}"


def _marks(journal: Journal, path: str) -> list[str]:
    """Where the journal has counts of ``path``, in their order: a place each, for a fork keeps those before its cut."""
    found: list[str] = []
    while (mark := f"{path}{_MARK}{len(found)}") in journal.records:
        found.append(mark)
    return found
