"""Whether a run that completed came to nothing in the end, since a person rejected its last step. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from .. import StepOutput
from ..model.kinds import shape_of

__all__ = ["rejected_step", "rejection"]


def rejected_step(results: Sequence[StepOutput]) -> StepOutput | None:
    """The last step, where a person skipped or rejected it, or nobody answered; None where it made something. Of branches
    that ran side by side, all have to be rejected."""
    if not results:
        return None
    last = results[-1]
    if last.skipped:
        return last
    if shape_of(last.step_type) in ("branches", "items"):
        found = [rejected_step([step]) for step in last.steps or ()]
        return found[-1] if found and None not in found else None
    return rejected_step(last.steps or ())


def rejection(step: StepOutput) -> str:
    """A sentence for it, with the reason that was given."""
    said = str(step.content) if step.content else f"Step {step.step_name} was rejected"
    return f"{said} ({step.error})" if step.error and step.error not in said else said
