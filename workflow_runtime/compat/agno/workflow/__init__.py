"""agno's ``workflow``: the names that its users import."""

from __future__ import annotations

from .cel import CEL_AVAILABLE, validate_cel_expression
from .condition import Condition
from .decorators import pause
from .loop import Loop
from .parallel import Parallel
from .router import Router
from .step import Step
from .steps import Steps
from .types import (
    ErrorRequirement,
    HumanReview,
    OnError,
    OnReject,
    OnTimeout,
    StepInput,
    StepOutput,
    StepRequirement,
    UserInputField,
    WorkflowExecutionInput,
)
from .workflow import Workflow

__all__ = [
    "CEL_AVAILABLE",
    "Condition",
    "ErrorRequirement",
    "HumanReview",
    "Loop",
    "OnError",
    "OnReject",
    "OnTimeout",
    "Parallel",
    "Router",
    "Step",
    "StepInput",
    "StepOutput",
    "StepRequirement",
    "Steps",
    "UserInputField",
    "Workflow",
    "WorkflowExecutionInput",
    "pause",
    "validate_cel_expression",
]
