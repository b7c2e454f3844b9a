"""agno's ``workflow.utils.hitl``."""

from __future__ import annotations

from workflow_runtime.model.requirements import StepRequirement

__all__ = ["check_timeout"]


def check_timeout(step_requirement: StepRequirement) -> str | None:
    """What follows if the requirement's deadline has passed: cancel, skip or approve. None before it."""
    return step_requirement.on_timeout if step_requirement.is_timed_out else None
