"""The effect of each event on the view: one short function per event, one table. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..model.kinds import shape_of
from .node import Attempt, Node, Progress, State

if TYPE_CHECKING:
    from .tree import View

__all__ = ["HANDLERS", "Fold"]

Fold = Callable[["View", Any, float], None]


# -- the run ----------------------------------------------------------------------------------------------------------


def workflow_started(view: View, event: Any, now: float) -> None:
    if event.nested_depth:
        view.at(event.path).kind = "Workflow"
        return
    view.status = "RUNNING"
    view.name = view.name or event.workflow_name
    view.root.started_at = now


def workflow_resumed(view: View, event: Any, _now: float) -> None:
    """Another process took over: events beyond ``after_seq`` are superseded. A nested run has its own numbers: its steps
    that had not ended run again."""
    if not event.nested_depth:
        view.status = "RUNNING"
    inside = f"{event.path}/" if event.nested_depth else ""
    for node in list(view.nodes.values()):
        if node is view.root or node.state in ("pending", "unused") or not node.path.startswith(inside):
            continue
        if not node.is_ended or (node.seq > event.after_seq and not event.nested_depth):
            node.restart()


def workflow_completed(view: View, event: Any, now: float) -> None:
    if event.nested_depth:
        return
    view.status, view.content = "COMPLETED", event.content
    _finish(view, now)
    view.close("done", "skipped")
    total = event.metrics.total() if event.metrics is not None else None
    if total is not None:
        for name in ("input_tokens", "output_tokens", "total_tokens"):
            view.tokens[name] = max(view.tokens[name], getattr(total, name))


def workflow_paused(view: View, event: Any, _now: float) -> None:
    if event.nested_depth:
        return
    view.status = "PAUSED"
    found = [*(event.step_requirements or ()), *(event.error_requirements or ())]
    view.questions = [item for item in found if item.answered_at is None]
    for item in view.questions:
        view.wait(item.path, event.seq)


def workflow_cancelled(view: View, event: Any, now: float) -> None:
    if event.nested_depth:
        return
    view.status, view.reason = "CANCELLED", event.reason
    _finish(view, now)
    view.close("cancelled", "cancelled")


def workflow_error(view: View, event: Any, now: float) -> None:
    if event.nested_depth:
        return
    view.status = "ERROR"
    view.error, view.error_type = event.error, event.error_type
    if view.failed is None or view.failed.state != "failed":
        view.failed = _innermost(view)
    if view.failed is not None and not view.failed.is_ended:
        view.failed.error, view.failed.error_type = event.error, event.error_type
        view.end(view.failed, "failed", event.seq, now)
    _finish(view, now)
    view.close("cancelled", "waiting")


def _finish(view: View, now: float) -> None:
    view.questions = []
    if view.root.started_at is None:
        view.root.started_at = now
    view.root.ended_at = now


def _innermost(view: View) -> Any:
    """The source of an error that no step reported: the deepest running node."""
    found = None
    for node in view.root.walk():
        if node is not view.root and node.state in ("running", "retrying"):
            found = node
    return found


# -- a step -----------------------------------------------------------------------------------------------------------


def step_started(view: View, event: Any, now: float) -> None:
    node = view.at(event.path, event.step_name)
    if node.is_ended:  # done over after a review
        node.round += 1
        node.started_at, node.attempt, node.attempts = None, 1, []
    node.tail = None
    node.note = ""
    view.start(node, event.seq, now)


def step_progress(view: View, event: Any, _now: float) -> None:
    view.at(event.path, event.step_name).progress = Progress(event.done, event.total, event.text)


def step_retry(view: View, event: Any, _now: float) -> None:
    node = view.at(event.path, event.step_name)
    node.state, node.seq = "retrying", event.seq
    node.attempt = event.attempt + 1
    node.attempts.append(Attempt(event.seconds, event.delay, event.error or ""))
    node.error, node.error_type = event.error, event.error_type
    node.progress = None
    if event.discards_deltas:
        node.tail = None


def step_completed(view: View, event: Any, now: float) -> None:
    node = view.at(event.path, event.step_name)
    output = event.step_response
    skipped = output is not None and output.skipped
    failed = (
        output is not None
        and not (output.success or skipped)
        and node.kind == "Step"
        and output.step_type != "Workflow"
    )
    if output is not None and output.cancelled:
        node.note, node.tail = output.error or "", None
        view.end(node, "cancelled", event.seq, now)
        return
    node.error = output.error if output is not None and failed else None
    node.note, node.tail = output.error or "" if output is not None and skipped else "", None
    view.count(event)
    view.end(node, "skipped" if skipped else "failed" if failed else "done", event.seq, now)


def step_output(view: View, event: Any, now: float) -> None:
    """The result of a review, if it comes after the completion of the step; before it, the completion has the same
    result."""
    node = view.at(event.path, event.step_name)
    output = event.step_output
    if node.is_ended and output is not None and output.skipped:
        node.note, node.error = output.error or "", None
        view.end(node, "skipped", event.seq, now)


def step_error(view: View, event: Any, now: float) -> None:
    node = view.at(event.path, event.step_name)
    node.error, node.error_type, node.attempt = event.error, event.error_type, event.attempt
    view.failed = node
    view.end(node, "failed", event.seq, now)


def step_paused(view: View, event: Any, _now: float) -> None:
    view.at(event.path, event.step_name)
    view.wait(event.path, event.seq)


def step_steered(view: View, event: Any, now: float) -> None:
    """The step was ended alone. One that is retried has its own event."""
    if event.action == "retry":
        return
    node = view.at(event.path, event.step_name)
    state: State = "cancelled" if event.action == "cancel" else "skipped"
    for inner in node.walk():
        if inner is not node and inner.state not in ("pending", "unused") and not inner.is_ended:
            inner.ended_at, inner.state = now, state
    node.note, node.tail = event.reason or "", None
    view.end(node, state, event.seq, now)


def step_continued(view: View, event: Any, now: float) -> None:
    """An answer was used. A reviewed step is done with it; the others go on to run."""
    node = view.at(event.path, event.step_name)
    if node.state != "waiting":
        return
    if node.ended_at is not None and node.error is None and node.kind == "Step":
        node.state = "done"
        for around in node.above():
            if around.state == "waiting":
                around.state = "running"
    else:
        view.start(node, event.seq, now)


# -- containers -------------------------------------------------------------------------------------------------------


def _container(view: View, event: Any) -> Node:
    """Its node. A kind of the user's own publishes the events of a built-in one, and keeps the name that it is known by."""
    kind = event.event.partition("Execution")[0]
    known = view.at(event.path, event.step_name)
    return known if known.shape == shape_of(kind) else view.at(event.path, event.step_name, kind)


def container_started(view: View, event: Any, now: float) -> None:
    node = _container(view, event)
    node.total = getattr(event, "max_iterations", None) or getattr(event, "item_count", None)
    outline = node.outline.children if node.outline is not None else ()
    if node.shape == "decision":
        holds = bool(event.condition_result)
        branches = {part.branch for part in outline}
        node.note = "if" if holds else "else" if not outline or "else" in branches else "not met"
        view.seed(node, outline, "if" if holds else "else")
    elif node.shape == "choice":
        chosen = event.selected_steps or []
        node.note = ", ".join(chosen) if chosen else "nothing chosen"
        view.seed(node, [part for part in outline if part.name in chosen])
    view.start(node, event.seq, now)


def container_completed(view: View, event: Any, now: float) -> None:
    node = _container(view, event)
    for child in node.children.values():
        if not child.is_ended and child.state != "pending":  # a loser of a race: its siblings were enough
            child.ended_at = now
            child.state = "skipped" if child.state == "waiting" else "cancelled"
    if node.shape == "decision" and getattr(event, "branch", "") is None and not event.condition_result:
        node.note = "not met"
    view.end(node, node.state if node.state in ("cancelled", "skipped") else "done", event.seq, now)


def iteration_started(view: View, event: Any, now: float) -> None:
    node = view.at(event.path, event.step_name, "iteration")
    if node.parent is not None:
        node.parent.total = event.max_iterations
    view.start(node, event.seq, now)


def iteration_completed(view: View, event: Any, now: float) -> None:
    view.end(view.at(event.path, event.step_name, "iteration"), "done", event.seq, now)


HANDLERS: dict[str, Fold] = {
    "WorkflowStarted": workflow_started,
    "WorkflowResumed": workflow_resumed,
    "WorkflowCompleted": workflow_completed,
    "WorkflowPaused": workflow_paused,
    "WorkflowCancelled": workflow_cancelled,
    "WorkflowError": workflow_error,
    "StepStarted": step_started,
    "StepProgress": step_progress,
    "StepRetry": step_retry,
    "StepCompleted": step_completed,
    "StepOutput": step_output,
    "StepError": step_error,
    "StepSteered": step_steered,
    "StepPaused": step_paused,
    "RouterPaused": step_paused,
    "StepOutputReview": step_paused,
    "StepExecutorPaused": step_paused,
    "StepContinued": step_continued,
    "StepExecutorContinued": step_continued,
    "LoopIterationStarted": iteration_started,
    "LoopIterationCompleted": iteration_completed,
}
for _kind in ("Steps", "Parallel", "Loop", "Condition", "Router", "Map"):
    HANDLERS[f"{_kind}ExecutionStarted"] = container_started
    HANDLERS[f"{_kind}ExecutionCompleted"] = container_completed
