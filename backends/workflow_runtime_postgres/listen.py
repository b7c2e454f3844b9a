"""Hearing of commits by other processes: one connection per event loop that listens while somebody waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Any

from .connecting import connect
from .errors import DRIVER_ERRORS
from .location import Settings

__all__ = ["Listener"]

AGAIN = 1.0
"""Seconds until the next try after the connection could not be made; those who wait poll meanwhile."""


class Listener:
    """``wake`` gets the id of each run that was changed, and None when some may have been missed."""

    def __init__(self, settings: Settings, wake: Callable[[str | None], None]) -> None:
        self._settings = settings
        self._wake = wake
        self._connection: Any = None
        self._connecting = asyncio.Lock()
        self._next = 0.0

    async def ensure(self) -> bool:
        """Listen from here on. False when that is switched off or the server cannot be reached now."""
        if self._connection is not None:
            return True
        if not self._settings.listen or monotonic() < self._next:
            return False
        async with self._connecting:
            if self._connection is None and monotonic() >= self._next:
                try:
                    self._connection = await self._connect()
                except DRIVER_ERRORS:
                    # The calls of those who wait meet the same trouble, and report it.
                    self._next = monotonic() + AGAIN
        return self._connection is not None

    async def _connect(self) -> Any:
        settings = self._settings
        limits = {"timeout": settings.retry_for, "command_timeout": settings.command_timeout}
        connection: Any = await connect(settings.dsn, **{**limits, **settings.options})
        try:
            await connection.add_listener(settings.schema, self._heard)
            connection.add_termination_listener(self._lost)
        except BaseException:
            connection.terminate()
            raise
        return connection

    def _heard(self, connection: object, pid: int, channel: str, payload: object) -> None:
        self._wake(str(payload))

    def _lost(self, connection: object) -> None:
        self._connection = None
        self._wake(None)

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        connection.remove_termination_listener(self._lost)
        with suppress(*DRIVER_ERRORS):
            await connection.close(timeout=5.0)
