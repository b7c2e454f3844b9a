"""agno's ``run.team``: the output and the events of a team, for functions that yield them and readers of streams."""

from __future__ import annotations

from workflow_runtime.executors import ExecutorRun as TeamRunOutput
from workflow_runtime.model.enums import TeamRunEvent
from workflow_runtime.model.events import CustomEvent
from workflow_runtime.model.executor_events import EXECUTOR_EVENTS

from ._families import BaseTeamRunEvent

__all__ = [
    "BaseTeamRunEvent",
    "CompressionCompletedEvent",
    "CompressionStartedEvent",
    "CustomEvent",
    "FollowupsCompletedEvent",
    "FollowupsStartedEvent",
    "IntermediateRunContentEvent",
    "MemoryUpdateCompletedEvent",
    "MemoryUpdateStartedEvent",
    "ModelRequestCompletedEvent",
    "ModelRequestStartedEvent",
    "OutputModelResponseCompletedEvent",
    "OutputModelResponseStartedEvent",
    "ParserModelResponseCompletedEvent",
    "ParserModelResponseStartedEvent",
    "PostHookCompletedEvent",
    "PostHookStartedEvent",
    "PreHookCompletedEvent",
    "PreHookStartedEvent",
    "ReasoningCompletedEvent",
    "ReasoningContentDeltaEvent",
    "ReasoningStartedEvent",
    "ReasoningStepEvent",
    "RunCancelledEvent",
    "RunCompletedEvent",
    "RunContentCompletedEvent",
    "RunContentEvent",
    "RunContinuedEvent",
    "RunErrorEvent",
    "RunPausedEvent",
    "RunStartedEvent",
    "SessionSummaryCompletedEvent",
    "SessionSummaryStartedEvent",
    "TaskCreatedEvent",
    "TaskIterationCompletedEvent",
    "TaskIterationStartedEvent",
    "TaskStateUpdatedEvent",
    "TaskUpdatedEvent",
    "TeamRunEvent",
    "TeamRunOutput",
    "ToolCallCompletedEvent",
    "ToolCallErrorEvent",
    "ToolCallStartedEvent",
]

CompressionCompletedEvent = EXECUTOR_EVENTS["TeamCompressionCompleted"]
CompressionStartedEvent = EXECUTOR_EVENTS["TeamCompressionStarted"]
FollowupsCompletedEvent = EXECUTOR_EVENTS["TeamFollowupsCompleted"]
FollowupsStartedEvent = EXECUTOR_EVENTS["TeamFollowupsStarted"]
IntermediateRunContentEvent = EXECUTOR_EVENTS["TeamRunIntermediateContent"]
MemoryUpdateCompletedEvent = EXECUTOR_EVENTS["TeamMemoryUpdateCompleted"]
MemoryUpdateStartedEvent = EXECUTOR_EVENTS["TeamMemoryUpdateStarted"]
ModelRequestCompletedEvent = EXECUTOR_EVENTS["TeamModelRequestCompleted"]
ModelRequestStartedEvent = EXECUTOR_EVENTS["TeamModelRequestStarted"]
OutputModelResponseCompletedEvent = EXECUTOR_EVENTS["TeamOutputModelResponseCompleted"]
OutputModelResponseStartedEvent = EXECUTOR_EVENTS["TeamOutputModelResponseStarted"]
ParserModelResponseCompletedEvent = EXECUTOR_EVENTS["TeamParserModelResponseCompleted"]
ParserModelResponseStartedEvent = EXECUTOR_EVENTS["TeamParserModelResponseStarted"]
PostHookCompletedEvent = EXECUTOR_EVENTS["TeamPostHookCompleted"]
PostHookStartedEvent = EXECUTOR_EVENTS["TeamPostHookStarted"]
PreHookCompletedEvent = EXECUTOR_EVENTS["TeamPreHookCompleted"]
PreHookStartedEvent = EXECUTOR_EVENTS["TeamPreHookStarted"]
ReasoningCompletedEvent = EXECUTOR_EVENTS["TeamReasoningCompleted"]
ReasoningContentDeltaEvent = EXECUTOR_EVENTS["TeamReasoningContentDelta"]
ReasoningStartedEvent = EXECUTOR_EVENTS["TeamReasoningStarted"]
ReasoningStepEvent = EXECUTOR_EVENTS["TeamReasoningStep"]
RunCancelledEvent = EXECUTOR_EVENTS["TeamRunCancelled"]
RunCompletedEvent = EXECUTOR_EVENTS["TeamRunCompleted"]
RunContentCompletedEvent = EXECUTOR_EVENTS["TeamRunContentCompleted"]
RunContentEvent = EXECUTOR_EVENTS["TeamRunContent"]
RunContinuedEvent = EXECUTOR_EVENTS["TeamRunContinued"]
RunErrorEvent = EXECUTOR_EVENTS["TeamRunError"]
RunPausedEvent = EXECUTOR_EVENTS["TeamRunPaused"]
RunStartedEvent = EXECUTOR_EVENTS["TeamRunStarted"]
SessionSummaryCompletedEvent = EXECUTOR_EVENTS["TeamSessionSummaryCompleted"]
SessionSummaryStartedEvent = EXECUTOR_EVENTS["TeamSessionSummaryStarted"]
TaskCreatedEvent = EXECUTOR_EVENTS["TeamTaskCreated"]
TaskIterationCompletedEvent = EXECUTOR_EVENTS["TeamTaskIterationCompleted"]
TaskIterationStartedEvent = EXECUTOR_EVENTS["TeamTaskIterationStarted"]
TaskStateUpdatedEvent = EXECUTOR_EVENTS["TeamTaskStateUpdated"]
TaskUpdatedEvent = EXECUTOR_EVENTS["TeamTaskUpdated"]
ToolCallCompletedEvent = EXECUTOR_EVENTS["TeamToolCallCompleted"]
ToolCallErrorEvent = EXECUTOR_EVENTS["TeamToolCallError"]
ToolCallStartedEvent = EXECUTOR_EVENTS["TeamToolCallStarted"]
