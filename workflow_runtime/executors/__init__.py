"""What runs agents and teams as steps: adapters for the agents of libraries, and the protocol for any other object.

``adapter`` says what an adapter is, ``registry`` finds the one of an object, ``objects`` runs any object that keeps the
protocol below, and each further module runs the agents of the library that it is named after. It is imported once an
object of that library is a step. This room imports ``model`` only.

An object that keeps the protocol has ``arun`` (or ``ainvoke``, ``acall``, or, called in a worker thread, ``run`` or
``invoke``), which is called with those of these keywords that its signature takes: ``input``, ``images``, ``videos``,
``audio``, ``files``, ``session_id``, ``user_id``, ``session_state``, ``run_context``, ``run_id``, ``stream``,
``stream_events``, ``yield_run_output``; and where a person answered to the step: ``user_input``, ``previous_output``,
``rejection_feedback``. It may

- return (or, for ``arun``, be awaited to give) an object with ``content`` and any of ``run_id``, ``status``, ``metrics``,
  ``images``, ``videos``, ``audio``, ``files``, ``messages``; or any plain value;
- stream: an (async) iterator of text, and of events, which are objects or mappings with a text ``event`` (a member of
  ``RunEvent`` or ``TeamRunEvent``) and ``content``; one item, as a rule the last, may be the output object.

A step is streamed whenever its executor can be, whoever reads the run.
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import msgspec

from ..model.metrics import RunMetrics
from .adapter import Adapter, Call, ExecutorError, ExecutorOutput
from .current import current_context
from .registry import register

__all__ = [
    "Adapter",
    "Call",
    "Executor",
    "ExecutorError",
    "ExecutorOutput",
    "ExecutorRun",
    "current_context",
    "register",
]


@runtime_checkable
class Executor(Protocol):
    """The least that an agent must be: a name, and ``arun`` with an ``input``."""

    name: Any

    def arun(self, input: Any) -> Any:
        """An awaitable of the output, or an async iterator of events."""


class ExecutorRun(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What is stored of an executor's run in ``WorkflowRunOutput.step_executor_runs``."""

    run_id: str | None = None
    parent_run_id: str | None = None
    workflow_step_id: str | None = None
    step_name: str | None = None
    executor_type: str | None = None
    executor_name: str | None = None
    content: Any = None
    status: str = msgspec.field(default_factory=lambda: "COMPLETED")  # from a factory it is always written
    metrics: RunMetrics | None = None
    messages: Any = None
