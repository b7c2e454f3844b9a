"""Steps of every kind as data that JSON can hold; callables by their qualified names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from ..model.budget import Budget
from ..model.compensation import Compensation
from ..model.retry import Retry
from ..model.review import HumanReview
from ..model.text import builtins
from ..steps.build import executor_kind, is_executor
from ..steps.kinds import Kind, kind_of
from ..steps.step import Step
from .base import Verbs
from .registry import qualified_name

__all__ = ["describe", "describe_budget", "describe_retry", "describe_review"]


def describe(item: Any) -> dict[str, Any]:
    """Whatever stands where a step does. Its ``type`` says what it is; fields at their default are there as well."""
    if isinstance(item, Step):
        return _step(item)
    if isinstance(item, Verbs):
        return {"type": "Workflow", **item.to_dict()}
    if isinstance(item, (list, tuple)):
        return {"type": "List", "steps": _all(item)}
    kind = kind_of(type(item))
    if kind is not None:
        return _container(item, kind)
    if is_executor(item):
        word = executor_kind(item).capitalize()
        return {"type": word, f"{word.lower()}_ref": qualified_name(item)}
    return {"type": "Function", "executor_ref": qualified_name(item)}


def _all(items: Sequence[Any]) -> list[dict[str, Any]]:
    return [describe(item) for item in items]


def _step(step: Step) -> dict[str, Any]:
    data: dict[str, Any] = {"type": "Step"}
    for name in (
        "name",
        "step_id",
        "description",
        "max_retries",
        "skip_on_failure",
        "strict_input_validation",
        "add_workflow_history",
        "num_history_runs",
        "timeout",
        "offload",
    ):
        data[name] = getattr(step, name)
    if step.idle_timeout is not None:
        data["idle_timeout"] = step.idle_timeout
    if step.budget is not None:
        data["budget"] = describe_budget(step.budget)
    if step.durable is not None:
        data["durable"] = step.durable
    if options := {name: value for name, value in (step.executor_options or {}).items() if _is_json(value)}:
        data["executor_options"] = options
    data["on_error"] = step.on_error_given if step.handler is None else describe(step.handler)
    for name in ("compensate", "compensate_running"):
        if getattr(step, name) is not None:
            data[name] = _compensation(getattr(step, name))
    data["human_review"] = describe_review(step.human_review)
    if step.retry is not None and step.retry != Retry(attempts=step.max_retries + 1):
        data["retry"] = describe_retry(step.retry)
    if step.workflow is not None:
        data["workflow"] = step.workflow.to_dict()
    else:
        data[f"{step.executor_kind}_ref"] = qualified_name(step.active_executor)
    return data


def _compensation(compensation: Compensation) -> dict[str, Any]:
    data: dict[str, Any] = {"function": qualified_name(compensation.function)}
    if compensation.retry is not None:
        data["retry"] = describe_retry(compensation.retry)
    if compensation.timeout is not None:
        data["timeout"] = compensation.timeout
    return data


def describe_budget(budget: Budget) -> dict[str, Any]:
    """The amounts of a budget, and what it does when they are spent."""
    fields = {name: getattr(budget, name) for name in budget.__struct_fields__}
    return {name: value for name, value in fields.items() if value is not None}


def _is_json(value: Any) -> bool:
    """False for an option that only its program can give, such as a client."""
    if isinstance(value, (list, tuple)):
        return all(map(_is_json, value))
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_json(item) for key, item in value.items())
    return value is None or isinstance(value, (str, int, float, bool))


def _container(item: Any, kind: Kind) -> dict[str, Any]:
    data: dict[str, Any] = {
        "type": item.node_class.kind,
        "name": item.name,
        "description": item.description,
        "timeout": item.timeout,
    }
    if getattr(item, "budget", None) is not None:
        data["budget"] = describe_budget(item.budget)
    for name in kind.children or ():
        value = getattr(item, name)
        data[name] = _all(value) if isinstance(value, (list, tuple)) else describe(value)
    for name in kind.fields:
        data[name] = getattr(item, name)
    if getattr(item, "handler", None) is not None:
        data["on_error"] = describe(item.handler)
    if kind.shape == "branches" and data.get("wait_for", "") is None:
        data["wait_for"] = "all"
    for name in kind.callables:
        data |= _callable(name, getattr(item, name), text=kind.text_is)
    data["human_review"] = describe_review(item.human_review)
    return data


def _callable(name: str, value: Any, text: str = "cel") -> dict[str, Any]:
    """``value`` under ``name``, and under ``<name>_type`` what it is: function, bool, or what a text means here."""
    if value is None or isinstance(value, bool):
        return {name: value, f"{name}_type": "bool" if value is not None else None}
    if isinstance(value, str):
        return {name: value, f"{name}_type": text}
    return {name: qualified_name(value), f"{name}_type": "function"}


def describe_retry(retry: Retry) -> dict[str, Any]:
    """Its fields; exception classes by qualified name."""
    data = {name: getattr(retry, name) for name in retry.__struct_fields__}
    data["on"] = [qualified_name(kind) for kind in retry.on]
    when = data.pop("when")
    return data if when is None else {**data, "when": qualified_name(when)}


def describe_review(review: HumanReview) -> dict[str, Any] | None:
    """Only what was set; None for a step that asks nobody. Models and predicates by name."""
    found = {name: getattr(review, name) for name in review.__struct_fields__}
    defaults = HumanReview()
    data = {name: value for name, value in found.items() if value != getattr(defaults, name)}
    if callable(data.get("requires_output_review")):
        data["requires_output_review"] = {"function": qualified_name(data["requires_output_review"])}
    schema = data.get("user_input_schema")
    if isinstance(schema, type):
        data["user_input_schema"] = {"model": qualified_name(schema)}
    elif schema is not None:
        data["user_input_schema"] = [_field(field) for field in schema]
    return data or None


def _field(field: Any) -> dict[str, Any]:
    data: dict[str, Any] = builtins(field if isinstance(field, (dict, msgspec.Struct)) else dict(field))
    return data
