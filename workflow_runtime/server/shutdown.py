"""Hearing that the process is told to end, before the server waits for its open streams (which would never end)."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

__all__ = ["told_to_end"]

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def told_to_end(callback: Callable[[], None]) -> Iterator[None]:
    """Call ``callback`` in this event loop at SIGTERM or SIGINT, before whoever handles the signal now.

    An ASGI server tells its app of the end only after all connections are closed. Outside the main thread there are no
    signals: there the owner of the server has to call it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    before: dict[int, Any] = {}

    def heard(number: int, frame: FrameType | None) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(callback)
        handler = before[number]
        if callable(handler):
            handler(number, frame)
        elif handler == signal.SIG_DFL:  # what the process would have done
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    for number in _SIGNALS:
        before[number] = signal.signal(number, heard)
    try:
        yield
    finally:
        for known, handler in before.items():
            if signal.getsignal(known) is heard and handler is not None:
                signal.signal(known, handler)
