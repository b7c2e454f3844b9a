"""Router: an unknown choice is a warning; a choice that fails ends the selection, and the run goes on."""

from __future__ import annotations

import logging
from typing import Any

from workflow_runtime.core.plan import Node
from workflow_runtime.steps import router as strict

from ._data import Component
from ._failures import LenientNode, failed_child
from ._review import Guarded, guard
from .step import Step
from .types import HumanReview, OnReject, StepInput, StepOutput, StepRequirement, StepType

__all__ = ["HumanReview", "OnReject", "Router", "Step", "StepInput", "StepOutput", "StepRequirement", "StepType"]

logger = logging.getLogger("workflow_runtime")


class Router(strict.Router, Guarded, Component):
    """``workflow_runtime.Router`` with agno's rules; a selector's ``step_choices`` are the steps themselves.

    One without choices, or that nobody chooses for, is refused when the workflow is built.
    """

    plain = ("allow_multiple_selections", "requires_user_input", "user_input_message")
    requires_user_input: bool = guard("requires_user_input")
    user_input_message: str | None = guard("user_input_message")
    user_input_schema: Any = guard("user_input_schema")
    requires_output_review: Any = guard("requires_output_review")
    output_review_message: str | None = guard("output_review_message")
    hitl_max_retries: int = guard("max_retries")

    @property
    def requires_hitl(self) -> bool:
        """Whether a person chooses."""
        return self.requires_user_input

    def check(self) -> None:
        """Nothing yet: data may be loaded that is to be completed."""


class RouterNode(LenientNode, strict.RouterNode):
    __slots__ = ()

    def __init__(self, declared: Router, **place: Any) -> None:
        strict.Router.check(declared)
        super().__init__(declared, **place)

    def step_choices(self) -> list[Any]:
        return [getattr(child, "declared", child) for child in self.children]

    def name_of(self, item: Any) -> str | None:
        try:
            return super().name_of(item)
        except ValueError as error:
            logger.warning("%s; it is left out", error)
            return None

    def stand_in(self, child: Node, error: Exception) -> StepOutput | None:
        return failed_child(child, error)


Router.node_class = RouterNode
