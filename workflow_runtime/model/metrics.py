"""Counters of a run and of a session. All durations are seconds; all token counts are plain sums."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import msgspec

__all__ = ["COUNTERS", "RunMetrics", "SessionMetrics", "StepMetrics", "WorkflowMetrics"]

COUNTERS = (
    "input_tokens",
    "output_tokens",
    "total_tokens",
    "audio_input_tokens",
    "audio_output_tokens",
    "audio_total_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
)


class RunMetrics(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The usage of one executor run. A total that is not given is the sum of its parts."""

    input_tokens: int = 0
    output_tokens: int = 0
    total_tokens: int = 0
    audio_input_tokens: int = 0
    audio_output_tokens: int = 0
    audio_total_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    cost: float | None = None
    duration: float | None = None
    time_to_first_token: float | None = None
    details: dict[str, Any] | None = None
    additional_metrics: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        self.total_tokens = self.total_tokens or self.input_tokens + self.output_tokens
        self.audio_total_tokens = self.audio_total_tokens or self.audio_input_tokens + self.audio_output_tokens

    def __add__(self, other: RunMetrics) -> RunMetrics:
        total = RunMetrics(**{name: getattr(self, name) + getattr(other, name) for name in COUNTERS})
        total.cost = _sum(self.cost, other.cost)
        total.duration = _sum(self.duration, other.duration)
        return total

    @classmethod
    def of(cls, value: Any) -> RunMetrics | None:
        """The metrics in ``value`` (a RunMetrics, a mapping, or any object with such attributes); None if there are none."""
        if value is None or isinstance(value, cls):
            return value
        read = value.get if isinstance(value, dict) else lambda name, default=None: getattr(value, name, default)
        found = {name: read(name, None) for name in cls.__struct_fields__}
        return cls(**{name: item for name, item in found.items() if item is not None})

    def to_dict(self) -> dict[str, Any]:
        data: dict[str, Any] = msgspec.to_builtins(self)
        return data


class SessionMetrics(RunMetrics, kw_only=True, omit_defaults=True):
    """The same counters, summed over the runs of a session, with how many runs there were."""

    runs: int = 0


class StepMetrics(msgspec.Struct, kw_only=True, omit_defaults=True):
    step_name: str
    executor_type: str | None = None
    executor_name: str | None = None
    metrics: RunMetrics | None = None

    def to_dict(self) -> dict[str, Any]:
        """Every field."""
        data = {name: getattr(self, name) for name in ("step_name", "executor_type", "executor_name")}
        return {**data, "metrics": self.metrics.to_dict() if self.metrics is not None else None}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The metrics that ``to_dict`` described."""
        return msgspec.convert(dict(data), cls)


class WorkflowMetrics(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Metrics of each step that reported some, by name (a repeated step's are summed), and the run's duration in seconds."""

    steps: dict[str, StepMetrics] = msgspec.field(default_factory=dict)
    duration: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Every field."""
        return {"steps": {name: step.to_dict() for name, step in self.steps.items()}, "duration": self.duration}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The metrics that ``to_dict`` described."""
        return msgspec.convert(dict(data), cls)

    def total(self) -> RunMetrics:
        """The sum over all steps; ``duration`` is the run's."""
        total = RunMetrics()
        for step in self.steps.values():
            if step.metrics is not None:
                total = total + step.metrics
        total.duration = self.duration
        return total


def _sum(a: float | None, b: float | None) -> float | None:
    return None if a is None and b is None else (a or 0.0) + (b or 0.0)
