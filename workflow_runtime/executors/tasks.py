"""Cancelling a library's run, and waiting until nothing of it runs any more.

The engine cancels by a scope, which cancels every later await again. Many libraries clean up in more than one step and
leave a tool running then. In a task of its own a run is cancelled once, and is waited for.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, Generic, TypeVar

import anyio

__all__ = ["await_in_own_task", "in_own_task", "piped"]

_T = TypeVar("_T")
AHEAD = 64
"""How many items a library may be ahead of the run."""

CLOSE_SECONDS = 10.0
"""How long the clean-up of a cancelled run may take."""


async def in_own_task(source: AsyncGenerator[_T, None]) -> AsyncIterator[_T]:
    """The items of ``source``, which is read in an asyncio task of its own, at most ``AHEAD`` items ahead of the reader.

    Closing or cancelling the reader cancels that task once and waits for it.
    """

    async def read(put: Callable[[_T], None]) -> None:
        async with aclosing(source):
            async for item in source:
                put(item)
                if pipe.is_full:
                    await pipe.drained()

    pipe = _Pipe[_T]()
    async for item in pipe.run(read):
        yield item


async def piped(work: Callable[[Callable[[_T], None]], Awaitable[None]]) -> AsyncIterator[_T]:
    """The items that ``work(put)`` puts. It runs in an asyncio task of its own, as that of ``in_own_task``."""
    async for item in _Pipe[_T]().run(work):
        yield item


class _Pipe(Generic[_T]):
    def __init__(self) -> None:
        self._items: deque[_T] = deque()
        self._more: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None

    @property
    def is_full(self) -> bool:
        return len(self._items) >= AHEAD

    async def drained(self) -> None:
        self._room = asyncio.get_running_loop().create_future()
        await self._room

    def _put(self, item: _T) -> None:
        self._items.append(item)
        _wake(self._more)

    async def run(self, work: Callable[[Callable[[_T], None]], Awaitable[None]]) -> AsyncIterator[_T]:
        loop = asyncio.get_running_loop()
        task = asyncio.ensure_future(work(self._put))
        task.add_done_callback(lambda _: _wake(self._more))
        items = self._items
        try:
            while True:
                while items:
                    yield items.popleft()
                _wake(self._room)
                if task.done():
                    await task  # raises what the library raised
                    return
                self._more = loop.create_future()
                await self._more
        finally:
            await _stop(task)


def _wake(waiting: asyncio.Future[None] | None) -> None:
    if waiting is not None and not waiting.done():
        waiting.set_result(None)


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
