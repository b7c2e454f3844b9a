"""The output of a run: ``run`` returns it, the database keeps it, ``continue_run`` takes it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from .compensation import CompensationResult
from .enums import RunStatus
from .media import Audio, File, Image, Video
from .metrics import WorkflowMetrics
from .requirements import ErrorRequirement, StepRequirement
from .step_io import StepOutput
from .text import as_text, shown

__all__ = ["WorkflowRunOutput"]

_PRIVATE = ("journal",)
_APART = (*_PRIVATE, "events")


class WorkflowRunOutput(msgspec.Struct, kw_only=True, omit_defaults=True, weakref=True):
    """The output of a run. Times are unix seconds; ``last_seq`` is the number of its newest event.

    ``step_results`` holds the outputs of the top-level steps in execution order; ``events`` only with ``store_events``.
    ``failed_steps``, of a failed run: the steps that made it fail, each with its ``path`` and ``error``; several if several
    branches failed. ``compensations`` are the steps whose effects were undone, or should have been, in that order.
    """

    run_id: str | None = None
    session_id: str | None = None
    user_id: str | None = None
    workflow_id: str | None = None
    workflow_name: str | None = None
    status: RunStatus = RunStatus.pending
    input: Any = None
    content: Any = None
    content_type: str = "str"
    step_results: list[StepOutput] = msgspec.field(default_factory=list)
    step_executor_runs: list[Any] | None = None
    workflow_agent_run: Any = None
    session_state: dict[str, Any] | None = None
    images: list[Image] | None = None
    videos: list[Video] | None = None
    audio: list[Audio] | None = None
    files: list[File] | None = None
    response_audio: Any = None
    additional_data: dict[str, Any] | None = None
    dependencies: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
    tags: list[str] | None = None
    metrics: WorkflowMetrics | None = None
    events: list[Any] | None = None  # of Event; Any, since a CustomEvent is not a struct
    error: str | None = None
    error_type: str | None = None
    failed_steps: list[StepOutput] | None = None
    compensations: list[CompensationResult] | None = None
    parent_run_id: str | None = None
    workflow_step_id: str | None = None
    step_requirements: list[StepRequirement] | None = None
    error_requirements: list[ErrorRequirement] | None = None
    paused_step_index: int | tuple[int, ...] | None = None
    paused_step_name: str | None = None
    pause_kind: str | None = None
    created_at: int = 0
    updated_at: int = 0
    epoch: int = 1
    last_seq: int = 0
    journal: Any = None

    def __repr__(self) -> str:
        return f"WorkflowRunOutput(run_id={self.run_id!r}, status={self.status.value}, content={self.content!r})"

    def _repr_html_(self) -> str:
        """The HTML for a notebook."""
        from ..console.tables import run_table  # upwards, and only when a notebook asks

        return run_table(self)

    @property
    def is_paused(self) -> bool:
        return self.status == RunStatus.paused

    @property
    def is_cancelled(self) -> bool:
        return self.status == RunStatus.cancelled

    def has_completed(self) -> bool:
        """True if the run ended by itself, with or without success."""
        return self.status in (RunStatus.completed, RunStatus.error)

    def get_content_as_string(self) -> str:
        """The content as text, JSON for models, dicts and lists; "" if there is none."""
        return as_text(self.content) or ""

    @property
    def not_undone(self) -> list[CompensationResult]:
        """The steps whose effects should have been undone and were not: their compensation failed."""
        return [item for item in self.compensations or () if not item.is_undone]

    # -- open questions -----------------------------------------------------------------------------------------------

    @property
    def active_step_requirements(self) -> list[StepRequirement]:
        """The unanswered questions, in the order in which they were asked."""
        return [item for item in self.step_requirements or () if item.is_open]

    @property
    def active_error_requirements(self) -> list[ErrorRequirement]:
        return [item for item in self.error_requirements or () if item.is_open]

    @property
    def steps_requiring_confirmation(self) -> list[StepRequirement]:
        return [item for item in self.active_step_requirements if item.needs_confirmation]

    @property
    def steps_requiring_output_review(self) -> list[StepRequirement]:
        return [item for item in self.active_step_requirements if item.needs_output_review]

    @property
    def steps_requiring_user_input(self) -> list[StepRequirement]:
        return [item for item in self.active_step_requirements if item.needs_user_input]

    @property
    def steps_requiring_route(self) -> list[StepRequirement]:
        return [item for item in self.active_step_requirements if item.needs_route_selection]

    @property
    def steps_requiring_executor_resolution(self) -> list[StepRequirement]:
        return [item for item in self.active_step_requirements if item.needs_executor_resolution]

    @property
    def steps_with_errors(self) -> list[ErrorRequirement]:
        return [item for item in self.active_error_requirements if item.needs_decision]

    # -- dictionaries -------------------------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """The set fields as JSON-able builtins; events and step outputs included."""
        data: dict[str, Any] = {}
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if name in _PRIVATE or value is None or (type(value) is list and not value):
                continue
            if name in ("events", "step_results", "step_requirements", "error_requirements"):
                data[name] = [item.to_dict() for item in value]
            else:
                data[name] = shown(value)
        return data

    @classmethod
    def from_dict(cls, data: dict[str, Any], types: Iterable[type] | None = None) -> WorkflowRunOutput:
        """The output that ``to_dict`` described. Its values are plain JSON; with ``types`` (which may be empty) tagged ones
        become builtin types, and instances of those classes.

        Raises:
            ValueError: It does not fit.
        """
        from .foreign import converted, event_from_dict

        if not isinstance(data, Mapping):
            raise ValueError(f"a run is read from a mapping of its fields, got {type(data).__name__}")
        known = {key: value for key, value in data.items() if key in cls.__struct_fields__ and key not in _APART}
        output = converted(known, cls, types)
        if data.get("events"):
            if not isinstance(data["events"], list):
                raise ValueError("the events of a run are a list")
            output.events = [event_from_dict(item, types) for item in data["events"]]
        return output
