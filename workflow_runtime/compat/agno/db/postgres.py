"""agno's ``db.postgres``: a PostgreSQL database by its URL. The tables are this package's own, whatever their names were."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from workflow_runtime.model.errors import BuildError

from ._data import table_names
from ._sessions import ReadsSessions, ReadsSessionsAsync

if TYPE_CHECKING:
    from workflow_runtime_postgres import PostgresDb as _PostgresDb
else:
    from workflow_runtime.backends import PostgresDb as _PostgresDb  # it says which extra is missing

__all__ = ["AsyncPostgresDb", "PostgresDb"]


class PostgresDb(ReadsSessions, _PostgresDb):
    """``workflow_runtime.backends.PostgresDb`` with agno's arguments, of which ``db_url`` is needed.

    The URL may name SQLAlchemy's driver (``postgresql+psycopg://``); it is of no importance. Without a ``db_schema`` the
    tables are in the schema "workflow_runtime". Names of tables (``session_table`` and the others) and ``create_schema``
    are accepted and ignored. ``db_engine`` is refused: there is no SQLAlchemy here.
    """

    def __init__(
        self,
        db_url: str | None = None,
        db_engine: Any = None,
        db_schema: str | None = None,
        session_table: str | None = None,
        *,
        id: str | None = None,
        create_schema: bool = True,
        **tables: Any,
    ) -> None:
        if db_engine is not None or db_url is None:
            raise BuildError("PostgresDb needs db_url='postgresql://user:password@host:port/database'; no db_engine=")
        table_names("PostgresDb", tables)
        super().__init__(db_url=db_url, db_schema=db_schema, id=id or "postgres")

    def to_dict(self) -> dict[str, Any]:
        """What the database is, without its address, which may hold a password."""
        return {"type": "postgres", "id": self.id, "db_schema": self.settings.schema}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """A database from agno's description, or from ours with a ``db_url`` added."""
        return cls(db_url=data.get("db_url"), db_schema=data.get("db_schema"), id=data.get("id"))


class AsyncPostgresDb(ReadsSessionsAsync, PostgresDb):  # type: ignore[misc]  # its get_session is awaited
    """The same: this database serves ``run`` and ``arun``. The first argument is ``id``, as in agno."""

    def __init__(
        self,
        id: str | None = None,
        db_url: str | None = None,
        db_engine: Any = None,
        db_schema: str | None = None,
        session_table: str | None = None,
        **tables: Any,
    ) -> None:
        super().__init__(db_url, db_engine, db_schema, session_table, id=id, **tables)
