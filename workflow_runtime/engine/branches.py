"""Branches at the same time: a group of tasks for them alone, with the rules for failures and pauses."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Sequence

import anyio

from ..model.step_io import StepOutput
from ..steps.signals import Rejected, Suspended
from .failures import note_others
from .group import open_group
from .strands import Strands

__all__ = ["run_branches"]

Thunk = Callable[[], Awaitable[StepOutput]]


async def run_branches(
    thunks: Sequence[Thunk],
    strands: Strands,
    groups: list[Callable[[], None]],
    *,
    fail_fast: bool,
    wait_for: int | None,
    max_concurrency: int | None,
) -> list[StepOutput | None]:
    """The outputs in the order of ``thunks``, None for a branch that was cancelled since enough others had succeeded.

    While they run, ``groups`` has the call that cancels them.

    Raises:
        Exception: With ``fail_fast`` the first failure, the others as its notes. Without, the failure of the one branch
            that failed, an ExceptionGroup of several.
        Rejected: A person's answer in one branch ends the run; its siblings are cancelled.
        Suspended: At least one branch waits for a person, all others have ended.
    """
    if not thunks:
        return []
    group = _Branches(len(thunks), strands, fail_fast, wait_for, max_concurrency)
    strands.change(len(thunks) - 1)
    tasks = open_group()
    group.cancel = tasks.cancel
    groups.append(tasks.cancel)
    try:
        async with tasks:
            for position, thunk in enumerate(thunks):
                tasks.start(group.branch, position, thunk)
    finally:
        groups.remove(tasks.cancel)
        if group.left:  # cancelled before they began
            strands.busy += 1 - group.left
        strands.busy -= group.held
    return group.result()


class _Branches:
    """What the branches of one container have come to so far."""

    def __init__(
        self, count: int, strands: Strands, fail_fast: bool, wait_for: int | None, max_concurrency: int | None
    ) -> None:
        self.outputs: list[StepOutput | None] = [None] * count
        self.failures: list[Exception] = []
        self.rejected: Rejected | None = None
        self.suspended = 0
        self.succeeded = 0
        self.left = count
        self.held = 0  # strands of a branch that has ended, and cut the others off
        self._is_cut = False
        self.cancel: Callable[[], None]
        self._strands = strands
        self._fail_fast = fail_fast
        self._wait_for = wait_for
        self._places = _Places(max_concurrency, strands) if max_concurrency is not None else None

    async def branch(self, position: int, thunk: Thunk) -> None:
        try:
            if self._places is None:
                output = await thunk()
            else:
                await self._places.take()
                try:
                    output = await thunk()
                finally:
                    self._places.give()
        except Suspended:
            self.suspended += 1
        except Rejected as signal:
            self.rejected = self.rejected or signal
            self._cut_off()
        except Exception as error:
            self.failures.append(error)
            if self._fail_fast:
                self._cut_off()
        else:
            self.outputs[position] = output
            self.succeeded += output.success
            if self._enough:
                self._cut_off()
        finally:
            self.left -= 1
            if self.left and self._is_cut and not self.held:
                self.held = 1  # the run is not quiet while those that are cut off end, level by level
            elif self.left:  # the last branch hands its strand back to the container
                self._strands.change(-1)

    def _cut_off(self) -> None:
        self._is_cut = True
        self.cancel()

    @property
    def _enough(self) -> bool:
        return self._wait_for is not None and self.succeeded >= self._wait_for

    def result(self) -> list[StepOutput | None]:
        if self.rejected is not None:
            raise self.rejected
        if self.failures and not self._enough:
            if self._fail_fast:  # the others failed since they were cancelled, or in the same moment
                raise note_others(self.failures[0], self.failures[1:])
            raise (
                self.failures[0]
                if len(self.failures) == 1
                else ExceptionGroup("several branches failed", self.failures)
            )
        if self.suspended and not self._enough:
            raise Suspended
        return self.outputs


class _Places:
    """``max_concurrency`` places, first come, first served. A strand that is given one counts as busy from then on, not
    only once its task runs, or the run could seem quiet in between."""

    def __init__(self, count: int, strands: Strands) -> None:
        self._free = count
        self._strands = strands
        self._queue: deque[anyio.Event] = deque()

    async def take(self) -> None:
        if self._free:
            self._free -= 1
            return
        given = anyio.Event()
        self._queue.append(given)
        self._strands.change(-1)
        try:
            await given.wait()
        except BaseException:
            if given.is_set():
                self.give()
            else:
                self._queue.remove(given)
                self._strands.busy += 1
            raise

    def give(self) -> None:
        if self._queue:
            self._strands.busy += 1
            self._queue.popleft().set()
        else:
            self._free += 1
