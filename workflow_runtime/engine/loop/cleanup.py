"""The clean-up of a step that is cancelled: it may wait, but not for ever.

anyio cancels every wait inside a cancelled scope, also those of a ``finally`` or an ``__aexit__``: a connection could not be
closed. So a step is driven from here. Its first cancellation reaches it as it is; the waits that follow are shielded, for
``CLEANUP_SECONDS`` together.

On asyncio the shield is a scope around each such wait. It is never around code of the step, whose own scopes may begin and
end in between, and a step that is not cancelled pays for no scope. On trio, where code asks for its cancellation before it
waits, a scope around the whole step becomes the shield.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Generator
from contextvars import ContextVar
from typing import Any

import anyio
import anyio.lowlevel

from .loops import on_trio
from .step_frames import DRIVERS

__all__ = ["CLEANUP_SECONDS", "CleanedUp"]

logger = logging.getLogger("workflow_runtime")

CLEANUP_SECONDS = 10.0
_HAS_SHIELD: ContextVar[bool] = ContextVar("_HAS_SHIELD", default=False)  # code driven inside of this one, on trio


class CleanedUp:
    """Awaits ``work``, the code of the step at ``path``, and lets it clean up when it is cancelled."""

    __slots__ = ("_path", "_run_id", "_told", "_until", "_work")

    def __init__(self, work: Awaitable[Any], run_id: str, path: str) -> None:
        self._work = work
        self._run_id = run_id
        self._path = path
        self._told = 0  # how many cancellations the task had when the code was told of one
        self._until: float | None = None  # the end of the time for the clean-up; -inf: it is over

    def __await__(self) -> Generator[Any, Any, Any]:
        work: Any = self._work if hasattr(self._work, "send") else self._work.__await__()
        if on_trio():
            return (yield from self._in_scope(work))
        error: BaseException | None = None
        while True:
            try:
                wait = work.send(None) if error is None else work.throw(error)
            except StopIteration as end:
                return end.value
            if self._told:
                error = yield from self._wait(wait)
                continue
            error = None
            try:
                yield wait
            except BaseException as thrown:
                error = thrown
                if isinstance(thrown, asyncio.CancelledError):
                    self._told, self._until = _cancellations(), None

    def _wait(self, wait: Any) -> Generator[Any, Any, BaseException | None]:
        """Wait, on asyncio, in code that was told of a cancellation; what the wait raised."""
        if _cancellations() < self._told:
            self._told = 0  # a scope of its own, which it has left: the next cancellation is another one
        elif anyio.current_effective_deadline() > -math.inf or self._until == -math.inf:
            pass  # it shields itself, or had its time
        else:
            return (yield from self._wait_shielded(wait))
        try:
            yield wait
        except BaseException as thrown:
            if isinstance(thrown, asyncio.CancelledError) and not self._told:
                self._told, self._until = _cancellations(), None
            return thrown
        return None

    def _wait_shielded(self, wait: Any) -> Generator[Any, Any, BaseException | None]:
        if self._until is None:
            self._until = anyio.current_time() + CLEANUP_SECONDS
        error: BaseException | None = None
        with anyio.CancelScope(shield=True, deadline=self._until) as scope:
            try:
                yield wait
            except BaseException as thrown:
                error = thrown
        if scope.cancel_called:
            self._until = -math.inf
            self._report()
        return error

    def _in_scope(self, work: Any) -> Generator[Any, Any, Any]:
        """Drive ``work`` on trio, which sends what came of a wait as an object."""
        outcome: Any = None
        is_told = False
        with anyio.CancelScope() as scope:
            while True:
                try:
                    wait = work.send(outcome)
                except StopIteration as end:
                    return end.value
                if is_told:  # not before the next wait: a scope that raised it must see that it comes from outside
                    is_told = _judge(scope)
                outcome = yield wait
                if isinstance(getattr(outcome, "error", None), anyio.get_cancelled_exc_class()):
                    is_told = True
        self._report()
        yield from anyio.lowlevel.checkpoint_if_cancelled().__await__()

    def _report(self) -> None:
        logger.warning(
            "run %s: step %r did not clean up within %g s of its cancellation; its clean-up was cancelled",
            self._run_id,
            self._path,
            CLEANUP_SECONDS,
            extra={"run_id": self._run_id, "step_path": self._path},
        )


def _cancellations() -> int:
    """How many cancellations the task has. anyio takes back those of a scope when it is left."""
    task = asyncio.current_task()
    return task.cancelling() if task is not None else 0


def _judge(scope: anyio.CancelScope) -> bool:
    """On trio, make ``scope`` a shield if the step is cancelled from outside, and not by a scope of its own. True: that
    cannot be said yet."""
    if scope.deadline < math.inf:
        return False
    scope.shield = False
    is_cancelled = anyio.current_effective_deadline() == -math.inf
    scope.shield = is_cancelled
    if is_cancelled and anyio.current_effective_deadline() > -math.inf:
        scope.deadline = anyio.current_time() + CLEANUP_SECONDS
        _HAS_SHIELD.set(True)
        return False
    return is_cancelled or _HAS_SHIELD.get()


DRIVERS.update(dict.fromkeys((CleanedUp.__await__.__code__, CleanedUp._in_scope.__code__), "work"))
