"""What a failing child leaves in agno's containers."""

from __future__ import annotations

from workflow_runtime.core.plan import Node
from workflow_runtime.model.errors import StorageError
from workflow_runtime.model.step_io import StepOutput

__all__ = ["failed_child"]


def failed_child(child: Node, error: Exception) -> StepOutput | None:
    """An output that names the failure; None for what no container may swallow: a database that refuses."""
    if isinstance(error, StorageError):
        return None
    return StepOutput(f"Step {child.name} failed: {error}", child.name, success=False, error=str(error))
