"""Router: an unknown choice is a warning; a choice that fails ends the selection, and the run goes on."""

from __future__ import annotations

import logging
from typing import Any

from workflow_runtime.core.plan import Node
from workflow_runtime.model.step_io import StepOutput
from workflow_runtime.steps import router as strict

from ._direct import Direct
from ._failures import LenientNode, failed_child

__all__ = ["Router"]

logger = logging.getLogger("workflow_runtime")


class Router(strict.Router, Direct):
    """``workflow_runtime.Router`` with agno's rules; a selector's ``step_choices`` are the steps themselves."""


class RouterNode(LenientNode, strict.RouterNode):
    __slots__ = ()

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
