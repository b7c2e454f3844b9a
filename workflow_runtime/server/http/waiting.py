"""Waiting for a run as long as the client does, and as long as the server may."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio
from starlette.requests import ClientDisconnect, Request

from ..errors import Refused
from ..service import Service

__all__ = ["disconnected", "while_wanted"]

_T = TypeVar("_T")


async def while_wanted(service: Service, request: Request, work: Callable[[], Awaitable[_T]], what: str) -> _T:
    """The result of ``work``, which is cancelled when nobody waits for it any more.

    Raises:
        ClientDisconnect: The client left.
        Refused: The server was told to end, and its grace is over (503); ``what`` says what becomes of the work.
    """
    found: list[_T] = []
    failed: list[Exception] = []
    left = False
    async with anyio.create_task_group() as group:

        async def until_left() -> None:
            nonlocal left
            await disconnected(request)
            left = True
            group.cancel_scope.cancel()

        async def until_stopped() -> None:
            await service.stopping.wait()
            await anyio.sleep(service.grace)
            group.cancel_scope.cancel()

        group.start_soon(until_left)
        group.start_soon(until_stopped)
        try:
            found.append(await work())
        except Exception as error:  # not through the group, which would wrap it
            failed.append(error)
        group.cancel_scope.cancel()
    if failed:
        raise failed[0]
    if found:
        return found[0]
    if left:
        raise ClientDisconnect
    raise Refused(503, "stopping", f"the server is stopping; {what}")


async def disconnected(request: Request) -> None:
    """Wait until the client is gone; what it still sends is thrown away."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
