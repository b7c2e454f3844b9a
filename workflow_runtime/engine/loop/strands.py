"""Who of a run's branches is still working. When all of them wait for people, the run pauses. (D8)

A run starts as one strand; a Parallel or Map turns its own into one per branch. A branch that waits for a free place counts
as waiting, or a person's answer would be needed for the question to be seen. A function that does several things at once
(``asyncio.gather``, a task group) is one strand per part of it that is known here: ``Parts``.
"""

from __future__ import annotations

from collections.abc import Callable

import anyio
import anyio.lowlevel

from .loops import soon

__all__ = ["Parts", "Strands"]

_TURNS = 5  # of the loop, in which what was woken shows whether it goes on


class Strands:
    """``busy`` counts the strands that can go on by themselves, ``asking`` the questions that are waited for inside steps.
    ``on_quiet`` is called when the last strand stops while there is such a question."""

    __slots__ = ("_looking", "_on_quiet", "asking", "busy")

    def __init__(self, on_quiet: Callable[[], None]) -> None:
        self.busy = 1
        self.asking = 0
        self._looking = 0
        self._on_quiet = on_quiet

    def let_go(self) -> None:
        """Nobody is to be called any more: the run has ended, and goes with its last reader."""
        self._on_quiet = _nobody

    def change(self, by: int) -> None:
        """Strands began (positive) or ended or began to wait (negative)."""
        self.busy += by
        if by < 0 and self.asking:
            self.look()

    def look(self) -> None:
        if self.busy <= 0 and self.asking:
            self._on_quiet()

    def look_soon(self) -> None:
        """Look once what was woken now has had its turn."""
        if not self._looking:
            self._looking = _TURNS
            soon(self._turn)

    def _turn(self) -> None:
        self._looking -= 1
        if self._looking:
            soon(self._turn)
        else:
            self.look()


class Parts:
    """What the code at one path does at the same time, as far as it does it through its context: ``working`` (steps,
    ``once``, ``sleep``), ``asking`` (questions), ``held`` (steps that have stopped at a question and let the others finish).

    Its share of the run's strands is one per working part. Without any it is none while it asks, else one.
    """

    __slots__ = ("_closed", "_free", "_share", "_strands", "asking", "held", "working")

    def __init__(self, strands: Strands) -> None:
        self._strands = strands
        self._share = 1
        self._closed = False
        self._free: anyio.Event | None = None
        self.working = self.asking = self.held = 0

    def begin(self) -> None:
        self.working += 1
        self._settle()

    def end(self) -> None:
        self.working -= 1
        self._settle()

    def ask(self) -> None:
        if self._closed:
            return
        self.asking += 1
        self._strands.asking += 1
        self._settle()
        self._strands.look()

    def answered(self) -> None:
        if self._closed:
            return
        self.asking -= 1
        self._strands.asking -= 1
        self._settle()
        if self.asking:  # another question is open here: only what was woken knows whether there is more to do
            self._strands.look_soon()

    async def hold(self) -> None:
        """A working part has stopped at a question: wait until no other part works, for leaving ends all of them."""
        self.working -= 1
        self.held += 1
        try:
            self._settle()
            for _ in range(_TURNS):  # others may be about to begin
                await anyio.lowlevel.checkpoint()
            if self.working and not self._closed:
                if self._free is None or self._free.is_set():
                    self._free = anyio.Event()
                await self._free.wait()
        finally:
            self.held -= 1
            self.working += 1

    def close(self) -> None:
        """The code has been left; what it left behind does not count."""
        self.working = self.held = 0
        self.asking, asking = 0, self.asking
        self._strands.asking -= asking
        self._settle()
        self._closed = True

    def _settle(self) -> None:
        if self._closed:
            return
        if not self.working and self._free is not None:
            self._free.set()
        share = self.working or (0 if self.asking or self.held else 1)
        by, self._share = share - self._share, share
        if by:
            self._strands.change(by)


def _nobody() -> None:
    pass
