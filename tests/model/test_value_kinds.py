"""Values come back equal and of the same type, or are refused with the place named."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow_runtime import UnserializableError
from workflow_runtime.model import codec

from .kinds import KEPT, REFUSED, Person, Point


def same(found: Any, value: Any) -> bool:
    """Equal, and of the same types all the way down."""
    if type(found) is not type(value):
        return False
    if isinstance(value, float):
        return math.copysign(1, found) == math.copysign(1, value) and (found == value or value != value)
    if isinstance(value, dict):
        pairs = zip(found.items(), value.items(), strict=True)
        return len(found) == len(value) and all(same(a, c) and same(b, d) for (a, b), (c, d) in pairs)
    if isinstance(value, (list, tuple)):
        return len(found) == len(value) and all(same(a, b) for a, b in zip(found, value, strict=True))
    return bool(found == value)


@pytest.mark.parametrize("kind", KEPT)
def test_a_value_comes_back_equal_and_of_its_type(kind: str) -> None:
    value = KEPT[kind]
    found = codec.decode_value(codec.encode_value(value))
    assert same(found, value), f"{value!r} came back as {found!r}"


@pytest.mark.parametrize("kind", KEPT)
def test_a_value_is_encoded_as_json_that_anybody_can_read(kind: str) -> None:
    msgspec.json.decode(codec.encode_value([KEPT[kind]]))


def test_zones_and_folds_come_back() -> None:
    for kind in ("datetime zone", "datetime folded", "time zone", "time folded", "datetime utc"):
        value = KEPT[kind]
        found = codec.decode_value(codec.encode_value(value))
        assert (str(found.tzinfo), found.fold) == (str(value.tzinfo), value.fold), kind
        assert found.utcoffset() == value.utcoffset(), kind


@pytest.mark.parametrize("kind", REFUSED)
def test_what_would_not_come_back_is_refused_and_its_place_named(kind: str) -> None:
    with pytest.raises(UnserializableError, match=r"0\.step: content") as raised:
        codec.encode_value({"here": REFUSED[kind]}, "0.step: content")
    assert isinstance(raised.value, TypeError)
    # What only the encoder finds is told without its place within the value.
    assert "['here']" in str(raised.value) or kind == "half a surrogate"


def test_half_a_character_is_refused_with_what_to_do() -> None:
    with pytest.raises(UnserializableError, match=r"input: .*half of a character pair.*encode\('utf-8', 'replace'\)"):
        codec.encode_value("\ud800", "input")


def test_the_place_is_named_down_to_the_item() -> None:
    with pytest.raises(UnserializableError, match=r"content\['rows'\]\[1\]\.y\['k'\]"):
        codec.encode_value({"rows": [1, Point(1, {"k": object()})]}, "content")


def test_a_model_is_not_validated_again_when_it_is_read() -> None:
    person = Person(name="Ada")
    person.__dict__["name"] = 7  # what a program put there is what it gets back
    assert codec.decode_value(codec.encode_value(person)).name == 7


def test_a_type_that_is_gone_says_which_one_it_was() -> None:
    data = codec.encode_value(Point(1)).replace(b"Point", b"Vanished")
    found = codec.decode_value(data)
    assert "Vanished" in str(found)
    assert codec.encode_value(found) == data


def test_a_tag_of_a_newer_version_says_so() -> None:
    found = codec.decode_value(b'{"$":"hologram","t":"builtins:int","v":{}}')
    assert "a newer version wrote it" in str(found)


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(st.characters(exclude_categories=["Cs"])),
    st.binary(),
    st.decimals(allow_nan=False),
    st.uuids(),
    st.dates(),
    st.datetimes(timezones=st.none() | st.timezones()),
    st.times(),
    st.timedeltas(),
    st.complex_numbers(allow_nan=False),
)
keys = st.one_of(st.text(st.characters(exclude_categories=["Cs"])), st.integers(), st.dates(), st.just("$"))
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner),
        st.tuples(inner, inner),
        st.dictionaries(keys, inner),
        st.builds(Point, st.integers(), inner),
    ),
    max_leaves=12,
)


@given(value=values)
def test_any_tree_of_values_comes_back(value: Any) -> None:
    assert same(codec.decode_value(codec.encode_value(value)), value)


@given(value=st.frozensets(st.one_of(st.integers(), st.text(st.characters(exclude_categories=["Cs"])), st.uuids())))
def test_any_set_comes_back(value: frozenset[Any]) -> None:
    assert codec.decode_value(codec.encode_value(value)) == value
    assert codec.decode_value(codec.encode_value(set(value))) == set(value)
