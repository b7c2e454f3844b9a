"""What a person types, as values of a form. (pure)"""

from __future__ import annotations

from enum import Enum
from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field

from workflow_runtime import UserInputField
from workflow_runtime.console.fields import Blank, blanks, choice, choices, default_text, filled, hint, parse


class Paper(Enum):
    a4 = "A4"
    a3 = "A3"


class Address(BaseModel):
    street: str
    zip: str = Field(pattern=r"^\d{5}$", description="five digits")


class Order(BaseModel):
    copies: int = Field(ge=1, le=5)
    paper: Paper = Paper.a4
    sides: Literal[1, 2]
    rush: bool | None = None
    tags: list[Literal["red", "blue"]] = []
    pages: list[int]
    address: Address
    other: Address | None = None


class Tree(BaseModel):
    name: str
    left: Tree | None = None


def form(model: type[BaseModel]) -> dict[str, Blank]:
    schema = model.model_json_schema()
    return {blank.name: blank for blank in blanks(schema, schema.get("$defs", {}))}


def blank(kind: str = "str", **options: Any) -> Blank:
    field = UserInputField(name="x", field_type=kind, **options)
    (found,) = blanks({"properties": {"x": field.json_schema()}, "required": ["x"] if field.required else []}, {})
    return found


@pytest.mark.parametrize(
    ("kind", "typed", "value"),
    [
        ("str", " two words ", "two words"),
        ("int", "-3", -3),
        ("float", "2.5", 2.5),
        ("bool", "Yes", True),
        ("bool", "0", False),
        ("list", "a, b ,c", ["a", "b", "c"]),
        ("list", "[1, 2]", [1, 2]),
        ("dict", '{"a": 1}', {"a": 1}),
    ],
)
def test_text_becomes_a_value_of_the_fields_type(kind: str, typed: str, value: Any) -> None:
    assert parse(blank(kind), typed) == value


@pytest.mark.parametrize(
    ("kind", "typed", "wanted"),
    [
        ("int", "three", "whole number"),
        ("bool", "maybe", "yes or no"),
        ("dict", "{", "JSON object"),
        ("str", "", "missing"),
    ],
)
def test_what_does_not_fit_says_what_is_wanted(kind: str, typed: str, wanted: str) -> None:
    with pytest.raises(ValueError, match=wanted):
        parse(blank(kind), typed)


def test_an_empty_optional_field_is_left_out() -> None:
    assert parse(blank("int", required=False), " ") is None


def test_only_what_is_allowed_can_be_chosen_with_its_own_type() -> None:
    field = blank("int", allowed_values=[1, 2])
    assert parse(field, "2") == 2
    with pytest.raises(ValueError, match="one of 1, 2"):
        parse(field, "3")
    assert parse(blank(allowed_values=["A4", "A3"]), "a3") == "A3"


def test_a_default_is_shown_as_it_would_be_typed_and_read_back_the_same() -> None:
    for kind, value in [("bool", True), ("int", 3), ("list", [1, "b"]), ("dict", {"a": None}), ("str", "x y")]:
        field = blank(kind, value=value)
        assert parse(field, default_text(field)) == value
    assert default_text(blank()) == ""


def test_the_hint_says_what_may_be_typed() -> None:
    assert hint(blank("int", required=False)) == "whole number, optional"
    assert hint(blank(allowed_values=["a", "b\x1b"])) == "one of a, b␛"


def test_a_model_is_asked_for_by_its_fields_and_those_of_the_objects_that_have_to_be_there() -> None:
    assert {name: hint(blank) for name, blank in form(Order).items()} == {
        "copies": "whole number, at least 1, at most 5",
        "paper": "one of A4, A3, optional",
        "sides": "one of 1, 2",
        "rush": "yes or no, optional",
        "tags": "some of red, blue, optional",
        "pages": "a, b, c or JSON",
        "address.street": "text",
        "address.zip": "text, matching ^\\d{5}$",
        "other": "JSON object, optional",
    }
    assert form(Order)["address.zip"].schema["description"] == "five digits"
    assert default_text(form(Order)["paper"]) == "A4"


@pytest.mark.parametrize(
    ("name", "typed", "wanted"),
    [
        ("copies", "9", "'copies' must be at most 5, got 9"),
        ("paper", "A5", "one of A4, A3"),
        ("sides", "3", "one of 1, 2"),
        ("tags", "red, green", "'green' is not offered; one of red, blue"),
        ("pages", "1, two", "'1, two' is no a, b, c or JSON"),
        ("address.zip", "1234", "'address.zip' value '1234' does not match"),
        ("other", '{"street": "Main"}', "'other.zip' is missing"),
    ],
)
def test_what_a_model_demands_is_checked_at_its_line(name: str, typed: str, wanted: str) -> None:
    with pytest.raises(ValueError, match=wanted.replace("(", r"\(")):
        parse(form(Order)[name], typed)


def test_a_filled_form_is_what_its_model_takes() -> None:
    typed = {
        "copies": "2", "paper": "a3", "sides": "2", "rush": "", "tags": "red,blue", "pages": "1, 2",
        "address.street": "Main", "address.zip": "12345", "other": "",
    }  # fmt: skip
    values = filled((blank, parse(blank, typed[name])) for name, blank in form(Order).items())
    assert values["address"] == {"street": "Main", "zip": "12345"}
    order = Order.model_validate(values)
    assert (order.copies, order.paper, order.sides, order.pages) == (2, Paper.a3, 2, [1, 2])
    assert order.other is None


def test_a_model_that_holds_itself_ends() -> None:
    assert list(form(Tree)) == ["name", "left"]


def test_a_route_is_chosen_by_number_by_name_or_by_its_beginning() -> None:
    offered = ["mail", "fax", "7", "a, b"]
    assert [choice(text, offered) for text in ("1", "fax", "7", "m", "a, b")] == ["mail", "fax", "7", "mail", "a, b"]
    assert choices("2, mail, 2", offered) == ["fax", "mail"]
    assert choices("a, b", offered) == ["a, b"]
    for wrong in ("", "9", "x", "0"):
        with pytest.raises(ValueError, match="choose"):
            choices(wrong, offered)
