"""Steps: a sequence that a failing child ends, as a failed step of a run that goes on."""

from __future__ import annotations

from typing import Any

from workflow_runtime.core.flow import Flow
from workflow_runtime.core.gate import Verdict
from workflow_runtime.core.journal import Record
from workflow_runtime.core.plan import Node
from workflow_runtime.steps import steps as strict
from workflow_runtime.steps.frame import Frame

from ._data import Component
from ._failures import LenientNode, fails_the_run, note_strict
from ._review import Guarded
from .step import Step
from .types import HumanReview, OnReject, StepInput, StepOutput, StepRequirement, StepType

__all__ = ["HumanReview", "OnReject", "Step", "StepInput", "StepOutput", "StepRequirement", "StepType", "Steps"]


class Steps(strict.Steps, Guarded, Component):
    """``workflow_runtime.Steps`` with agno's rule for failures."""


class StepsNode(LenientNode, strict.StepsNode):
    __slots__ = ()

    async def body(
        self, frame: Frame, flow: Flow, path: str, record: Record | None, verdict: Verdict | None
    ) -> tuple[StepOutput, dict[str, Any]]:
        try:
            return await super().body(frame, flow, path, record, verdict)
        except Exception as error:
            if fails_the_run(error):
                raise
            text = f"Steps execution failed: {error}"
            output = StepOutput(text, self.name, self.step_id, self.kind, success=False, error=str(error))
            return output, {"steps_count": len(self.children), "step_results": []}

    def stand_in(self, child: Node, error: Exception) -> None:
        note_strict(child, error)


Steps.node_class = StepsNode
