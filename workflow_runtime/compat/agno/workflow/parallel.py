"""Parallel: a branch that fails leaves a failed output, its siblings go on, and so does the run."""

from __future__ import annotations

from typing import Any

from workflow_runtime.core.plan import Node
from workflow_runtime.model.review import HumanReview
from workflow_runtime.model.step_io import StepOutput
from workflow_runtime.steps import parallel as strict

from ._direct import Direct
from ._failures import LenientNode, failed_child

__all__ = ["Parallel"]


class Parallel(strict.Parallel, Direct):
    """``workflow_runtime.Parallel`` with agno's rule for failures; results stand in declared order in every mode."""

    def __init__(
        self,
        *args: Any,
        name: str | None = None,
        description: str | None = None,
        human_review: HumanReview | None = None,
        **options: Any,
    ) -> None:
        super().__init__(*args, name=name, description=description, human_review=human_review, **options)


class ParallelNode(LenientNode, strict.ParallelNode):
    __slots__ = ()

    def stand_in(self, child: Node, error: Exception) -> StepOutput | None:
        return failed_child(child, error)


Parallel.node_class = ParallelNode
