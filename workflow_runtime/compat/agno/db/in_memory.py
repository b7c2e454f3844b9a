"""agno's ``db.in_memory``."""

from __future__ import annotations

from workflow_runtime.storage import memory as strict

from ._sessions import ReadsSessions

__all__ = ["InMemoryDb"]


class InMemoryDb(ReadsSessions, strict.InMemoryDb):
    """``workflow_runtime.InMemoryDb``, which can be asked for a session."""
