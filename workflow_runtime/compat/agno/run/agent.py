"""agno's ``run.agent``: the output and the events of an agent, for functions that yield them and readers of streams."""

from __future__ import annotations

from workflow_runtime.executors import ExecutorRun as RunOutput
from workflow_runtime.model.enums import RunEvent
from workflow_runtime.model.events import CustomEvent
from workflow_runtime.model.executor_events import EXECUTOR_EVENTS

from ._families import BaseAgentRunEvent

__all__ = [
    "BaseAgentRunEvent",
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
    "RunEvent",
    "RunOutput",
    "RunPausedEvent",
    "RunStartedEvent",
    "SessionSummaryCompletedEvent",
    "SessionSummaryStartedEvent",
    "ToolCallCompletedEvent",
    "ToolCallErrorEvent",
    "ToolCallStartedEvent",
]

CompressionCompletedEvent = EXECUTOR_EVENTS["CompressionCompleted"]
CompressionStartedEvent = EXECUTOR_EVENTS["CompressionStarted"]
FollowupsCompletedEvent = EXECUTOR_EVENTS["FollowupsCompleted"]
FollowupsStartedEvent = EXECUTOR_EVENTS["FollowupsStarted"]
IntermediateRunContentEvent = EXECUTOR_EVENTS["RunIntermediateContent"]
MemoryUpdateCompletedEvent = EXECUTOR_EVENTS["MemoryUpdateCompleted"]
MemoryUpdateStartedEvent = EXECUTOR_EVENTS["MemoryUpdateStarted"]
ModelRequestCompletedEvent = EXECUTOR_EVENTS["ModelRequestCompleted"]
ModelRequestStartedEvent = EXECUTOR_EVENTS["ModelRequestStarted"]
OutputModelResponseCompletedEvent = EXECUTOR_EVENTS["OutputModelResponseCompleted"]
OutputModelResponseStartedEvent = EXECUTOR_EVENTS["OutputModelResponseStarted"]
ParserModelResponseCompletedEvent = EXECUTOR_EVENTS["ParserModelResponseCompleted"]
ParserModelResponseStartedEvent = EXECUTOR_EVENTS["ParserModelResponseStarted"]
PostHookCompletedEvent = EXECUTOR_EVENTS["PostHookCompleted"]
PostHookStartedEvent = EXECUTOR_EVENTS["PostHookStarted"]
PreHookCompletedEvent = EXECUTOR_EVENTS["PreHookCompleted"]
PreHookStartedEvent = EXECUTOR_EVENTS["PreHookStarted"]
ReasoningCompletedEvent = EXECUTOR_EVENTS["ReasoningCompleted"]
ReasoningContentDeltaEvent = EXECUTOR_EVENTS["ReasoningContentDelta"]
ReasoningStartedEvent = EXECUTOR_EVENTS["ReasoningStarted"]
ReasoningStepEvent = EXECUTOR_EVENTS["ReasoningStep"]
RunCancelledEvent = EXECUTOR_EVENTS["RunCancelled"]
RunCompletedEvent = EXECUTOR_EVENTS["RunCompleted"]
RunContentCompletedEvent = EXECUTOR_EVENTS["RunContentCompleted"]
RunContentEvent = EXECUTOR_EVENTS["RunContent"]
RunContinuedEvent = EXECUTOR_EVENTS["RunContinued"]
RunErrorEvent = EXECUTOR_EVENTS["RunError"]
RunPausedEvent = EXECUTOR_EVENTS["RunPaused"]
RunStartedEvent = EXECUTOR_EVENTS["RunStarted"]
SessionSummaryCompletedEvent = EXECUTOR_EVENTS["SessionSummaryCompleted"]
SessionSummaryStartedEvent = EXECUTOR_EVENTS["SessionSummaryStarted"]
ToolCallCompletedEvent = EXECUTOR_EVENTS["ToolCallCompleted"]
ToolCallErrorEvent = EXECUTOR_EVENTS["ToolCallError"]
ToolCallStartedEvent = EXECUTOR_EVENTS["ToolCallStarted"]
