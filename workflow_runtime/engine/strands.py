"""Who of a run's branches is still working. When all of them wait for people, the run pauses. (D8)

A run starts as one strand; a Parallel or Map turns its own into one per branch. A branch that waits for a free place counts
as waiting, or a person's answer would be needed for the question to be seen.
"""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Strands"]


class Strands:
    """``busy`` counts the strands that can go on by themselves. ``on_quiet`` is called when the last of them stops while
    at least one waits for an answer inside a step."""

    __slots__ = ("_on_quiet", "_parked", "busy")

    def __init__(self, on_quiet: Callable[[], None]) -> None:
        self.busy = 1
        self._parked: dict[str, int] = {}
        self._on_quiet = on_quiet

    def let_go(self) -> None:
        """Nobody is to be called any more: the run has ended, and goes with its last reader."""
        self._on_quiet = _nobody

    def change(self, by: int) -> None:
        """Strands began (positive) or ended or began to wait (negative)."""
        self.busy += by
        if by < 0:
            self._look()

    def park(self, path: str) -> None:
        """The step at ``path`` waits for an answer. Several questions of one step are one waiting strand."""
        count = self._parked.get(path, 0)
        self._parked[path] = count + 1
        if count == 0:
            self.busy -= 1
        self._look()

    def unpark(self, path: str) -> None:
        count = self._parked.pop(path) - 1
        if count:
            self._parked[path] = count
        else:
            self.busy += 1

    @property
    def parked(self) -> bool:
        return bool(self._parked)

    def _look(self) -> None:
        if self.busy <= 0 and self._parked:
            self._on_quiet()


def _nobody() -> None:
    pass
