"""What a failing child leaves in agno's containers, and which failures no container may pass over.

A failure is the run's if somebody wrote that it is: ``on_error="fail"`` at the step or Condition, or a step of the strict
classes, which fail by default. Such an exception is marked where it is raised, and passes every lenient container.
"""

from __future__ import annotations

from workflow_runtime.core.plan import Node
from workflow_runtime.model.errors import StorageError
from workflow_runtime.model.step_io import StepOutput

__all__ = [
    "LenientNode",
    "failed_child",
    "fails_the_run",
    "may_be_passed_over",
    "must_fail_the_run",
    "note_strict",
]

_MARK = "__fails_the_run__"


class LenientNode:
    """What the nodes of this layer have in common."""

    __slots__ = ()


def must_fail_the_run(error: Exception) -> None:
    """No container passes over ``error``."""
    setattr(error, _MARK, True)


def may_be_passed_over(error: Exception) -> None:
    """The opposite: a step around it has a policy of its own that says so."""
    error.__dict__.pop(_MARK, None)


def fails_the_run(error: Exception) -> bool:
    if isinstance(error, StorageError) or hasattr(error, _MARK):
        return True
    return isinstance(error, ExceptionGroup) and any(map(fails_the_run, error.exceptions))


def failed_child(child: Node, error: Exception) -> StepOutput | None:
    """An output that names the failure; None if the failure is the run's."""
    note_strict(child, error)
    if fails_the_run(error):
        return None
    return StepOutput(f"Step {child.name} failed: {error}", child.name, success=False, error=str(error))


def note_strict(child: Node, error: Exception) -> None:
    """A strict child that lets an exception out means it."""
    if not isinstance(child, LenientNode):
        must_fail_the_run(error)
