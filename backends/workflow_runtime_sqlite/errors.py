"""From SQLite's errors to a ``StorageError`` that names the file and the fix."""

from __future__ import annotations

import os
import sqlite3

from workflow_runtime.model.errors import StorageError

from .location import Location

__all__ = ["DRIVER_ERRORS", "FileMoved", "is_busy", "is_fatal", "translate"]


class FileMoved(sqlite3.OperationalError):
    """The file that a connection has open is no longer at its path."""

    sqlite_errorcode = 1032
    """SQLITE_READONLY_DBMOVED: SQLite's own error, if it notices."""


DRIVER_ERRORS = (sqlite3.Error, sqlite3.Warning, OverflowError, UnicodeError)
"""The driver's errors; the last two are for integers beyond 64 bits and for text that is not UTF-8."""

_BUSY, _LOCKED, _READONLY, _IOERR, _CORRUPT, _FULL, _CANTOPEN, _TOOBIG, _NOTADB = 5, 6, 8, 10, 11, 13, 14, 18, 26

_LOCKED_TEXT = (
    "database is locked by another process for more than {timeout:g} s; let it finish its transaction, "
    "or pass a larger busy_timeout"
)
_REASONS = {
    _BUSY: _LOCKED_TEXT,
    _LOCKED: _LOCKED_TEXT,
    _READONLY: "it can only be read, not written ({error}); make the file and its directory writable",
    _IOERR: "the disk reported an error ({error}); check the device, then try again",
    _CORRUPT: "the file is damaged ({error}); restore a backup, or salvage it with: sqlite3 FILE .recover",
    _FULL: "no space is left for it ({error}); free some, then try again: what was committed is safe",
    _CANTOPEN: "it cannot be opened: {why}",
    _TOOBIG: "a value is larger than SQLite stores ({error}); keep large content elsewhere and store a reference",
    _NOTADB: "the file is not a SQLite database; name another file",
}


def _extended(error: BaseException) -> int:
    return getattr(error, "sqlite_errorcode", None) or 0


def _code(error: BaseException) -> int:
    # The low byte is the primary code; the rest is a detail.
    return _extended(error) & 0xFF


def is_busy(error: BaseException) -> bool:
    """Another process holds the lock; nothing is wrong with the file."""
    return _code(error) in (_BUSY, _LOCKED)


def is_fatal(error: BaseException) -> bool:
    """The connection cannot be trusted any more: the next call must open the file again."""
    return _code(error) in (_READONLY, _IOERR, _CORRUPT, _CANTOPEN, _NOTADB)


def translate(error: BaseException, location: Location, busy_timeout: float, *, existed: bool = False) -> StorageError:
    """The error to raise for ``error``, which becomes its cause; nothing of the call has been stored.

    Args:
        error: The driver's.
        location: Of the file.
        busy_timeout: Seconds for which a lock was awaited.
        existed: This process has used the file before: if it is missing, it was removed.
    """
    gone = existed and _code(error) == _CANTOPEN and not os.path.exists(location.path)
    if gone or _extended(error) == FileMoved.sqlite_errorcode:
        reason = _moved(location)
    else:
        text = _REASONS.get(_code(error), "{error}")
        reason = text.format(error=error, timeout=busy_timeout, why=_why_not(location))
    translated = StorageError(f"SQLite database {location.path}: {reason}")
    translated.__cause__ = error
    return translated


def _moved(location: Location) -> str:
    if os.path.exists(location.path):
        return (
            "another file has taken the place of the one that this process had open, and nothing of this call is stored;"
            " the next call opens the new file"
        )
    return (
        "the file was removed while this process used it, and nothing of this call is stored; put the file back, or"
        " restart the process (or aclose() the database) to begin with an empty one"
    )


def _why_not(location: Location) -> str:
    directory = os.path.dirname(location.path)
    if os.path.isdir(location.path):
        return "this is a directory; name a file in it"
    if not os.path.isdir(directory):
        return f"there is no directory {directory}; create it"
    if location.read_only and not os.path.exists(location.path):
        return "there is no such file, and mode=ro does not create one"
    return "check the permissions of the file and its directory"
