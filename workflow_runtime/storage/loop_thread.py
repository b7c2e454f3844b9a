"""An event loop in a daemon thread, which lives as long as the process, for objects that outlive the loops of their
callers."""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

__all__ = ["LoopThread"]

EXIT_GRACE = 10.0
"""Seconds that the interpreter's exit waits, at most, for the last work of a thread."""

_all: list[LoopThread] = []


class LoopThread:
    """Make one per module that needs one, never more: it is not collected. Any thread may call its methods.

    Args:
        name: The thread's.
        at_exit: Its last work. Here, because a daemon thread that meets the interpreter's end is simply frozen. All that
            was registered with ``atexit`` since this module was imported, such as the end of runs, comes before it.
    """

    def __init__(self, name: str, at_exit: Callable[[], Coroutine[Any, Any, None]] | None = None) -> None:
        self._name = name
        self._at_exit = at_exit
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        _all.append(self)

    @property
    def started(self) -> asyncio.AbstractEventLoop | None:
        """The loop, if it runs."""
        return self._loop

    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop, started at first use (and again in a forked child). RuntimeError if no thread can be started."""
        return self._loop or self._start()

    def is_here(self) -> bool:
        """True in its own thread."""
        return self._thread is not None and self._thread.ident == threading.get_ident()

    def _start(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is not None:
                return self._loop
            loop = asyncio.new_event_loop()
            thread = threading.Thread(target=_serve, args=(loop,), name=self._name, daemon=True)
            try:
                thread.start()
            finally:
                if thread.ident is not None:  # it runs, even if waiting for its start was interrupted
                    self._loop, self._thread = loop, thread
                else:
                    loop.close()
            return loop

    def _exit(self) -> None:
        loop, work = self._loop, self._at_exit
        if loop is not None and work is not None:
            with suppress(TimeoutError, KeyboardInterrupt):  # a person does not want to wait
                asyncio.run_coroutine_threadsafe(work(), loop).result(EXIT_GRACE)

    def _forked(self) -> None:
        # The child process has no such thread, and the holder of the lock does not exist there.
        self._lock = threading.Lock()
        self._loop = self._thread = None


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    ended = False
    while not ended:
        try:
            loop.run_forever()
            ended = True  # stopped
        except (SystemExit, KeyboardInterrupt):
            # Raised by a step. Its task has it too, and passes it to the caller; the loop continues for all others.
            continue


@atexit.register
def _exit() -> None:
    for thread in _all:
        thread._exit()


def _forked() -> None:
    for thread in _all:
        thread._forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
