"""Waiting for a terminal, a person or a file in a thread, so that the event loop continues."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import anyio
import anyio.to_thread

__all__ = ["in_thread"]

_T = TypeVar("_T")


async def in_thread(work: Callable[[], _T], *, abandon: bool = True) -> _T:
    """The result of ``work``. Its thread is not from the pool that steps share, so steps that fill the pool do not stop the
    terminal. If the caller is cancelled, it waits no longer (``abandon``), or until the work is done."""
    return await anyio.to_thread.run_sync(work, abandon_on_cancel=abandon, limiter=anyio.CapacityLimiter(1))
