"""Branches at the same time: a task group that is opened for them alone, with the rules for failures and pauses."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import anyio

from ..model.step_io import StepOutput
from ..steps.signals import Rejected, Suspended

__all__ = ["run_branches"]

Thunk = Callable[[], Awaitable[StepOutput]]


async def run_branches(
    thunks: Sequence[Thunk], *, fail_fast: bool, wait_for: int | None, max_concurrency: int | None
) -> list[StepOutput | None]:
    """The outputs in the order of ``thunks``, None for a branch that was cancelled since enough others had succeeded.

    Raises:
        Exception: The failure of the one branch that failed, an ExceptionGroup of several.
        Rejected: A person's answer in one branch ends the run; its siblings are cancelled.
        Suspended: At least one branch waits for a person, all others have ended.
    """
    outputs: list[StepOutput | None] = [None] * len(thunks)
    failures: list[Exception] = []
    rejected: list[Rejected] = []
    suspended = 0
    succeeded = 0
    limiter = anyio.CapacityLimiter(max_concurrency) if max_concurrency is not None else None

    async with anyio.create_task_group() as group:

        async def branch(position: int, thunk: Thunk) -> None:
            nonlocal suspended, succeeded
            try:
                if limiter is None:
                    output = await thunk()
                else:
                    async with limiter:
                        output = await thunk()
            except Suspended:
                suspended += 1
            except Rejected as signal:
                rejected.append(signal)
                group.cancel_scope.cancel()
            except Exception as error:
                failures.append(error)
                if fail_fast:
                    group.cancel_scope.cancel()
            else:
                outputs[position] = output
                succeeded += output.success
                if wait_for is not None and succeeded >= wait_for:
                    group.cancel_scope.cancel()

        for position, thunk in enumerate(thunks):
            group.start_soon(branch, position, thunk)

    if rejected:
        raise rejected[0]
    enough = wait_for is not None and succeeded >= wait_for
    if failures and not enough:
        raise failures[0] if len(failures) == 1 else ExceptionGroup("several branches failed", failures)
    if suspended and not enough:
        raise Suspended
    return outputs
