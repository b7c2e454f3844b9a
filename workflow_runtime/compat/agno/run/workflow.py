"""agno's ``run.workflow``: the output and the events of a workflow's run."""

from __future__ import annotations

from typing import Any

from workflow_runtime.model.codec import event_from_dict, event_kinds
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
    UnknownEvent,
    WorkflowAgentCompletedEvent,
    WorkflowAgentStartedEvent,
    WorkflowCancelledEvent,
    WorkflowCompletedEvent,
    WorkflowErrorEvent,
    WorkflowPausedEvent,
    WorkflowRunOutputEvent,
    WorkflowStartedEvent,
)
from workflow_runtime.model.run import WorkflowRunOutput

from ._families import BaseWorkflowRunOutputEvent

__all__ = [
    "WORKFLOW_RUN_EVENT_TYPE_REGISTRY",
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


WORKFLOW_RUN_EVENT_TYPE_REGISTRY: dict[str, Any] = {
    **{name: kind for name, kind in event_kinds().items() if name in {item.value for item in WorkflowRunEvent}},
    WorkflowRunEvent.custom_event.value: CustomEvent,
}


def workflow_run_output_event_from_dict(data: dict[str, Any]) -> Any:
    """The event that ``to_dict`` described. ValueError: no event has that name."""
    event = event_from_dict(data)
    if isinstance(event, UnknownEvent):
        raise ValueError(f"unknown event {event.name!r}; of a workflow: {', '.join(WORKFLOW_RUN_EVENT_TYPE_REGISTRY)}")
    return event
