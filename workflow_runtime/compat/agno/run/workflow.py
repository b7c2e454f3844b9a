"""agno's ``run.workflow``: the output and the events of a workflow's run."""

from __future__ import annotations

from typing import Any

from workflow_runtime.model.codec import event_from_dict
from workflow_runtime.model.enums import WorkflowRunEvent
from workflow_runtime.model.events import (
    ConditionExecutionCompletedEvent,
    ConditionExecutionStartedEvent,
    CustomEvent,
    LoopExecutionCompletedEvent,
    LoopExecutionStartedEvent,
    LoopIterationCompletedEvent,
    LoopIterationStartedEvent,
    ParallelExecutionCompletedEvent,
    ParallelExecutionStartedEvent,
    RouterExecutionCompletedEvent,
    RouterExecutionStartedEvent,
    RouterPausedEvent,
    StepCompletedEvent,
    StepContentEvent,
    StepContinuedEvent,
    StepErrorEvent,
    StepExecutorContinuedEvent,
    StepExecutorPausedEvent,
    StepOutputEvent,
    StepOutputReviewEvent,
    StepPausedEvent,
    StepsExecutionCompletedEvent,
    StepsExecutionStartedEvent,
    StepStartedEvent,
    WorkflowAgentCompletedEvent,
    WorkflowAgentStartedEvent,
    WorkflowCancelledEvent,
    WorkflowCompletedEvent,
    WorkflowErrorEvent,
    WorkflowPausedEvent,
    WorkflowRunOutputEvent,
    WorkflowStartedEvent,
)
from workflow_runtime.model.events import WorkflowEvent as BaseWorkflowRunOutputEvent
from workflow_runtime.model.run import WorkflowRunOutput

__all__ = [
    "BaseWorkflowRunOutputEvent",
    "ConditionExecutionCompletedEvent",
    "ConditionExecutionStartedEvent",
    "CustomEvent",
    "LoopExecutionCompletedEvent",
    "LoopExecutionStartedEvent",
    "LoopIterationCompletedEvent",
    "LoopIterationStartedEvent",
    "ParallelExecutionCompletedEvent",
    "ParallelExecutionStartedEvent",
    "RouterExecutionCompletedEvent",
    "RouterExecutionStartedEvent",
    "RouterPausedEvent",
    "StepCompletedEvent",
    "StepContentEvent",
    "StepContinuedEvent",
    "StepErrorEvent",
    "StepExecutorContinuedEvent",
    "StepExecutorPausedEvent",
    "StepOutputEvent",
    "StepOutputReviewEvent",
    "StepPausedEvent",
    "StepStartedEvent",
    "StepsExecutionCompletedEvent",
    "StepsExecutionStartedEvent",
    "WorkflowAgentCompletedEvent",
    "WorkflowAgentStartedEvent",
    "WorkflowCancelledEvent",
    "WorkflowCompletedEvent",
    "WorkflowErrorEvent",
    "WorkflowPausedEvent",
    "WorkflowRunEvent",
    "WorkflowRunOutput",
    "WorkflowRunOutputEvent",
    "WorkflowStartedEvent",
    "workflow_run_output_event_from_dict",
]


def workflow_run_output_event_from_dict(data: dict[str, Any]) -> Any:
    """The event that ``to_dict`` described."""
    return event_from_dict(data)
