"""agno's ``session.workflow``."""

from __future__ import annotations

from workflow_runtime.model.session import WorkflowChatInteraction, WorkflowSession

__all__ = ["WorkflowChatInteraction", "WorkflowSession"]
