"""What an object must do to be the ``agent=`` or ``team=`` of a Step. Imports ``model`` only.

The engine calls ``arun`` (or, where there is none, ``run`` in a worker thread) with those of these keywords that its
signature takes: ``input``, ``images``, ``videos``, ``audio``, ``files``, ``session_id``, ``user_id``, ``session_state``,
``run_context``, ``run_id``, ``stream``, ``stream_events``, ``yield_run_output``. It may

- return (or, for ``arun``, be awaited to give) an object with ``content`` and any of ``run_id``, ``status``, ``metrics``,
  ``images``, ``videos``, ``audio``, ``files``, ``messages``; or any plain value;
- stream: an (async) iterator of text, and of events, which are objects or mappings with a text ``event`` (a member of
  ``RunEvent`` or ``TeamRunEvent``) and ``content``; the last item may be the output object itself.

A step is streamed whenever its executor can be, whoever reads the run.
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import msgspec

from ..model.metrics import RunMetrics

__all__ = ["Executor", "ExecutorRun"]


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
    status: str = "COMPLETED"
    metrics: RunMetrics | None = None
    messages: Any = None
