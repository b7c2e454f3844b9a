"""The canceller: the subscriber of a run's bus that ends its task, as cancelled, failed or without an outcome. (D9)

The table of ``core/life.py`` says whether the run can be ended now, later or not at all. What has to wait is kept here, and
done by ``act_on_kept`` when the run begins or goes further.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import anyio

from ...core.life import KEEP, REFUSE, Happening, Life
from ..bus.signals import Cancel, Evict, Fail, Release
from .evicting import Parked, evict_later

if TYPE_CHECKING:
    from .execution import Execution

__all__ = ["Canceller"]


class Canceller:
    """``called`` and ``reason`` of a cancel, the ``failure`` that the run is to end with."""

    __slots__ = ("_call_off", "_parked", "_turn", "called", "failure", "reason")

    def __init__(self) -> None:
        self.called = False
        self.reason: str | None = None
        self.failure: BaseException | None = None
        self._turn: anyio.CancelScope | None = None
        self._parked: Parked | None = None
        self._call_off: Callable[[], None] | None = None  # the report of a run that does not end

    # -- signals -------------------------------------------------------------------------------------------------------

    def cancel(self, run: Execution, signal: Cancel) -> bool:
        """End the run as cancelled. False when it has ended already, or its end is being stored: then only the database
        can say what comes first."""
        ending = run.life is Life.ENDING
        cell = run.happen(Happening.CANCEL)
        if cell is REFUSE:
            return False
        self.called = True
        self.reason = self.reason or signal.reason
        if cell is not KEEP:
            self._cancel_now(run)
        return not ending

    def fail(self, run: Execution, signal: Fail) -> bool:
        """End the run with an error, the first that comes. False when it is too late."""
        cell = run.happen(Happening.FAIL)
        if cell is REFUSE or self.failure is not None:
            return False
        self.failure = signal.error
        if cell is not KEEP:
            run.scope.cancel()
        return True

    def leave(self, run: Execution, signal: Evict | Release) -> bool:
        """Let the run's task go, without an event. False when it is over."""
        if run.happen(Happening.LEAVE) is REFUSE:
            return False
        self.unpark()
        if self._turn is not None:
            self._turn.cancel()
        run.scope.cancel()
        for scope in run.undo.scopes if run.undo is not None else ():
            scope.cancel()
        return True

    handles: ClassVar[Mapping[type[Any], Callable[[Any, Execution, Any], Any]]] = {
        Cancel: cancel,
        Fail: fail,
        Evict: leave,
        Release: leave,
    }

    # -- what waits ----------------------------------------------------------------------------------------------------

    def act_on_kept(self, run: Execution) -> bool:
        """Cancel or fail now, if that was asked for while it had to wait."""
        if self.called:
            self._cancel_now(run)
        elif self.failure is not None:
            run.scope.cancel()
        return self.called or self.failure is not None

    def forget(self) -> None:
        """A pause is stored, or another continuation begins: what came behind it does not count."""
        self.called, self.reason, self.failure = False, None, None

    def waiting_for_turn(self) -> anyio.CancelScope:
        """The scope in which the run waits for its session."""
        self._turn = anyio.CancelScope()
        return self._turn

    def evict_later(self, run: Execution) -> None:
        """Let go of the coroutines of a pause that nobody ends within ``evict_after`` seconds."""
        self._parked = evict_later(run)

    def unpark(self) -> None:
        """The run is parked no more."""
        if self._parked is not None:
            self._parked.run = None
            self._parked = None

    def ended(self) -> None:
        """The run has ended in time: nothing is reported."""
        if self._call_off is not None:
            self._call_off()

    def _cancel_now(self, run: Execution) -> None:
        if self._turn is not None:
            self._turn.cancel()
        if not run.scope.cancel_called:
            from ..loop.stalls import expect_end  # what is slow to load is loaded by those who need it

            self._call_off = expect_end(run)
        run.scope.cancel()
