"""Values as JSON that keeps their types; ``reading`` is the reverse.

Plain JSON values stay as they are; every other type is a tagged object ``{"$": tag, "v": ...}``, with ``"t"`` for the class.
A value that would not come back equal and of the same type is refused, with the place named.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, Flag
from types import MethodDescriptorType
from typing import Any
from uuid import UUID

import msgspec

from .classes import PerClass, class_of, has, lookup, name_of
from .errors import UnserializableError
from .making import dataclass_fields, field_of, instance_dict, struct_fields
from .text import error_name, error_text, is_model
from .unreadable import Unreadable

__all__ = ["MAX_DEPTH", "TAG", "depth_of", "is_plain", "seal", "store_as_dict"]

TAG = "$"
_SCALARS = (str, int, bool, type(None))
_MAX_INT = 2**63 - 1
MAX_DEPTH = 200


def is_plain(value: Any) -> bool:
    """True for the values that JSON keeps as they are and that need no look inside."""
    kind = type(value)
    return kind is str or kind is bool or value is None or (kind is int and -_MAX_INT <= value <= _MAX_INT)


def seal(value: Any, where: str = "value", depth: int = 0) -> Any:
    """``value`` as plain JSON with tags for types that JSON lacks; ``where`` is named in the error."""
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return value
    if kind is int:
        return value if -_MAX_INT <= value <= _MAX_INT else {TAG: "int", "v": _digits(value, where)}
    if kind is float:
        return value if math.isfinite(value) else {TAG: "float", "v": repr(value)}
    if depth > MAX_DEPTH:
        raise UnserializableError(f"{where}: nested deeper than {MAX_DEPTH}, or it contains itself", where=where)
    if kind is list:
        return [seal(item, f"{where}[{i}]", depth + 1) for i, item in enumerate(value)]
    if kind is dict:
        if TAG not in value and all(type(key) is str for key in value):
            return {key: seal(item, f"{where}[{key!r}]", depth + 1) for key, item in list(value.items())}
        pairs = [
            [seal(key, f"{where} key", depth + 1), seal(item, f"{where}[{key!r}]", depth + 1)]
            for key, item in list(value.items())
        ]
        return {TAG: "dict", "v": pairs}
    writer = _WRITERS.get(kind) if type(kind) is type else None  # another metaclass may have a hash of its own
    try:
        if writer is not None:
            tag, write = writer
            return {TAG: tag, "v": write(value, where, depth + 1)}
        return _seal_object(value, where, depth + 1)
    except UnserializableError:
        raise
    except Exception as error:  # an exception of the value's own class
        raise UnserializableError(
            f"{where}: a {name_of(kind).replace(':', '.')} cannot be stored, since reading it raised"
            f" {error_name(error)}: {error_text(error)}; set all its fields first, or give them defaults",
            where=where,
            value=value,
        ) from error


def _digits(value: int, where: str) -> str:
    try:
        return str(value)
    except ValueError as error:  # Python writes and reads 4300 digits, unless configured otherwise
        raise UnserializableError(f"{where}: {error}", where=where, value=value) from error


def _items(value: Any, where: str, depth: int) -> list[Any]:
    return [seal(item, f"{where}[{i}]", depth) for i, item in enumerate(value)]


def _iso(value: Any, _where: str, _depth: int) -> str:
    return str(value.isoformat())


def _stamp(value: datetime | time, _where: str, _depth: int) -> Any:
    zone = getattr(value.tzinfo, "key", None)
    if value.fold or zone:
        return [value.replace(fold=0).isoformat(), value.fold, zone]
    return value.isoformat()


_Writer = tuple[str, Callable[[Any, str, int], Any]]
_WRITERS: dict[type, _Writer] = {
    tuple: ("tuple", _items),
    set: ("set", _items),
    frozenset: ("frozenset", _items),
    bytes: ("bytes", lambda v, *_: base64.b64encode(v).decode()),
    bytearray: ("bytearray", lambda v, *_: base64.b64encode(v).decode()),
    datetime: ("datetime", _stamp),
    date: ("date", _iso),
    time: ("time", _stamp),
    timedelta: ("timedelta", lambda v, *_: [v.days, v.seconds, v.microseconds]),
    Decimal: ("decimal", lambda v, *_: str(v)),
    UUID: ("uuid", lambda v, *_: str(v)),
    complex: ("complex", lambda v, *_: [seal(v.real), seal(v.imag)]),
}


def store_as_dict(kind: type[dict[Any, Any]]) -> None:
    """Let values of this kind of dict be stored; they come back as plain dicts."""
    _WRITERS[kind] = ("dict", lambda v, w, d: [[seal(k, w, d), seal(x, f"{w}[{k!r}]", d)] for k, x in v.items()])


_Form = tuple[str, str, Callable[[Any, str, int], Any]]  # tag, name of the class, the function that writes the value
_forms: PerClass[_Form] = PerClass()  # what writes is one call deep: MAX_DEPTH levels must fit into Python's stack


def _seal_object(value: Any, where: str, depth: int) -> dict[str, Any]:
    kind = type(value)
    form = _forms.get(kind)
    if form is None:
        if kind is Unreadable:
            return _kept(value)
        form = _forms.put(kind, _form(value, kind, where))
    tag, name, write = form
    return {TAG: tag, "t": name, "v": write(value, where, depth)}


def _form(value: Any, kind: type, where: str) -> _Form:
    """How values of this class are stored. Raises UnserializableError."""
    if has(kind, type):
        raise UnserializableError(f"{where}: a class ({value!r}) cannot be stored; store its name", where=where)
    if has(kind, Flag):  # several together have no name to be found by
        return "flag", _name(kind, where), lambda v, *_: field_of(v, "_value_")
    if has(kind, Enum):
        return "enum", _name(kind, where), lambda v, *_: field_of(v, "_name_")
    if has(kind, class_of("pathlib", "PurePath")):  # where no one loaded it, there is none
        # One of a class of the user's is kept as the path that it is: nothing could make the class again.
        own = next(base for base in kind.__mro__ if base.__module__.partition(".")[0] == "pathlib")
        return "path", own.__name__, lambda v, *_: str(v)
    if is_model(value):
        return "model", _name(kind, where), _model
    if has(kind, msgspec.Struct):
        return "struct", _name(kind, where), _named(struct_fields(kind))
    if has(kind, BaseException):
        return "exception", _name(kind, where), _exception
    if (names := dataclass_fields(kind)) is not None:
        return "dataclass", _name(kind, where), _named(names)
    if has(kind, tuple) and lookup(kind, "_fields") is not None:
        return "namedtuple", _name(kind, where), _tuple
    what = f"{where}: a {name_of(kind).replace(':', '.')} cannot be stored with its type. "
    raise UnserializableError(
        what
        + (
            "Give it to the constructor instead: Workflow(dependencies={...}) may hold anything"
            if where.startswith("dependencies")
            else "Return builtins, a dataclass, a pydantic model or a msgspec.Struct instead, or keep it out of outputs"
            " and session_state"
        ),
        where=where,
        value=value,
    )


def _kept(value: Unreadable) -> dict[str, Any]:
    """The stored form, unchanged."""
    data = Unreadable.of(value).data
    if isinstance(data, bytes):
        return {TAG: "damaged", "v": base64.b64encode(data).decode()}
    found: dict[str, Any] = data
    return found


def _exception(error: BaseException, where: str, depth: int) -> dict[str, Any]:
    """The parts of an exception. Its traceback and its causes are not stored with it."""
    kind = type(error)
    args, state = BaseException.__dict__["args"].__get__(error), instance_dict(error, kind)
    reduce = lookup(kind, "__reduce__")
    if type(reduce) is MethodDescriptorType:  # written in C; some keep more than their args
        made: Any = reduce(error)
        args, state = made[1], {**(made[2] if len(made) > 2 else {}), **state}
    fields = {name: item for name, item in state.items() if name not in ("run_output", "__notes__")}
    return {
        "args": [seal(item, f"{where}[{i}]", depth) for i, item in enumerate(args)],
        "fields": {name: seal(item, f"{where}.{name}", depth) for name, item in fields.items()},
    }


def _named(names: Sequence[str]) -> Callable[[Any, str, int], dict[str, Any]]:
    return lambda v, w, d: {name: seal(field_of(v, name), f"{w}.{name}", d) for name in names}


def _tuple(value: Any, where: str, depth: int) -> list[Any]:
    return [seal(item, f"{where}[{i}]", depth) for i, item in enumerate(tuple.__iter__(value))]


def _model(value: Any, where: str, depth: int) -> dict[str, Any]:
    fields = dict(instance_dict(value, type(value)))
    fields.update(field_of(value, "__pydantic_extra__", None) or {})
    return {name: seal(item, f"{where}.{name}", depth) for name, item in fields.items()}


def _name(kind: type, where: str) -> str:
    name = name_of(kind)
    if "<locals>" in name:
        raise UnserializableError(
            f"{where}: {name.partition(':')[2]} is defined inside a function, so another process cannot find it;"
            " define the class at the top of a module",
            where=where,
        )
    return name


def depth_of(found: Any) -> int:
    """How deep the containers of a sealed value are nested, as ``seal`` counts them."""
    deepest = 0
    waiting = [(found, 0)]
    while waiting:
        item, depth = waiting.pop()
        kind = type(item)
        if kind is dict and TAG in item:
            tag, item = item[TAG], item.get("v")
            kind = type(item)
            if tag == "dict" and kind is list and all(type(pair) is list for pair in item):
                item = [part for pair in item for part in pair]
        if kind is dict or kind is list:
            deepest = max(deepest, depth)
            waiting.extend((part, depth + 1) for part in (list(item.values()) if isinstance(item, dict) else item))
    return deepest
