"""Which recorded step a call of ``run_context.step`` is, when the function that calls it is entered again.

Steps of different names are told apart by their names, those of one name by their order. Where the order is another one (a
set, a listing, answers over a network), by their inputs: a mark of each is in the journal from the step's start on.
"""

from __future__ import annotations

import hashlib
from collections import deque
from typing import TYPE_CHECKING, Any

from ...core.journal import INPUT
from ...model import codec
from ...model.errors import StepChanged, UnserializableError

if TYPE_CHECKING:
    from ..run.frame import Frame

__all__ = ["Places", "mark_of"]


def mark_of(value: Any) -> str | None:
    """A short text that is the same for equal inputs; None for one that cannot be stored, and so not be compared."""
    try:
        return hashlib.blake2s(codec.encode_value(value), digest_size=8).hexdigest()
    except UnserializableError:
        return None


class Places:
    """The places of the steps of one name in one walk of a function: ``part``, ``part#1``, ``part#2`` and so on."""

    __slots__ = ("_frame", "_marked", "_next", "_part", "_unmarked")

    def __init__(self, frame: Frame, part: str) -> None:
        self._frame = frame
        self._part = part
        self._next = 0
        self._marked: dict[str, deque[str]] = {}  # recorded and not taken yet
        self._unmarked: deque[str] = deque()
        if not frame.replaying:
            return
        while (mark := self._recorded(place := self._place())) is not False:
            self._next += 1
            (self._unmarked if mark is None else self._marked.setdefault(str(mark), deque())).append(place)

    def take(self, mark: str | None) -> str:
        """The place of a call with this mark.

        Raises:
            StepChanged: The function called steps of this name with other inputs when it first ran.
        """
        if mark is not None and self._marked.get(mark):
            return self._marked[mark].popleft()
        if self._unmarked:  # without an input, or stored by an older version: by order
            return self._unmarked.popleft()
        if mark is not None and any(self._marked.values()):
            raise StepChanged(
                f"{self._frame.prefix}{self._part}: the function, entered again, calls this step with an input that it did"
                " not have before; give steps names of their own, or call them with the same inputs"
            )
        place = self._place()
        self._next += 1
        return place

    def _place(self) -> str:
        return self._part if not self._next else f"{self._part}#{self._next}"

    def _recorded(self, place: str) -> Any:
        """The mark at ``place``, None for a step without one, False where nothing is recorded."""
        path = self._frame.prefix + place
        mark = self._frame.recorded(path + INPUT)
        if mark is not None:
            return mark.value
        return None if self._frame.recorded(path) is not None else False
