"""Decoding a value runs nothing, whatever its tags say; what cannot be made is kept, and raises when it is used."""

from __future__ import annotations

import copy
import enum
import math
import operator
import pickle
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, PrivateAttr

import workflow_runtime
from workflow_runtime import (
    CustomEvent,
    ErrorRequirement,
    Image,
    StepInput,
    StepOutput,
    StepRequirement,
    Subscription,
    Unreadable,
    UnreadableError,
    UnserializableError,
    WorkflowRunOutput,
)
from workflow_runtime.model import classes, codec
from workflow_runtime.model.classes import is_trusted
from workflow_runtime.model.executor_events import EXECUTOR_EVENTS
from workflow_runtime.model.payloads import KINDS
from workflow_runtime.model.reading import STORED, Given
from workflow_runtime.model.unreadable import unreadables
from workflow_runtime.server import JwtAuth

from . import hostile
from .hostile import RAN, deep, nothing_runs, tags


def test_no_tag_runs_or_imports_anything_and_what_cannot_be_made_is_stored_again_as_it_was(tmp_path: Path) -> None:
    made: dict[str, int] = {}
    with nothing_runs(tmp_path):
        for tag in tags(tmp_path):
            for value in (tag, [tag], {"k": tag}, {"$": "tuple", "v": [tag]}, {"$": "dict", "v": [[1, tag]]}):
                data = msgspec.json.encode(value)
                found = codec.decode_value(data)
                kind = type(found).__name__
                made[kind] = made.get(kind, 0) + 1
                unreadables(found)
                again = codec.encode_value(found)
                if kind == "Unreadable":
                    assert again == data
                    assert str(found) == repr(found)
                del found
    for kind in (
        "Slots",
        "Asked",
        "OfMeta",
        "Model",
        "Struct",
        "OfStructMeta",
        "Pair",
        "Noisy",
        "Colour",
        "Flags",
        "Raised",
    ):
        assert made.get(kind, 0) > 0, f"no {kind} was made: {made}"


def sealed(tag: str, kind: Any, body: Any) -> bytes:
    return msgspec.json.encode({"$": tag, "t": f"{kind.__module__}:{kind.__qualname__}", "v": body})


def test_objects_are_made_of_their_fields_alone(tmp_path: Path) -> None:
    with nothing_runs(tmp_path):
        slots = codec.decode_value(sealed("dataclass", hostile.Slots, {"x": {"$": "tuple", "v": [1]}}))
        model = codec.decode_value(sealed("model", hostile.Model, {"x": 1, "more": 2}))
        struct = codec.decode_value(sealed("struct", hostile.Struct, {"x": 1}))
        pair = codec.decode_value(sealed("namedtuple", hostile.Noisy, [1]))
        both = codec.decode_value(sealed("flag", hostile.Flags, 3))
    assert (slots.x, slots.y) == ((1,), 3)
    assert (model.x, model.more, type(model)) == (1, 2, hostile.Model)
    assert (struct.x, type(struct)) == (1, hostile.Struct)
    assert (pair, type(pair)) == ((1, 2), hostile.Noisy)
    assert both == hostile.Flags.A | hostile.Flags.B


@pytest.mark.parametrize("name", hostile.NAMES)
def test_no_name_of_an_events_class_runs_anything(tmp_path: Path, name: str) -> None:
    with nothing_runs(tmp_path):
        for event in ("CustomEvent", "Booked", "StepCompleted"):
            fields = {"event": event, "type": name, "seq": 1, "content": 1, "_fields": [1], "__class__": "x"}
            found = codec.decode_event(msgspec.json.encode(fields))
            assert found.seq == 1
            codec.encode_event(found)
            del found


def test_flags_that_would_run_code_to_be_put_together_are_not(tmp_path: Path) -> None:
    with nothing_runs(tmp_path):
        assert "it has no flags" in str(codec.decode_value(sealed("flag", hostile.Written, 7)))
        assert "it has no flags" in str(codec.decode_value(sealed("flag", hostile.Set_, 3)))
        assert codec.decode_value(sealed("flag", hostile.Set_, 2)) is hostile.Set_.B


def test_of_this_package_only_the_classes_of_values_are_trusted() -> None:
    assert is_trusted(Image)
    assert not is_trusted(JwtAuth)
    assert not is_trusted(Subscription)


def test_private_attributes_are_there_when_they_are_asked_for(tmp_path: Path) -> None:
    with nothing_runs(tmp_path):
        model = codec.decode_value(sealed("model", hostile.Model, {"x": 1}))
    assert model._private is None
    assert RAN == ["private default"]
    again = copy.deepcopy(Locked.model_construct(n=1))
    read = codec.decode_value(codec.encode_value(again))
    assert read == again
    assert copy.copy(read) == pickle.loads(pickle.dumps(read)) == read
    assert read._seen == []
    read._seen = [2]
    assert read != again


class Locked(BaseModel):
    n: int
    _seen: list[int] = PrivateAttr(default_factory=lambda: [])
    _plain: dict[str, int] = PrivateAttr(default={})


def test_what_runs_code_to_be_made_is_only_made_of_modules_that_were_allowed(tmp_path: Path) -> None:
    data = sealed("struct", hostile.Below, {"x": 1, "z": 2})
    with nothing_runs(tmp_path):
        assert "its __post_init__ would run" in str(codec.decode_value(data))
        assert "its __del__ would run" in str(codec.decode_value(sealed("dataclass", hostile.Initialised, {"x": 1})))
        assert "is a descriptor" in str(codec.decode_value(sealed("dataclass", hostile.Computed, {"x": 1})))
    image = Image(content=b"\x89PNG")  # of this package: its __post_init__ is known
    assert codec.decode_value(codec.encode_value(image)) == image


# -- tags that a user wrote -----------------------------------------------------------------------------------------------

LIKE_A_TAG = {"$": "dataclass", "t": f"{hostile.__name__}:Slots", "v": {"x": 1}}
SHAPES: list[Any] = [
    LIKE_A_TAG,
    [LIKE_A_TAG],
    {"a": [LIKE_A_TAG]},
    [{"a": LIKE_A_TAG}],
    [StepOutput(LIKE_A_TAG)],
    {"a": StepOutput(LIKE_A_TAG)},
    StepInput(input=LIKE_A_TAG, additional_data={"a": LIKE_A_TAG}, previous_step_content=[LIKE_A_TAG]),
]
STRUCTS: list[tuple[Any, Callable[[Any], bytes], Callable[[bytes], Any]]] = [
    *((kind, codec.encode_event, codec.decode_event) for kind in (*KINDS.values(), *EXECUTOR_EVENTS.values())),
    (WorkflowRunOutput, codec.encode_run, codec.decode_run),
    (StepRequirement, codec.encode_requirement, codec.decode_requirement),
    (ErrorRequirement, codec.encode_requirement, codec.decode_requirement),
]


def has_slots(value: Any) -> bool:
    """Whether one was made, at any depth of what is stored."""
    if isinstance(value, dict | list | tuple):
        return any(map(has_slots, value.values() if isinstance(value, dict) else value))
    if isinstance(value, msgspec.Struct):
        return any(has_slots(getattr(value, name)) for name in value.__struct_fields__)
    return isinstance(value, hostile.Slots)


@pytest.mark.parametrize(("kind", "encode", "decode"), STRUCTS, ids=lambda item: getattr(item, "__name__", ""))
def test_what_looks_like_a_tag_comes_back_as_it_is_from_every_field(
    kind: Any, encode: Callable[[Any], bytes], decode: Callable[[bytes], Any]
) -> None:
    parts = msgspec.structs.fields(kind)
    needed = {part.name: "x" for part in parts if part.required}
    for name in (part.name for part in parts if part.name != "failed_steps"):  # which have no contents
        for shape in SHAPES:
            try:
                data = encode(kind(**{**needed, name: shape}))
            except (AttributeError, TypeError, ValueError):  # it does not fit this field
                continue
            assert not has_slots(decode(data)), name


@pytest.mark.parametrize("shape", SHAPES[:4])
def test_what_looks_like_a_tag_comes_back_as_it_is_from_a_value_and_a_custom_event(shape: Any) -> None:
    assert codec.decode_value(codec.encode_value(shape)) == shape
    found: Any = codec.decode_event(codec.encode_event(CustomEvent(note=shape)))
    assert found.note == shape


# -- names ----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def module() -> Any:
    """``module(name, source)`` loads a module of that source."""
    made: list[str] = []

    def make(name: str, source: str, **names: Any) -> ModuleType:
        found = ModuleType(name)
        vars(found).update(names)
        sys.modules[name] = found
        made.append(name)
        exec("from dataclasses import dataclass\n" + source, vars(found))
        return found

    yield make
    for name in made:
        sys.modules.pop(name, None)


ORDER = "@dataclass\nclass Order:\n    item: str\n    count: int = 1\n"


def test_a_class_is_found_when_its_module_is_loaded_and_not_before(tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "late_shop.py").write_text("from dataclasses import dataclass\n" + ORDER)
    monkeypatch.syspath_prepend(tmp_path)
    data = b'{"$":"dataclass","t":"late_shop:Order","v":{"item":"lamp"}}'
    assert "the module 'late_shop' is not loaded here" in str(codec.decode_value(data))
    try:
        workflow_runtime.allow("late_shop")
        order = codec.decode_value(data)
        assert (type(order).__name__, order.item, order.count) == ("Order", "lamp", 1)
        assert codec.encode_value(order) == data[:-2] + b',"count":1}}'
    finally:
        sys.modules.pop("late_shop")
    with pytest.raises(ImportError):
        workflow_runtime.allow("no_such_shop")


def test_a_module_that_was_loaded_again_gives_its_new_class(module: Any) -> None:
    old = module("shop_again", ORDER)
    data = codec.encode_value(old.Order("lamp"))
    assert type(codec.decode_value(data)) is old.Order
    new = module("shop_again", ORDER + "    price: int = 3\n")
    found = codec.decode_value(data)
    assert (type(found), found.price) == (new.Order, 3)
    del new.Order
    assert "has no class 'Order' any more" in str(codec.decode_value(data))


def test_a_program_and_its_module_are_one(module: Any, monkeypatch: Any) -> None:
    main = sys.modules["__main__"]
    monkeypatch.setattr(classes, "_declared", {})
    of_main = b'{"$":"dataclass","t":"__main__:Order","v":{"item":"lamp"}}'
    of_module = b'{"$":"dataclass","t":"shops.app:Order","v":{"item":"lamp"}}'
    # What the program stored is read where it is a module, by who has it or allows it.
    assert "this program has none" in str(codec.decode_value(of_main))
    app = module("shops.app", ORDER)
    assert "this program has none" in str(codec.decode_value(of_main))
    workflow_runtime.allow("shops.app")
    assert type(codec.decode_value(of_main)) is app.Order
    assert type(codec.decode_value(of_main.replace(b"__main__", b"__mp_main__"))) is app.Order
    # What was stored where it was a module is read by the program.
    del sys.modules["shops.app"]
    classes._allowed.pop("shops.app")
    assert isinstance(codec.decode_value(of_module), Unreadable)
    monkeypatch.setattr(main, "Order", app.Order, raising=False)
    monkeypatch.setattr(main, "__file__", "/srv/shops/app.py", raising=False)
    monkeypatch.setattr(main, "__spec__", None, raising=False)
    assert type(codec.decode_value(of_module)) is app.Order
    assert type(codec.decode_value(of_main)) is app.Order
    assert isinstance(codec.decode_value(of_module.replace(b"shops.app", b"hops.app")), Unreadable)


# -- classes that have changed ----------------------------------------------------------------------------------------


class Two(NamedTuple):
    a: Any
    b: Any


class Struct(msgspec.Struct):
    a: int


class Model(BaseModel):
    a: int


@dataclass
class Plain:
    a: int
    many: list[int] = field(default_factory=list)


class Kind(enum.Enum):
    one = 1


@pytest.mark.parametrize(
    ("tag", "kind", "body", "reason"),
    [
        ("dataclass", Plain, {"b": 1}, "its field 'a' is newer than the value, with no default"),
        ("dataclass", hostile.Asked, [], "its fields are damaged"),
        ("dataclass", Model, {"a": 1}, "no dataclass any more"),
        ("model", Plain, {"a": 1}, "no pydantic model any more"),
        ("model", Model, {}, "its field 'a' is newer than the value"),
        ("struct", Struct, {}, "its field 'a' is newer than the value"),
        ("struct", Plain, {"a": 1}, "no msgspec.Struct any more"),
        ("namedtuple", Two, [1], "it has 2 fields now, and 1 were stored"),
        ("namedtuple", Two, [1, 2, 3], "it has 2 fields now, and 3 were stored"),
        ("namedtuple", tuple, [1], "no named tuple any more"),
        ("enum", Kind, "two", "it has no member 'two' any more"),
        ("enum", Plain, "two", "no Enum any more"),
        ("flag", Kind, 1, "no Flag any more"),
        ("flag", hostile.Flags, 64, "64"),
    ],
)
def test_a_class_that_no_longer_fits_is_told_with_the_reason(tag: str, kind: Any, body: Any, reason: str) -> None:
    data = sealed(tag, kind, body)
    found = codec.decode_value(data)
    assert isinstance(found, Unreadable)
    assert reason in str(found)
    assert f"{kind.__module__}:{kind.__qualname__}" in str(found)
    assert codec.encode_value({"in": [found]}) == b'{"in":[' + data + b"]}"
    assert not RAN


def test_a_field_that_is_gone_is_left_out_and_one_with_a_default_gets_it() -> None:
    found = codec.decode_value(sealed("dataclass", Plain, {"a": 1, "gone": 2}))
    assert (found.a, found.many, hasattr(found, "gone")) == (1, [], False)
    assert codec.decode_value(sealed("dataclass", Plain, {"a": 1})).many is not found.many


# -- hostile bytes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\xff\xfe", b"{", b'{"a":NaN}', b"Infinity", b'"\\ud800"', b'"\xed\xa0\x80"', b"[" * 100_000, b"9" * 5000,
        b"1e999", b'{"a":' * 50_000, b"[" * 500 + b"]" * 500, msgspec.json.encode(deep(450)), b"\x00", b"nul", b'{"a":1}x',
    ],
    ids=lambda data: repr(data[:12]),
)  # fmt: skip
def test_bytes_that_are_no_value_are_kept_as_they_are(data: bytes) -> None:
    found = codec.decode_value(data, "session_state['k']", "r1")
    assert isinstance(found, Unreadable)
    assert "damaged bytes" in str(found)
    assert codec.encode_value(found) == data
    inside = codec.encode_value({"state": [found]})  # within another value, which must stay JSON
    assert codec.encode_value(codec.decode_value(inside)) == inside
    with pytest.raises(UnreadableError, match=r"run r1, session_state\['k'\] is a stored damaged bytes"):
        bool(found)


@pytest.mark.parametrize(
    "data", [b'{"\\u0024":"decimal","v":"1"}', b'{"$" :"decimal","v":"1"}', b'{"\\u0024":"x","$":"decimal","v":"1"}']
)
def test_a_tag_is_a_tag_however_it_is_written(data: bytes) -> None:
    assert codec.decode_value(data) == Decimal(1)
    assert codec.decode_value(b"[" + data + b"]") == [Decimal(1)]


def nested(levels: int, make: Callable[[Any], Any]) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = make(value)
    return value


NESTED: dict[str, Callable[[Any], Any]] = {
    "list": lambda inner: [inner],
    "dict": lambda inner: {"k": inner},
    "tuple": lambda inner: (inner,),
    "tuple of lists": lambda inner: ([inner], []),
    "int keys": lambda inner: {1: inner},
    "dataclass": hostile.Slots,
    "named tuple": lambda inner: Two(inner, None),
}


@pytest.mark.parametrize("kind", NESTED)
def test_what_is_nested_as_deeply_as_can_be_written_can_be_read(kind: str) -> None:
    value = nested(100 if kind == "tuple of lists" else 201, NESTED[kind])
    data = codec.encode_value(value)
    found = codec.decode_value(data)
    assert not unreadables(found), str(found)[:200]
    assert codec.encode_value(found) == data
    with pytest.raises(UnserializableError, match="nested deeper than 200"):
        codec.encode_value(nested(202, NESTED[kind]))


def test_a_number_that_python_does_not_write_is_refused_with_its_place() -> None:
    with pytest.raises(UnserializableError, match=r"content\['n'\]: .*4300"):
        codec.encode_value({"n": 10**5000}, "content")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8)
    | st.sampled_from([*hostile.TAGS, *hostile.NAMES, *hostile.CLASSES]),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.sampled_from(["$", "t", "v", "x", "a", "__class__"]) | st.text(max_size=3), inner, max_size=4)
    | st.fixed_dictionaries(
        {"$": st.sampled_from(hostile.TAGS), "v": inner}, optional={"t": st.sampled_from(hostile.NAMES)}
    ),
    max_leaves=20,
)  # fmt: skip


@given(value=json_values)
def test_the_quick_way_and_the_careful_one_make_the_same(value: Any) -> None:
    for reader in (STORED, Given([hostile.Slots, hostile.Pair])):
        made = repr(reader.careful([value], ("", "value")))
        assert repr(reader.value([value], ("", "value"))) == made
    RAN.clear()


@given(value=json_values)
def test_any_json_is_read_without_running_anything(tmp_path_factory: Any, value: Any) -> None:
    with nothing_runs(tmp_path_factory.getbasetemp()):
        found = codec.decode_value(msgspec.json.encode(value))
        for item in unreadables(found):
            assert codec.decode_value(codec.encode_value(item)) is not None
        del found


# -- what cannot be read ----------------------------------------------------------------------------------------------


TOUCHES: dict[str, Callable[[Any], Any]] = {
    "attribute": lambda u: u.item,
    "an attribute that it might have": lambda u: getattr(u, "count", 0),
    "hasattr": lambda u: hasattr(u, "count"),
    "set": lambda u: setattr(u, "item", 1),
    "delete": lambda u: delattr(u, "item"),
    "item": lambda u: u["item"],
    "set item": lambda u: operator.setitem(u, 0, 1),
    "delete item": lambda u: operator.delitem(u, 0),
    "iteration": lambda u: list(u),
    "unpacking": lambda u: print(*u),
    "next": lambda u: next(u),
    "call": lambda u: u(),
    "truth": lambda u: bool(u),
    "not": lambda u: not u,
    "length": lambda u: len(u),
    "membership": lambda u: 1 in u,
    "among others": lambda u: u in [1, 2],
    "equal": lambda u: u == 1,
    "equal, the other way": lambda u: u == 1,
    "unequal": lambda u: u != 1,
    "less": lambda u: u < 1,
    "sorted": lambda u: sorted([u, u]),
    "plus": lambda u: u + 1,
    "plus, the other way": lambda u: 1 + u,
    "plus in place": lambda u: operator.iadd(u, 1),
    "negative": lambda u: -u,
    "int": lambda u: int(u),
    "float": lambda u: float(u),
    "index": lambda u: [1, 2][u],
    "round": lambda u: round(u),
    "floor": lambda u: math.floor(u),
    "with": lambda u: u.__enter__(),
    "bytes": lambda u: bytes(u),
    "open": lambda u: Path(u),
}


@pytest.mark.parametrize("touch", TOUCHES)
def test_using_what_cannot_be_read_says_its_class_run_and_place(touch: str) -> None:
    data = {"rows": [{"order": {"$": "dataclass", "t": "gone_shop:Order", "v": {}}}]}
    value = codec.decode_value(msgspec.json.encode(data), "0.price: content", "r1")
    (found,) = unreadables(value)
    assert value["rows"][0]["order"] is found
    place = r"run r1, 0\.price: content\['rows'\]\[0\]\['order'\] is a stored gone_shop:Order that cannot be read"
    with pytest.raises(UnreadableError, match=place) as raised:
        TOUCHES[touch](found)
    error = raised.value
    assert (error.class_name, error.run_id) == ("gone_shop:Order", "r1")
    assert error.path == "0.price: content['rows'][0]['order']"
    assert "the module 'gone_shop' is not loaded here" in str(error)


def test_what_cannot_be_read_is_shown_passed_on_and_kept_as_it_is() -> None:
    found = codec.decode_value(b'{"$":"dataclass","t":"gone_shop:Order","v":{}}')
    assert repr(found) == str(found) == f"{found}"
    assert repr(found).startswith("<unreadable gone_shop:Order: the module 'gone_shop' is not loaded here")
    assert found == found
    assert operator.ne(found, found) is False
    assert [found] == [found]
    assert {found: 1}[found] == 1
    assert copy.copy(found) is found
    assert copy.deepcopy([found])[0] is found
    assert repr(pickle.loads(pickle.dumps(found))) == repr(found)


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ((None,), "value[0]"),
        ({1: None}, "value[1]"),
        (Plain(None), "value.a"),  # type: ignore[arg-type]  # its place is what matters
        (Two(1, [None]), "value[1][0]"),
        ({"k": {"l": None}}, "value['k']['l']"),
    ],
)
def test_each_place_is_told_as_one_would_write_it(value: Any, place: str) -> None:
    data = codec.encode_value(value).replace(b"null", b'{"$":"dataclass","t":"gone_shop:Order","v":{}}')
    (found,) = unreadables(codec.decode_value(data))
    assert Unreadable.of(found).path == place
