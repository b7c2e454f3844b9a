"""OpenTelemetry: a span per run and per step, and three metrics, for whoever has configured an SDK.

Nothing is sent anywhere by this package, and nothing of what a run reads, writes or says in its errors is recorded:
names, ids, paths, kinds, states, error types and durations only. Without an SDK no observer is made at all.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

from ...model.events import Event
from ...model.kinds import shape_of

if TYPE_CHECKING:
    from ...core.plan import Plan
    from ..run.execution import Execution

__all__ = ["measuring", "tracing"]

_NAME = "workflow_runtime"
# The events that a node begins and ends with. Its path tells the two that belong together.
_STARTS = {
    "StepStarted": "Step",
    "StepsExecutionStarted": "Steps",
    "ParallelExecutionStarted": "Parallel",
    "MapExecutionStarted": "Map",
    "LoopExecutionStarted": "Loop",
    "ConditionExecutionStarted": "Condition",
    "RouterExecutionStarted": "Router",
}
_COMPLETES = {name.removesuffix("Started") + "Completed" for name in _STARTS}
# Of a step that a person answered: it goes on, and does not say again that it has started.
_CONTINUES = ("StepContinued", "StepExecutorContinued")
_INSIDE = ("error", "ask", "budget", "executor")  # the questions that are asked after the start and before the end
_ENDS = {
    "WorkflowCompleted": "COMPLETED",
    "WorkflowPaused": "PAUSED",
    "WorkflowCancelled": "CANCELLED",
    "WorkflowError": "ERROR",
}


def _api(module: str) -> Any:
    """``opentelemetry.trace`` or ``.metrics`` if an SDK has been configured for it, else None. An SDK has imported it;
    the providers of the API itself do nothing."""
    api = sys.modules.get(module)
    if api is None:
        return None
    provider = api.get_tracer_provider() if module.endswith("trace") else api.get_meter_provider()
    return None if type(provider).__module__.startswith(module) else api


def _kind(plan: Plan, event: Event) -> str:
    """The kind of the step that started. One of the user's own publishes the events of a built-in kind."""
    node = plan.find(event.path)
    kind = _STARTS[event.event]
    return node.kind if node is not None and shape_of(node.kind) == shape_of(kind) else kind


def tracing(run: Execution) -> Callable[[Event], None] | None:
    """Spans for ``run``; None when no SDK is configured or the run is not sampled."""
    trace = _api("opentelemetry.trace")
    if trace is None:
        return None
    definition = run.definition
    attributes = {"workflow.id": definition.id, "workflow.run_id": run.id, "session.id": run.request.session_id}
    if run.request.user_id:
        attributes["user.id"] = run.request.user_id
    spans = _Spans(trace, f"workflow {definition.name or definition.id}", attributes, definition.plan)
    return spans.see if spans.root.is_recording() else None


class _Spans:
    """The open spans by path. While a node runs its span is the current one of its task, so that what a step function
    traces itself stands below it."""

    def __init__(self, trace: Any, name: str, attributes: dict[str, str], plan: Plan) -> None:
        from opentelemetry import context

        self.trace, self.context = trace, context
        self.tracer = trace.get_tracer(_NAME)
        self.name, self.attributes, self.plan = name, attributes, plan
        self.caller = context.get_current()
        self.root = self._begin()
        self.ended = False
        self.open: dict[str, Any] = {}
        self.parents: dict[str, str] = {}
        self.below: dict[str, dict[str, None]] = {}
        self.outside: dict[str, Any] = {}  # what was current where a span began

    def _begin(self) -> Any:
        span = self.tracer.start_span(self.name, context=self.caller)
        span.set_attributes(self.attributes)
        return span

    def see(self, event: Event) -> None:
        name = event.event
        if self.ended:  # it had paused, and was answered while its steps were still waiting
            self.root, self.ended = self._begin(), False
        if "" not in self.outside:
            self._enter("", self.root)
        if name in _STARTS:
            self._start(event, _kind(self.plan, event))
        elif name in _COMPLETES:
            self._end(event.path, None)
        elif name == "StepError":
            self._end(event.path, getattr(event, "error_type", None) or "error")
        elif name == "StepSteered":
            if event.path in self.open and getattr(event, "action", "") != "retry":
                self._close(event.path, "CANCELLED", None)
                self._leave(event.path)
        elif name == "StepRetry" and event.path in self.open:
            attributes = {"error.type": str(getattr(event, "error_type", "")), "attempt": getattr(event, "attempt", 0)}
            self.open[event.path].add_event("retry", attributes)
        elif name in _CONTINUES and str(getattr(event, "requirement_id", "")).rpartition("@")[2].startswith(_INSIDE):
            self._start(event, "Step")
        elif name in _ENDS and event.nested_depth == 0:
            self._end_run(event)

    def _start(self, event: Event, kind: str) -> None:
        if event.path in self.open:  # a container that was done over
            self.open[event.path].set_attribute("workflow.step.kind", kind)
            return
        parent = event.parent_step_id or ""
        name = getattr(event, "step_name", None) or event.path
        above = self.trace.set_span_in_context(self.open.get(parent, self.root))
        span = self.tracer.start_span(f"step {name}", context=above)
        span.set_attributes(
            {
                "workflow.run_id": event.run_id or "",
                "workflow.step.name": name,
                "workflow.step.id": event.step_id or event.path,
                "workflow.step.path": event.path,
                "workflow.step.kind": kind,
            }
        )
        self.open[event.path] = span
        self.parents[event.path] = parent
        self.below.setdefault(parent, {})[event.path] = None
        self._enter(event.path, span)

    def _enter(self, path: str, span: Any) -> None:
        self.outside[path] = self.context.get_current()
        self.context.attach(self.trace.set_span_in_context(span))

    def _leave(self, path: str) -> None:
        # Attached again, not detached by token: a step may end in another task than it began in.
        before = self.outside.pop(path, None)
        if before is not None:
            self.context.attach(before)

    def _end(self, path: str, error_type: str | None) -> None:
        if path in self.open:
            self._close(path, "ERROR" if error_type else "COMPLETED", error_type)
            self._leave(path)

    def _close(self, path: str, status: str, error_type: str | None) -> None:
        """End a span. What is open below it lost a race, or stood between a failure and who forgave it."""
        for inner in reversed(self.below.pop(path, {})):
            if inner in self.open:
                self._close(inner, "CANCELLED", None)
        span = self.open.pop(path)
        self.below.get(self.parents.pop(path), {}).pop(path, None)
        self._state(span, "workflow.step.status", status, error_type)
        span.end()

    def _state(self, span: Any, key: str, status: str, error_type: str | None) -> None:
        span.set_attribute(key, status)
        if status == "ERROR":
            # The type only: messages quote inputs and outputs.
            span.set_attribute("error.type", error_type or "error")
            span.set_status(self.trace.Status(self.trace.StatusCode.ERROR, error_type))

    def _end_run(self, event: Event) -> None:
        status = _ENDS[event.event]
        error_type = getattr(event, "error_type", None) if status == "ERROR" else None
        for path in reversed(list(self.open)):  # inner ones first
            if path in self.open:
                self._close(path, "CANCELLED" if status == "ERROR" else status, None)
        self._state(self.root, "workflow.status", status, error_type)
        self.root.end()
        self.ended = True
        self._leave("")


@cache
def _instruments(metrics: Any, _provider: Any) -> tuple[Any, Any, Any]:
    meter = metrics.get_meter(_NAME)
    return (
        meter.create_counter("workflow.runs", unit="{run}", description="Runs that ended or paused, by status"),
        meter.create_histogram("workflow.run.duration", unit="s", description="From a run's start to its end"),
        meter.create_histogram("workflow.step.duration", unit="s", description="From a step's start to its end"),
    )


def measuring(run: Execution) -> Callable[[Event], None] | None:
    """The number and duration of runs and steps, by workflow, kind and status; None when no SDK is configured."""
    metrics = _api("opentelemetry.metrics")
    if metrics is None:
        return None
    runs, run_seconds, step_seconds = _instruments(metrics, metrics.get_meter_provider())
    clock = run.clock
    began = clock.time()
    workflow = {"workflow.id": run.definition.id}
    open_steps: dict[str, tuple[float, str]] = {}

    def see(event: Event) -> None:
        name = event.event
        if name in _STARTS:
            open_steps[event.path] = (clock.time(), _kind(run.definition.plan, event))
        elif _ends_step(event) and event.path in open_steps:
            started, kind = open_steps.pop(event.path)
            status = "ERROR" if name == "StepError" else "CANCELLED" if name == "StepSteered" else "COMPLETED"
            labels = {**workflow, "workflow.step.kind": kind, "workflow.step.status": status}
            step_seconds.record(max(0.0, clock.time() - started), labels)
        elif name in _ENDS and event.nested_depth == 0:
            labels = {**workflow, "workflow.status": _ENDS[name]}
            runs.add(1, labels)
            run_seconds.record(max(0.0, clock.time() - began), labels)

    return see


def _ends_step(event: Event) -> bool:
    name = event.event
    return (
        name in _COMPLETES or name == "StepError" or (name == "StepSteered" and getattr(event, "action", "") != "retry")
    )
