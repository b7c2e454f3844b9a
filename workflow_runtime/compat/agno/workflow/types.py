"""agno's ``workflow.types``: what steps are given and leave, and what people are asked."""

from __future__ import annotations

from enum import StrEnum

from workflow_runtime.model.enums import OnError, OnReject, OnTimeout, StepType
from workflow_runtime.model.fields import UserInputField
from workflow_runtime.model.metrics import StepMetrics, WorkflowMetrics
from workflow_runtime.model.requirements import ErrorRequirement
from workflow_runtime.model.step_io import StepInput, StepOutput, WorkflowExecutionInput

from ._requirements import StepRequirement
from ._review import HumanReview

__all__ = [
    "ErrorRequirement",
    "ExecutorType",
    "HumanReview",
    "OnError",
    "OnReject",
    "OnTimeout",
    "PauseKind",
    "StepInput",
    "StepMetrics",
    "StepOutput",
    "StepRequirement",
    "StepType",
    "UserInputField",
    "WorkflowExecutionInput",
    "WorkflowMetrics",
]


class ExecutorType(StrEnum):
    """The values of ``executor_type``."""

    AGENT = "agent"
    TEAM = "team"


class PauseKind(StrEnum):
    """The values of ``pause_kind``."""

    STEP = "step"
    EXECUTOR = "executor"
