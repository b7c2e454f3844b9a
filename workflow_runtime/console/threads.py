"""Waiting for a terminal, a person or a file in a thread, so that the event loop goes on."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import anyio
import anyio.to_thread

__all__ = ["in_thread"]

_T = TypeVar("_T")


async def in_thread(work: Callable[[], _T], *, abandon: bool = True) -> _T:
    """The result of ``work``. Its thread is none of those that steps share, so steps that fill these do not stop the
    terminal. When the caller is cancelled it waits no longer (``abandon``), or until the work is done."""
    return await anyio.to_thread.run_sync(work, abandon_on_cancel=abandon, limiter=anyio.CapacityLimiter(1))
