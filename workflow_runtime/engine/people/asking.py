"""``run_context.ask``: a question in the middle of a step, waited for or looked up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...core.plan import Node
from ...model.enums import OnTimeout
from ...model.errors import AnswerRejected, InputError, StepChanged
from ...model.fields import UserInputField, form_fields
from ...model.requirements import StepRequirement
from ...steps.signals import Rejected
from ..bus import pauses as asking
from .form_models import model_name

if TYPE_CHECKING:
    from ..run.frame import Frame

__all__ = ["ask"]

_SCALARS = {str: "str", int: "int", float: "float", bool: "bool", list: "list", dict: "dict"}


async def ask(
    frame: Frame,
    node: Node,
    path: str,
    attempt: int,
    number: str,
    question: str,
    schema: Any,
    timeout: float | None,
    on_timeout: str,
) -> Any:
    """The answer to the question ``number`` of the step at ``path``, which is in its attempt ``attempt``."""
    run = frame.run
    key = f"{run.id}:{path}@ask{number}"
    answer = run.pauses.get(key)
    if answer is None:
        answer = _question(frame, node, path, number, question, schema, timeout, on_timeout)
        frame.open_question(node, path, answer, attempt)
    assert isinstance(answer, StepRequirement)
    if answer.user_input_message != question:
        raise StepChanged(
            f"{path}: question {_shown(number)} was {answer.user_input_message!r} when the step first ran and is"
            f" {question!r} now; a step that asks must ask the same questions in the same order"
        )
    if answer.answered_at is None:
        await run.parking.wait(key, path, schema)
        answer = run.pauses.get(key)
        assert isinstance(answer, StepRequirement)
    if run.pauses.use(key, frame.now()):
        frame.continued(node, path, key)
    if answer.confirmed is False:
        if answer.on_reject == "cancel":
            raise Rejected(answer.rejection_feedback or f"Step '{node.name}' got no answer")
        raise AnswerRejected(f"{path}: {question!r} was declined: {answer.rejection_feedback or 'no reason given'}")
    return _typed(answer, schema)


def _shown(number: str) -> str:
    return str(int(number) + 1) if number.isdecimal() else number.strip("-")


def _question(
    frame: Frame, node: Node, path: str, number: str, question: str, schema: Any, timeout: float | None, on_timeout: str
) -> StepRequirement:
    if _is_scalar(schema):
        fields: list[UserInputField] = [UserInputField(name="value", field_type=_SCALARS[schema or str])]
        described: dict[str, Any] | None = None
    else:
        try:
            fields, described = form_fields(schema)
        except ValueError as error:
            raise InputError(f"{path}: ask(): schema: {error}, or one of str, int, float, bool, list, dict") from None
    now = frame.now()
    return asking.question(
        node,
        path,
        frame.run.id,
        now,
        f"ask{number}",
        kind="ask",
        requires_user_input=True,
        user_input_message=question,
        user_input_schema=fields,
        input_json_schema=described,
        input_model=model_name(schema),
        timeout_at=asking.deadline(now, timeout),
        on_timeout=OnTimeout(on_timeout).value,
        on_reject="skip",
    )


def _is_scalar(schema: Any) -> bool:
    return schema is None or (isinstance(schema, type) and schema in _SCALARS)


def _typed(answer: StepRequirement, schema: Any) -> Any:
    values = answer.user_input or {}
    if _is_scalar(schema):
        value = values.get("value")
        return float(value) if schema is float and isinstance(value, int) else value
    if hasattr(schema, "model_validate"):
        return schema.model_validate(values)
    return dict(values)
