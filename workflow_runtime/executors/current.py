"""The RunContext of the step whose agent runs: for the tools of an agent, which its library calls."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

from ..model.errors import EngineError

__all__ = ["CURRENT", "current_context"]

CURRENT: ContextVar[Any] = ContextVar("workflow_runtime_executor_context", default=None)


def current_context() -> Any:
    """The ``RunContext`` of the step that runs the agent: its session state, ``ask``, ``emit`` and ``idempotency_key``.

    Raises:
        EngineError: No step runs an agent here.
    """
    context = CURRENT.get()
    if context is None:
        raise EngineError("current_context() works in the tools and hooks of an agent that a step runs")
    return context
