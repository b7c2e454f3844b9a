"""Loop: an end condition that fails does not end the loop. A child that fails ends the run, as in agno."""

from __future__ import annotations

import logging

from workflow_runtime.core.flow import Flow
from workflow_runtime.core.plan import Node
from workflow_runtime.model.errors import StorageError
from workflow_runtime.steps import loop as strict
from workflow_runtime.steps.frame import Frame

from ._data import Component
from ._failures import LenientNode, note_strict
from ._review import Guarded, guard
from .step import Step
from .types import HumanReview, OnReject, StepInput, StepOutput, StepRequirement, StepType

__all__ = ["HumanReview", "Loop", "OnReject", "Step", "StepInput", "StepOutput", "StepRequirement", "StepType"]

logger = logging.getLogger("workflow_runtime")


class Loop(strict.Loop, Guarded, Component):
    """``workflow_runtime.Loop`` with agno's rule for end conditions that raise: logged, and the loop goes on."""

    plain = ("max_iterations", "forward_iteration_output")
    requires_iteration_review: bool = guard("requires_iteration_review")
    iteration_review_message: str | None = guard("iteration_review_message")


class LoopNode(LenientNode, strict.LoopNode):
    __slots__ = ()

    async def _ended(self, frame: Frame, flow: Flow, path: str, number: int, results: list[StepOutput]) -> bool:
        try:
            return await super()._ended(frame, flow, path, number, results)
        except StorageError:
            raise
        except Exception as error:
            logger.warning("Loop %r: its end condition failed, which counts as False: %s", self.name, error)
            return False

    def stand_in(self, child: Node, error: Exception) -> None:
        note_strict(child, error)


Loop.node_class = LoopNode
