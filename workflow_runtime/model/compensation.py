"""How the effects of a completed step are undone when its run, or the part of the run that it is in, is abandoned."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from . import checks
from .errors import BuildError
from .keywords import Suggesting
from .retry import Retry

__all__ = ["Compensation", "CompensationResult"]


class Compensation(msgspec.Struct, metaclass=Suggesting, frozen=True):
    """A function that undoes the effects of a completed step, and how it is tried.

    ``function`` is a function or an async function. Its parameters are injected by name, as those of a step:
    ``step_output`` (also the only positional parameter, under any name), the StepOutput that the step completed with;
    ``run_context``, ``execution_input`` (the input of the run), ``session_state``, ``dependencies``, ``additional_data``,
    ``workflow``. What it returns is ignored. If it raises, it is tried again as ``retry`` says (None: one attempt).
    ``timeout`` bounds each attempt, in seconds.

    After a crash it may be called again for the same step: ``run_context.idempotency_key`` is then the same, and
    ``run_context.once`` gives the recorded value. It cannot wait: ``ask``, ``receive``, ``sleep`` and ``step`` of its
    ``run_context`` raise EngineError.
    """

    function: Callable[..., Any]
    retry: Retry | None = None
    timeout: float | None = None

    def __post_init__(self) -> None:
        if not callable(self.function):
            raise BuildError(f"Compensation: {self.function!r} is not a function")
        if self.retry is not None and not isinstance(self.retry, Retry):
            raise BuildError(f"Compensation: retry={self.retry!r} must be a Retry; write retry=Retry(attempts=...)")
        checks.seconds(self.timeout, "timeout", "Compensation: ")

    @classmethod
    def of(cls, value: Any, name: str, where: str) -> Compensation | None:
        """``value`` of the option ``name``: None, a function or a Compensation."""
        if value is None or isinstance(value, Compensation):
            return value
        if not callable(value):
            raise BuildError(f"{where}{name}={value!r} must be a function or a Compensation")
        return cls(value)


class CompensationResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What came of the compensation of the step at ``path``, after ``attempts`` attempts.

    ``error`` and ``error_type`` are of the last attempt if all failed: the effects of the step were not undone. ``attempts``
    is 0 where it was not called, and ``error`` says why. ``cut_off``: the step had begun and not completed, so its
    ``compensate_running`` was called.
    """

    path: str
    step_name: str = ""
    attempts: int = 1
    cut_off: bool = False
    error: str | None = None
    error_type: str | None = None

    @property
    def is_undone(self) -> bool:
        """Whether the effects of the step were undone."""
        return self.error is None
