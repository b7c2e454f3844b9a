"""The open questions of a paused run, and the answers put into them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar, Self, TypeVar

import msgspec

from . import answers
from .enums import OnReject, OnTimeout
from .fields import UserInputField
from .step_io import StepInput, StepOutput, handed_on
from .text import read_json, shown
from .unreadable import Unreadable

__all__ = ["ErrorRequirement", "StepRequirement", "UnreadableRequirement", "requirement_from_dict"]

_R = TypeVar("_R", bound="_Requirement")


class _Requirement(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The base of both kinds of requirement: their subject, their deadline, and their JSON form.

    Times are unix seconds. ``answered_at`` is when the answer was stored, ``used_at`` when a step first used it,
    ``withdrawn_at`` when its branch was abandoned, so that no answer is needed. ``timed_out``: the deadline passed, and
    ``on_timeout`` decided.
    """

    always: ClassVar[tuple[str, ...]] = ()
    id: str = ""
    path: str = ""
    step_id: str | None = None
    step_name: str | None = None
    step_index: Any = None
    timeout_at: datetime | None = None
    on_timeout: str = OnTimeout.cancel.value
    created_at: float | None = None
    answered_at: float | None = None
    used_at: float | None = None
    withdrawn_at: float | None = None
    timed_out: bool = False

    @property
    def run_id(self) -> str:
        """The run that asks; its id is the beginning of ``id``. Empty for a requirement that no run has opened."""
        head = self.id.rpartition("@")[0]
        return head[: -len(self.path) - 1] if head.endswith(f":{self.path}") else ""

    @property
    def is_open(self) -> bool:
        """True while the run waits for an answer: none is stored, and the question was not withdrawn."""
        return self.answered_at is None and self.withdrawn_at is None

    @property
    def is_timed_out(self) -> bool:
        """True when the deadline has passed by this machine's clock."""
        return self.timeout_at is not None and datetime.now(UTC) >= self.timeout_at

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON-able builtins, those of ``always`` even if they are not set; ``from_dict`` reads them back."""
        data: dict[str, Any] = shown({name: getattr(self, name) for name in self.always})
        data |= shown(self)
        for name in ("step_input", "step_output"):
            if data.get(name) is not None:
                data[name] = getattr(self, name).to_dict()
        if self.timeout_at is not None:
            data["timeout_at"] = self.timeout_at.isoformat()
        return data

    def to_json(self, *, indent: int | None = None) -> str:
        """``to_dict`` as JSON text."""
        return json.dumps(self.to_dict(), ensure_ascii=False, indent=indent)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], types: Iterable[type] | None = None) -> Self:
        """A requirement from ``to_dict``; keys that it does not know are left out. Its values are plain JSON; with ``types``
        (which may be empty) tagged ones become builtin types, and instances of those classes.

        Raises:
            ValueError: A line for every field of a wrong type, and for every answer that does not fit.
        """
        return _from_dict(cls, data, types)

    @classmethod
    def from_json(cls, text: str | bytes, types: Iterable[type] | None = None) -> Self:
        """A requirement from ``to_json``. ``types`` and ValueError as of ``from_dict``."""
        return cls.from_dict(read_json(text), types)


class StepRequirement(_Requirement, kw_only=True, omit_defaults=True):
    """One open question of a paused run. Answer it with a method, then pass it to ``continue_run``.

    ``answer(data)`` takes any answer as plain JSON, and ``schema()`` describes what it accepts; the other methods are for
    one kind of question each. ``id`` is stable for the run; ``path`` is the node that waits; ``kind`` is one of
    confirmation, user_input, route, output_review, iteration_review, executor, ask, budget and receive. For a form that is
    a pydantic model, ``input_json_schema`` is its schema and ``input_model`` its ``module:qualname``, if it can be looked
    up by that. A step that waits for a message (receive) names its ``topic``, and has a ``message_id`` once one arrived; a
    person may answer it too, with the message's content as the field ``value``.
    """

    always = (
        "step_id",
        "step_name",
        "step_index",
        "step_type",
        "requires_confirmation",
        "confirmation_message",
        "confirmed",
        "on_reject",
        "requires_user_input",
        "user_input_message",
        "user_input",
        "requires_route_selection",
        "available_choices",
        "allow_multiple_selections",
        "selected_choices",
        "requires_output_review",
        "output_review_message",
        "is_post_execution",
        "rejection_feedback",
        "retry_count",
        "max_retries",
        "timeout_at",
        "on_timeout",
    )
    kind: str = "confirmation"
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
    input_model: str | None = None
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
    topic: str | None = None
    message_id: str | None = None
    retry_count: int = 0
    max_retries: int | None = 3

    # -- any question, as plain JSON -----------------------------------------------------------------------------------

    def schema(self) -> dict[str, Any]:
        """The JSON Schema (2020-12) of what ``answer`` accepts: an object, ready for a form, a page or a model's tool.

        Its properties, as far as this question has them: ``confirmed``, ``rejection_feedback``, ``user_input`` (by the
        form's fields or the model's own schema), ``selected_choices``, ``edited_output``, ``executor_requirements``.
        """
        return answers.answer_schema(self)

    def answer(self, data: Mapping[str, Any]) -> None:
        """Answer with plain JSON: ``{"confirmed": True}``, ``{"user_input": {"seats": 2}}``, and so on by ``schema()``.

        It replaces an earlier answer, and reaches the run with ``continue_run``.

        Raises:
            ValueError: It does not fit; one line for every wrong field. Nothing has changed.
        """
        answers.put(self, answers.checked(data, self.schema(), self.step_name or self.path))

    def given(self) -> dict[str, Any]:
        """The answer that was put in, as ``answer`` takes it; empty while there is none."""
        return answers.given(self)

    @property
    def reviewed_content(self) -> Any:
        """The content that is reviewed: later steps would get it, and ``edit`` replaces it. For a container it is that of
        its last leaf. None for other questions."""
        return handed_on(self.step_output) if self.step_output is not None else None

    # -- one kind of question ------------------------------------------------------------------------------------------

    def confirm(self) -> None:
        """Answer yes; for an executor, to all of its tools that wait for a yes; for a form with a single bool, True.

        Raises:
            ValueError: The question is a form, and some of its fields have no default. Nothing has changed.
        """
        if self.needs_user_input and not (
            self.requires_confirmation or self.requires_output_review or self.requires_route_selection
        ):
            answers.confirm_form(self)
        self.confirmed = True
        answers.confirm_executor(self, yes=True)

    def reject(self, feedback: str | None = None) -> None:
        """Answer no; ``feedback`` reaches the step if it is retried, and an executor as the note of its tools."""
        self.confirmed = False
        self.rejection_feedback = feedback
        answers.confirm_executor(self, yes=False, note=feedback)

    def edit(self, new_output: Any) -> None:
        """Accept the step, with ``new_output`` in the place of its content."""
        self.confirmed = True
        self.edited_output = new_output
        self.is_edited = True

    def set_user_input(self, validate: bool = True, **values: Any) -> None:
        """Fill in the form. One ValueError names every wrong field, and nothing has changed then; a question without a form
        raises it too."""
        if not (self.requires_user_input or self.user_input_schema or self.requires_executor_input):
            raise ValueError(
                f"step {self.step_name or self.path!r} asks for no input; answer with confirm(), reject(), or answer()"
                " by its schema()"
            )
        if validate:
            self.check_user_input(values)
        fields = {field.name: field for field in self.user_input_schema or ()}
        filled = {**answers.defaults(self.user_input_schema), **(self.user_input or {}), **values}
        for name, value in values.items():
            if name in fields:
                fields[name].value = value
        self.user_input = filled

    def check_user_input(self, values: dict[str, Any]) -> None:
        """Raise ValueError with a line per field that is missing or wrong."""
        found = answers.form_problems(self, {**(self.user_input or {}), **values})
        if found:
            raise ValueError("User input validation failed:\n" + "\n".join(f"  - {line}" for line in found))

    def get_user_input(self, field_name: str, default: Any = None) -> Any:
        """The value of the field ``field_name``."""
        return (self.user_input or {}).get(field_name, default)

    def select(self, *names: str) -> None:
        """Choose routes by name. ValueError for an unknown one, a duplicate, or a second one if only one is allowed."""
        offered = self.available_choices or []
        unknown = [name for name in names if name not in offered]
        if unknown:
            raise ValueError(f"Step '{self.step_name}' does not offer {unknown}; choices: {offered}")
        if len(names) > 1 and not self.allow_multiple_selections:
            raise ValueError(f"Step '{self.step_name}' takes one choice; got {list(names)}")
        if len(set(names)) < len(names):
            raise ValueError(f"Step '{self.step_name}' takes each choice once; got {list(names)}")
        self.selected_choices = list(names)

    def select_single(self, choice: str) -> None:
        """Choose one route."""
        self.select(choice)

    def select_multiple(self, choices: list[str]) -> None:
        """Choose several routes; they run in this order."""
        if not self.allow_multiple_selections:
            raise ValueError(f"Step '{self.step_name}' does not allow multiple selections")
        self.select(*choices)

    # -- missing answers -----------------------------------------------------------------------------------------------

    @property
    def needs_confirmation(self) -> bool:
        return self.requires_confirmation and self.confirmed is None and not self.requires_output_review

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
        return not all(map(answers.executor_answered, self.executor_requirements or ()))

    @property
    def is_resolved(self) -> bool:
        """True if every part of the question has an answer."""
        return not (
            self.needs_confirmation
            or self.needs_output_review
            or self.needs_user_input
            or self.needs_route_selection
            or self.needs_executor_resolution
        )


class ErrorRequirement(_Requirement, kw_only=True, omit_defaults=True, tag_field="kind", tag="error"):
    """A step failed and a person decides: ``retry()`` or ``skip()``. Its ``kind`` is always written, because it
    distinguishes the two classes."""

    always = ("step_id", "step_name", "step_index", "error_message", "error_type", "retry_count", "decision")
    error_message: str | None = None
    error_type: str | None = None
    retry_count: int = 0
    decision: str | None = None

    @property
    def kind(self) -> str:
        return "error"

    def schema(self) -> dict[str, Any]:
        """The JSON Schema (2020-12) of what ``answer`` accepts: an object with ``decision``, "retry" or "skip"."""
        return answers.error_schema(self.step_name, self.error_message)

    def answer(self, data: Mapping[str, Any]) -> None:
        """Answer with plain JSON: ``{"decision": "retry"}``. Raises ValueError, and changes nothing, if it does not fit."""
        self.decision = answers.checked(data, self.schema(), self.step_name or self.path)["decision"]

    def given(self) -> dict[str, Any]:
        """The answer that was put in, as ``answer`` takes it; empty while there is none."""
        return {} if self.decision is None else {"decision": self.decision}

    def retry(self) -> None:
        """Run the step again."""
        self.decision = "retry"

    def skip(self) -> None:
        """Record the step as failed and go on."""
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


class UnreadableRequirement(StepRequirement, kw_only=True, omit_defaults=True):
    """A question whose stored bytes are damaged: it can be listed, but not answered."""

    unreadable: Any = None

    @classmethod
    def of(cls, value: Unreadable, **place: Any) -> UnreadableRequirement:
        return cls(kind="unreadable", unreadable=value, user_input_message=str(value), **place)

    def schema(self) -> dict[str, Any]:
        """No answer fits."""
        return {
            "$schema": answers.DIALECT,
            "type": "object",
            "description": str(self.unreadable),
            "properties": {},
            "not": {},
        }

    def answer(self, data: Mapping[str, Any]) -> None:
        """Raises UnreadableError."""
        bool(self.unreadable)

    def confirm(self) -> None:
        bool(self.unreadable)

    def reject(self, feedback: str | None = None) -> None:
        bool(self.unreadable)

    def edit(self, new_output: Any) -> None:
        bool(self.unreadable)

    def set_user_input(self, validate: bool = True, **values: Any) -> None:
        bool(self.unreadable)

    def select(self, *names: str) -> None:
        bool(self.unreadable)

    @property
    def is_resolved(self) -> bool:
        return False


def requirement_from_dict(
    data: Mapping[str, Any], types: Iterable[type] | None = None
) -> StepRequirement | ErrorRequirement:
    """The requirement that ``to_dict`` of either kind described. ``types`` and ValueError as of ``from_dict``."""
    if isinstance(data, Mapping) and data.get("kind") == "error":
        return ErrorRequirement.from_dict(data, types)
    return StepRequirement.from_dict(data, types)


def _from_dict(cls: type[_R], data: Mapping[str, Any], types: Iterable[type] | None) -> _R:
    if not isinstance(data, Mapping):
        raise ValueError(f"a {cls.__name__} is read from a mapping of its fields, got {type(data).__name__}")
    known: dict[str, Any] = {}
    wrong: list[str] = []
    for field in msgspec.structs.fields(cls):
        if field.name not in data:
            continue
        try:
            known[field.name] = msgspec.convert(data[field.name], field.type)
        except (msgspec.ValidationError, RecursionError) as error:
            wrong.append(f"Field '{field.name}': {error}")
    if wrong:
        raise ValueError(f"that is no {cls.__name__}:\n" + "\n".join(f"  - {line}" for line in wrong))
    requirement = cls(**known)
    if types is not None:
        from .foreign import fill
        from .reading import Given

        fill(requirement, Given(types))
    if isinstance(requirement, StepRequirement):
        requirement.is_edited = requirement.is_edited or requirement.edited_output is not None
        if requirement.user_input:
            if not isinstance(requirement.user_input, dict):
                raise ValueError("that is no StepRequirement:\n  - Field 'user_input': it must be an object")
            requirement.check_user_input(requirement.user_input)
    return requirement
