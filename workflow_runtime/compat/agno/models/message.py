"""agno's ``models.message``."""

from __future__ import annotations

from workflow_runtime.model.message import Message

__all__ = ["Message"]
