"""The configuration of a node's guards (HumanReview, ``@pause``)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from . import checks
from .enums import OnError, OnReject, OnTimeout
from .errors import BuildError
from .keywords import Suggesting
from .step_io import StepOutput

__all__ = ["HumanReview", "pause"]

_F = TypeVar("_F", bound=Callable[..., Any])
_WHERE = "HumanReview: "


class HumanReview(msgspec.Struct, metaclass=Suggesting, omit_defaults=True):
    """The questions to a person about a node. ``timeout`` is seconds; ``max_retries`` bounds reject-with-retry rounds."""

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
        self.on_reject = checks.one_of(self.on_reject, "on_reject", OnReject)
        self.on_timeout = checks.one_of(self.on_timeout, "on_timeout", OnTimeout)
        if self.on_error is not None:
            self.on_error = checks.one_of(self.on_error, "on_error", OnError)
        checks.seconds(self.timeout, "timeout", _WHERE)
        checks.number(self.max_retries, "max_retries", _WHERE, least=0, whole=True)
        if self.requires_output_review and self.requires_iteration_review:
            raise BuildError(
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
    """Ask a person before the decorated function runs as a step. Arguments of the Step itself override it."""
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
