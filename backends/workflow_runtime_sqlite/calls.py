"""Run any function in the thread of a connection, through public names of aiosqlite.

``aiosqlite.connect`` passes ``factory`` on to ``sqlite3.connect``, and ``Connection.execute_fetchall`` is one hop to the
connection's thread, in which it calls ``execute`` and ``fetchall``. So a connection class that knows one more statement,
``CALL``, runs a whole transaction, its Python included, in one hop.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from threading import Thread, current_thread
from typing import Any, TypeVar

import aiosqlite

__all__ = ["CALL", "CallingConnection", "call"]

T = TypeVar("T")

CALL = "-- a call of workflow_runtime"
"""The statement whose parameter is the ``_Call`` to run."""

_execute = sqlite3.Connection.execute


class _Call:
    # aiosqlite writes its repr to a debug log, so it contains no user values.
    __slots__ = ("arguments", "function")

    def __init__(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        self.function = function
        self.arguments = arguments

    def __repr__(self) -> str:
        return f"<{getattr(self.function, '__qualname__', self.function)}>"


class _Returned(sqlite3.Cursor):
    """The result or the exception of a call, as the one row of a cursor."""

    def __init__(self, connection: sqlite3.Connection, error: Exception | None, value: Any) -> None:
        super().__init__(connection)
        self._row = (error, value)

    def fetchall(self) -> list[Any]:
        return [self._row]


class CallingConnection(sqlite3.Connection):
    """A connection that makes calls. ``thread`` is the one it lives in."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.thread: Thread = current_thread()
        self.file: tuple[int, int] | None = None
        """Which file was opened, as ``location.file_id``; None in memory."""

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        if sql is not CALL:
            return _execute(self, sql, parameters)
        try:
            return _Returned(self, None, parameters.function(self, *parameters.arguments))
        except Exception as error:
            return _Returned(self, error, None)


async def call(connection: aiosqlite.Connection, function: Callable[..., T], *arguments: Any) -> T:
    """``function(connection, *arguments)`` in the connection's thread, with the ``CallingConnection`` itself."""
    parameters: Any = _Call(function, arguments)
    [(error, value)] = await connection.execute_fetchall(CALL, parameters)
    if error is not None:
        raise error
    result: T = value
    return result
