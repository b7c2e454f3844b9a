"""Cancelling a library's run, and waiting until nothing of it runs any more.

The engine cancels by a scope, which cancels every later await again. Many libraries clean up in more than one step and
leave a tool running then. In a task of its own a run is cancelled once, and is waited for.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable
from contextlib import aclosing
from typing import Any, TypeVar

import anyio

__all__ = ["await_in_own_task", "in_own_task"]

_T = TypeVar("_T")
_END: Any = object()
CLOSE_SECONDS = 10.0
"""How long the clean-up of a cancelled run may take."""


async def in_own_task(source: AsyncGenerator[_T, None]) -> AsyncIterator[_T]:
    """The items of ``source``, which is read in an asyncio task of its own, one item ahead of the reader.

    Closing or cancelling the reader cancels that task once and waits for it.
    """
    queue: asyncio.Queue[Any] = asyncio.Queue(1)

    async def read() -> None:
        async with aclosing(source):
            async for item in source:
                await queue.put(item)
        await queue.put(_END)

    task = asyncio.ensure_future(read())
    try:
        while True:
            item = asyncio.ensure_future(queue.get())
            try:
                await asyncio.wait((item, task), return_when=asyncio.FIRST_COMPLETED)
            finally:
                item.cancel() if not item.done() else None
            if not item.done() or item.cancelled():
                await task  # raises what the library raised
                return
            if item.result() is _END:
                await task
                return
            yield item.result()
    finally:
        await _stop(task)


async def await_in_own_task(work: Awaitable[_T]) -> _T:
    """The result of ``work``, which runs in an asyncio task of its own; cancelled with the caller, and waited for."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    finally:
        await _stop(task)


async def _stop(task: asyncio.Future[Any]) -> None:
    if task.done():
        return
    task.cancel()
    with anyio.move_on_after(CLOSE_SECONDS, shield=True):
        await asyncio.wait([task])
