"""agno's ``exceptions``: those that a workflow of functions meets."""

from __future__ import annotations

from workflow_runtime.model.errors import RunCancelledError as RunCancelledException
from workflow_runtime.model.errors import RunNotFound as RunNotFoundError
from workflow_runtime.model.errors import RunNotPaused as RunNotContinuableError
from workflow_runtime.model.errors import WorkflowRuntimeError as AgnoError

__all__ = ["AgnoError", "RunCancelledException", "RunNotContinuableError", "RunNotFoundError"]
