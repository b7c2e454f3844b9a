"""agno's ``db.sqlite``: a SQLite file by path or URL. The tables are this package's own, whatever their names were."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from workflow_runtime.model.errors import BuildError
from workflow_runtime_sqlite import SqliteDb as _SqliteDb

from ._data import table_names
from ._sessions import ReadsSessions, ReadsSessionsAsync

__all__ = ["AsyncSqliteDb", "SqliteDb"]

DEFAULT_FILE = "agno.db"


class SqliteDb(ReadsSessions, _SqliteDb):
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
        table_names("SqliteDb", tables)
        # A URL wins over a file, as in agno.
        super().__init__(db_url or db_file or DEFAULT_FILE, id=id or "sqlite")
        self.db_file, self.db_url = db_file, db_url

    def to_dict(self) -> dict[str, Any]:
        """Where the file is, as it was given."""
        return {"type": "sqlite", "id": self.id, "db_file": self.db_file, "db_url": self.db_url}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The database that ``to_dict`` described, also agno's."""
        return cls(db_file=data.get("db_file"), db_url=data.get("db_url"), id=data.get("id"))


class AsyncSqliteDb(ReadsSessionsAsync, SqliteDb):  # type: ignore[misc]  # its get_session is awaited
    """The same: this database serves ``run`` and ``arun``."""
