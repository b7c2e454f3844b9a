"""Databases in a workflow's data, and what their constructors have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workflow_runtime.model.errors import BuildError
from workflow_runtime.storage.base import BaseDb
from workflow_runtime.verbs.registry import Registry

__all__ = ["database_of", "table_names"]


def table_names(kind: str, options: Mapping[str, Any]) -> None:
    """TypeError for a keyword that is no name of a table; agno has about twenty of those."""
    for name in options:
        if not name.endswith("_table"):
            raise TypeError(f"{kind}() got an unexpected keyword argument {name!r}")


def database_of(data: Any, registry: Any = None) -> BaseDb | None:
    """The database that ``data`` describes: one of the registry by its id, or a new one if ``data`` says where it is."""
    if not isinstance(data, Mapping):
        return None
    name = data.get("id")
    if name is not None:
        try:
            found = Registry.of(registry).find(str(name), "a database")
        except BuildError:
            found = None
        if isinstance(found, BaseDb):
            return found
    kind = data.get("type")
    if kind == "sqlite" and (data.get("db_file") or data.get("db_url")):
        from .sqlite import SqliteDb

        return SqliteDb.from_dict(data)
    if kind == "postgres" and data.get("db_url"):
        from .postgres import PostgresDb

        return PostgresDb.from_dict(data)
    return None
