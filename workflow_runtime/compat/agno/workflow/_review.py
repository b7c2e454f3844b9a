"""HumanReview with agno's way to and from data, and the guards of a step or container as attributes of their own."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Self
from uuid import uuid4

from workflow_runtime.model import review as strict
from workflow_runtime.model.enums import OnError
from workflow_runtime.model.fields import form_fields
from workflow_runtime.model.requirements import ErrorRequirement
from workflow_runtime.model.step_io import StepInput, StepOutput
from workflow_runtime.verbs.describe import describe_review
from workflow_runtime.verbs.rebuild import Rebuild
from workflow_runtime.verbs.registry import Registry

from ._requirements import StepRequirement

__all__ = ["Guarded", "HumanReview", "guard", "review_of"]


class HumanReview(strict.HumanReview, omit_defaults=True):
    """``workflow_runtime.HumanReview`` that knows ``to_dict`` and ``from_dict``."""

    def to_dict(self) -> dict[str, Any]:
        """Every field. A predicate or a model is there by name; an ``on_error`` that nobody wrote is "skip"."""
        data: dict[str, Any] = dict.fromkeys(self.__struct_fields__)
        plain = {name: value for name in data if not callable(value := getattr(self, name))}
        return {**data, **plain, **(describe_review(self) or {}), "on_error": self.on_error or OnError.skip.value}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], registry: Any = None) -> Self:
        """The reverse; what is missing has its default. ``registry`` knows the predicates and models by name.

        Raises:
            ValueError: An unknown field, a wrong value, or a name that the registry lacks.
        """
        known = {name: value for name, value in data.items() if value is not None}
        unknown = sorted(set(known) - set(cls.__struct_fields__))
        if unknown:
            raise ValueError(f"HumanReview has no {', '.join(unknown)}; known: {', '.join(cls.__struct_fields__)}")
        if known.get("on_error") == OnError.skip:  # what agno writes where nothing was written
            del known["on_error"]
        made: Self = review_of(Rebuild({}, Registry.of(registry), None).review(known, "HumanReview"), cls)
        return made


def review_of(review: strict.HumanReview | None, kind: Any = HumanReview) -> Any:
    """``review`` as one of this layer; without one, one that asks nobody."""
    if isinstance(review, kind):
        return review
    fields = {name: getattr(review, name) for name in review.__struct_fields__} if review is not None else {}
    return kind(**fields)


def guard(name: str) -> Any:
    """An attribute that reads ``name`` from the component's review."""
    return property(lambda self: getattr(self.human_review, name))


class Guarded:
    """The guards that every component but Parallel takes, to be read under the names of its arguments, and the questions
    that they ask, made for somebody who does not run a workflow.

    They cannot be assigned: a workflow takes them over when it is built.
    """

    name: Any
    human_review: Any
    node_class: ClassVar[Any]
    requires_confirmation: bool = guard("requires_confirmation")
    confirmation_message: str | None = guard("confirmation_message")
    on_reject: str = guard("on_reject")

    def create_step_requirement(
        self, step_index: int, step_input: StepInput, for_route_selection: bool = False
    ) -> StepRequirement:
        """The question before the component; of a Router with ``for_route_selection`` which choices to run."""
        review = self.human_review
        choices = getattr(self, "choices", None)
        return self._question(
            step_index,
            kind="route" if for_route_selection else "user_input" if review.requires_user_input else "confirmation",
            requires_confirmation=review.requires_confirmation and not for_route_selection,
            confirmation_message=review.confirmation_message,
            requires_user_input=review.requires_user_input and not for_route_selection and choices is None,
            user_input_message=review.user_input_message,
            user_input_schema=form_fields(review.user_input_schema)[0] or None,
            requires_route_selection=for_route_selection,
            available_choices=choice_names(choices) if for_route_selection else None,
            allow_multiple_selections=getattr(self, "allow_multiple_selections", False),
            step_input=step_input,
        )

    def create_output_review_requirement(
        self, step_index: int, step_input: StepInput, step_output: StepOutput, retry_count: int = 0
    ) -> StepRequirement:
        """The question about what the component made; of a Loop about its last iteration."""
        review = self.human_review
        loop = review.requires_iteration_review
        message = review.iteration_review_message if loop else review.output_review_message
        return self._question(
            step_index,
            kind="iteration_review" if loop else "output_review",
            requires_confirmation=True,
            confirmation_message=message,
            requires_output_review=True,
            output_review_message=message,
            available_choices=choice_names(getattr(self, "choices", None)),
            step_input=step_input,
            step_output=step_output,
            is_post_execution=True,
            retry_count=retry_count,
        )

    create_iteration_review_requirement = create_output_review_requirement

    def create_error_requirement(self, step_index: int, error: Exception) -> ErrorRequirement:
        """The question what to do about a failure."""
        message, kind = str(error), type(error).__name__
        return ErrorRequirement(
            step_id=str(uuid4()), step_name=self.name, step_index=step_index, error_message=message, error_type=kind
        )

    def _question(self, step_index: int, **asked: Any) -> StepRequirement:
        review = self.human_review
        deadline = datetime.now(UTC) + timedelta(seconds=review.timeout) if review.timeout is not None else None
        return StepRequirement(
            step_id=getattr(self, "step_id", None) or str(uuid4()),
            step_name=self.name,
            step_index=step_index,
            step_type=self.node_class.kind,
            on_reject=review.on_reject,
            on_timeout=review.on_timeout,
            timeout_at=deadline,
            max_retries=review.max_retries,
            **asked,
        )


def choice_names(choices: Any) -> list[str] | None:
    """What a person may choose by; None for what is no Router."""
    if choices is None:
        return None
    names = (
        getattr(item, "name", None) or getattr(item, "__name__", f"steps_group_{number}")
        for number, item in enumerate(choices)
    )
    return list(map(str, names))
