"""A call that goes to the server together with others (``storage.batching``)."""

from __future__ import annotations

import asyncio
from typing import Any

from .errors import is_lost

__all__ = ["Call", "is_common"]


class Call:
    """Made on the loop that sends it. ``writer`` names it to the server, from its first sending to its end."""

    __slots__ = ("keys", "order", "outcome", "values", "writer")

    def __init__(
        self, values: tuple[Any, ...], keys: frozenset[str] = frozenset(), order: tuple[str, ...] = ()
    ) -> None:
        self.values = values
        self.keys = keys
        self.order = order
        # A result, never an exception: a cancelled caller leaves no exception that is never retrieved.
        self.outcome: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.writer: Any = None

    @property
    def given_up(self) -> bool:
        return self.outcome.cancelled()

    def settle(self, error: Exception | None, value: Any) -> None:
        if not self.outcome.done():
            self.outcome.set_result((error, value))

    async def result(self) -> Any:
        """The value, or the error raised."""
        error, value = await self.outcome
        if error is not None:
            raise error
        return value


def is_common(error: Exception, _call: Call) -> bool:
    """Whether the error is the server's, so that every call would get it."""
    return error.__cause__ is not None and is_lost(error.__cause__) and not isinstance(error.__cause__, TimeoutError)
