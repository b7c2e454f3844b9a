"""From errors of PostgreSQL and its driver to a ``StorageError`` that names the server and the fix."""

from __future__ import annotations

import asyncpg
from asyncpg import exceptions as pg

from workflow_runtime.model.errors import StorageError

__all__ = ["DRIVER_ERRORS", "is_conflict", "is_lost", "translate"]

DRIVER_ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, UnicodeError)
"""The driver's errors; OSError includes TimeoutError, UnicodeError is for text that is not UTF-8."""

_CONFLICTS = (pg.SerializationError, pg.DeadlockDetectedError)
_LOST = (
    OSError,
    asyncpg.InternalClientError,  # the driver does not understand the server any more
    pg.PostgresConnectionError,
    pg.AdminShutdownError,
    pg.CrashShutdownError,
    pg.CannotConnectNowError,
    pg.IdleSessionTimeoutError,
    pg.TooManyConnectionsError,
    pg.ReadOnlySQLTransactionError,  # a primary became a standby: the next connection may find the new primary
)
_NUL = "text in PostgreSQL cannot hold the character NUL ({error}); remove it"
_DROPPED = "the schema was dropped while in use ({error}); close the database and open it again"
_POOLER = "a pooler such as PgBouncer is in between ({error}); pass statement_cache_size=0, listen=False"
_REASONS: dict[type[Exception], str] = {
    pg.InvalidPasswordError: "the password is wrong ({error}); correct the URL",
    pg.InvalidAuthorizationSpecificationError: "the server does not let this user in ({error}); see its pg_hba.conf",
    pg.InvalidCatalogNameError: "there is no such database ({error}); create it with: createdb NAME",
    pg.InsufficientPrivilegeError: "the user lacks a right ({error}); grant it, or let the schema's owner migrate it",
    pg.QueryCanceledError: "the server cancelled it ({error}); raise statement_timeout for this user",
    pg.DiskFullError: "the server's disk is full ({error}); free some, then try again: what was committed is safe",
    pg.ProgramLimitExceededError: "an id or key is longer than an index holds, some 2,600 bytes ({error}); shorten it",
    pg.CharacterNotInRepertoireError: _NUL,
    pg.UntranslatableCharacterError: _NUL,
    pg.UndefinedTableError: _DROPPED,
    pg.UndefinedFunctionError: _DROPPED,
    pg.InvalidSQLStatementNameError: _POOLER,
    pg.DuplicatePreparedStatementError: _POOLER,
}


def is_conflict(error: BaseException) -> bool:
    """Another transaction was in the way and nothing was written: try again."""
    return isinstance(error, _CONFLICTS)


def is_lost(error: BaseException) -> bool:
    """The connection broke or could not be made; whether the statement was committed is not known."""
    if isinstance(error, asyncpg.InterfaceError):
        return "closed" in str(error) or "closing" in str(error) or "released" in str(error)
    return isinstance(error, _LOST)


def translate(error: BaseException, server: str, *, tried_for: float | None = None) -> StorageError:
    """The error to raise for ``error``, which becomes its cause. ``tried_for``: the seconds for which it was retried."""
    said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    if isinstance(error, TimeoutError):
        reason = (
            f"no answer in time, for {tried_for or 0.0:.1f} s; the server is overloaded or cut off, or all max_size "
            "connections are busy, or the statement is a large one: then pass a larger command_timeout"
        )
    elif tried_for is not None and is_lost(error):
        reason = (
            f"not reachable for {tried_for:.1f} s ({said}); check that it runs and that the URL is right. What was "
            "committed is safe; runs that stopped here can be recovered once it is back"
        )
    elif tried_for is not None:
        reason = f"other transactions were in the way for {tried_for:.1f} s ({said}); try again"
    else:
        known = (text for kind, text in _REASONS.items() if isinstance(error, kind))
        reason = next(known, "{error}").format(error=said)
    translated = StorageError(f"{server}: {reason}")
    translated.__cause__ = error
    return translated
