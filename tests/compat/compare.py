"""Comparing what a script showed here with what it showed in agno, up to the differences of docs/compatibility.md.

``canonical`` brings both sides into a form in which a general difference (one that every workflow meets) is gone.
Differences of one script are in ``differences``.
"""

from __future__ import annotations

from typing import Any

__all__ = ["canonical"]

# Events that agno does not have, or not there. StepError and RunContent are kept where agno shows them too.
_MORE = {"StepContent", "StepRetry", "StepContinued", "StepError", "StepsExecutionCompleted", "WorkflowPaused"}


def canonical(ours: Any, theirs: Any) -> tuple[Any, Any]:
    """Both notes without the general differences."""
    if _is_stream(ours) and _is_stream(theirs):
        kept = {event.get("event") for event in theirs}
        ours = [event for event in ours if event.get("event") not in _MORE - kept]
        return _ordered([_event(event) for event in ours]), _ordered([_event(event) for event in theirs])
    if _is_run(ours) and _is_run(theirs):
        theirs, ours = dict(theirs), dict(ours)
        theirs["steps"] = [_step(item, mine) for item, mine in _pairs(theirs, ours)]
        if theirs["status"] == "CANCELLED":  # the step that was running leaves its output, agno a placeholder
            theirs["steps"] = [item for item in theirs["steps"] if item["error"] != "Cancelled during execution"]
            ours["steps"] = [item for item in ours["steps"] if item["error"] != "Cancelled during execution"]
    return ours, theirs


def _is_stream(note: Any) -> bool:
    return isinstance(note, list) and bool(note) and all(isinstance(item, dict) for item in note)


def _is_run(note: Any) -> bool:
    return isinstance(note, dict) and "status" in note


def _pairs(theirs: dict[str, Any], ours: dict[str, Any]) -> list[tuple[dict[str, Any], dict[str, Any] | None]]:
    mine = ours.get("steps") or []
    return [
        (item, mine[position] if position < len(mine) else None)
        for position, item in enumerate(theirs.get("steps") or [])
    ]


def _step(theirs: dict[str, Any], ours: dict[str, Any] | None) -> dict[str, Any]:
    """A failed step has its name and kind here; in agno it lacks them, or is called a Step."""
    found = dict(theirs)
    if not theirs["success"] and ours is not None and theirs["type"] in (None, "Step"):
        found["type"] = ours["type"]
        found["name"] = theirs["name"] or ours["name"]
    if theirs.get("steps"):
        found["steps"] = [_step(item, mine) for item, mine in _pairs(theirs, ours or {})]
    return found


def _event(event: dict[str, Any]) -> dict[str, Any]:
    """``step_index`` names the whole place; agno's leaves out levels of it. What they share is the first."""
    found = dict(event)
    if isinstance(found.get("index"), list):
        found["index"] = found["index"][0]
    if found.get("event") == "StepError":
        found.pop("error", None)
    if found.get("event") == "LoopIterationCompleted" and found.get("iteration") == found.get("max_iterations"):
        found.pop("should_continue", None)  # behind the last iteration none follows
    if found.get("event") == "CustomEvent":  # it says which step it came from
        found.pop("step", None)
        found.pop("index", None)
    return found


def _ordered(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Branches of a Parallel interleave as they happen to: put each branch's events together, by the branch's name."""
    result: list[dict[str, Any]] = []
    branches: list[dict[str, Any]] | None = None
    for event in events:
        if event.get("event") == "ParallelExecutionStarted":
            result.append(event)
            branches = []
        elif event.get("event") == "ParallelExecutionCompleted":
            result.extend(sorted(branches or [], key=lambda item: str(item.get("step"))))
            result.append(event)
            branches = None
        elif branches is not None:
            branches.append(event)
        else:
            result.append(event)
    return result
