"""Branches at the same time: an anyio task group for them alone, with the rules for failures and pauses. (D9, D14)"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Sequence

import anyio
import anyio.lowlevel

from ...model.step_io import StepOutput
from ...steps.container import Child
from ...steps.signals import Rejected, Suspended
from ..bus.failures import note_others, stray
from ..loop.strands import Strands

__all__ = ["run_branches"]

Thunk = Callable[[], Awaitable[StepOutput]]


async def run_branches(
    thunks: Sequence[Thunk],
    strands: Strands,
    *,
    fail_fast: bool,
    wait_for: int | None,
    max_concurrency: int | None,
    was_begun: Callable[[int], bool],
) -> list[StepOutput | None]:
    """The outputs in the order of ``thunks``, None for a branch that was cancelled since enough others had succeeded, or
    that did not begin before one said ``stop``. Of a branch that waits for a place, ``was_begun`` says whether it had begun
    in a walk before this one.

    Raises:
        Exception: With ``fail_fast`` the first failure, the others as its notes. Without, the failure of the one branch
            that failed, an ExceptionGroup of several.
        Rejected: A person's answer in one branch ends the run; its siblings are cancelled.
        Suspended: At least one branch waits for a person, all others have ended.
        KeyboardInterrupt, SystemExit: As the branch raised it; its siblings are cancelled.
    """
    if not thunks:
        return []
    branches = _Branches(len(thunks), strands, fail_fast, wait_for, max_concurrency, was_begun)
    strands.change(len(thunks) - 1)
    try:
        async with anyio.create_task_group() as group:
            branches.scope = group.cancel_scope
            for position, thunk in enumerate(thunks):
                group.start_soon(branches.run, position, thunk, name="workflow_runtime branch")
    except BaseExceptionGroup as errors:  # a signal came while this task started or awaited them
        branches.fatal = (errors.split(anyio.get_cancelled_exc_class())[1] or errors).exceptions[0]
    finally:
        if branches.left:  # cancelled before they began
            strands.busy += 1 - branches.left
        strands.busy -= branches.held
    if branches.failures:
        await anyio.lowlevel.checkpoint_if_cancelled()  # that they were cancelled counts more
    return branches.result()


class _Branches:
    """What the branches of one container have come to so far. ``run`` is the task of each; only its own cancellation
    leaves it, so that the group raises nothing else."""

    def __init__(
        self,
        count: int,
        strands: Strands,
        fail_fast: bool,
        wait_for: int | None,
        max_concurrency: int | None,
        was_begun: Callable[[int], bool],
    ) -> None:
        self.outputs: list[StepOutput | None] = [None] * count
        self.failures: list[Exception] = []
        self.fatal: BaseException | None = None
        self.rejected: Rejected | None = None
        self.suspended = 0
        self.succeeded = 0
        self.left = count
        self.held = 0  # strands of a branch that has ended, and cut the others off
        self._is_cut = False
        self._is_stopped = False  # a branch has said stop
        self._was_begun = was_begun
        self.scope: anyio.CancelScope
        self._strands = strands
        self._fail_fast = fail_fast
        self._wait_for = wait_for
        self._places = _Places(max_concurrency, count, strands) if max_concurrency is not None else None

    async def run(self, position: int, thunk: Thunk) -> None:
        try:
            output = await (_call(thunk) if self._places is None else self._in_place(self._places, position, thunk))
        except Suspended:
            self.suspended += 1
        except Rejected as signal:
            self.rejected = self.rejected or signal
            self._cut_off()
        except Exception as error:
            self._fail(error)
        except (KeyboardInterrupt, SystemExit) as error:
            self.fatal = error
            self._cut_off()
        except BaseException as error:
            self._fail(_failure(position, error))
        else:
            if output is None:
                return
            self.outputs[position] = output
            self.succeeded += output.success
            if self._wait_for is not None and self._enough:
                self._cut_off()
        finally:
            self.left -= 1
            if self.left and self._is_cut and not self.held:
                self.held = 1  # the run is not quiet while those that are cut off end, level by level
            elif self.left:  # the last branch hands its strand back to the container
                self._strands.change(-1)

    async def _in_place(self, places: _Places, position: int, thunk: Thunk) -> StepOutput | None:
        """The output; None where another branch has said stop before there was a place."""
        await places.take(position)
        try:
            if self._is_stopped and not self._was_begun(position):
                return None
            output = await _call(thunk)
            self._is_stopped = self._is_stopped or output.stop
            return output
        finally:
            places.give()

    def _fail(self, error: Exception) -> None:
        self.failures.append(error)
        if self._fail_fast:
            self._cut_off()

    def _cut_off(self) -> None:
        self._is_cut = True
        self.scope.cancel()

    @property
    def _enough(self) -> bool:
        return self._wait_for is not None and self.succeeded >= self._wait_for

    def result(self) -> list[StepOutput | None]:
        if self.fatal is not None:
            raise self.fatal
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


def _call(thunk: Thunk) -> Awaitable[StepOutput]:
    return thunk.steered() if isinstance(thunk, Child) else thunk()


def _failure(position: int, error: BaseException) -> Exception:
    """The failure in ``error``, with which a branch was left that was cancelled. Raises ``error`` where there is none."""
    if isinstance(error, BaseExceptionGroup):  # a task group of the step's own was cancelled, and its clean-up failed
        failures = error.subgroup(Exception)
        if failures is not None:
            return failures
    if not stray(error):
        raise error
    # The group would take it for the end of a branch that was to be cancelled, and say nothing.
    failure = RuntimeError(
        f"the task of branch {position + 1} was cancelled, but not by its run; to end the run call cancel_run(), to end a"
        " part of a step use a cancel scope"
    )
    failure.__cause__ = error
    return failure


class _Places:
    """``max_concurrency`` places, given in the order of the branches, whichever task is scheduled first. A strand that is
    given one counts as busy from then on, not only once its task runs, or the run could seem quiet in between."""

    def __init__(self, places: int, branches: int, strands: Strands) -> None:
        self._given = set(range(min(places, branches)))
        self._without = deque(range(len(self._given), branches))
        self._waiting: dict[int, anyio.Event] = {}
        self._strands = strands

    async def take(self, position: int) -> None:
        if position in self._given:
            return
        given = self._waiting[position] = anyio.Event()
        self._strands.change(-1)
        try:
            await given.wait()
            await anyio.lowlevel.checkpoint_if_cancelled()  # who gave it may have ended the others in the same turn
        except BaseException:
            if given.is_set():
                self.give()
            else:
                self._without.remove(position)
                del self._waiting[position]
                self._strands.busy += 1
            raise

    def give(self) -> None:
        """A branch has left its place: it is the next one's."""
        if not self._without:
            return
        position = self._without.popleft()
        self._given.add(position)
        given = self._waiting.pop(position, None)
        if given is not None:  # else its task has not run yet, and finds its place
            self._strands.busy += 1
            given.set()
