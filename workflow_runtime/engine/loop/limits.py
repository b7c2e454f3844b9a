"""Timeouts of steps, containers and the run. They stand still while a person is waited for: nobody is too slow to answer
by a limit that was meant for the work. (D8)
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any

import anyio

from ...core.journal import within
from ...model.errors import StepTimeoutError
from .clock import Clock

if TYPE_CHECKING:
    from ..run.execution import Execution

__all__ = ["Limits", "limited"]


async def limited(
    run: Execution,
    seconds: float,
    path: str,
    work: Awaitable[Any],
    message: str,
    *,
    attempt: bool = False,
    idle: bool = False,
) -> Any:
    """What ``work`` gives within ``seconds``; with ``idle``, within ``seconds`` since ``path`` was last heard of.

    Raises:
        StepTimeoutError: It took longer; for an ``attempt``, which may be followed by another, a plain TimeoutError. What
            was given in spite of being cancelled came too late to count. If ``work`` does not end at all, the run waits
            for it, and says so in the log.
    """
    from .stalls import expect_timeout  # reads stacks: loaded by those who need it

    found: Any = None
    with run.parking.limits.limit(seconds, path, run.clock, idle=idle) as scope:
        call_off = expect_timeout(run, path, seconds, scope)
        try:
            found = await work
        finally:
            call_off()
    if scope.cancel_called:
        caught = "" if scope.cancelled_caught else "; it caught its cancellation, and what it gave came too late"
        if attempt:
            raise TimeoutError(message + caught)
        raise StepTimeoutError(message + caught, path=path, timeout=seconds)
    return found


class _Limit:
    """As ``anyio.move_on_after``; knows how often it was stopped. By the event loop's clock, or by the run's own if that
    can call something later."""

    __slots__ = ("_all", "_call_off", "_later", "_left", "_scope", "_seconds", "_stops", "is_idle", "path")

    def __init__(self, limits: Limits, seconds: float, path: str, clock: Clock, idle: bool) -> None:
        self.path = path
        self.is_idle = idle
        self._seconds = seconds
        self._all = limits
        self._later: Callable[[float, Callable[[], None]], Callable[[], float]] | None = getattr(clock, "later", None)
        self._call_off: Callable[[], float] | None = None
        self._left = seconds
        self._stops = 0

    def __enter__(self) -> anyio.CancelScope:
        self._scope = anyio.CancelScope()
        self._run()
        self._scope.__enter__()
        self._all.add(self)
        return self._scope

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self._all.remove(self)
        if self._call_off is not None:
            self._call_off()
        return bool(self._scope.__exit__(kind, error, trace))

    def _run(self) -> None:
        if self._later is None:
            self._scope.deadline = anyio.current_time() + self._left
        else:
            self._call_off = self._later(self._left, self._scope.cancel)

    def again(self) -> None:
        """Count from now on."""
        if self._stops:
            self._left = self._seconds
            return
        if self._call_off is not None:
            self._call_off()
        self._left = self._seconds
        self._run()

    def stop(self) -> None:
        self._stops += 1
        if self._stops > 1:
            return
        if self._later is None:
            self._left = self._scope.deadline - anyio.current_time()
            self._scope.deadline = math.inf
        elif self._call_off is not None:
            self._left = self._call_off()

    def start(self) -> None:
        self._stops -= 1
        if self._stops == 0:
            self._run()


class Limits:
    """The limits under way in one run. The paths of a run's limits differ; "" is the run's own."""

    __slots__ = ("_active", "_stopped")

    def __init__(self) -> None:
        self._active: list[_Limit] = []
        self._stopped = False

    def limit(self, seconds: float, path: str, clock: Clock, *, idle: bool = False) -> _Limit:
        """As ``anyio.move_on_after``, but the time that a person takes does not count."""
        return _Limit(self, seconds, path, clock, idle)

    def heard_of(self, path: str) -> None:
        """Something at ``path`` has shown that it works: what waits for such a sign there, or around it, waits anew."""
        for limit in self._active:
            if limit.is_idle and within(path, limit.path):
                limit.again()

    def add(self, limit: _Limit) -> None:
        if self._stopped:
            limit.stop()
        self._active.append(limit)

    def remove(self, limit: _Limit) -> None:
        self._active.remove(limit)

    @contextmanager
    def waiting(self, path: str) -> Iterator[None]:
        """The step at ``path`` waits for a person: its own limit stands still, also while the run works elsewhere."""
        stopped = [limit for limit in self._active if limit.path == path]
        for limit in stopped:
            limit.stop()
        try:
            yield
        finally:
            for limit in stopped:
                limit.start()

    def stop(self) -> None:
        """The run pauses: all limits stand still."""
        if not self._stopped:
            self._stopped = True
            for limit in self._active:
                limit.stop()

    def start(self) -> None:
        """The run goes on."""
        if self._stopped:
            self._stopped = False
            for limit in self._active:
                limit.start()
