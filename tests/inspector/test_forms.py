"""Forms from JSON Schemas, without a browser: what is drawn, and what is read from what was filled in."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from typing import Any

import htpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow_runtime import ErrorRequirement, StepOutput, StepRequirement, UserInputField
from workflow_runtime.server.inspector.forms import fields, read
from workflow_runtime.server.inspector.questions import answer_of


class Sent(HTMLParser):
    """What a browser sends of a form that nobody touched."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.form: dict[str, list[str]] = {}
        self._name = self._text = ""
        self._inside = False
        self._chosen: list[str | None] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        name = found.get("name") or ""
        if tag == "input" and (found.get("type") not in ("radio", "checkbox") or "checked" in found):
            self.form.setdefault(name, []).append(found.get("value") or "")
        elif tag == "textarea":
            self._name, self._text, self._inside = name, "", True
        elif tag == "select":
            self._name, self._chosen = name, []
        elif tag == "option":
            self._chosen = [found.get("value")] if "selected" in found or not self._chosen else self._chosen

    def handle_data(self, data: str) -> None:
        if self._inside:
            self._text += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea":
            self._inside = False
            text = self._text.removeprefix("\n")  # HTML leaves the first line end of a textarea out
            self.form.setdefault(self._name, []).append(text.replace("\n", "\r\n"))
        elif tag == "select":
            self.form.setdefault(self._name, []).extend(value for value in self._chosen if value is not None)


def untouched(schema: dict[str, Any]) -> Any:
    """The value of a form that is sent as it was drawn."""
    filled = read(schema, Sent(str(htpy.fragment[list(fields(schema, name="/x"))])).form, name="/x")
    assert filled.errors == {}
    return filled.value


words = st.text(st.characters(codec="utf-8", exclude_characters="\r", exclude_categories=("Cc", "Cs")), min_size=1)
lines = st.lists(words, min_size=1).map("\n".join) | words.map(lambda text: f"\n{text}")
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | words, lambda inner: st.lists(inner) | st.dictionaries(words, inner)
)


def choice(draw: Any) -> tuple[dict[str, Any], Any]:
    offered = draw(st.lists(words | st.integers() | st.booleans(), min_size=1, max_size=8, unique_by=repr))
    return {"enum": offered}, draw(st.sampled_from(offered))


@st.composite
def schemas(draw: Any, depth: int = 2) -> tuple[dict[str, Any], Any]:
    """A schema and a value that fits it."""
    kind = draw(st.sampled_from(["string", "integer", "number", "boolean", "enum", "some", "list", "json", "object"]))
    if kind == "string":
        return {"type": "string"}, draw(lines)
    if kind == "integer":
        return {"type": "integer"}, draw(st.integers())
    if kind == "number":
        return {"type": "number"}, draw(st.floats(allow_nan=False, allow_infinity=False))
    if kind == "boolean":
        return {"type": "boolean"}, draw(st.booleans())
    if kind == "enum":
        return choice(draw)
    if kind == "some":
        items, _ = choice(draw)
        chosen = [item for item in items["enum"] if draw(st.booleans())]
        return {"type": "array", "items": items}, chosen
    if kind == "list":
        # A line of blanks is no item, and neither has an item several lines.
        item = words.filter(lambda text: text.strip() and len(text.splitlines()) == 1)
        return {"type": "array", "items": {"type": "string"}}, draw(st.lists(item))
    if kind == "json" or depth == 0:
        return {}, draw(plain.filter(lambda value: value is not None))
    parts = draw(st.dictionaries(words, schemas(depth - 1), max_size=4))
    schema = {"type": "object", "properties": {key: part for key, (part, _) in parts.items()}, "required": list(parts)}
    return schema, {key: value for key, (_, value) in parts.items()}


@given(schemas())
def test_a_form_that_shows_a_value_and_is_sent_untouched_gives_the_value_back(case: tuple[dict[str, Any], Any]) -> None:
    schema, value = case
    found = untouched({**schema, "default": value})
    assert found == value
    assert json.dumps(found) == json.dumps(value), "also the types are the same"


def test_what_may_be_left_out_is_left_out() -> None:
    schema = {
        "type": "object",
        "required": ["must"],
        "properties": {
            "must": {"type": "string"},
            "may": {"type": "string"},
            "number": {"type": "integer"},
            "yes": {"type": "boolean"},
            "one": {"enum": ["a", "b"]},
            "null": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
            "inner": {"type": "object", "properties": {"x": {"type": "string"}}},
            "some": {"type": "array", "items": {"enum": ["a"]}},
        },
    }
    assert untouched(schema) == {"must": ""}


def test_references_and_what_may_be_null_are_followed() -> None:
    schema = {
        "type": "object",
        "required": ["who", "when"],
        "properties": {"who": {"$ref": "#/$defs/Person"}, "when": {"type": ["integer", "null"]}},
        "$defs": {"Person": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}},
    }
    filled = read(schema, {"/who/name": ["Ann"], "/when": [""]})
    assert (filled.value, filled.errors) == ({"who": {"name": "Ann"}, "when": None}, {})


@pytest.mark.parametrize(
    ("schema", "typed", "said"),
    [
        ({"type": "integer"}, "seven", "This is not a number"),
        ({"type": "number"}, "true", "This is not a number"),
        ({"type": "integer"}, "", "This is needed"),
        ({}, "{", "This is not JSON"),
        ({}, "[" * 100_000, "This is not JSON"),
        ({"type": "array", "items": {"type": "integer"}}, "1\ntwo", "This is not a number"),
        ({"enum": [1, 2]}, "[", "This is not JSON"),
    ],
)
def test_what_cannot_be_read_is_said_at_its_field(schema: dict[str, Any], typed: str, said: str) -> None:
    assert read({"type": "object", "properties": {"f": schema}, "required": ["f"]}, {"/f": [typed]}).errors == {
        "/f": said
    }


def answered(item: Any, form: dict[str, list[str]]) -> Any:
    """The requirement with the answer of a filled-in form."""
    answer, filled = answer_of(item, form)
    assert filled.errors == {}
    item.answer(answer)
    assert item.is_resolved
    return item


def test_every_type_of_a_user_input_field_has_a_field() -> None:
    values = {"str": "text", "int": 3, "float": 2.5, "bool": False, "list": [1, "two"], "dict": {"a": [None]}}
    typed = {"str": "text", "int": "3", "float": "2.5", "bool": "false", "list": '[1, "two"]', "dict": '{"a": [null]}'}
    for required in (True, False):
        wanted = [UserInputField(name=name, field_type=name, required=required) for name in values]
        item = StepRequirement(requires_user_input=True, user_input_schema=wanted)
        form = {f"/user_input/{name}": [text] for name, text in typed.items()}
        assert answered(item, form).user_input == values
    chosen = [UserInputField(name="seat", field_type="str", allowed_values=["window", "aisle"], value="aisle")]
    item = StepRequirement(requires_user_input=True, user_input_schema=chosen)
    assert answered(item, {"/user_input/seat": ['"window"'], "do": ["yes"]}).user_input == {"seat": "window"}


def test_a_form_without_a_schema_takes_json() -> None:
    item = StepRequirement(requires_user_input=True)
    assert answered(item, {"/user_input": ['{"any": 1}']}).user_input == {"any": 1}


def test_a_rejection_carries_its_reason_and_nothing_else() -> None:
    item = StepRequirement(requires_confirmation=True, requires_user_input=True)
    found = answered(item, {"do": ["no"], "feedback": ["too dear "], "/user_input": ["{"]})
    assert (found.confirmed, found.rejection_feedback, found.user_input) == (False, "too dear", None)


def test_routes_are_chosen_one_or_several() -> None:
    one = StepRequirement(requires_route_selection=True, available_choices=["a", "b"])
    assert answered(one, {"/selected_choices": ['"b"']}).selected_choices == ["b"]
    some = StepRequirement(
        requires_route_selection=True, available_choices=["a", "b", "c"], allow_multiple_selections=True
    )
    assert answered(some, {"/selected_choices": ['"a"', '"c"']}).selected_choices == ["a", "c"]


@pytest.mark.parametrize(
    ("content", "typed", "edited"),
    [
        ("a text", "a text", None),
        ("a\ntext", "a\r\nother text", "a\nother text"),
        ({"n": 1}, '{"n": 2}', {"n": 2}),
        ({"n": 1}, '{\r\n  "n": 1\r\n}', None),
    ],
)
def test_a_reviewed_output_is_accepted_as_it_is_or_as_it_was_changed(content: Any, typed: str, edited: Any) -> None:
    item = StepRequirement(kind="output_review", requires_output_review=True, step_output=StepOutput(content))
    found = answered(item, {"do": ["yes"], "edited": [typed]})
    assert (found.confirmed, found.is_edited, found.edited_output) == (True, edited is not None, edited)


def test_a_failed_step_is_tried_again_or_left() -> None:
    for decision in ("retry", "skip"):
        assert answered(ErrorRequirement(step_name="press"), {"do": [decision]}).decision == decision


def test_the_tools_of_an_agent_are_confirmed_filled_in_and_done_by_hand() -> None:
    asked = [
        {"id": "t1", "tool_execution": {"tool_name": "send", "requires_confirmation": True}},
        {
            "id": "t2",
            "tool_execution": {"tool_name": "pay", "user_input_schema": [{"name": "sum", "field_type": "int"}]},
        },
        {"id": "t3", "tool_execution": {"tool_name": "fetch", "external_execution_required": True}},
    ]
    item = StepRequirement(kind="executor", requires_executor_input=True, executor_requirements=asked)
    found = answered(item, {"/tool-0": ["true"], "/tool-1/sum": ["7"], "/tool-2": ['"fetched"']})
    assert [part["id"] for part in found.executor_requirements] == ["t1", "t2", "t3"]
    assert found.executor_requirements[0]["confirmation"] is True
    assert found.executor_requirements[1]["user_input"] == {"sum": 7}
    assert found.executor_requirements[2]["external_execution_result"] == "fetched"


def test_what_an_agent_offers_is_ticked() -> None:
    hues = {"question": "Which?", "options": [{"label": "red"}, {"label": "blue"}]}
    sizes = {"question": "Sizes?", "options": [{"label": "S"}, {"label": "M"}], "multi_select": True}
    asked = [{"id": "t1", "user_feedback_schema": [hues, sizes]}]
    item = StepRequirement(kind="executor", requires_executor_input=True, executor_requirements=asked)
    found = answered(item, {"/tool-0/Which?": ['"blue"'], "/tool-0/Sizes?": ['"S"', '"M"']})
    assert found.executor_requirements[0]["user_feedback"] == {"Which?": ["blue"], "Sizes?": ["S", "M"]}
