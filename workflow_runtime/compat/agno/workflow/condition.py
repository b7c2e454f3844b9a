"""Condition: only True is a yes; a child that fails ends its branch, and the run goes on."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from workflow_runtime.core.cel import CelExpression
from workflow_runtime.core.flow import Flow
from workflow_runtime.core.gate import Verdict
from workflow_runtime.core.plan import Node
from workflow_runtime.steps import condition as strict
from workflow_runtime.steps.frame import Frame

from ._data import Component
from ._failures import LenientNode, failed_child, fails_the_run, must_fail_the_run
from ._review import Guarded
from .step import Step
from .types import HumanReview, OnReject, StepInput, StepOutput, StepRequirement, StepType

__all__ = ["Condition", "HumanReview", "OnReject", "Step", "StepInput", "StepOutput", "StepRequirement", "StepType"]

logger = logging.getLogger("workflow_runtime")


class Condition(strict.Condition, Guarded, Component):
    """``workflow_runtime.Condition`` with agno's ``on_error="skip"``, for the evaluator and for what a child raises."""

    plain = ("on_error",)

    def __init__(
        self,
        steps: Sequence[Any] | Any = (),
        evaluator: bool | Callable[..., Any] | str = True,
        else_steps: Sequence[Any] | Any | None = None,
        name: str | None = None,
        description: str | None = None,
        requires_confirmation: bool = False,
        confirmation_message: str | None = None,
        on_reject: str = "else",
        on_error: str = "skip",
        human_review: HumanReview | None = None,
        *,
        timeout: float | None = None,
    ) -> None:
        super().__init__(
            steps,
            evaluator,
            else_steps,
            name,
            description,
            requires_confirmation,
            confirmation_message,
            on_reject,
            on_error if human_review is None else human_review.on_error or "skip",
            human_review,
            timeout=timeout,
        )
        self.human_review = msgspec.structs.replace(self.human_review, on_error=self.on_error)


class ConditionNode(LenientNode, strict.ConditionNode):
    __slots__ = ()

    def holds(self, found: Any) -> bool:
        if isinstance(found, bool):
            return found
        logger.warning("Condition %r: the evaluator gave %s, not a bool, which counts as False", self.name, type(found))
        return False

    async def _evaluate(self, frame: Frame, flow: Flow, path: str, verdict: Verdict | None) -> bool:
        try:
            return await super()._evaluate(frame, flow, path, verdict)
        except Exception as error:
            if not isinstance(self.evaluate, CelExpression):
                raise
            logger.warning("Condition %r: %r failed, which counts as False: %s", self.name, self.evaluate, error)
            return False

    def stand_in(self, child: Node, error: Exception) -> StepOutput | None:
        return failed_child(child, error) if self.declared.on_error == "skip" else None

    def policy_for(self, error: Exception) -> str:
        if self.on_error == "fail":  # which somebody wrote: it is no default
            must_fail_the_run(error)
        return "fail" if fails_the_run(error) else self.on_error

    def _given_up(self, error: str, holds: bool | None) -> tuple[StepOutput, dict[str, Any]]:
        output, fields = super()._given_up(error, holds)
        output.content = f"Step skipped due to error: {error}"
        return output, fields


Condition.node_class = ConditionNode
