"""Every event a workflow publishes, as frozen typed structs. (D3)

``seq`` numbers the events of a run from 1 without a gap; ``epoch`` is the attempt of the run that published it (1, and
one more per take-over); ``path`` is the node's stable place in the plan; ``created_at`` is unix seconds.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Self, TypeAlias

import msgspec

from .media import Audio, Image, Video
from .metrics import WorkflowMetrics
from .requirements import ErrorRequirement, StepRequirement
from .step_io import StepOutput
from .text import shown

__all__ = [
    "ConditionExecutionCompletedEvent",
    "ConditionExecutionStartedEvent",
    "CustomEvent",
    "Event",
    "LoopExecutionCompletedEvent",
    "LoopExecutionStartedEvent",
    "LoopIterationCompletedEvent",
    "LoopIterationStartedEvent",
    "MapExecutionCompletedEvent",
    "MapExecutionStartedEvent",
    "ParallelExecutionCompletedEvent",
    "ParallelExecutionStartedEvent",
    "RouterExecutionCompletedEvent",
    "RouterExecutionStartedEvent",
    "RouterPausedEvent",
    "SessionStateConflictEvent",
    "StepCompletedEvent",
    "StepContentEvent",
    "StepContinuedEvent",
    "StepQuestionWithdrawnEvent",
    "StepErrorEvent",
    "StepExecutorContinuedEvent",
    "StepExecutorPausedEvent",
    "StepOutputEvent",
    "StepOutputReviewEvent",
    "StepPausedEvent",
    "StepProgressEvent",
    "StepRetryEvent",
    "StepStartedEvent",
    "StepSteeredEvent",
    "StepsExecutionCompletedEvent",
    "StepsExecutionStartedEvent",
    "UnknownEvent",
    "WorkflowAgentCompletedEvent",
    "WorkflowAgentStartedEvent",
    "WorkflowCancelledEvent",
    "WorkflowCompletedEvent",
    "WorkflowErrorEvent",
    "WorkflowEvent",
    "WorkflowPausedEvent",
    "WorkflowResumedEvent",
    "WorkflowRunOutputEvent",
    "WorkflowStartedEvent",
]


class WorkflowEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="event", tag=""):
    """The fields of all events."""

    seq: int = 0
    epoch: int = 1
    created_at: int = 0
    run_id: str | None = None
    session_id: str | None = None
    workflow_id: str | None = None
    workflow_name: str | None = None
    path: str = ""
    step_id: str | None = None
    parent_step_id: str | None = None
    nested_depth: int = 0

    @property
    def event(self) -> str:
        """The event's name, which also is its tag on the wire."""
        return str(self.__struct_config__.tag)

    @property
    def id(self) -> str:
        """The id on the wire: ``epoch-seq``."""
        return f"{self.epoch}-{self.seq}"

    @property
    def is_cancelled(self) -> bool:
        return isinstance(self, WorkflowCancelledEvent)

    @property
    def is_error(self) -> bool:
        return isinstance(self, WorkflowErrorEvent)

    @property
    def is_paused(self) -> bool:
        return isinstance(self, WorkflowPausedEvent)

    @property
    def status(self) -> str:
        """How the run ended if this is its end: "Error", "Cancelled", otherwise "Completed"."""
        return "Error" if self.is_error else "Cancelled" if self.is_cancelled else "Completed"

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Event:
        """The event that ``to_dict`` described, by the name in it, or of this class if it has none."""
        from .codec import event_from_dict

        return event_from_dict({"event": cls.__struct_config__.tag, **data})

    def to_dict(self) -> dict[str, Any]:
        """The set fields as JSON-able builtins, under the names of the wire."""
        data: dict[str, Any] = shown(self)
        return {key: value for key, value in data.items() if value is not None}

    def to_json(self, separators: tuple[str, str] | None = None, indent: int | None = None) -> str:
        """``to_dict`` as text: one line of JSON, unless ``indent`` is given."""
        return _json(self.to_dict(), separators, indent)


def _json(data: dict[str, Any], separators: tuple[str, str] | None, indent: int | None) -> str:
    if separators is None and indent is None:
        try:
            return msgspec.json.encode(data).decode()
        except UnicodeEncodeError:  # half of a character pair
            return json.dumps(data)
    return json.dumps(data, ensure_ascii=False, separators=separators, indent=indent)


class _StepEvent(WorkflowEvent, frozen=True, kw_only=True, omit_defaults=True):
    step_name: str | None = None
    step_index: int | tuple[int, ...] | None = None


# -- the run ----------------------------------------------------------------------------------------------------------


class WorkflowStartedEvent(WorkflowEvent, frozen=True, kw_only=True, omit_defaults=True, tag="WorkflowStarted"):
    pass


class WorkflowResumedEvent(WorkflowEvent, frozen=True, kw_only=True, omit_defaults=True, tag="WorkflowResumed"):
    """Another process took the run over as attempt ``attempt``, after the last event that was stored, ``after_seq``. Events
    that a reader had seen beyond that are superseded; steps that had not ended start again."""

    attempt: int = 1
    after_seq: int = 0


class WorkflowCompletedEvent(WorkflowEvent, frozen=True, kw_only=True, omit_defaults=True, tag="WorkflowCompleted"):
    content: Any = None
    content_type: str = "str"
    step_results: list[StepOutput] | None = None
    step_executor_runs: list[Any] | None = None
    metadata: dict[str, Any] | None = None
    metrics: WorkflowMetrics | None = None


class WorkflowPausedEvent(WorkflowEvent, frozen=True, kw_only=True, omit_defaults=True, tag="WorkflowPaused"):
    """The run waits for people. The requirements are the open ones; ``step_results`` are the outputs that were finished
    since the run began or was last continued (the run's output has all of both)."""

    status: str = "PAUSED"  # pyright: ignore[reportIncompatibleMethodOverride]  # a stored field here
    paused_step_index: int | tuple[int, ...] | None = None
    paused_step_name: str | None = None
    pause_kind: str | None = None
    step_requirements: list[StepRequirement] | None = None
    error_requirements: list[ErrorRequirement] | None = None
    step_results: list[StepOutput] | None = None
    content: Any = None
    metadata: dict[str, Any] | None = None


class WorkflowCancelledEvent(WorkflowEvent, frozen=True, kw_only=True, omit_defaults=True, tag="WorkflowCancelled"):
    reason: str | None = None
    content: Any = None


class WorkflowErrorEvent(WorkflowEvent, frozen=True, kw_only=True, omit_defaults=True, tag="WorkflowError"):
    error: str | None = None
    error_type: str | None = None
    error_id: str | None = None
    additional_data: dict[str, Any] | None = None


class WorkflowAgentStartedEvent(
    WorkflowEvent, frozen=True, kw_only=True, omit_defaults=True, tag="WorkflowAgentStarted"
):
    pass


class WorkflowAgentCompletedEvent(
    WorkflowEvent, frozen=True, kw_only=True, omit_defaults=True, tag="WorkflowAgentCompleted"
):
    content: Any = None


class SessionStateConflictEvent(
    WorkflowEvent, frozen=True, kw_only=True, omit_defaults=True, tag="SessionStateConflict"
):
    """Two runs, or two branches of one run, changed the same key of the session state: ``theirs`` was stored first,
    ``ours`` is stored now. ``our_path`` and ``their_path`` are the paths of the steps, if both are of this run."""

    key: str = ""
    ours: Any = None
    theirs: Any = None
    our_path: str = ""
    their_path: str = ""


# -- a step -----------------------------------------------------------------------------------------------------------


class StepStartedEvent(_StepEvent, frozen=True, kw_only=True, omit_defaults=True, tag="StepStarted"):
    pass


class StepContentEvent(_StepEvent, frozen=True, kw_only=True, omit_defaults=True, tag="StepContent"):
    """One chunk that a generator yielded; ``attempt`` is the step's.

    A stored one, and one for a slow reader, may cover several chunks of text: those from ``seq`` to ``last_seq``, each of
    ``lengths`` characters. For a slow reader of parallel branches whose run keeps no log, numbers of other events may be
    between them; then ``seqs`` lists its own. ``id`` is that of its last chunk: a position to continue from.
    """

    delta: Any = None
    attempt: int = 1
    last_seq: int | None = None
    lengths: list[int] | None = None
    seqs: list[int] | None = None

    @property
    def id(self) -> str:
        return f"{self.epoch}-{self.last_seq or self.seq}"

    @property
    def content(self) -> Any:
        return self.delta


class StepProgressEvent(_StepEvent, frozen=True, kw_only=True, omit_defaults=True, tag="StepProgress"):
    done: float = 0
    total: float | None = None
    text: str | None = None


class StepRetryEvent(_StepEvent, frozen=True, kw_only=True, omit_defaults=True, tag="StepRetry"):
    """Attempt ``attempt`` failed after ``seconds`` and another follows in ``delay`` seconds. ``discards_deltas``: retract
    its text."""

    attempt: int = 1
    error: str | None = None
    error_type: str | None = None
    seconds: float = 0.0
    delay: float = 0.0
    discards_deltas: bool = False


class StepCompletedEvent(_StepEvent, frozen=True, kw_only=True, omit_defaults=True, tag="StepCompleted"):
    content: Any = None
    content_type: str = "str"
    images: list[Image] | None = None
    videos: list[Video] | None = None
    audio: list[Audio] | None = None
    step_response: StepOutput | None = None


class StepOutputEvent(_StepEvent, frozen=True, kw_only=True, omit_defaults=True, tag="StepOutput"):
    step_output: StepOutput | None = None

    @property
    def content(self) -> Any:
        return self.step_output.content if self.step_output else None

    @property
    def images(self) -> list[Image] | None:
        return self.step_output.images if self.step_output else None

    @property
    def videos(self) -> list[Video] | None:
        return self.step_output.videos if self.step_output else None

    @property
    def audio(self) -> list[Audio] | None:
        return self.step_output.audio if self.step_output else None

    @property
    def success(self) -> bool:
        return self.step_output.success if self.step_output else True

    @property
    def error(self) -> str | None:
        return self.step_output.error if self.step_output else None

    @property
    def stop(self) -> bool:
        return self.step_output.stop if self.step_output else False


class StepErrorEvent(_StepEvent, frozen=True, kw_only=True, omit_defaults=True, tag="StepError"):
    """The step failed for good; then its policy applies: the run fails, the step is skipped, or a person decides."""

    error: str | None = None
    error_type: str | None = None
    attempt: int = 1


class StepPausedEvent(_StepEvent, frozen=True, kw_only=True, omit_defaults=True, tag="StepPaused"):
    requirement_id: str | None = None
    requires_confirmation: bool = False
    confirmation_message: str | None = None
    requires_user_input: bool = False
    user_input_message: str | None = None
    user_input_schema: list[dict[str, Any]] | None = None


class RouterPausedEvent(_StepEvent, frozen=True, kw_only=True, omit_defaults=True, tag="RouterPaused"):
    requirement_id: str | None = None
    available_choices: list[str] | None = None
    user_input_message: str | None = None
    allow_multiple_selections: bool = False


class StepContinuedEvent(_StepEvent, frozen=True, kw_only=True, omit_defaults=True, tag="StepContinued"):
    requirement_id: str | None = None


class StepQuestionWithdrawnEvent(
    _StepEvent, frozen=True, kw_only=True, omit_defaults=True, tag="StepQuestionWithdrawn"
):
    """The question needs no answer any more, because its branch was abandoned."""

    requirement_id: str | None = None


class StepSteeredEvent(_StepEvent, frozen=True, kw_only=True, omit_defaults=True, tag="StepSteered"):
    """Somebody cancelled, skipped or retried this step alone (``action``). A cancelled or skipped step has ended, and its
    completion follows if it had started; of a retried one ``StepRetry`` follows. ``order_id`` is the ``message_id`` of the
    receipt."""

    action: str = ""
    reason: str | None = None
    order_id: str | None = None


class StepOutputReviewEvent(_StepEvent, frozen=True, kw_only=True, omit_defaults=True, tag="StepOutputReview"):
    requirement_id: str | None = None
    output_review_message: str | None = None
    requires_output_review: bool = True


class _ExecutorPauseEvent(_StepEvent, frozen=True, kw_only=True, omit_defaults=True):
    requirement_id: str | None = None
    executor_id: str | None = None
    executor_name: str | None = None
    executor_run_id: str | None = None
    executor_type: str | None = None


class StepExecutorPausedEvent(
    _ExecutorPauseEvent, frozen=True, kw_only=True, omit_defaults=True, tag="StepExecutorPaused"
):
    executor_requirements: list[dict[str, Any]] | None = None


class StepExecutorContinuedEvent(
    _ExecutorPauseEvent, frozen=True, kw_only=True, omit_defaults=True, tag="StepExecutorContinued"
):
    pass


# -- containers -------------------------------------------------------------------------------------------------------


class LoopExecutionStartedEvent(_StepEvent, frozen=True, kw_only=True, omit_defaults=True, tag="LoopExecutionStarted"):
    max_iterations: int | None = None


class LoopIterationStartedEvent(_StepEvent, frozen=True, kw_only=True, omit_defaults=True, tag="LoopIterationStarted"):
    """``iteration`` counts from 1."""

    iteration: int = 0
    max_iterations: int | None = None


class LoopIterationCompletedEvent(
    _StepEvent, frozen=True, kw_only=True, omit_defaults=True, tag="LoopIterationCompleted"
):
    iteration: int = 0
    max_iterations: int | None = None
    iteration_results: list[StepOutput] | None = None
    should_continue: bool = True


class LoopExecutionCompletedEvent(
    _StepEvent, frozen=True, kw_only=True, omit_defaults=True, tag="LoopExecutionCompleted"
):
    total_iterations: int = 0
    max_iterations: int | None = None
    all_results: list[list[StepOutput]] | None = None


class ParallelExecutionStartedEvent(
    _StepEvent, frozen=True, kw_only=True, omit_defaults=True, tag="ParallelExecutionStarted"
):
    parallel_step_count: int = 0


class ParallelExecutionCompletedEvent(
    _StepEvent, frozen=True, kw_only=True, omit_defaults=True, tag="ParallelExecutionCompleted"
):
    parallel_step_count: int = 0
    step_results: list[StepOutput] | None = None


class MapExecutionStartedEvent(_StepEvent, frozen=True, kw_only=True, omit_defaults=True, tag="MapExecutionStarted"):
    item_count: int = 0


class MapExecutionCompletedEvent(
    _StepEvent, frozen=True, kw_only=True, omit_defaults=True, tag="MapExecutionCompleted"
):
    item_count: int = 0
    step_results: list[StepOutput] | None = None


class ConditionExecutionStartedEvent(
    _StepEvent, frozen=True, kw_only=True, omit_defaults=True, tag="ConditionExecutionStarted"
):
    condition_result: bool | None = None


class ConditionExecutionCompletedEvent(
    _StepEvent, frozen=True, kw_only=True, omit_defaults=True, tag="ConditionExecutionCompleted"
):
    """``branch`` is "if", "else", or None when the condition was false and there is no else."""

    condition_result: bool | None = None
    executed_steps: int = 0
    branch: str | None = None
    step_results: list[StepOutput] | None = None


class RouterExecutionStartedEvent(
    _StepEvent, frozen=True, kw_only=True, omit_defaults=True, tag="RouterExecutionStarted"
):
    selected_steps: list[str] | None = None


class RouterExecutionCompletedEvent(
    _StepEvent, frozen=True, kw_only=True, omit_defaults=True, tag="RouterExecutionCompleted"
):
    selected_steps: list[str] | None = None
    executed_steps: int = 0
    step_results: list[StepOutput] | None = None


class StepsExecutionStartedEvent(
    _StepEvent, frozen=True, kw_only=True, omit_defaults=True, tag="StepsExecutionStarted"
):
    steps_count: int = 0


class StepsExecutionCompletedEvent(
    _StepEvent, frozen=True, kw_only=True, omit_defaults=True, tag="StepsExecutionCompleted"
):
    steps_count: int = 0
    executed_steps: int = 0
    step_results: list[StepOutput] | None = None


class UnknownEvent(WorkflowEvent, frozen=True, kw_only=True, omit_defaults=True, tag="UnknownEvent"):
    """An event of a newer version than this one: its name and its fields as they were stored."""

    name: str = ""
    data: dict[str, Any] | None = None

    @property
    def event(self) -> str:
        return self.name

    def to_dict(self) -> dict[str, Any]:
        """The fields as they were stored, under the event's own name."""
        data: dict[str, Any] = shown({**(self.data or {}), "event": self.name, "seq": self.seq})
        return data


class CustomEvent:
    """An event of the user's own: any keyword becomes an attribute.

    Subclass it for a type of your own, as a plain class or a ``@dataclass``; the bus fills in the common fields.
    """

    event: str = "CustomEvent"
    seq: int = 0
    epoch: int = 1
    created_at: int = 0
    run_id: str | None = None
    session_id: str | None = None
    workflow_id: str | None = None
    workflow_name: str | None = None
    path: str = ""
    step_id: str | None = None
    step_name: str | None = None
    step_index: int | tuple[int, ...] | None = None
    parent_step_id: str | None = None
    nested_depth: int = 0
    is_cancelled: bool = False
    is_error: bool = False
    is_paused: bool = False
    status: str = "Completed"

    def __init__(self, **fields: Any) -> None:
        self.__dict__.update(fields)

    @property
    def id(self) -> str:
        return f"{self.epoch}-{self.seq}"

    def fields(self) -> dict[str, Any]:
        """The fields that the user and the bus have set, by name."""
        return dict(self.__dict__)

    def to_dict(self) -> dict[str, Any]:
        data: dict[str, Any] = shown({"event": self.event, **self.__dict__})
        return {key: value for key, value in data.items() if value is not None}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The event that ``to_dict`` described."""
        event = cls.__new__(cls)
        event.__dict__.update({name: value for name, value in data.items() if name != "event" or value != cls.event})
        return event

    def to_json(self, separators: tuple[str, str] | None = None, indent: int | None = None) -> str:
        return _json(self.to_dict(), separators, indent)

    def __repr__(self) -> str:
        inner = ", ".join(f"{key}={value!r}" for key, value in self.__dict__.items())
        return f"{type(self).__name__}({inner})"


Event: TypeAlias = WorkflowEvent | CustomEvent
WorkflowRunOutputEvent: TypeAlias = WorkflowEvent | CustomEvent
