"""Ctrl-C while a run is shown: it ends the run, and the program continues."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import anyio
import sniffio

__all__ = ["Interruptible", "on_ctrl_c"]


@contextmanager
def on_ctrl_c(callback: Callable[[], Any]) -> Iterator[None]:
    """Call ``callback`` at Ctrl-C instead of raising KeyboardInterrupt. Does nothing outside the main thread, which alone
    gets signals: then the code that waits in the main thread has to use this."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGINT, lambda *_: callback())
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)


class Interruptible:
    """A piece of work at a time that can be cancelled from a signal handler or from another thread."""

    def __init__(self) -> None:
        self._stop: Callable[[], None] | None = None

    @contextmanager
    def work(self) -> Iterator[anyio.CancelScope]:
        """Inside, ``interrupt`` cancels; the cancellation ends here."""
        call_soon = _call_soon()
        with anyio.CancelScope() as scope:
            self._stop = lambda: call_soon(scope.cancel)
            try:
                yield scope
            finally:
                self._stop = None

    def interrupt(self) -> bool:
        """Cancel the work, from any thread; False if there is none."""
        stop = self._stop
        if stop is None:
            return False
        stop()
        return True


def _call_soon() -> Callable[[Callable[[], Any]], Any]:
    """How to have something called on this event loop from a signal handler or another thread."""
    if sniffio.current_async_library() == "trio":
        import trio

        return trio.lowlevel.current_trio_token().run_sync_soon
    return asyncio.get_running_loop().call_soon_threadsafe
