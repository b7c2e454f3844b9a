"""Closed vocabularies. Each member is a ``str``, so plain strings are accepted wherever one is expected."""

from __future__ import annotations

from enum import StrEnum

__all__ = [
    "OnError",
    "OnReject",
    "OnTimeout",
    "RunEvent",
    "RunStatus",
    "StepType",
    "TeamRunEvent",
    "WorkflowRunEvent",
]


class RunStatus(StrEnum):
    """The status of a run. Both spellings of a member (``completed``, ``COMPLETED``) are the same object."""

    pending = "PENDING"
    running = "RUNNING"
    completed = "COMPLETED"
    paused = "PAUSED"
    cancelled = "CANCELLED"
    error = "ERROR"
    regenerated = "REGENERATED"

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    PAUSED = "PAUSED"
    CANCELLED = "CANCELLED"
    ERROR = "ERROR"
    REGENERATED = "REGENERATED"

    @property
    def is_final(self) -> bool:
        """True when no continuation can follow: completed, cancelled or failed."""
        return self in (RunStatus.completed, RunStatus.cancelled, RunStatus.error, RunStatus.regenerated)


class StepType(StrEnum):
    """The kind of node that produced a StepOutput."""

    FUNCTION = "Function"
    STEP = "Step"
    STEPS = "Steps"
    LOOP = "Loop"
    PARALLEL = "Parallel"
    CONDITION = "Condition"
    ROUTER = "Router"
    MAP = "Map"
    WORKFLOW = "Workflow"


class OnReject(StrEnum):
    """The effect of a rejection by a person."""

    skip = "skip"
    cancel = "cancel"
    else_branch = "else"
    retry = "retry"


class OnError(StrEnum):
    """The effect of a failing step on its run."""

    fail = "fail"
    skip = "skip"
    pause = "pause"


class OnTimeout(StrEnum):
    """The effect of a deadline without an answer."""

    cancel = "cancel"
    skip = "skip"
    approve = "approve"


class WorkflowRunEvent(StrEnum):
    """The names of the events that a workflow itself publishes."""

    workflow_started = "WorkflowStarted"
    workflow_completed = "WorkflowCompleted"
    workflow_paused = "WorkflowPaused"
    workflow_resumed = "WorkflowResumed"
    workflow_cancelled = "WorkflowCancelled"
    workflow_error = "WorkflowError"
    workflow_agent_started = "WorkflowAgentStarted"
    workflow_agent_completed = "WorkflowAgentCompleted"
    step_started = "StepStarted"
    step_content = "StepContent"
    step_progress = "StepProgress"
    step_retry = "StepRetry"
    step_completed = "StepCompleted"
    step_output = "StepOutput"
    step_error = "StepError"
    step_paused = "StepPaused"
    step_continued = "StepContinued"
    step_question_withdrawn = "StepQuestionWithdrawn"
    step_steered = "StepSteered"
    step_output_review = "StepOutputReview"
    step_executor_paused = "StepExecutorPaused"
    step_executor_continued = "StepExecutorContinued"
    loop_execution_started = "LoopExecutionStarted"
    loop_iteration_started = "LoopIterationStarted"
    loop_iteration_completed = "LoopIterationCompleted"
    loop_execution_completed = "LoopExecutionCompleted"
    parallel_execution_started = "ParallelExecutionStarted"
    parallel_execution_completed = "ParallelExecutionCompleted"
    map_execution_started = "MapExecutionStarted"
    map_execution_completed = "MapExecutionCompleted"
    condition_execution_started = "ConditionExecutionStarted"
    condition_execution_completed = "ConditionExecutionCompleted"
    router_execution_started = "RouterExecutionStarted"
    router_execution_completed = "RouterExecutionCompleted"
    router_paused = "RouterPaused"
    steps_execution_started = "StepsExecutionStarted"
    steps_execution_completed = "StepsExecutionCompleted"
    session_state_conflict = "SessionStateConflict"
    custom_event = "CustomEvent"


class RunEvent(StrEnum):
    """The names of the events that an agent executor streams inside a step."""

    run_started = "RunStarted"
    run_content = "RunContent"
    run_content_completed = "RunContentCompleted"
    run_intermediate_content = "RunIntermediateContent"
    run_completed = "RunCompleted"
    run_error = "RunError"
    run_cancelled = "RunCancelled"
    run_paused = "RunPaused"
    run_continued = "RunContinued"
    pre_hook_started = "PreHookStarted"
    pre_hook_completed = "PreHookCompleted"
    post_hook_started = "PostHookStarted"
    post_hook_completed = "PostHookCompleted"
    tool_call_started = "ToolCallStarted"
    tool_call_completed = "ToolCallCompleted"
    tool_call_error = "ToolCallError"
    reasoning_started = "ReasoningStarted"
    reasoning_step = "ReasoningStep"
    reasoning_content_delta = "ReasoningContentDelta"
    reasoning_completed = "ReasoningCompleted"
    memory_update_started = "MemoryUpdateStarted"
    memory_update_completed = "MemoryUpdateCompleted"
    session_summary_started = "SessionSummaryStarted"
    session_summary_completed = "SessionSummaryCompleted"
    parser_model_response_started = "ParserModelResponseStarted"
    parser_model_response_completed = "ParserModelResponseCompleted"
    output_model_response_started = "OutputModelResponseStarted"
    output_model_response_completed = "OutputModelResponseCompleted"
    model_request_started = "ModelRequestStarted"
    model_request_completed = "ModelRequestCompleted"
    compression_started = "CompressionStarted"
    compression_completed = "CompressionCompleted"
    followups_started = "FollowupsStarted"
    followups_completed = "FollowupsCompleted"
    custom_event = "CustomEvent"


class TeamRunEvent(StrEnum):
    """The names of the events that a team executor streams inside a step: ``Team`` followed by a RunEvent's name."""

    run_started = "TeamRunStarted"
    run_content = "TeamRunContent"
    run_content_completed = "TeamRunContentCompleted"
    run_intermediate_content = "TeamRunIntermediateContent"
    run_completed = "TeamRunCompleted"
    run_error = "TeamRunError"
    run_cancelled = "TeamRunCancelled"
    run_paused = "TeamRunPaused"
    run_continued = "TeamRunContinued"
    pre_hook_started = "TeamPreHookStarted"
    pre_hook_completed = "TeamPreHookCompleted"
    post_hook_started = "TeamPostHookStarted"
    post_hook_completed = "TeamPostHookCompleted"
    tool_call_started = "TeamToolCallStarted"
    tool_call_completed = "TeamToolCallCompleted"
    tool_call_error = "TeamToolCallError"
    reasoning_started = "TeamReasoningStarted"
    reasoning_step = "TeamReasoningStep"
    reasoning_content_delta = "TeamReasoningContentDelta"
    reasoning_completed = "TeamReasoningCompleted"
    memory_update_started = "TeamMemoryUpdateStarted"
    memory_update_completed = "TeamMemoryUpdateCompleted"
    session_summary_started = "TeamSessionSummaryStarted"
    session_summary_completed = "TeamSessionSummaryCompleted"
    parser_model_response_started = "TeamParserModelResponseStarted"
    parser_model_response_completed = "TeamParserModelResponseCompleted"
    output_model_response_started = "TeamOutputModelResponseStarted"
    output_model_response_completed = "TeamOutputModelResponseCompleted"
    model_request_started = "TeamModelRequestStarted"
    model_request_completed = "TeamModelRequestCompleted"
    compression_started = "TeamCompressionStarted"
    compression_completed = "TeamCompressionCompleted"
    followups_started = "TeamFollowupsStarted"
    followups_completed = "TeamFollowupsCompleted"
    task_iteration_started = "TeamTaskIterationStarted"
    task_iteration_completed = "TeamTaskIterationCompleted"
    task_state_updated = "TeamTaskStateUpdated"
    task_created = "TeamTaskCreated"
    task_updated = "TeamTaskUpdated"
    custom_event = "CustomEvent"
