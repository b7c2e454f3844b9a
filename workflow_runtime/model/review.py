"""What a person is asked and what they answer: configuration (HumanReview) and the open questions (requirements)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec

from .enums import OnError, OnReject, OnTimeout
from .step_io import StepInput, StepOutput
from .text import builtins

__all__ = ["ErrorRequirement", "HumanReview", "StepRequirement", "UserInputField", "pause"]

_F = TypeVar("_F", bound=Callable[..., Any])

_PY_TYPES: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "list": (list, tuple),
    "dict": (dict,),
}


class UserInputField(msgspec.Struct, omit_defaults=True):
    """One value that a person fills in. ``field_type`` is one of str, int, float, bool, list, dict."""

    name: str
    field_type: str = "str"
    description: str | None = None
    value: Any = None
    required: bool = True
    allowed_values: list[Any] | None = None

    def problem(self, value: Any) -> str | None:
        """Why ``value`` does not fit this field, as one sentence; None if it fits."""
        if value is None or value == "":
            return f"Required field '{self.name}' is missing or empty" if self.required else None
        expected = _PY_TYPES.get(self.field_type)
        wrong = expected is not None and not isinstance(value, expected)
        if wrong or (self.field_type in ("int", "float") and isinstance(value, bool)):
            return f"Field '{self.name}' expected {self.field_type}, got {type(value).__name__}"
        if self.allowed_values is not None and value not in self.allowed_values:
            return f"Field '{self.name}' value {value!r} is not in allowed values: {self.allowed_values}"
        return None

    def json_schema(self) -> dict[str, Any]:
        names = {"str": "string", "int": "integer", "float": "number", "bool": "boolean", "list": "array"}
        schema: dict[str, Any] = {"type": names.get(self.field_type, "object")}
        if self.description:
            schema["description"] = self.description
        if self.allowed_values is not None:
            schema["enum"] = list(self.allowed_values)
        if self.value is not None:
            schema["default"] = self.value
        return schema


class HumanReview(msgspec.Struct, omit_defaults=True):
    """Where a person is asked about a node. ``timeout`` is seconds; ``max_retries`` bounds reject-with-retry rounds."""

    requires_confirmation: bool = False
    confirmation_message: str | None = None
    requires_user_input: bool = False
    user_input_message: str | None = None
    user_input_schema: Any = None
    requires_output_review: bool | Callable[[StepOutput], Any] = False
    output_review_message: str | None = None
    requires_iteration_review: bool = False
    iteration_review_message: str | None = None
    on_reject: str = OnReject.skip.value
    on_error: str | None = None
    max_retries: int = 3
    timeout: float | None = None
    on_timeout: str = OnTimeout.cancel.value

    def __post_init__(self) -> None:
        self.on_reject = OnReject(self.on_reject).value
        self.on_timeout = OnTimeout(self.on_timeout).value
        if self.on_error is not None:
            self.on_error = OnError(self.on_error).value
        if self.requires_output_review and self.requires_iteration_review:
            raise ValueError(
                "requires_output_review and requires_iteration_review cannot be used together: "
                "a loop reviews its iterations, a step its output"
            )

    @property
    def asked(self) -> list[str]:
        """The names of the guards that are switched on."""
        flags = (
            "requires_confirmation",
            "requires_user_input",
            "requires_output_review",
            "requires_iteration_review",
        )
        return [flag for flag in flags if getattr(self, flag)]


def pause(
    name: str | None = None,
    requires_confirmation: bool = False,
    confirmation_message: str | None = None,
    requires_user_input: bool = False,
    user_input_message: str | None = None,
    user_input_schema: Any = None,
) -> Callable[[_F], _F]:
    """Ask a person before the decorated function runs as a step. Arguments given to the Step itself win."""
    found = {
        "name": name,
        "requires_confirmation": requires_confirmation,
        "confirmation_message": confirmation_message,
        "requires_user_input": requires_user_input,
        "user_input_message": user_input_message,
        "user_input_schema": user_input_schema,
    }

    def mark(function: _F) -> _F:
        function.__workflow_pause__ = {key: value for key, value in found.items() if value}  # type: ignore[attr-defined]  # a mark, read by Step
        return function

    return mark


class StepRequirement(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One open question of a paused run. Answer it with a method, then hand it to ``continue_run``.

    ``id`` is stable for the run; ``path`` is the node that waits; ``kind`` is what is asked: confirmation, user_input,
    route, output_review, iteration_review, executor or ask.
    """

    id: str = ""
    path: str = ""
    kind: str = "confirmation"
    step_id: str | None = None
    step_name: str | None = None
    step_index: Any = None
    step_type: str | None = None
    requires_confirmation: bool = False
    confirmation_message: str | None = None
    confirmed: bool | None = None
    on_reject: str = OnReject.skip.value
    requires_user_input: bool = False
    user_input_message: str | None = None
    user_input_schema: list[UserInputField] | None = None
    user_input: dict[str, Any] | None = None
    input_json_schema: dict[str, Any] | None = None
    requires_route_selection: bool = False
    available_choices: list[str] | None = None
    allow_multiple_selections: bool = False
    selected_choices: list[str] | None = None
    step_input: StepInput | None = None
    requires_executor_input: bool = False
    executor_requirements: list[dict[str, Any]] | None = None
    executor_id: str | None = None
    executor_name: str | None = None
    executor_run_id: str | None = None
    executor_type: str | None = None
    executor_session_id: str | None = None
    requires_output_review: bool = False
    output_review_message: str | None = None
    step_output: StepOutput | None = None
    is_post_execution: bool = False
    rejection_feedback: str | None = None
    edited_output: Any = None
    is_edited: bool = False
    retry_count: int = 0
    max_retries: int = 3
    timeout_at: datetime | None = None
    on_timeout: str = OnTimeout.cancel.value
    created_at: float | None = None
    answered_at: float | None = None

    def confirm(self) -> None:
        """Say yes."""
        self.confirmed = True

    def reject(self, feedback: str | None = None) -> None:
        """Say no; ``feedback`` reaches the step if it is tried again."""
        self.confirmed = False
        self.rejection_feedback = feedback

    def edit(self, new_output: Any) -> None:
        """Accept the step, with ``new_output`` in the place of its content."""
        self.confirmed = True
        self.edited_output = new_output
        self.is_edited = True

    def set_user_input(self, validate: bool = True, **values: Any) -> None:
        """Fill the form. Every wrong field is named in one ValueError, and then nothing has changed."""
        if validate:
            self.check_user_input(values)
        fields = {field.name: field for field in self.user_input_schema or ()}
        for name, value in values.items():
            if name in fields:
                fields[name].value = value
        defaults = {name: field.value for name, field in fields.items() if field.value is not None}
        self.user_input = {**defaults, **(self.user_input or {}), **values}

    def check_user_input(self, values: dict[str, Any]) -> None:
        """Raise ValueError with a line per field that is missing or wrong."""
        known = {**(self.user_input or {}), **values}
        problems = [
            problem
            for field in self.user_input_schema or ()
            if (problem := field.problem(known.get(field.name, field.value))) is not None
        ]
        if problems:
            raise ValueError("User input validation failed:\n" + "\n".join(f"  - {line}" for line in problems))

    def get_user_input(self, name: str, default: Any = None) -> Any:
        return (self.user_input or {}).get(name, default)

    def select(self, *names: str) -> None:
        """Choose routes by name; an unknown one, or a second where one is asked for, is a ValueError."""
        offered = self.available_choices or []
        unknown = [name for name in names if name not in offered]
        if unknown:
            raise ValueError(f"Step '{self.step_name}' does not offer {unknown}; choices: {offered}")
        if len(names) > 1 and not self.allow_multiple_selections:
            raise ValueError(f"Step '{self.step_name}' takes one choice; got {list(names)}")
        self.selected_choices = list(names)

    def select_single(self, name: str) -> None:
        self.select(name)

    def select_multiple(self, names: list[str]) -> None:
        if not self.allow_multiple_selections:
            raise ValueError(f"Step '{self.step_name}' does not allow multiple selections")
        self.select(*names)

    @property
    def needs_confirmation(self) -> bool:
        return self.requires_confirmation and self.confirmed is None

    @property
    def needs_output_review(self) -> bool:
        return self.requires_output_review and self.confirmed is None

    @property
    def needs_user_input(self) -> bool:
        if not self.requires_user_input or self.user_input is not None:
            return False
        return self.confirmed is not False

    @property
    def needs_route_selection(self) -> bool:
        return self.requires_route_selection and not self.selected_choices and self.confirmed is not False

    @property
    def needs_executor_resolution(self) -> bool:
        if not self.requires_executor_input:
            return False
        return any(not _executor_answered(item) for item in self.executor_requirements or ())

    @property
    def is_resolved(self) -> bool:
        """True when everything that is asked here has an answer."""
        return not (
            self.needs_confirmation
            or self.needs_output_review
            or self.needs_user_input
            or self.needs_route_selection
            or self.needs_executor_resolution
        )

    @property
    def is_timed_out(self) -> bool:
        """True when the deadline has passed by this machine's clock."""
        return self.timeout_at is not None and datetime.now(UTC) >= self.timeout_at

    def to_dict(self) -> dict[str, Any]:
        data: dict[str, Any] = builtins(self)
        return data

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> StepRequirement:
        known = {key: value for key, value in data.items() if key in cls.__struct_fields__}
        requirement = msgspec.convert(known, cls)
        if requirement.user_input:
            requirement.check_user_input(requirement.user_input)
        return requirement


def _executor_answered(item: dict[str, Any]) -> bool:
    return any(
        item.get(key) is not None
        for key in ("confirmation", "external_execution_result", "user_feedback", "user_input")
    )


class ErrorRequirement(msgspec.Struct, kw_only=True, omit_defaults=True, tag_field="kind", tag="error"):
    """A step failed and a person decides: ``retry()`` or ``skip()``. Its ``kind`` is always written: it tells the two
    requirements apart."""

    id: str = ""
    path: str = ""
    step_id: str | None = None
    step_name: str | None = None
    step_index: Any = None
    error_message: str | None = None
    error_type: str | None = None
    retry_count: int = 0
    decision: str | None = None
    timeout_at: datetime | None = None
    on_timeout: str = OnTimeout.cancel.value
    created_at: float | None = None
    answered_at: float | None = None

    @property
    def kind(self) -> str:
        return "error"

    def retry(self) -> None:
        self.decision = "retry"

    def skip(self) -> None:
        self.decision = "skip"

    @property
    def needs_decision(self) -> bool:
        return self.decision is None

    @property
    def is_resolved(self) -> bool:
        return self.decision is not None

    @property
    def should_retry(self) -> bool:
        return self.decision == "retry"

    @property
    def should_skip(self) -> bool:
        return self.decision == "skip"

    def to_dict(self) -> dict[str, Any]:
        data: dict[str, Any] = builtins(self)
        return data

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> ErrorRequirement:
        return msgspec.convert({k: v for k, v in data.items() if k in cls.__struct_fields__}, cls)
