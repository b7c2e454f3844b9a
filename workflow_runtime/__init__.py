"""workflow_runtime: an asyncio-first, event-streaming, durable workflow runtime.

The public names are here and in ``workflow_runtime.backends`` (databases), ``.executors`` (the agent protocol),
``.testing`` (for tests of users and of backends) and ``.compat.agno`` (for code written for agno). All else may change.

A name is loaded when it is first asked for: importing the package alone costs next to nothing, and ``Workflow`` only what
workflows are written with. Making the first one brings all that runs need, asyncio and anyio too, so that no run loads a
module while it holds the event loop.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .core.outline import Outline
    from .engine.bus.buffer import ReaderTooSlow
    from .engine.readers.stream import RunStream
    from .engine.readers.subscription import Subscription
    from .engine.readers.sync_stream import SyncRunStream
    from .engine.readers.websocket import WebSocketHandler
    from .engine.run.context import RunContext
    from .engine.start.fork import HistoryEntry
    from .engine.start.runtime import Runtime, RuntimeReport
    from .model.budget import Budget
    from .model.callback import Callback, MessageReceipt
    from .model.classes import allow
    from .model.compensation import Compensation, CompensationResult
    from .model.enums import OnError, OnReject, OnTimeout, RunEvent, RunStatus, StepType, TeamRunEvent, WorkflowRunEvent
    from .model.errors import (
        AlreadyAnswered,
        AnswerRejected,
        AnswersArrived,
        BrokerError,
        BudgetExceeded,
        BuildError,
        CallbackExpired,
        CallbackNotFound,
        CancelRequested,
        ConcurrentWrite,
        DuplicateRun,
        EngineError,
        ErrorHandlerFailed,
        Fenced,
        InputError,
        MessageConflict,
        MessageRefused,
        MessageTimeout,
        NeverRetry,
        NotAwaited,
        PlanChanged,
        QuestionWithdrawn,
        QueueFull,
        RetryAfter,
        RunCancelledError,
        RunEnded,
        RunExists,
        RunNotFound,
        RunNotPaused,
        RunPutAside,
        SessionBusy,
        SessionNotFound,
        SessionOwnerError,
        StepChanged,
        StepNotFound,
        StepNotRunning,
        StepTimeoutError,
        StorageError,
        Unanswered,
        UnreadableError,
        UnserializableError,
        WorkflowRuntimeError,
    )
    from .model.events import (
        ConditionExecutionCompletedEvent,
        ConditionExecutionStartedEvent,
        CustomEvent,
        Event,
        LoopExecutionCompletedEvent,
        LoopExecutionStartedEvent,
        LoopIterationCompletedEvent,
        LoopIterationStartedEvent,
        MapExecutionCompletedEvent,
        MapExecutionStartedEvent,
        ParallelExecutionCompletedEvent,
        ParallelExecutionStartedEvent,
        RouterExecutionCompletedEvent,
        RouterExecutionStartedEvent,
        RouterPausedEvent,
        SessionStateConflictEvent,
        StepCompensatedEvent,
        StepCompensationFailedEvent,
        StepCompletedEvent,
        StepContentEvent,
        StepContinuedEvent,
        StepErrorEvent,
        StepExecutorContinuedEvent,
        StepExecutorPausedEvent,
        StepOutputEvent,
        StepOutputReviewEvent,
        StepPausedEvent,
        StepProgressEvent,
        StepQuestionWithdrawnEvent,
        StepRetryEvent,
        StepsExecutionCompletedEvent,
        StepsExecutionStartedEvent,
        StepStartedEvent,
        StepSteeredEvent,
        UnknownEvent,
        WorkflowAgentCompletedEvent,
        WorkflowAgentStartedEvent,
        WorkflowCancelledEvent,
        WorkflowCompensatingEvent,
        WorkflowCompletedEvent,
        WorkflowErrorEvent,
        WorkflowEvent,
        WorkflowPausedEvent,
        WorkflowResumedEvent,
        WorkflowRunOutputEvent,
        WorkflowStartedEvent,
    )
    from .model.executor_events import ExecutorEvent
    from .model.fields import UserInputField
    from .model.limit import Limit, QueuedRun
    from .model.media import Audio, File, Image, Video
    from .model.message import Message
    from .model.metrics import RunMetrics, SessionMetrics, StepMetrics, WorkflowMetrics
    from .model.requirements import ErrorRequirement, StepRequirement, requirement_from_dict
    from .model.retention import Retention
    from .model.retry import Retry
    from .model.review import HumanReview, pause
    from .model.run import WorkflowRunOutput
    from .model.run_summary import RunSummary
    from .model.schedule import Schedule
    from .model.session import WorkflowChatInteraction, WorkflowSession
    from .model.steering import StepReceipt
    from .model.step_io import StepFailure, StepInput, StepOutput, WorkflowExecutionInput
    from .model.unreadable import Unreadable
    from .model.webhook import Webhook
    from .steps.condition import Condition
    from .steps.kinds import Kind, register_kind
    from .steps.loop import Loop
    from .steps.parallel import Map, Parallel
    from .steps.router import Router
    from .steps.step import Step
    from .steps.steps import Steps
    from .storage.base import BaseDb
    from .storage.memory import InMemoryDb
    from .verbs.listing import BulkReport
    from .verbs.registry import Registry
    from .workflow import Workflow

__version__ = "0.1.0"

__all__ = [
    # what a workflow is made of
    "Workflow",
    "Step",
    "Steps",
    "Parallel",
    "Loop",
    "Condition",
    "Router",
    "Map",
    "Retry",
    "Compensation",
    "Limit",
    "QueuedRun",
    "Schedule",
    "Registry",
    "Outline",
    "Kind",
    "register_kind",
    # what steps and callers see
    "StepInput",
    "StepOutput",
    "StepFailure",
    "CompensationResult",
    "WorkflowExecutionInput",
    "RunContext",
    "WorkflowRunOutput",
    "RunStatus",
    "RunStream",
    "SyncRunStream",
    "Subscription",
    "Runtime",
    "RuntimeReport",
    "Retention",
    "ReaderTooSlow",
    "HistoryEntry",
    "StepType",
    "Message",
    "Image",
    "Audio",
    "Video",
    "File",
    # people
    "HumanReview",
    "OnReject",
    "OnError",
    "OnTimeout",
    "StepRequirement",
    "ErrorRequirement",
    "UserInputField",
    "requirement_from_dict",
    "pause",
    # sessions and numbers
    "WorkflowSession",
    "WorkflowChatInteraction",
    "WorkflowMetrics",
    "SessionMetrics",
    "StepMetrics",
    "RunMetrics",
    # storage and sockets
    "BaseDb",
    "InMemoryDb",
    "Unreadable",
    "allow",
    "WebSocketHandler",
    "Webhook",
    "Callback",
    "MessageReceipt",
    "StepReceipt",
    "RunSummary",
    "BulkReport",
    # events
    "Event",
    "WorkflowEvent",
    "WorkflowRunOutputEvent",
    "WorkflowRunEvent",
    "RunEvent",
    "TeamRunEvent",
    "CustomEvent",
    "UnknownEvent",
    "ExecutorEvent",
    "WorkflowStartedEvent",
    "WorkflowCompletedEvent",
    "WorkflowPausedEvent",
    "WorkflowResumedEvent",
    "WorkflowCompensatingEvent",
    "WorkflowCancelledEvent",
    "WorkflowErrorEvent",
    "WorkflowAgentStartedEvent",
    "WorkflowAgentCompletedEvent",
    "SessionStateConflictEvent",
    "StepStartedEvent",
    "StepSteeredEvent",
    "StepContentEvent",
    "StepProgressEvent",
    "StepRetryEvent",
    "StepCompletedEvent",
    "StepOutputEvent",
    "StepErrorEvent",
    "StepCompensatedEvent",
    "StepCompensationFailedEvent",
    "StepPausedEvent",
    "StepContinuedEvent",
    "StepQuestionWithdrawnEvent",
    "StepOutputReviewEvent",
    "StepExecutorPausedEvent",
    "StepExecutorContinuedEvent",
    "StepsExecutionStartedEvent",
    "StepsExecutionCompletedEvent",
    "ParallelExecutionStartedEvent",
    "ParallelExecutionCompletedEvent",
    "MapExecutionStartedEvent",
    "MapExecutionCompletedEvent",
    "LoopExecutionStartedEvent",
    "LoopIterationStartedEvent",
    "LoopIterationCompletedEvent",
    "LoopExecutionCompletedEvent",
    "ConditionExecutionStartedEvent",
    "ConditionExecutionCompletedEvent",
    "RouterExecutionStartedEvent",
    "RouterExecutionCompletedEvent",
    "RouterPausedEvent",
    # errors
    "WorkflowRuntimeError",
    "BrokerError",
    "Budget",
    "BudgetExceeded",
    "BuildError",
    "InputError",
    "EngineError",
    "ErrorHandlerFailed",
    "RunExists",
    "RunNotFound",
    "RunNotPaused",
    "RunPutAside",
    "RunCancelledError",
    "AlreadyAnswered",
    "AnswerRejected",
    "QuestionWithdrawn",
    "PlanChanged",
    "StepChanged",
    "StepNotFound",
    "StepNotRunning",
    "StepTimeoutError",
    "RetryAfter",
    "NeverRetry",
    "SessionNotFound",
    "SessionOwnerError",
    "SessionBusy",
    "QueueFull",
    "StorageError",
    "Unanswered",
    "RunEnded",
    "NotAwaited",
    "MessageConflict",
    "MessageRefused",
    "MessageTimeout",
    "CallbackNotFound",
    "CallbackExpired",
    "ConcurrentWrite",
    "DuplicateRun",
    "Fenced",
    "AnswersArrived",
    "CancelRequested",
    "UnreadableError",
    "UnserializableError",
]

# Where each name is loaded from when it is first asked for; a test holds the three lists of this module together.
_HOMES = {
    name: module
    for module, names in {
        "core.outline": "Outline",
        "engine.bus.buffer": "ReaderTooSlow",
        "engine.run.context": "RunContext",
        "engine.start.fork": "HistoryEntry",
        "engine.start.runtime": "Runtime RuntimeReport",
        "engine.readers.stream": "RunStream",
        "engine.readers.subscription": "Subscription",
        "engine.readers.sync_stream": "SyncRunStream",
        "engine.readers.websocket": "WebSocketHandler",
        "model.callback": "Callback MessageReceipt",
        "model.classes": "allow",
        "model.compensation": "Compensation CompensationResult",
        "model.enums": "OnError OnReject OnTimeout RunEvent RunStatus StepType TeamRunEvent WorkflowRunEvent",
        "model.errors": """
            AlreadyAnswered AnswerRejected AnswersArrived BrokerError BudgetExceeded BuildError CallbackExpired
            CallbackNotFound CancelRequested ConcurrentWrite DuplicateRun EngineError ErrorHandlerFailed Fenced InputError
            MessageConflict
            MessageRefused MessageTimeout NeverRetry NotAwaited PlanChanged QuestionWithdrawn QueueFull RetryAfter
            RunCancelledError RunEnded RunExists RunNotFound RunNotPaused RunPutAside SessionBusy SessionNotFound
            SessionOwnerError StepChanged StepNotFound StepNotRunning StepTimeoutError StorageError Unanswered
            UnreadableError UnserializableError WorkflowRuntimeError
        """,
        "model.events": """
            ConditionExecutionCompletedEvent ConditionExecutionStartedEvent CustomEvent Event
            LoopExecutionCompletedEvent LoopExecutionStartedEvent LoopIterationCompletedEvent
            LoopIterationStartedEvent MapExecutionCompletedEvent MapExecutionStartedEvent
            ParallelExecutionCompletedEvent ParallelExecutionStartedEvent RouterExecutionCompletedEvent
            RouterExecutionStartedEvent RouterPausedEvent SessionStateConflictEvent StepCompensatedEvent
            StepCompensationFailedEvent StepCompletedEvent
            StepContentEvent StepContinuedEvent StepErrorEvent StepExecutorContinuedEvent StepExecutorPausedEvent
            StepOutputEvent StepOutputReviewEvent StepPausedEvent StepProgressEvent StepQuestionWithdrawnEvent
            StepRetryEvent
            StepsExecutionCompletedEvent StepsExecutionStartedEvent StepStartedEvent StepSteeredEvent UnknownEvent
            WorkflowAgentCompletedEvent WorkflowAgentStartedEvent WorkflowCancelledEvent WorkflowCompensatingEvent
            WorkflowCompletedEvent
            WorkflowErrorEvent WorkflowEvent WorkflowPausedEvent WorkflowResumedEvent WorkflowRunOutputEvent
            WorkflowStartedEvent
        """,
        "model.executor_events": "ExecutorEvent",
        "model.limit": "Limit QueuedRun",
        "model.media": "Audio File Image Video",
        "model.budget": "Budget",
        "model.message": "Message",
        "model.metrics": "RunMetrics SessionMetrics StepMetrics WorkflowMetrics",
        "model.retention": "Retention",
        "model.retry": "Retry",
        "model.schedule": "Schedule",
        "model.fields": "UserInputField",
        "model.requirements": "ErrorRequirement StepRequirement requirement_from_dict",
        "model.review": "HumanReview pause",
        "model.run": "WorkflowRunOutput",
        "model.run_summary": "RunSummary",
        "verbs.listing": "BulkReport",
        "model.unreadable": "Unreadable",
        "model.session": "WorkflowChatInteraction WorkflowSession",
        "model.steering": "StepReceipt",
        "model.step_io": "StepFailure StepInput StepOutput WorkflowExecutionInput",
        "steps.condition": "Condition",
        "steps.kinds": "Kind register_kind",
        "steps.loop": "Loop",
        "steps.parallel": "Map Parallel",
        "steps.router": "Router",
        "steps.step": "Step",
        "steps.steps": "Steps",
        "storage.base": "BaseDb",
        "storage.memory": "InMemoryDb",
        "verbs.registry": "Registry",
        "model.webhook": "Webhook",
        "workflow": "Workflow",
    }.items()
    for name in names.split()
}

if not TYPE_CHECKING:  # to a type checker a module with __getattr__ has every name, also misspelt ones

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = globals()[name] = getattr(import_module(f".{_HOMES[name]}", __name__), name)
        return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
