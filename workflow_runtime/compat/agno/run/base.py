"""agno's ``run.base``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from workflow_runtime.model.enums import RunStatus

from ._families import BaseRunOutputEvent

__all__ = ["BaseRunOutputEvent", "RunContext", "RunStatus"]


@dataclass
class RunContext:
    """What a caller of ``step.execute(..., run_context=...)`` says of the run. ``session_state`` is live.

    As an annotation of a step function's parameter it means ``workflow_runtime.RunContext``, which is what a step is
    given: it has these attributes and more.
    """

    run_id: str
    session_id: str
    user_id: str | None = None
    workflow_id: str | None = None
    workflow_name: str | None = None
    dependencies: dict[str, Any] | None = None
    knowledge_filters: Any = None
    metadata: dict[str, Any] | None = None
    session_state: dict[str, Any] | None = None
    output_schema: Any = None
    messages: list[Any] | None = None
    tools: list[Any] | None = None
    knowledge: Any = None
    members: list[Any] | None = None
    client_tools: list[Any] | None = None
