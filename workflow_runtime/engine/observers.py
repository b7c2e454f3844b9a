"""Observers of a run: debug logging and OpenTelemetry. They see every event; a failing one never hurts the run."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..model.events import Event

if TYPE_CHECKING:
    from .execution import Execution

__all__ = ["debug_log", "tracing"]

logger = logging.getLogger("workflow_runtime")


def debug_log(run: Execution) -> Callable[[Event], None]:
    """One debug line per event, with run, step and, at a step's end, its content's type."""

    def write(event: Event) -> None:
        if not logger.isEnabledFor(logging.DEBUG):
            return
        name = getattr(event, "step_name", None)
        detail = _detail(event)
        logger.debug(
            "%s seq=%d run=%s session=%s%s%s",
            event.event,
            event.seq,
            run.id,
            run.request.session_id,
            f" step={name} path={event.path} step_id={event.step_id}" if name else "",
            f" {detail}" if detail else "",
            extra={"run_id": run.id, "step_path": event.path},
        )

    return write


def _detail(event: Event) -> str:
    for field in ("error", "reason", "content_type", "iteration", "selected_steps", "condition_result", "attempt"):
        value = getattr(event, field, None)
        if value is not None:
            return f"{field}={value!r}"
    return ""


def tracing(run: Execution) -> Callable[[Event], None] | None:
    """A span per run and step; None when ``opentelemetry-api`` is not installed or no SDK is configured.

    The content of inputs and outputs is not recorded.
    """
    try:
        from opentelemetry import trace
    except ImportError:
        return None
    tracer: Any = trace.get_tracer("workflow_runtime")
    probe = tracer.start_span(f"workflow {run.definition.name or run.definition.id}")
    if not probe.is_recording():
        return None
    probe.set_attributes(
        {
            "workflow.id": run.definition.id,
            "workflow.run_id": run.id,
            "session.id": run.request.session_id,
            **({"enduser.id": run.request.user_id} if run.request.user_id else {}),
        }
    )
    return _Spans(trace, tracer, probe).see


_ENDS = {"WorkflowCompleted", "WorkflowPaused", "WorkflowCancelled", "WorkflowError"}


class _Spans:
    def __init__(self, trace: Any, tracer: Any, root: Any) -> None:
        self.trace, self.tracer, self.root = trace, tracer, root
        self.open: dict[str, Any] = {}

    def see(self, event: Event) -> None:
        name = event.event
        if name in _ENDS and event.nested_depth == 0:
            self._end_all(event)
        elif name.endswith("Started") and name != "WorkflowStarted":
            parent = self.open.get(event.parent_step_id or "", self.root)
            span = self.tracer.start_span(
                f"step {getattr(event, 'step_name', event.path)}", context=self.trace.set_span_in_context(parent)
            )
            span.set_attributes({"workflow.step.path": event.path, "workflow.step.kind": name.removesuffix("Started")})
            self.open[event.path] = span
        elif name.endswith("Completed") and name != "WorkflowCompleted":
            self._end(event.path, None)
        elif name == "StepError":
            self._end(event.path, getattr(event, "error", None))

    def _end(self, path: str, error: str | None) -> None:
        span = self.open.pop(path, None)
        if span is None:
            return
        if error is not None:
            span.set_status(self.trace.Status(self.trace.StatusCode.ERROR, error))
        span.end()

    def _end_all(self, event: Event) -> None:
        for path in list(self.open):
            self._end(path, None)
        self.root.set_attribute("workflow.status", event.event.removeprefix("Workflow").upper())
        if event.event == "WorkflowError":
            self.root.set_status(self.trace.Status(self.trace.StatusCode.ERROR, getattr(event, "error", None)))
        self.root.end()
