"""agno's ``session``."""

from __future__ import annotations

from .workflow import WorkflowSession

__all__ = ["WorkflowSession"]
