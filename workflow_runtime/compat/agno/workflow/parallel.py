"""Parallel: a branch that fails leaves a failed output, its siblings go on, and so does the run."""

from __future__ import annotations

from typing import Any, ClassVar

from workflow_runtime.core.plan import Node
from workflow_runtime.steps import parallel as strict

from ._data import Component
from ._failures import LenientNode, failed_child
from .step import Step
from .types import HumanReview, StepInput, StepOutput, StepType

__all__ = ["HumanReview", "Parallel", "Step", "StepInput", "StepOutput", "StepType"]


class Parallel(strict.Parallel, Component):
    """``workflow_runtime.Parallel`` with agno's rule for failures; results stand in declared order in every mode.

    One without branches is refused when the workflow is built.
    """

    extra: ClassVar[dict[str, Any]] = {"timeout": None, "max_concurrency": None, "wait_for": None, "fail_fast": True}

    def __init__(
        self,
        *args: Any,
        name: str | None = None,
        description: str | None = None,
        human_review: HumanReview | None = None,
        **options: Any,
    ) -> None:
        super().__init__(*args, name=name, description=description, human_review=human_review, **options)

    def check(self) -> None:
        """Nothing yet: data may be loaded that is to be completed."""


class ParallelNode(LenientNode, strict.ParallelNode):
    __slots__ = ()
    shares_state: ClassVar[bool] = True

    def __init__(self, declared: Parallel, **place: Any) -> None:
        strict.Parallel.check(declared)
        super().__init__(declared, **place)

    def stand_in(self, child: Node, error: Exception) -> StepOutput | None:
        return failed_child(child, error)


Parallel.node_class = ParallelNode
