"""The sync API: one event-loop thread for the process, and calls into it that only wait. (D12)"""

from __future__ import annotations

import asyncio
import atexit
import contextvars
import os
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import sniffio

__all__ = ["call", "is_here", "portal_loop", "refuse_inside"]

_T = TypeVar("_T")
_lock = threading.Lock()
_END_SECONDS = 35.0  # a little more than the end of a run may take
_loop: asyncio.AbstractEventLoop | None = None
_owner_pid = 0
_thread_id = 0


def portal_loop() -> asyncio.AbstractEventLoop:
    """The loop of the portal thread, started at first use (and again in a forked child)."""
    global _loop, _owner_pid, _thread_id
    with _lock:
        if _loop is None or _owner_pid != os.getpid() or _loop.is_closed():
            started = threading.Event()
            loop = _new_loop()
            thread = threading.Thread(target=_serve, args=(loop, started), name="workflow_runtime portal", daemon=True)
            thread.start()
            started.wait()
            _loop, _owner_pid, _thread_id = loop, os.getpid(), thread.ident or 0
        return _loop


def _new_loop() -> asyncio.AbstractEventLoop:
    return asyncio.new_event_loop()


def _serve(loop: asyncio.AbstractEventLoop, started: threading.Event) -> None:
    asyncio.set_event_loop(loop)
    loop.call_soon(started.set)
    ended = False
    while not ended:
        try:
            loop.run_forever()
            ended = True  # stopped
        except (SystemExit, KeyboardInterrupt):
            # Of a step. Its task has it too, and hands it to the caller; the loop, which let it out, goes on for all others.
            continue


def is_here() -> bool:
    """True on the portal's own loop."""
    return threading.get_ident() == _thread_id and _owner_pid == os.getpid()


def refuse_inside() -> None:
    """RuntimeError when called on the portal's own loop: it would wait for itself."""
    if is_here():
        raise RuntimeError(
            "a blocking verb was called inside a step that runs on the event loop; await its a-twin instead"
        )


def call(work: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
    """The result of ``work()`` on the portal's loop. RuntimeError as ``refuse_inside`` says. Ctrl-C cancels it, waits until
    it has recorded that, and is raised again."""
    refuse_inside()
    loop = portal_loop()
    context = contextvars.copy_context()  # the caller's variables are seen by the steps, but not what loop it runs on
    context.run(sniffio.current_async_library_cvar.set, "asyncio")
    # A lock and a callback: a future of ``concurrent.futures`` costs a condition and two callbacks more.
    ended = threading.Lock()
    ended.acquire()
    coroutine = work()
    tasks: list[asyncio.Task[_T]] = []

    def begin() -> None:
        task = loop.create_task(coroutine)
        tasks.append(task)
        task.add_done_callback(lambda _: ended.release())

    def cancel() -> None:
        for task in tasks:
            task.cancel()

    loop.call_soon_threadsafe(begin, context=context)
    try:
        ended.acquire()
    except KeyboardInterrupt:
        loop.call_soon_threadsafe(cancel)  # only asks the task, which then records its end
        ended.acquire(timeout=_END_SECONDS)
        raise
    return tasks[0].result()


@atexit.register
def _stop() -> None:
    loop = _loop
    if loop is not None and _owner_pid == os.getpid() and not loop.is_closed():
        loop.call_soon_threadsafe(loop.stop)
