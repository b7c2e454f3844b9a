"""The review of an output by a person: kept, changed, thrown away, or made again until it is accepted."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from ..core.gate import Verdict
from ..core.plan import Node
from ..model.kinds import shape_of
from ..model.step_io import StepOutput, last_effective
from .frame import Frame
from .signals import Rejected

__all__ = ["reviewed"]


async def reviewed(
    node: Node,
    frame: Frame,
    path: str,
    output: StepOutput,
    again: Callable[[str, Verdict], Awaitable[StepOutput]],
    **question: Any,
) -> StepOutput:
    """Ask about ``output`` until it is accepted, edited, discarded or was retried too often.

    ``again`` produces it again at its own path, so that each round is in the journal. ``question`` are further fields of
    the requirement.
    """
    review = node.review
    assert review is not None
    rounds = 0
    while output.success:
        tag = f"review{rounds}"
        if not await frame.wants_review(path, tag, review, output):
            break
        verdict = frame.ask_after(node, path, tag, output, rounds, **question)
        if verdict.action == "replace":
            return _told(node, frame, path, verdict, edited(output, verdict.content))
        if verdict.action == "cancel":
            raise Rejected(verdict.reason or f"Step '{node.name}' was rejected")
        if verdict.action == "skip":
            await frame.undo(path)
            return _told(node, frame, path, verdict, _discarded(node, output, verdict.reason or "rejected"))
        if verdict.action == "proceed":
            break
        # What a person rejected is undone before it is made again; the rounds after it stand.
        if rounds:
            await frame.undo(f"{path}!review{rounds - 1}")
        else:
            await frame.undo(path, apart_from=f"{path}!review")
        rounds += 1
        output = await again(f"{path}!{tag}", verdict)
    return output


def edited(output: StepOutput, content: Any) -> StepOutput:
    """A copy that passes ``content`` to later steps, instead of the content of ``output``."""
    if not output.steps or output.step_type == "Workflow":
        return msgspec.structs.replace(output, content=content)
    if shape_of(output.step_type) in ("branches", "items"):
        names = [inner.step_name for inner in output.steps]
        if shape_of(output.step_type) == "items" or not isinstance(content, dict) or list(content) != names:
            return msgspec.structs.replace(output, content=content, steps=None)
        branches = [edited(inner, content[inner.step_name]) for inner in output.steps]
        return msgspec.structs.replace(output, steps=branches)
    last = last_effective(output.steps)
    steps = [edited(inner, content) if inner is last else inner for inner in output.steps]
    return msgspec.structs.replace(output, steps=steps)


def _told(node: Node, frame: Frame, path: str, verdict: Verdict, output: StepOutput) -> StepOutput:
    """The output, published the first time, because readers have seen the one before it."""
    if verdict.is_first:
        frame.revised(node, path, output)
    return output


def _discarded(node: Node, output: StepOutput, why: str) -> StepOutput:
    return StepOutput(
        f"{node.kind} {node.name} output discarded by a person",
        output.step_name,
        output.step_id,
        output.step_type,
        output.executor_type,
        output.executor_name,
        success=False,
        error=why,
        skipped=True,
    )
