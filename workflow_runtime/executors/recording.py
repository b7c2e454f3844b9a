"""Recording what libraries stream, and telling equal tool calls apart: what the durable adapters share."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

from .adapter import Once, Usage

__all__ = ["Broken", "Counts", "digest", "teed"]

_END: Any = object()


class Broken(BaseException):
    """A record could not be written or read. No library takes it for the failure of a tool, which its model would read.

    Attributes:
        error: What failed.
    """

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class Counts:
    """Numbers the calls of a kind within one entry of an agent."""

    def __init__(self) -> None:
        self._next: dict[str, int] = {}

    def key(self, kind: str) -> str:
        number = self._next[kind] = self._next.get(kind, -1) + 1
        return f"{kind}#{number}"


def digest(arguments: Any) -> str:
    """A short name for the arguments of a tool call. Equal calls have the same: their results are interchangeable."""
    text = json.dumps(arguments, sort_keys=True, default=str)
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()[:8]


async def teed(
    once: Once,
    key: str,
    source: Callable[[], AsyncIterator[Any]],
    dump: Callable[[Any], Any],
    load: Callable[[Any], Any],
    tail: Callable[[], Any] | None = None,
    usage: Usage | None = None,
) -> AsyncIterator[Any]:
    """The chunks of ``source()`` as they come; recorded as a whole under ``key``, and then loaded from there.

    ``tail`` gives a last chunk that is recorded and not passed on: what the live reader knows from the provider's own
    objects. A request that was cut off is not recorded, and is asked again. ``usage`` reads what was recorded.
    """
    queue: asyncio.Queue[Any] = asyncio.Queue()
    is_live = False

    async def read() -> list[Any]:
        nonlocal is_live
        is_live = True
        chunks = []
        async for chunk in source():
            chunks.append(dump(chunk))
            queue.put_nowait(chunk)
        return [*chunks, tail()] if tail is not None else chunks

    async def record() -> Any:
        return await once(key, read, usage=usage)

    task = asyncio.ensure_future(record())
    task.add_done_callback(lambda _: queue.put_nowait(_END))
    try:
        while (chunk := await queue.get()) is not _END:
            yield chunk
        recorded = await task  # raises what the source raised
        for item in [] if is_live else recorded:
            yield load(item)
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait([task])
        elif not task.cancelled():
            task.exception()  # a reader that left has not seen it
