"""agno's ``db.sqlite``: a SQLite file by path or URL. The tables are this package's own, whatever their names were."""

from __future__ import annotations

from typing import Any

from workflow_runtime.model.errors import BuildError
from workflow_runtime_sqlite import SqliteDb as _SqliteDb

__all__ = ["AsyncSqliteDb", "SqliteDb"]

DEFAULT_FILE = "agno.db"


class SqliteDb(_SqliteDb):
    """``workflow_runtime.backends.SqliteDb`` with agno's arguments; without any the file is ``agno.db``.

    Names of tables (``session_table`` and the others) are accepted and ignored. ``db_engine`` is refused: there is no
    SQLAlchemy here.
    """

    def __init__(
        self,
        db_file: str | None = None,
        db_engine: Any = None,
        db_url: str | None = None,
        session_table: str | None = None,
        *,
        id: str | None = None,
        **tables: Any,
    ) -> None:
        if db_engine is not None:
            raise BuildError("SqliteDb(db_engine=...) is not supported; give db_file= or db_url='sqlite:///...'")
        unknown = [name for name in tables if not name.endswith("_table")]
        if unknown:
            raise TypeError(f"SqliteDb() got an unexpected keyword argument {unknown[0]!r}")
        # A URL wins over a file, as in agno.
        super().__init__(db_url or db_file or DEFAULT_FILE, id=id or "sqlite")


class AsyncSqliteDb(SqliteDb):
    """The same: this database serves ``run`` and ``arun``."""
