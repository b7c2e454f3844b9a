"""Opening a connection to the file, and refusing to do so in a forked child."""

from __future__ import annotations

import os
import sqlite3
import time
from collections import Counter
from threading import Thread

import aiosqlite

from workflow_runtime.model.errors import StorageError

from .calls import CallingConnection, call
from .errors import is_busy
from .location import Location, file_id
from .schema import check, migrate

__all__ = ["Settings", "close", "connect", "generation", "prepare"]

_open: Counter[str] = Counter()
_inherited: set[str] = set()
_generation = 0


WAL_LIMIT = 16 * 1024 * 1024
"""Bytes that the log beside the file keeps once its commits are in the file; a large run or a long read may make it grow."""


class Settings:
    """How a connection is made. ``busy_timeout`` is seconds, ``page_limit`` pages (None: the disk's end)."""

    __slots__ = ("busy_timeout", "location", "page_limit", "synchronous")

    def __init__(self, location: Location, synchronous: str, busy_timeout: float, page_limit: int | None) -> None:
        self.location = location
        self.synchronous = synchronous
        self.busy_timeout = busy_timeout
        self.page_limit = page_limit


def generation() -> int:
    """How many forks lie between this process and the first that imported this module."""
    return _generation


def _forked() -> None:
    # SQLite keeps a process's locks per file in memory; a child has that record but not the locks. To open such a file
    # again, or to close the connection it inherited, would break the parent's database.
    global _generation
    _generation += 1
    _inherited.update(path for path, count in _open.items() if count)
    _open.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


async def connect(settings: Settings, *, reader: bool, create: bool) -> aiosqlite.Connection:
    """A connection, for calls from this loop; the writer migrates the schema. The caller must ``close`` it.

    Args:
        settings: The file and the options.
        reader: It refuses to write.
        create: Whether to create a missing file.

    Raises:
        StorageError: The file was open when this process was forked, or is of a newer version or another application.
        sqlite3.Error: An error for ``errors.translate``.
    """
    location = settings.location
    if location.path in _inherited and not location.in_memory:
        raise StorageError(
            f"SQLite database {location.path} was open when this process was forked, and SQLite does not survive that; "
            "open it after the fork only, aclose() it before, or start processes with 'spawn'"
        )
    _open[location.path] += 1
    try:
        connection = await aiosqlite.connect(
            location.uri(create=create),
            factory=CallingConnection,
            timeout=settings.busy_timeout,
            isolation_level=None,
            cached_statements=256,
            uri=True,
        )
    except BaseException:
        _open[location.path] -= 1
        raise
    try:
        await call(connection, prepare, settings, reader)
    except BaseException:
        await close(connection, location)
        raise
    return connection


async def close(connection: aiosqlite.Connection, location: Location) -> Thread:
    """Close it; its thread, which is about to end."""
    thread = await call(connection, _thread)
    try:
        await connection.close()
    finally:
        _open[location.path] -= 1
    return thread


def _thread(connection: CallingConnection) -> Thread:
    return connection.thread


def prepare(connection: CallingConnection, settings: Settings, reader: bool) -> None:
    """Apply the settings to a new connection, in its own thread."""
    connection.thread.name = f"workflow_runtime_sqlite {'reader' if reader else 'writer'}"
    _set_up(connection, settings, reader)
    connection.file = None if settings.location.in_memory else file_id(settings.location.path)


def _set_up(connection: sqlite3.Connection, settings: Settings, reader: bool) -> None:
    connection.execute(f"PRAGMA synchronous = {settings.synchronous}")
    if reader:
        connection.execute("PRAGMA query_only = ON")
        return
    if settings.location.read_only:
        check(connection, settings.location)
        return
    if settings.page_limit is not None:
        connection.execute(f"PRAGMA max_page_count = {settings.page_limit:d}")
    _use_wal(connection, settings.busy_timeout)
    connection.execute(f"PRAGMA journal_size_limit = {WAL_LIMIT:d}")
    migrate(connection, settings.location)


def _use_wal(connection: sqlite3.Connection, busy_timeout: float) -> None:
    # Changing the mode does not wait for the lock as statements do; two processes may create the file at once.
    give_up = time.monotonic() + busy_timeout
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if not is_busy(error) or time.monotonic() > give_up:
                raise
            time.sleep(0.005)
