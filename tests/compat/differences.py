"""Where a script shows something else than in agno on purpose: what agno's notes have to become, and why.

The general differences are in ``compare``. Rows are those of docs/compatibility.md.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["DIFFERENCES"]

Change = Callable[[Any], Any]


def replaced(old: str, new: str) -> Change:
    """The same notes with other words in every text of them."""

    def change(note: Any) -> Any:
        if isinstance(note, str):
            return note.replace(old, new)
        if isinstance(note, list):
            return [change(item) for item in note]
        if isinstance(note, dict):
            return {key: change(item) for key, item in note.items()}
        return note

    return change


def then(*changes: Change) -> Change:
    def change(note: Any) -> Any:
        for one in changes:
            note = one(note)
        return note

    return change


def with_step(position: int, name: str, content: str, error: str, kind: str = "Step") -> Change:
    """A run in which a step that a person refused has left its output."""

    def change(note: Any) -> Any:
        left = {"name": name, "type": kind, "content": content, "success": False, "error": error, "stop": False}
        steps = note["steps"]
        return {**note, "steps": [*steps[:position], left, *steps[position:]]}

    return change


def with_event(position: int, **event: Any) -> Change:
    return lambda note: [*note[:position], {"depth": 0, **event}, *note[position:]]


def with_fields(name: str, **fields: Any) -> Change:
    return lambda note: [{**event, **fields} if event.get("event") == name else event for event in note]


def unworded(note: Any) -> Any:
    """What was asked, without the words that agno finds itself."""
    *rest, questions = note
    return [*rest, [[*question[:-1], None] for question in questions]]


NOT_MET = "Condition check not met - skipped 1 steps"
NO_ROUTE = "Router route completed with 0 results (no steps selected)"

DIFFERENCES: dict[str, dict[str, Change]] = {
    # A Condition or Router that runs nothing leaves its output in a stream too; in agno only without a stream.
    "condition": {
        "no else stream": replaced("wrote data: a story", f"wrote {NOT_MET}"),
        "no else stream_events": replaced("wrote data: a story", f"wrote {NOT_MET}"),
        # An evaluator that raises: the Condition is completed all the same.
        "raises stream_events": with_event(4, event="ConditionExecutionCompleted", step="check", index=1),
    },
    "router": {
        "none stream": replaced("signed None", f"signed {NO_ROUTE}"),
        "none stream_events": replaced("signed None", f"signed {NO_ROUTE}"),
    },
    # A step with stop=True is completed too.
    "early_stop": {
        "top stream_events": with_event(6, event="StepCompleted", step="guard", index=1, content="not safe"),
    },
    # A skipped step has StepError, not StepOutput, whichever way it was told to be skipped.
    "failures": {
        "may fail stream": lambda note: [event for event in note if event.get("error") != "boom"],
        "may fail stream_events": lambda note: [event for event in note if event.get("error") != "boom"],
        # The steps that were executed are counted, not those that were declared.
        "condition stream_events": with_fields("ConditionExecutionCompleted", executed_steps=2),
        "router stream_events": with_fields("RouterExecutionCompleted", executed_steps=1),
    },
    # No blank line behind the history.
    "history": {
        label: replaced("</workflow_history_context>\n", "</workflow_history_context>")
        for label in ("run 1", "run 2", "run 3", "run 4", "after it")
    },
    # A step that a person refused says so among the results.
    "hitl_confirmation": {
        "no": with_step(1, "process", "Step process skipped: rejected by a person", "rejected"),
        # A question without a message has none.
        "not paused": replaced("RunStatus.completed", "COMPLETED"),
        **{f"{label}: asked": unworded for label in ("steps", "loop", "condition yes", "condition no")},
    },
    "hitl_error": {
        "skip": with_step(0, "flaky", "Step skipped due to error: no network", "no network"),
    },
    "hitl_output_review": {
        "discard": with_step(0, "write", "Step write output discarded by a person", "rejected"),
        # An output that ended the run is not among its results.
        "cancel": lambda note: {**note, "steps": []},
        "too often": lambda note: {**note, "steps": [], "content": f"Workflow cancelled: {note['content']}"},
        "iteration: asked 0": unworded,
        # A Loop's content says the same however it ended.
        "iteration": replaced(
            "Loop loop completed iteration 1/3", "Loop loop completed 1 iterations with 1 total steps"
        ),
    },
    # In an iteration after the first, a step goes on from the one before it, not from the last one of the iteration
    # before.
    "loop": {
        label: then(replaced("checked checked x+", "checked checked x++"), replaced("x+++", "x++"))
        for label in ("run", "stream", "stream_events")
    },
    # A branch with empty content is in the content of the Parallel as well.
    "parallel": {
        label: replaced("[('news'", "[('blank', ''), ('news'") for label in ("run", "stream", "stream_events")
    },
    # A dict is JSON in a text.
    "previous_outputs": {
        label: replaced("=== second ===\n{'n': 2}", '=== second ===\n{\n  "n": 2\n}') for label in ("text", "dict")
    },
    # StepOutput events are stored as well.
    "store_events": {
        "all": lambda note: [*note[:2], "StepOutput", *note[2:]],
        "some": lambda note: [*note[:1], "StepOutput", *note[1:]],
    },
    # What a generator yields is shown as it comes.
    "direct_execution": {
        f"{name} stream": lambda note: sorted([*note, "StepContent"]) for name in ("generator", "steps", "parallel")
    },
}
