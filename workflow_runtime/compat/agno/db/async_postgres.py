"""agno's ``db.async_postgres``."""

from __future__ import annotations

from .postgres import AsyncPostgresDb

__all__ = ["AsyncPostgresDb"]
