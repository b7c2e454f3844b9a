"""agno's ``db.in_memory``."""

from __future__ import annotations

from workflow_runtime.storage.memory import InMemoryDb

__all__ = ["InMemoryDb"]
