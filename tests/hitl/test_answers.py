"""Requirements as JSON: their round trip, the schema of an answer, and what an answer may be."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from enum import Enum
from typing import Annotated, Any, Literal

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from workflow_runtime import (
    ErrorRequirement,
    Image,
    StepInput,
    StepOutput,
    StepRequirement,
    UserInputField,
    requirement_from_dict,
)
from workflow_runtime.model.fields import form_fields

Requirement = StepRequirement | ErrorRequirement

FORM = [
    UserInputField(name="name", description="Who?"),
    UserInputField(name="seats", field_type="int"),
    UserInputField(name="price", field_type="float", required=False),
    UserInputField(name="window", field_type="bool", value=True),
    UserInputField(name="days", field_type="list", required=False),
    UserInputField(name="extra", field_type="dict", required=False),
    UserInputField(name="meal", allowed_values=["fish", "none"]),
    UserInputField(name="class", field_type="int", allowed_values=[1, 2], required=False),
]


class Meal(Enum):
    fish = "fish"
    nothing = "none"


class Address(BaseModel):
    street: Annotated[str, Field(min_length=1, max_length=20)]
    zip: Annotated[str, Field(pattern=r"^[0-9]{5}$")]


class Booking(BaseModel):
    seats: Annotated[int, Field(ge=1, lt=10)]
    address: Address
    others: list[Address] = []
    meal: Meal = Meal.fish
    when: date | None = None
    price: Annotated[float, Field(multiple_of=0.5)] | None = None
    kind: Literal["one way", "return"]
    labels: dict[str, int] = {}
    either: int | Address = 1


def asks(**fields: Any) -> StepRequirement:
    return StepRequirement(id="r1", path="0.book", step_name="book", **fields)


def form(schema: Any) -> StepRequirement:
    fields, described = form_fields(schema)
    return asks(kind="user_input", requires_user_input=True, user_input_schema=fields, input_json_schema=described)


def every_kind() -> dict[str, Requirement]:
    tools = [
        {"id": "t1", "tool_execution": {"tool_name": "pay", "tool_args": {"eur": 3}}},
        {"id": "t2", "external_execution": True},
        {"id": "t3", "user_input_schema": [{"name": "to", "field_type": "str"}, {"name": "n", "field_type": "int"}]},
        {"id": "t4", "user_feedback_schema": [{"question": "good?"}]},
    ]
    hues = {"question": "Which?", "options": [{"label": "red", "description": "as fire"}, {"label": "blue"}]}
    sizes = {"question": "Sizes?", "options": [{"label": "S"}, {"label": "M"}, {"label": "L"}], "multi_select": True}
    offer = {"id": "t1", "tool_execution": {"tool_name": "ask_user", "user_feedback_schema": [hues, sizes]}}
    choices = ["left", "right", "middle"]
    return {
        "confirmation": asks(requires_confirmation=True, confirmation_message="Sure?"),
        "form": form(FORM),
        "confirmed form": asks(requires_confirmation=True, requires_user_input=True, user_input_schema=FORM[:2]),
        "free form": asks(kind="user_input", requires_user_input=True, user_input_message="Anything?"),
        "model": form(Booking),
        "ask": asks(
            kind="ask", requires_user_input=True, user_input_schema=[UserInputField(name="value", field_type="int")]
        ),
        "route": asks(kind="route", requires_route_selection=True, available_choices=choices),
        "routes": asks(
            kind="route", requires_route_selection=True, available_choices=choices, allow_multiple_selections=True
        ),
        "confirmed route": asks(
            kind="route", requires_confirmation=True, requires_route_selection=True, available_choices=choices
        ),
        "review": asks(kind="output_review", requires_output_review=True, step_output=StepOutput("draft")),
        "iteration": asks(kind="iteration_review", requires_output_review=True, is_post_execution=True),
        "tools": asks(kind="executor", requires_executor_input=True, executor_requirements=tools),
        "offer": asks(kind="executor", requires_executor_input=True, executor_requirements=[offer]),
        "approval": asks(kind="executor", requires_executor_input=True, executor_requirements=[tools[0], {"id": "t9"}]),
        "error": ErrorRequirement(
            id="r1", path="0.book", step_name="book", error_message="no", error_type="ValueError"
        ),
    }


RIGHT: dict[str, list[dict[str, Any]]] = {
    "confirmation": [{"confirmed": True}, {"confirmed": False, "rejection_feedback": "too much"}],
    "form": [
        {"user_input": {"name": "Ada", "seats": 2, "meal": "fish"}},
        {
            "user_input": {
                "name": "Ada", "seats": 2, "price": 1, "window": False, "days": ["mo"], "extra": {"a": 1},
                "meal": "none", "class": None,
            }
        },
        {"confirmed": True, "user_input": {"name": "Ada", "seats": 2, "meal": "fish"}},
        {"confirmed": False},
    ],
    "confirmed form": [{"confirmed": True, "user_input": {"name": "Ada", "seats": 2}}, {"confirmed": False}],
    "free form": [{"user_input": {"a": 1}}],
    "model": [
        {"user_input": {"seats": 1, "address": {"street": "A", "zip": "12345"}, "kind": "return"}},
        {
            "user_input": {
                "seats": 9, "address": {"street": "A", "zip": "12345"}, "kind": "one way", "meal": "none",
                "others": [{"street": "B", "zip": "54321"}], "when": "2026-01-01", "price": 2.5, "labels": {"a": 1},
                "either": {"street": "B", "zip": "54321"},
            }
        },
    ],
    "ask": [{"user_input": {"value": 3}}, {"confirmed": False, "rejection_feedback": "I do not know"}],
    "route": [{"selected_choices": ["left"]}, {"confirmed": False}],
    "routes": [{"selected_choices": ["right", "left"]}],
    "confirmed route": [{"confirmed": True, "selected_choices": ["left"]}],
    "review": [
        {"confirmed": True},
        {"confirmed": True, "edited_output": {"any": ["thing"]}},
        {"confirmed": True, "edited_output": None},
        {"confirmed": False, "rejection_feedback": "again"},
    ],
    "iteration": [{"confirmed": True}, {"confirmed": True, "edited_output": "better"}, {"confirmed": False}],
    "tools": [
        {
            "executor_requirements": [
                {"id": "t2", "external_execution_result": "done"},
                {"id": "t1", "confirmation": False, "confirmation_note": "too dear"},
                {"id": "t4", "user_feedback": {"good?": "yes"}},
                {"id": "t3", "user_input": {"to": "Ada", "n": 1}},
            ]
        },
    ],
    "offer": [
        {"executor_requirements": [{"id": "t1", "user_feedback": {"Which?": ["blue"], "Sizes?": ["S", "L"]}}]},
        {"executor_requirements": [{"id": "t1", "confirmation": False, "confirmation_note": "I do not care"}]},
    ],
    "approval": [
        {"confirmed": True},
        {"confirmed": False, "rejection_feedback": "not today"},
        {"executor_requirements": [{"id": "t9", "confirmation": True}, {"id": "t1", "confirmation": False}]},
    ],
    "error": [{"decision": "retry"}, {"decision": "skip"}],
}  # fmt: skip

# What is wrong, and the lines that say so.
WRONG: list[tuple[str, Any, list[str]]] = [
    ("confirmation", {}, ["Required field 'confirmed' is missing or empty"]),
    ("confirmation", "yes", ["The answer expected dict, got str"]),
    ("confirmation", {"confirmed": "yes"}, ["Field 'confirmed' expected bool, got str"]),
    ("confirmation", {"confirmed": 1}, ["Field 'confirmed' expected bool, got int"]),
    (
        "confirmation",
        {"confirmed": True, "user_input": {"a": 1}, "rejection_feedback": 3},
        ["Unknown field 'user_input'", "Field 'rejection_feedback' expected str, got int"],
    ),
    ("form", {}, ["Required field 'user_input' is missing or empty"]),
    ("free form", {"confirmed": False, "user_input": {"a": 1}}, ["Field 'user_input' is not allowed here"]),
    (
        "form",
        {"user_input": {"name": "", "seats": "two", "price": True, "window": 1, "days": "mo", "extra": [], "meal": "x"}},
        [
            "Required field 'user_input.name' is missing or empty",
            "Field 'user_input.seats' expected int, got str",
            "Field 'user_input.price' expected float, got bool",
            "Field 'user_input.window' expected bool, got int",
            "Field 'user_input.days' expected list, got str",
            "Field 'user_input.extra' expected dict, got list",
            "Field 'user_input.meal' value 'x' is not in allowed values: ['fish', 'none']",
        ],
    ),
    (
        "form",
        {"user_input": {"name": None, "seats": 1.5, "seat": 1}},
        [
            "Required field 'user_input.meal' is missing or empty",
            "Required field 'user_input.name' is missing or empty",
            "Field 'user_input.seats' expected int, got float",
            "Unknown field 'user_input.seat'; known: name, seats",
        ],
    ),
    ("free form", {"user_input": {}}, ["Field 'user_input' must have at least 1 field(s)"]),
    (
        "model",
        {
            "user_input": {
                "seats": 10, "address": {"street": "", "zip": "1"}, "kind": "up", "when": "soon", "price": 0.3,
                "others": [{"street": "x" * 21, "zip": "12345"}, 5], "labels": {"a": "b"}, "either": {"street": "B"},
            }
        },
        [
            "Field 'user_input.seats' must be less than 10, got 10",
            "Required field 'user_input.address.street' is missing or empty",
            "Field 'user_input.address.zip' value '1' does not match the pattern '^[0-9]{5}$'",
            "Field 'user_input.kind' value 'up' is not in allowed values: ['one way', 'return']",
            "Field 'user_input.when' value 'soon' is no date",
            "Field 'user_input.price' must be a multiple of 0.5, got 0.3",
            "Field 'user_input.others[0].street' must have at most 20 characters",
            "Field 'user_input.others[1]' expected dict, got int",
            "Field 'user_input.labels.a' expected int, got str",
            "Required field 'user_input.either.zip' is missing or empty",
        ],
    ),
    ("ask", {"user_input": {"value": "3"}}, ["Field 'user_input.value' expected int, got str"]),
    ("route", {"selected_choices": []}, ["must have at least 1 item(s)"]),
    ("route", {"selected_choices": ["left", "right"]}, ["must have at most 1 item(s)"]),
    ("route", {"selected_choices": ["up"]}, ["'selected_choices[0]' value 'up' is not in allowed values: ['left', "]),
    ("routes", {"selected_choices": ["left", "left"]}, ["Field 'selected_choices' has an item twice"]),
    ("confirmed route", {"confirmed": True}, ["Required field 'selected_choices' is missing or empty"]),
    ("review", {"edited_output": "x"}, ["Required field 'confirmed' is missing or empty"]),
    ("review", {"confirmed": False, "edited_output": "x"}, ["Field 'edited_output' is not allowed here"]),
    ("iteration", {"confirmed": False, "edited_output": "x"}, ["Field 'edited_output' is not allowed here"]),
    ("tools", {"confirmed": True}, ["Required field 'executor_requirements' is missing", "Unknown field 'confirmed'"]),
    (
        "tools",
        {
            "executor_requirements": [
                {"id": "t1", "confirmation": "yes"},
                {"id": "t3", "user_input": {"to": 5, "n": 1}},
                {"id": "t5", "confirmation": True},
            ]
        },
        [
            "Field 'executor_requirements[0].confirmation' expected bool, got str",
            "Field 'executor_requirements[1].user_input.to' expected str, got int",
            "Field 'executor_requirements[2]' is none of what is asked",
            "Field 'executor_requirements' must have at least 4 item(s)",
            "lacks an item with id 't2'",
            "lacks an item with id 't4'",
        ],
    ),
    (
        "offer",
        {"executor_requirements": [{"id": "t1", "user_feedback": {"Which?": ["red", "blue"], "Sizes?": ["XL"], "x": 1}}]},
        [
            "Field 'executor_requirements[0].user_feedback.Which?' must have at most 1 item(s)",
            "'executor_requirements[0].user_feedback.Sizes?[0]' value 'XL' is not in allowed values: ['S', 'M', 'L']",
            "Unknown field 'executor_requirements[0].user_feedback.x'; known: Which?, Sizes?",
        ],
    ),
    ("approval", {}, ["Required field 'confirmed' is missing or empty"]),
    ("error", {"decision": "perhaps"}, ["Field 'decision' value 'perhaps' is not in allowed values: ['retry', 'skip']"]),
    ("error", {"confirmed": True}, ["Required field 'decision' is missing", "Unknown field 'confirmed'"]),
]  # fmt: skip


def right() -> list[Any]:
    return [pytest.param(kind, answer, id=kind) for kind, answers in RIGHT.items() for answer in answers]


# -- JSON ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "answer"), right())
def test_a_requirement_goes_to_json_and_back_with_its_answer(kind: str, answer: dict[str, Any]) -> None:
    for item in (every_kind()[kind], every_kind()[kind]):
        item.timeout_at = datetime(2026, 1, 1, tzinfo=UTC)
        back = type(item).from_json(item.to_json())
        assert back == item
        assert requirement_from_dict(json.loads(item.to_json())) == item
        item.answer(answer)
        assert type(item).from_json(item.to_json()) == item


def test_a_requirement_keeps_the_step_input_and_output_in_json() -> None:
    seen = StepInput(input="x", previous_step_outputs={"a": StepOutput(1)}, images=[Image(url="https://e.org/i.png")])
    item = asks(step_input=seen, step_output=StepOutput({"deep": [1]}, "a", steps=[StepOutput("inner")]))
    assert StepRequirement.from_json(item.to_json()) == item


def test_every_part_of_a_wrong_type_is_named() -> None:
    data = {"id": 5, "confirmed": "yes", "user_input_schema": [{"field_type": "str"}], "max_retries": "x"}
    with pytest.raises(ValueError, match="that is no StepRequirement") as caught:
        StepRequirement.from_dict(data)
    for name in data:
        assert f"Field '{name}'" in str(caught.value)
    with pytest.raises(ValueError, match="from a mapping"):
        requirement_from_dict([])  # type: ignore[arg-type]  # what is tested


def test_an_edited_output_from_a_client_of_agno_counts_as_an_edit() -> None:
    item = StepRequirement.from_dict(
        {"kind": "output_review", "requires_output_review": True, "confirmed": True, "edited_output": "better"}
    )
    assert item.given() == {"confirmed": True, "edited_output": "better"}


# -- answers -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "answer"), right())
def test_a_right_answer_resolves_the_requirement(kind: str, answer: dict[str, Any]) -> None:
    item = every_kind()[kind]
    jsonschema_rs.validate(item.schema(), answer)
    item.answer(answer)
    assert item.is_resolved
    again = every_kind()[kind]
    again.answer(item.given())  # what was given is an answer itself
    assert again.given() == item.given() != {}


@pytest.mark.parametrize(("kind", "answer", "said"), WRONG)
def test_a_wrong_answer_names_every_field_and_changes_nothing(kind: str, answer: Any, said: list[str]) -> None:
    item = every_kind()[kind]
    before = item.to_json()
    with pytest.raises(ValueError, match="the answer to 'book' does not fit") as caught:
        item.answer(answer)
    lines = str(caught.value).splitlines()[1:]
    for part in said:
        assert any(part in line for line in lines), f"{part!r} is not in {lines}"
    assert len(lines) == len(said)
    assert item.to_json() == before
    assert not item.is_resolved


def test_an_answer_takes_the_place_of_an_earlier_one() -> None:
    item = every_kind()["review"]
    assert isinstance(item, StepRequirement)
    item.answer({"confirmed": True, "edited_output": "better"})
    item.answer({"confirmed": False, "rejection_feedback": "no"})
    assert (item.confirmed, item.rejection_feedback, item.is_edited) == (False, "no", False)
    item.answer({"confirmed": True})
    assert item.given() == {"confirmed": True}


def test_what_is_left_out_of_a_form_has_its_default() -> None:
    item = every_kind()["form"]
    assert isinstance(item, StepRequirement)
    item.answer({"user_input": {"name": "Ada", "seats": 2.0, "meal": "fish"}})
    assert item.user_input == {"name": "Ada", "seats": 2, "meal": "fish", "window": True}
    assert isinstance(item.get_user_input("seats"), int)


def test_values_of_python_are_checked_as_the_json_that_they_are() -> None:
    item = form(Booking)
    address = Address(street="A", zip="12345")
    item.set_user_input(seats=1, address=address, kind="return", when=date(2026, 1, 1), meal=Meal.nothing)
    assert item.get_user_input("when") == date(2026, 1, 1)
    with pytest.raises(ValueError, match=r"'address.zip' value 'x'"):
        item.set_user_input(address=Address.model_construct(street="A", zip="x"))


def test_a_model_s_optional_and_enum_fields_are_fields_of_the_right_type() -> None:
    fields = {field.name: field for field in form(Booking).user_input_schema or ()}
    assert {name: field.field_type for name, field in fields.items()} == {
        "seats": "int", "address": "dict", "others": "list", "meal": "str", "when": "str", "price": "float",
        "kind": "str", "labels": "dict", "either": "dict",
    }  # fmt: skip
    assert fields["meal"].allowed_values == ["fish", "none"]
    assert [field.name for field in fields.values() if field.required] == ["seats", "address", "kind"]


def test_one_yes_approves_every_tool_of_an_executor_that_waits_for_a_yes() -> None:
    item = every_kind()["approval"]
    assert isinstance(item, StepRequirement)
    item.reject("not today")
    assert item.executor_requirements is not None
    assert [tool["confirmation"] for tool in item.executor_requirements] == [False, False]
    assert [tool["confirmation_note"] for tool in item.executor_requirements] == ["not today", "not today"]


# -- the schema says what an answer may be -------------------------------------------------------------------------------

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 12) | st.sampled_from([0.5, 1.0, 2.25]) | st.sampled_from(
        ["", "a", "fish", "return", "left", "12345", "2026-01-01", "retry", "t1", "t9"]
    ),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["name", "seats", "street", "zip", "value", "id", "confirmation"]), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


@st.composite
def damaged(draw: st.DrawFn) -> tuple[str, Any]:
    """A right answer with some of its values taken away or replaced."""
    kind = draw(st.sampled_from(sorted(RIGHT)))
    answer = json.loads(json.dumps(draw(st.sampled_from(RIGHT[kind]))))
    for _ in range(draw(st.integers(0, 2))):
        place: Any = answer
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            if isinstance(place[key], (dict, list)) and draw(st.booleans()):
                place = place[key]
                continue
            if draw(st.booleans()):
                place[key] = draw(VALUES)
            else:
                del place[key]
            break
    return kind, answer


@given(damaged())
def test_the_schema_describes_exactly_what_is_accepted(case: tuple[str, Any]) -> None:
    kind, answer = case
    item = every_kind()[kind]
    try:
        item.answer(answer)
        accepted = True
    except ValueError:
        accepted = False
    assert jsonschema_rs.Draft202012Validator(item.schema(), validate_formats=True).is_valid(answer) is accepted


@pytest.mark.parametrize("kind", RIGHT)
def test_every_schema_is_a_json_schema(kind: str) -> None:
    schema = json.loads(json.dumps(every_kind()[kind].schema()))
    jsonschema_rs.meta.validate(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["title"] == "book"
