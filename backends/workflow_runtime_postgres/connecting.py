"""Making a connection so that a caller that is cancelled meanwhile leaves nothing behind.

The driver, cancelled in the middle of a TLS handshake, leaves a future whose exception is never retrieved. So connecting
runs in its own task: a cancelled caller returns immediately, and the connection is dropped once it is made. Only a loop
that ends at that very moment still leaves such a future, and a line in the log.
"""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg

from .errors import DRIVER_ERRORS

__all__ = ["connect"]

_making: set[asyncio.Task[Any]] = set()


async def connect(*arguments: Any, **options: Any) -> Any:
    """``asyncpg.connect``, from a task that is not cancelled with its caller."""
    task = asyncio.get_running_loop().create_task(
        asyncpg.connect(*arguments, **options), name="workflow_runtime_postgres: connect"
    )
    _making.add(task)
    task.add_done_callback(_making.discard)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        task.add_done_callback(_drop)
        raise


def _drop(task: asyncio.Task[Any]) -> None:
    if task.cancelled():
        return
    error = task.exception()
    if error is None:
        task.result().terminate()
    elif not isinstance(error, DRIVER_ERRORS):
        raise error
