"""The sync API: one event-loop thread for the process, and calls into it that only wait. (D12)"""

from __future__ import annotations

import asyncio
import atexit
import contextvars
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from time import monotonic
from typing import Any, Generic, TypeVar

import anyio
import sniffio

from ...storage.loop_thread import LoopThread
from .interrupts import HeldInterrupt

__all__ = ["at_exit", "call", "is_here", "leave", "portal_loop", "refuse_inside", "settle"]

_T = TypeVar("_T")
_END_SECONDS = 35.0  # a little more than the end of a run may take
# A signal that comes between a thread's last look and its sleep does not wake it: CPython looks again when the wait ends.
_LOOK_SECONDS = 0.1
_portal = LoopThread("workflow_runtime portal")
_SETTLE_SECONDS = 5.0  # then what does not end is reported, see ``stalls``
_LEFT = 8
_left = threading.local()
_at_exit: list[Callable[[], Coroutine[Any, Any, None]]] = []
_gave_up = False  # an end was waited for in vain: the interpreter's exit does not wait for it again


def portal_loop() -> asyncio.AbstractEventLoop:
    """The loop of the portal thread, started at first use (and again in a forked child)."""
    loop = _portal.started
    if loop is not None:
        return loop
    try:
        return _portal.loop()
    finally:
        atexit.unregister(_stop)
        atexit.register(_stop)  # before what was registered so far: the databases serve the ends of runs


def is_here() -> bool:
    """True on the portal's own loop."""
    return _portal.is_here()


def refuse_inside() -> None:
    """RuntimeError when called on the portal's own loop: it would wait for itself."""
    if is_here():
        raise RuntimeError(
            "a blocking verb was called inside a step that runs on the event loop; await its a-twin instead"
        )


def call(work: Callable[[], Coroutine[Any, Any, _T]], *, at_once: bool = False) -> _T:
    """The result of ``work()`` on the portal's loop. RuntimeError as ``refuse_inside`` says.

    Ctrl-C cancels the work, waits until it has recorded that, and is raised then; a second Ctrl-C is raised at once. What
    ``work()`` returns is returned as it is if it is not a coroutine.

    Args:
        at_once: Do not wait first for what this thread left (``leave``). For work that does not read what is stored.
    """
    refuse_inside()
    if not at_once and getattr(_left, "ends", None):
        settle(_SETTLE_SECONDS)
    waiting: _Waiting[_T] = _Waiting()
    with HeldInterrupt(waiting.cancel) as interrupt:
        made: Any = work()
        if not asyncio.iscoroutine(made):  # a stream, which starts at its first read
            stream: _T = made
            return stream
        try:
            waiting.begin(portal_loop(), made)
            waiting.wait()
        except (
            BaseException
        ):  # a second Ctrl-C, what the handler of another signal raised, or no thread could be started
            if not waiting.begun:
                made.close()
            elif interrupt.raised is None:
                waiting.cancel()
                waiting.wait()
            raise
        return waiting.result()


def leave(end: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Let this thread's next call wait for ``end()``: what it left without waiting ends soon, and is not read before."""
    if not hasattr(_left, "ends"):
        _left.ends = deque(maxlen=_LEFT)  # a thread that only collects garbage calls nothing
    _left.ends.append(end)


def settle(seconds: float = _END_SECONDS) -> None:
    """Wait for what this thread left, at most so long."""
    ends, _left.ends = _left.ends, deque(maxlen=_LEFT)

    async def wait() -> None:
        with anyio.move_on_after(seconds):
            for end in ends:
                await end()

    call(wait)


class _Waiting(Generic[_T]):
    """A task of the portal's loop, and the thread that waits for it."""

    __slots__ = ("_cancelled_at", "_coroutine", "_ended", "_loop", "_task")

    def __init__(self) -> None:
        # A lock and a callback: a future of ``concurrent.futures`` costs a condition and two callbacks more.
        self._ended = threading.Lock()
        self._ended.acquire()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[_T] | None = None
        self._cancelled_at: float | None = None

    def begin(self, loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, _T]) -> None:
        context = (
            contextvars.copy_context()
        )  # the caller's variables are seen by the steps, but not what loop it runs on
        context.run(sniffio.current_async_library_cvar.set, "asyncio")
        self._loop, self._coroutine = loop, coroutine
        loop.call_soon_threadsafe(self._start, context=context)

    @property
    def begun(self) -> bool:
        return self._loop is not None

    def _start(self) -> None:
        task = self._task = self._loop.create_task(self._coroutine)  # type: ignore[union-attr]  # begun
        del self._coroutine
        task.add_done_callback(self._end)
        if self._cancelled_at is not None:  # it comes to no step
            task.cancel()

    def _end(self, task: asyncio.Task[_T]) -> None:
        self._ended.release()

    def cancel(self) -> None:
        """Ask the task to end, from any thread and from a signal handler. It records its end first."""
        if self._cancelled_at is None:
            self._cancelled_at = monotonic()
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._cancel)

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def wait(self) -> None:
        """Until the task has ended; after ``cancel`` for as long as the end of a run may take."""
        global _gave_up
        while not self._ended.acquire(timeout=_LOOK_SECONDS):
            if self._cancelled_at is not None and monotonic() - self._cancelled_at > _END_SECONDS:
                _gave_up = True
                return

    def result(self) -> _T:
        return self._task.result()  # type: ignore[union-attr]  # it has ended


def at_exit(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Have ``work()`` done on the portal's loop when the interpreter ends, while databases still answer."""
    _at_exit.append(work)


def _stop() -> None:
    loop = _portal.started
    if loop is None:
        return
    ended = threading.Event()

    async def end() -> None:
        try:
            for work in _at_exit:
                await work()
        finally:
            ended.set()

    task: list[asyncio.Task[None]] = []
    give_up = monotonic() + _END_SECONDS
    try:
        loop.call_soon_threadsafe(lambda: task.append(loop.create_task(end())))
        while not (_gave_up or ended.wait(_LOOK_SECONDS) or monotonic() > give_up):
            pass
    except KeyboardInterrupt:  # a person does not want to wait
        pass
    loop.call_soon_threadsafe(loop.stop)
