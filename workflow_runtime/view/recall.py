"""A view of a stored run: from its journal, and from its events if they were kept. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from .. import Event, HistoryEntry, RunStatus, StepOutput, WorkflowRunOutput
from ..model.kinds import shape_of
from .node import Node, State
from .tree import View

__all__ = ["natural", "recall"]


def natural(path: str) -> list[tuple[int, str]]:
    """A sort key that puts step 10 after step 9."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", path)]


def recall(
    view: View,
    output: WorkflowRunOutput,
    history: Iterable[HistoryEntry],
    events: Sequence[Event] = (),
    offset: float = 0.0,
    created_at: float | None = None,
) -> None:
    """Fill an empty view. ``offset`` is added to the stored times (unix seconds) to get those of the view's clock;
    ``created_at`` is the start of the run, if it is known more exactly than by the output's whole seconds."""
    for event in events:
        view.fold(event, event.created_at + offset)
    view.run_id, view.session_id = output.run_id, output.session_id
    view.seq, view.epoch = max(view.seq, output.last_seq), max(view.epoch, output.epoch)
    view.name = view.name or output.workflow_name
    history = list(history)
    compensations = [entry for entry in history if entry.kind == "compensation"]
    history = [entry for entry in history if entry.kind != "compensation"]
    entries = sorted((entry for entry in history if entry.status != "failed"), key=lambda entry: natural(entry.path))
    for entry in entries:
        _node(view, entry, offset)
    view.status = RunStatus(output.status).value
    view.content = output.content
    if view.status == "ERROR":
        view.error, view.error_type = output.error, output.error_type
    elif view.status == "CANCELLED":
        view.reason = view.reason or str("" if output.content is None else output.content)
    _times(view, output, entries, offset, created_at)
    if view.status == "ERROR":
        _failures(view, output)
    for entry in history:
        if entry.status == "failed":
            _failed(view, entry, offset)
    for item in output.step_requirements or ():
        if item.kind == "output_review" and item.answered_at is not None and not item.is_open:
            _thrown_away(view, item)
    _compensated(view, output, compensations)
    if not events:
        _sums(view, output)
    _fit_into_parents(view, {entry.path for entry in entries})
    _end(view, output, entries, offset)


def _end(view: View, output: WorkflowRunOutput, entries: Sequence[HistoryEntry], offset: float) -> None:
    """What the run waits for, or how it ended."""
    is_over = RunStatus(output.status).is_final  # its questions are not open any more
    asked: list[Any] = [*output.active_step_requirements, *output.active_error_requirements]
    open_now = [] if is_over else asked
    view.questions = [item for item in open_now if not item.is_resolved]
    for item in open_now:
        view.wait(item.path, 0)
    if is_over:
        view.close("done" if view.status == "COMPLETED" else "cancelled", "skipped")
    if view.status == "PAUSED":
        last = max((entry.finished_at for entry in entries if entry.finished_at is not None), default=0.0)
        view.pause(max(float(output.updated_at), last) + offset)


def _node(view: View, entry: HistoryEntry, offset: float) -> None:
    if entry.status == "memo" or "!" in entry.path:
        if "!review" in entry.path:  # the step was done over: its place shows the last round
            view.at(entry.path).round += 1
        return
    is_round = entry.path.rpartition("/")[2].rpartition("#")[1] == "#" and shape_of(entry.kind) == "rounds"
    name = entry.output.step_name if entry.output is not None else None
    node = view.at(entry.path, name, "iteration" if is_round else entry.kind if entry.kind != "Step" else None)
    if entry.started_at is not None:
        node.started_at = entry.started_at + offset
    if entry.finished_at is not None:
        node.ended_at = entry.finished_at + offset
    node.attempt = max(node.attempt, entry.attempt)
    if isinstance(entry.decision, list) and node.shape == "choice":
        node.note = ", ".join(map(str, entry.decision)) or "nothing chosen"
    elif node.shape == "decision" and isinstance(entry.decision, bool):
        node.note = "if" if entry.decision else "else"
    if entry.status == "open":
        node.state = "running"
    elif entry.output is not None:
        node.state = state_of(entry.output, is_round)
        if node.state == "failed":
            node.error = node.error or entry.output.error
        elif node.state == "skipped" and not node.error:
            node.note = node.note or entry.output.error or ""


def _failures(view: View, output: WorkflowRunOutput) -> None:
    """Steps that failed the run: the journal has outcomes only. If the events are known, they have reported them."""
    for step in output.failed_steps or ():
        assert step.path is not None
        kind = step.step_type if step.step_type not in ("Step", "Workflow") else None
        node = view.at(step.path, step.step_name, kind)
        if node.state == "failed":
            continue
        for outer in node.above():
            if outer.state == "pending":
                outer.state, outer.started_at = "running", outer.started_at or view.root.started_at
        node.state, node.error = "failed", step.error
        node.error_type = output.error_type if step.error == output.error else None
        node.started_at = node.started_at or view.root.started_at
        node.ended_at = view.root.ended_at
        if view.failed is None or step.error == output.error:
            view.failed = node
        if node.parent is not None and node.parent.shape == "branches":  # it was added after those that ended
            around = node.parent
            around.children = {child.path: child for child in sorted(around.children.values(), key=_place)}


def _failed(view: View, entry: HistoryEntry, offset: float) -> None:
    """A step whose failure did not fail the run: the function that called it continued."""
    if not entry.path:
        return
    name = entry.output.step_name if entry.output is not None else None
    node = view.at(entry.path, name, entry.kind if entry.kind != "Step" else None)
    if node.is_ended:
        return
    node.state, node.error, node.error_type = "failed", entry.error, entry.error_type
    node.attempt = max(node.attempt, entry.attempt)
    if entry.finished_at is not None:
        node.ended_at = entry.finished_at + offset
        node.started_at = node.started_at or node.ended_at


def _compensated(view: View, output: WorkflowRunOutput, entries: Sequence[HistoryEntry]) -> None:
    """What came of the compensations: those in the journal, and at the end also those that could not be called."""
    found = [(entry.path.rpartition("!compensate")[0], entry.error, entry.error_type) for entry in entries]
    found += [(item.path, item.error, item.error_type) for item in output.compensations or ()]
    for path, error, kind in found:
        view.at(path).compensation = "compensated" if error is None else f"not compensated: {kind}: {error}"


def _thrown_away(view: View, requirement: Any) -> None:
    """The journal has the step's output; only the answer shows that a person rejected it."""
    node = view.nodes.get(requirement.path.partition("!")[0])
    if node is not None and requirement.confirmed is False and requirement.on_reject == "skip":
        node.state, node.note = "skipped", requirement.rejection_feedback or "rejected"


def _place(node: Node) -> list[tuple[int, str]]:
    return natural(node.path)


def state_of(output: StepOutput, is_round: bool = False) -> State:
    """Done, failed, or skipped by a person. An iteration's own record only shows whether another one follows."""
    if is_round:
        return "done"
    if output.skipped:
        return "skipped"
    return "done" if output.success or output.steps else "failed"


def _times(
    view: View, output: WorkflowRunOutput, entries: Sequence[HistoryEntry], offset: float, created_at: float | None
) -> None:
    """The run's own times are whole seconds in its output; its steps know better."""
    began = min((entry.started_at for entry in entries if entry.started_at is not None), default=None)
    seconds = output.metrics.duration if output.metrics is not None else None
    latest = output.created_at + 1.0 if created_at is None else created_at
    started = (float(output.created_at) if created_at is None else created_at) if began is None else min(began, latest)
    view.root.started_at = started + offset
    if RunStatus(output.status).is_final:
        ended = max((entry.finished_at for entry in entries if entry.finished_at is not None), default=started)
        view.root.ended_at = (
            started + seconds if seconds is not None else max(ended, float(output.updated_at))
        ) + offset


def _fit_into_parents(view: View, known: set[str]) -> None:
    """Steps that never ended are not in the journal, and events only have whole seconds: fit them into their containers."""
    for node in view.root.walk():
        if node.kind == "item" and node.path not in known:  # an item has no entry of its own: its steps have
            starts = [child.started_at for child in node.children.values() if child.started_at is not None]
            ends = [child.ended_at for child in node.children.values() if child.ended_at is not None]
            node.started_at, node.ended_at = min(starts, default=node.started_at), max(ends, default=node.ended_at)
            continue
        around = node.parent
        if around is None or node.path in known or node.started_at is None or around.started_at is None:
            continue
        node.started_at = max(node.started_at, around.started_at, _follows(node))
        if node.ended_at is not None and around.ended_at is not None:
            node.ended_at = around.ended_at


def _follows(node: Node) -> float:
    """The end of the step before it, in a sequence."""
    around = node.parent
    if around is None or around.shape in ("branches", "items"):
        return 0.0
    before = 0.0
    for sibling in around.children.values():
        if sibling is node:
            return before
        before = sibling.ended_at or before
    return before


def _sums(view: View, output: WorkflowRunOutput) -> None:
    for kind in ("images", "videos", "audio", "files"):
        view.media[kind] = len(getattr(output, kind) or ())
    total: Any = output.metrics.total() if output.metrics is not None else None
    for name in ("input_tokens", "output_tokens", "total_tokens"):
        view.tokens[name] = getattr(total, name, 0)
