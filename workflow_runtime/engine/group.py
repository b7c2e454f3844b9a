"""The tasks of a container's branches: all have ended when the group is left, and whoever cancels it cancels them. (D9)

On trio this is anyio's task group. On asyncio it is a lighter one that costs half of anyio's (benchmark ``parallel``) and
keeps its rules. asyncio's own would not do: it cancels its tasks natively, which reaches into clean-up that is shielded.
Here each task has a cancel scope of its own. A task cannot see the scopes around its group, so what cancels those cancels
the group: the host's task by itself, in its next turn, and ``Execution`` at once.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Self

import anyio
from anyio.abc import TaskGroup

from .loops import on_trio

__all__ = ["Group", "open_group", "stray"]


class Group:
    """``async with open_group() as group``, then ``group.start``. A failure of a task cancels the others and is raised."""

    __slots__ = ("_ended", "_failure", "_loop", "_tasks")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._tasks: dict[asyncio.Task[None], anyio.CancelScope] = {}
        self._ended: asyncio.Future[None] | None = None
        self._failure: BaseException | None = None

    def start(self, work: Callable[..., Coroutine[Any, Any, None]], *args: Any) -> None:
        scope = anyio.CancelScope()
        task = self._loop.create_task(_within(scope, work, args))
        self._tasks[task] = scope
        task.add_done_callback(self._done)

    def cancel(self) -> None:
        """Cancel what still runs. Harmless when called again."""
        for scope in self._tasks.values():
            scope.cancel()

    def _done(self, task: asyncio.Task[None]) -> None:
        scope = self._tasks.pop(task)
        # Cancelled, but not by its scope: by its own work, so nobody will say that it is missing.
        error = (None if scope.cancel_called else asyncio.CancelledError()) if task.cancelled() else task.exception()
        if error is not None and self._failure is None:
            self._failure = error
            self.cancel()
        if not self._tasks and self._ended is not None and not self._ended.done():
            self._ended.set_result(None)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self.cancel()
        try:
            await self._all_ended()
        except asyncio.CancelledError:
            self.cancel()
            with anyio.CancelScope(shield=True):
                while self._tasks:
                    try:
                        await self._all_ended()
                    except asyncio.CancelledError:  # once more, by who does not know of scopes
                        self.cancel()
            raise
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure

    async def _all_ended(self) -> None:
        while self._tasks:
            self._ended = self._loop.create_future()
            await self._ended


async def _within(scope: anyio.CancelScope, work: Callable[..., Coroutine[Any, Any, None]], args: Any) -> None:
    with scope:
        await work(*args)


class _TrioGroup:
    """The same words for anyio's."""

    __slots__ = ("_group",)

    def __init__(self) -> None:
        self._group: TaskGroup = anyio.create_task_group()

    def start(self, work: Callable[..., Coroutine[Any, Any, None]], *args: Any) -> None:
        self._group.start_soon(work, *args)

    def cancel(self) -> None:
        self._group.cancel_scope.cancel()

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return await self._group.__aexit__(kind, error, trace)


def stray(error: BaseException) -> bool:
    """Whether ``error`` says that something was cancelled that the task at hand awaited (a future, another task), while
    nobody cancelled the task itself. To be asked where it was caught; trio has no such thing."""
    if not isinstance(error, asyncio.CancelledError):
        return False
    task = asyncio.current_task()
    # A thread is told of a cancelled scope before its task is, so the scopes are asked as well.
    return task is not None and not task.cancelling() and anyio.current_effective_deadline() != -math.inf


def open_group() -> Group | _TrioGroup:
    """A group for this loop."""
    return _TrioGroup() if on_trio() else Group()
