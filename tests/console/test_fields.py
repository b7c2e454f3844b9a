"""What a person types, as values of a form. (pure)"""

from __future__ import annotations

from typing import Any

import pytest

from workflow_runtime import UserInputField
from workflow_runtime.console.fields import choice, choices, default_text, hint, parse


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
    assert parse(UserInputField(name="x", field_type=kind), typed) == value


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
        parse(UserInputField(name="x", field_type=kind), typed)


def test_an_empty_optional_field_is_left_out() -> None:
    assert parse(UserInputField(name="x", field_type="int", required=False), " ") is None


def test_only_what_is_allowed_can_be_chosen_with_its_own_type() -> None:
    field = UserInputField(name="x", field_type="int", allowed_values=[1, 2])
    assert parse(field, "2") == 2
    with pytest.raises(ValueError, match="one of 1, 2"):
        parse(field, "3")
    assert parse(UserInputField(name="x", allowed_values=["A4", "A3"]), "a3") == "A3"


def test_a_default_is_shown_as_it_would_be_typed_and_read_back_the_same() -> None:
    for kind, value in [("bool", True), ("int", 3), ("list", [1, "b"]), ("dict", {"a": None}), ("str", "x y")]:
        field = UserInputField(name="x", field_type=kind, value=value)
        assert parse(field, default_text(field)) == value
    assert default_text(UserInputField(name="x")) == ""


def test_the_hint_says_what_may_be_typed() -> None:
    assert hint(UserInputField(name="x", field_type="int", required=False)) == "whole number, optional"
    assert hint(UserInputField(name="x", allowed_values=["a", "b\x1b"])) == "one of a, b␛"


def test_a_route_is_chosen_by_number_by_name_or_by_its_beginning() -> None:
    offered = ["mail", "fax", "7", "a, b"]
    assert [choice(text, offered) for text in ("1", "fax", "7", "m", "a, b")] == ["mail", "fax", "7", "mail", "a, b"]
    assert choices("2, mail, 2", offered) == ["fax", "mail"]
    assert choices("a, b", offered) == ["a, b"]
    for wrong in ("", "9", "x", "0"):
        with pytest.raises(ValueError, match="choose"):
            choices(wrong, offered)
