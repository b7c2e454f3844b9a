"""Which server, database and schema: the arguments of ``PostgresDb``, checked before anything is connected."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import msgspec

from workflow_runtime.model.errors import BuildError

__all__ = ["Settings", "locate"]

_OWN = ("schema", "min_size", "max_size")


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """``dsn`` None: the PG* environment variables are used. Times are seconds. ``server`` is its name in messages, without
    the password. ``options`` are passed to ``asyncpg.connect``."""

    dsn: str | None
    server: str
    schema: str
    min_size: int
    max_size: int
    retry_for: float
    command_timeout: float
    listen: bool
    statement_cache_size: int
    options: Mapping[str, Any]


def locate(
    url: str | None,
    *,
    schema: str | None,
    min_size: int | None,
    max_size: int | None,
    **rest: Any,
) -> Settings:
    """The settings for ``url``: ``postgresql://user:password@host:port/database``, also with SQLAlchemy's ``+driver``.
    Its query may name ``schema``, ``min_size`` and ``max_size``; an argument wins. The rest of the query is the
    driver's.

    Raises:
        BuildError: Another kind of URL, or sizes and names that cannot be.
    """
    given: dict[str, str] = {}
    server = "PostgreSQL of the PG* environment variables"
    if url is not None:
        parts = urlsplit(url)
        if parts.scheme.partition("+")[0] not in ("postgresql", "postgres"):
            example = "postgresql://user:password@host/database"
            raise BuildError(f"{parts.scheme}://... is no PostgreSQL URL; write {example}")
        query = parse_qsl(parts.query, keep_blank_values=True)
        given = {name: value for name, value in query if name in _OWN}
        kept = urlencode([(name, value) for name, value in query if name not in _OWN])
        url = urlunsplit(("postgresql", parts.netloc, parts.path, kept, ""))
        server = f"PostgreSQL {parts.netloc.rpartition('@')[2]}{parts.path}"
    try:
        low = int(given.get("min_size", 0)) if min_size is None else min_size
        high = int(given.get("max_size", 10)) if max_size is None else max_size
    except ValueError:
        raise BuildError(f"min_size and max_size are whole numbers, not {given}") from None
    name = schema or given.get("schema") or "workflow_runtime"
    if not 0 <= low <= high or high < 1:
        raise BuildError(f"min_size={low}, max_size={high}; a pool has 0 <= min_size <= max_size and at least one")
    if len(name.encode()) > 63 or "\0" in name:
        raise BuildError(f"schema={name!r}; a name in PostgreSQL has at most 63 bytes")
    return Settings(dsn=url, server=server, schema=name, min_size=low, max_size=high, **rest)
