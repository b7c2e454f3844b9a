"""Event loops: tasks that outlive their caller, and calls into a loop from any thread. The one module that knows backends.

asyncio and trio differ in both; anyio has no detached task on purpose, so the host owns them here by name. (D10)
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import copy_context
from typing import Any, Protocol, TypeVar

import anyio
import sniffio

from .process import current

__all__ = ["Loop", "current_loop", "guarded", "later", "loop_key", "loop_time", "on_trio", "soon", "spawn", "whole"]

_T = TypeVar("_T")
logger = logging.getLogger("workflow_runtime")


def on_trio() -> bool:
    """Whether this code runs under trio."""
    # Trio says so for as long as it runs, also in its callbacks, and in turns of a host's loop it does not.
    return sniffio.thread_local.name == "trio"


class Loop(Protocol):
    """A running event loop, as another thread may use it."""

    def is_here(self) -> bool:
        """True when called while this loop runs in the same thread."""
        ...

    def call(self, function: Callable[[], None]) -> bool:
        """Run ``function`` on the loop soon; False when the loop has ended."""
        ...


class _AsyncioLoop:
    __slots__ = ("_loop",)

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()

    def is_here(self) -> bool:
        return asyncio._get_running_loop() is self._loop

    def call(self, function: Callable[[], None]) -> bool:
        try:
            self._loop.call_soon_threadsafe(function)
        except RuntimeError:  # closed: whatever ran on it has ended
            return False
        return True


class _TrioLoop:
    __slots__ = ("_thread", "_token")

    def __init__(self) -> None:
        import trio

        self._token = trio.lowlevel.current_trio_token()
        self._thread = threading.get_ident()

    def is_here(self) -> bool:
        return threading.get_ident() == self._thread

    def call(self, function: Callable[[], None]) -> bool:
        import trio

        try:
            self._token.run_sync_soon(function)
        except trio.RunFinishedError:
            return False
        return True


def current_loop() -> Loop:
    """The loop that runs this code."""
    return _TrioLoop() if on_trio() else _AsyncioLoop()


def loop_key() -> Any:
    """The running loop itself, for tables with weak keys: another loop of the same thread is another one."""
    if on_trio():
        import trio

        return trio.lowlevel.current_trio_token()
    return asyncio.get_running_loop()


def soon(function: Callable[[], None]) -> None:
    """Call ``function`` in the loop's next turn: a task's start for those who may not need a task at all."""
    if on_trio():
        import trio

        trio.lowlevel.current_trio_token().run_sync_soon(function)
    else:
        asyncio.get_running_loop().call_soon(function)


def loop_time() -> float:
    """Seconds on the clock of the running loop, also in its callbacks."""
    if on_trio():
        import trio

        return trio.current_time()
    return asyncio.get_running_loop().time()


def later(seconds: float, function: Callable[[], None]) -> Callable[[], None]:
    """Call ``function`` after ``seconds``; what is returned calls it off. It keeps no loop from ending."""
    if not on_trio():
        return asyncio.get_running_loop().call_later(seconds, function).cancel
    import trio

    scope = trio.CancelScope()

    async def wait() -> None:
        with scope:
            await trio.sleep(seconds)
            function()

    trio.lowlevel.spawn_system_task(wait)
    return scope.cancel


def coroutines() -> list[Any]:
    """The coroutines of the running loop's tasks."""
    if not on_trio():
        return [task.get_coro() for task in asyncio.all_tasks()]
    import trio

    found: list[Any] = []
    tasks = [trio.lowlevel.current_root_task()]
    while tasks:
        task = tasks.pop()
        if task is not None:
            found.append(task.coro)
            tasks.extend(child for nursery in task.child_nurseries for child in nursery.child_tasks)
    return found


def spawn(work: Callable[[], Awaitable[None]], name: str, never: Callable[[], None] | None = None) -> None:
    """Start a task that nobody waits for. It must not raise; if it does, that is logged, never lost. ``never`` is called
    where the loop ended before the task began."""
    begun = False

    async def begin() -> None:
        nonlocal begun
        begun = True
        await guarded(work, name)

    if on_trio():
        import trio

        # As asyncio does: the steps see the context variables of whoever started the run.
        trio.lowlevel.spawn_system_task(begin, name=name, context=copy_context())
        return
    task = asyncio.get_running_loop().create_task(begin(), name=name)
    tasks = current().tasks
    tasks.add(task)

    def ended(task: asyncio.Task[None]) -> None:
        tasks.discard(task)
        if never is not None and not begun:
            never()

    task.add_done_callback(ended)


async def whole(work: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
    """``work()`` to its end, also where this task is cancelled meanwhile, by a scope or by its own ``cancel()``. The
    cancellation comes with the next await."""
    if on_trio():
        with anyio.CancelScope(shield=True):
            return await work()
    task = asyncio.get_running_loop().create_task(work())
    cut_off: asyncio.CancelledError | None = None
    while not task.done():
        try:
            with anyio.CancelScope(shield=True):
                await asyncio.wait((task,))
        except asyncio.CancelledError as error:
            cut_off = error
    caller = asyncio.current_task()
    if cut_off is not None and caller is not None:
        caller.uncancel()
        caller.cancel(*cut_off.args)
    return task.result()


async def guarded(work: Callable[[], Awaitable[None]], name: str) -> None:
    """``work()``, as the whole of a task that nobody waits for: what it raises is logged, never lost."""
    try:
        await work()
    except Exception:
        logger.exception("the task %s of workflow_runtime failed", name)
    except asyncio.CancelledError:
        pass  # the loop is closing; the run has recorded it
