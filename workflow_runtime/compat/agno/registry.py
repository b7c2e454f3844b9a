"""agno's ``registry``: what ``Workflow.from_dict`` may use."""

from __future__ import annotations

from workflow_runtime.verbs.registry import Registry

__all__ = ["Registry"]
