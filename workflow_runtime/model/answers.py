"""The answer to a requirement as plain JSON: its schema, the check, and putting it in.

One vocabulary for terminals, pages, servers and tests: the names of the requirement's own fields. The kind of question
decides which of them an answer has:

    confirmation      confirmed, rejection_feedback
    user_input, ask, budget   user_input
    receive           user_input, with the one field value
    route             selected_choices
    output_review     confirmed, rejection_feedback, edited_output
    iteration_review  confirmed, rejection_feedback, edited_output
    executor          executor_requirements: id, and confirmation | user_input | external_execution_result
                      | user_feedback, with a list of labels for each question that offers options
    error             decision

``confirmed: false`` declines any question except one about an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .fields import UserInputField, fields_schema
from .json_schema import problems
from .text import builtins

if TYPE_CHECKING:
    from .requirements import StepRequirement

__all__ = [
    "answer_schema",
    "checked",
    "confirm_executor",
    "confirm_form",
    "defaults",
    "error_schema",
    "executor_answered",
    "form_problems",
    "given",
    "put",
]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_DECLINED = {"properties": {"confirmed": {"const": False}}, "required": ["confirmed"]}
_NOTE = {"type": ["string", "null"]}
_ANYTHING: dict[str, Any] = {"not": {"type": "null"}}
_SOMETHING: dict[str, Any] = {"type": "object", "minProperties": 1}
_EXECUTOR_ANSWERS = ("confirmation", "confirmation_note", "user_input", "user_feedback", "external_execution_result")


def answer_schema(asked: StepRequirement) -> dict[str, Any]:
    """The JSON Schema of the answer to ``asked``."""
    parts: dict[str, Any] = {"confirmed": {"type": "boolean"}, "rejection_feedback": _NOTE}
    schema: dict[str, Any] = {"$schema": DIALECT, "type": "object", "properties": parts, "additionalProperties": False}
    if asked.step_name:
        schema["title"] = asked.step_name
    said = asked.confirmation_message or asked.user_input_message or asked.output_review_message
    if said:
        schema["description"] = said
    wanted: list[str] = []  # unless it is declined
    if asked.requires_user_input:
        form = _form(asked)
        if "$defs" in form:  # references count from the root
            schema["$defs"] = form.pop("$defs")
        parts["user_input"] = form
        wanted.append("user_input")
    if asked.requires_route_selection:
        parts["selected_choices"] = _choices(asked)
        wanted.append("selected_choices")
    if asked.requires_output_review:
        parts["edited_output"] = {}
    if asked.requires_executor_input:
        items = asked.executor_requirements or []
        parts["executor_requirements"] = _executor_items(items)
        if all(_executor_need(item) == "confirmation" for item in items):
            schema["anyOf"] = [{"required": ["confirmed"]}, {"required": ["executor_requirements"]}]
        else:
            del parts["confirmed"], parts["rejection_feedback"]
            schema["required"] = ["executor_requirements"]
    if asked.requires_confirmation or asked.requires_output_review:
        schema["required"] = ["confirmed"]
    unwanted = [name for name in parts if name not in ("confirmed", "rejection_feedback")]
    if unwanted and "confirmed" in parts:
        schema["if"] = _DECLINED
        schema["then"] = {"properties": dict.fromkeys(unwanted, False)}
        schema["else"] = {"required": wanted}
    return schema


def error_schema(step_name: str | None, message: str | None) -> dict[str, Any]:
    """The JSON Schema of the decision about a failed step."""
    said = {"title": step_name, "description": message}
    return {
        "$schema": DIALECT,
        **{key: value for key, value in said.items() if value},
        "type": "object",
        "properties": {"decision": {"enum": ["retry", "skip"]}},
        "required": ["decision"],
        "additionalProperties": False,
    }


def form_problems(asked: StepRequirement, values: dict[str, Any]) -> list[str]:
    """A line for every value that is missing or does not fit the form."""
    return problems(builtins(values), _form(asked))


def _form(asked: StepRequirement) -> dict[str, Any]:
    if asked.input_json_schema is not None:
        return dict(asked.input_json_schema)
    if asked.user_input_schema:
        return fields_schema(asked.user_input_schema)
    return {"type": "object", "minProperties": 1}


def _choices(asked: StepRequirement) -> dict[str, Any]:
    schema: dict[str, Any] = {
        "type": "array",
        "items": {"enum": list(asked.available_choices or ())},
        "minItems": 1,
        "uniqueItems": True,
    }
    return schema if asked.allow_multiple_selections else {**schema, "maxItems": 1}


def checked(data: Mapping[str, Any], schema: dict[str, Any], who: str) -> Mapping[str, Any]:
    """``data``, which fits ``schema``; ValueError with a line for every field that does not."""
    found = problems(builtins(data), schema)
    if found:
        raise ValueError(f"the answer to '{who}' does not fit:\n" + "\n".join(f"  - {line}" for line in found))
    return data


def put(asked: StepRequirement, answer: Mapping[str, Any]) -> None:
    """A checked answer into the requirement, in the place of an earlier one."""
    asked.confirmed = answer.get("confirmed")
    asked.rejection_feedback = answer.get("rejection_feedback")
    asked.edited_output, asked.is_edited = answer.get("edited_output"), "edited_output" in answer
    chosen = answer.get("selected_choices")
    asked.selected_choices = list(chosen) if chosen is not None else None
    filled = answer.get("user_input")
    if filled is not None:
        filled = {**defaults(asked.user_input_schema), **filled}
        whole = {field.name for field in asked.user_input_schema or () if field.field_type == "int"}
        filled = {
            key: int(value) if key in whole and isinstance(value, float) else value for key, value in filled.items()
        }
    asked.user_input = filled
    if asked.requires_executor_input:
        if "executor_requirements" in answer:
            answers = {item["id"]: item for item in answer["executor_requirements"]}
            asked.executor_requirements = [
                {
                    **item,
                    **{
                        name: answers[item["id"]].get(name) for name in _EXECUTOR_ANSWERS if name in answers[item["id"]]
                    },
                }
                for item in asked.executor_requirements or ()
            ]
        else:
            confirm_executor(asked, answer["confirmed"], answer.get("rejection_feedback"))


def defaults(fields: list[UserInputField] | None) -> dict[str, Any]:
    """The values of the fields that a person leaves out."""
    return {field.name: field.value for field in fields or () if field.value is not None}


def given(answered: StepRequirement) -> dict[str, Any]:
    """The answer in the requirement, in the plain form that ``put`` takes; empty if it has none."""
    answer: dict[str, Any] = {}
    if answered.requires_executor_input:
        items = [_with_tools_answer(item) for item in answered.executor_requirements or ()]
        if all(map(executor_answered, items)):
            answer["executor_requirements"] = items
        return answer
    if answered.confirmed is not None:
        answer["confirmed"] = answered.confirmed
    if answered.rejection_feedback is not None:
        answer["rejection_feedback"] = answered.rejection_feedback
    if answered.confirmed is False:
        return answer
    if answered.user_input is not None:
        answer["user_input"] = answered.user_input
    if answered.selected_choices is not None:
        answer["selected_choices"] = answered.selected_choices
    if answered.is_edited:
        answer["edited_output"] = answered.edited_output
    return answer


# -- the questions of an executor --------------------------------------------------------------------------------------


def confirm_form(asked: StepRequirement) -> None:
    """Fill the form for a yes: True if it is a single bool, else the defaults. ValueError if that does not fill it."""
    properties: dict[str, Any] = _form(asked).get("properties") or {}
    is_bool = [schema.get("type") for schema in properties.values()] == ["boolean"]
    values = dict.fromkeys(properties, True) if is_bool else defaults(asked.user_input_schema)
    if form_problems(asked, values):
        arguments = ", ".join(f"{name}=..." for name in properties) or "..."
        raise ValueError(
            f"step {asked.step_name or asked.path!r} asks for input, and confirm() gives none: answer with"
            f" set_user_input({arguments}), or say no with reject()"
        )
    asked.set_user_input(**values)


def confirm_executor(asked: StepRequirement, yes: bool, note: str | None = None) -> None:
    """The same yes or no to every question of the executor that wants one and has none."""
    for item in asked.executor_requirements or ():
        if _executor_need(item) == "confirmation" and item.get("confirmation") is None:
            item["confirmation"] = yes
            if note is not None:
                item["confirmation_note"] = note


def executor_answered(item: dict[str, Any]) -> bool:
    whole = _with_tools_answer(item)
    return any(whole.get(name) is not None for name in _EXECUTOR_ANSWERS if name != "confirmation_note")


def _with_tools_answer(item: dict[str, Any]) -> dict[str, Any]:
    """``item`` with the answer that agno's clients leave in its tool: ``confirmed``, ``answered``, ``result``."""
    tool = item.get("tool_execution")
    if not isinstance(tool, dict):
        return item
    told: dict[str, Any] = {}
    if tool.get("confirmed") is not None:
        told = {"confirmation": tool["confirmed"], "confirmation_note": tool.get("confirmation_note")}
    elif tool.get("external_execution_required") and tool.get("result") is not None:
        told = {"external_execution_result": tool["result"]}
    elif tool.get("answered") is True:
        fields = _told(item, "user_input_schema", "name")
        asked = _told(item, "user_feedback_schema", "question")
        if fields:
            told["user_input"] = {part["name"]: part.get("value") for part in fields}
        if asked:
            told["user_feedback"] = {part["question"]: part.get("selected_options") for part in asked}
    return {**item, **{name: value for name, value in told.items() if item.get(name) is None}}


def _executor_need(item: dict[str, Any]) -> str:
    """The field that answers one question of an executor."""
    tool = item.get("tool_execution")
    places = (item, tool) if isinstance(tool, dict) else (item,)
    for place in places:
        if place.get("user_feedback_schema"):
            return "user_feedback"
        if any(place.get(f"{word}external_execution{end}") for word in ("", "requires_") for end in ("", "_required")):
            return "external_execution_result"
        if place.get("user_input_schema"):
            return "user_input"
    return "confirmation"


def _executor_items(items: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "type": "array",
        "items": {"anyOf": [_executor_item(item) for item in items]},
        "minItems": len(items),
        "maxItems": len(items),
        "allOf": [
            {"contains": {"properties": {"id": {"const": item.get("id")}}, "required": ["id"]}} for item in items
        ],
    }


def _executor_item(item: dict[str, Any]) -> dict[str, Any]:
    """A whole item may be sent back with its answer, so further fields are allowed."""
    need = _executor_need(item)
    parts = {"id": {"const": item.get("id")}, "confirmation_note": _NOTE}
    if need == "confirmation":
        return {
            "type": "object",
            "properties": {**parts, "confirmation": {"type": "boolean"}},
            "required": ["id", "confirmation"],
        }
    wanted = _ANYTHING
    if need != "external_execution_result":
        wanted = _choices_form(item) if need == "user_feedback" else _tool_form(item)
    declined = {"properties": {"confirmation": {"const": False}}, "required": ["confirmation"]}
    return {
        "type": "object",
        "properties": parts,
        "required": ["id"],
        "anyOf": [{"properties": {need: wanted}, "required": [need]}, declined],
    }


def _choices_form(item: dict[str, Any]) -> dict[str, Any]:
    """A list of the chosen labels under the text of each question; a question without options is answered freely."""
    parts: dict[str, Any] = {}
    for asked in _told(item, "user_feedback_schema", "question"):
        labels = [option["label"] if isinstance(option, dict) else option for option in asked.get("options") or ()]
        chosen: dict[str, Any] = {"type": "array", "items": {"enum": labels}, "minItems": 1, "uniqueItems": True}
        if not asked.get("multi_select"):
            chosen["maxItems"] = 1
        parts[asked["question"]] = chosen if labels else _ANYTHING
    if not parts:
        return _SOMETHING
    return {"type": "object", "properties": parts, "required": list(parts), "additionalProperties": False}


def _told(item: dict[str, Any], name: str, key: str) -> list[dict[str, Any]]:
    """Fields that the question or, failing that, its tool describes fully."""
    tool = item.get("tool_execution")
    parts = item.get(name) or (tool.get(name) if isinstance(tool, dict) else None)
    return [part for part in parts or () if isinstance(part, dict) and isinstance(part.get(key), str)]


def _tool_form(item: dict[str, Any]) -> dict[str, Any]:
    """The fields that a tool asks for, as far as they are described."""
    described = item.get("input_json_schema")
    if isinstance(described, dict):
        return described
    named = _told(item, "user_input_schema", "name")
    if not named:
        return _SOMETHING
    return fields_schema(
        [
            UserInputField(
                part["name"],
                str(part.get("field_type", "")),
                part.get("description"),
                part.get("value"),
                part.get("required") is not False,
                part.get("allowed_values"),
            )
            for part in named
        ]
    )
