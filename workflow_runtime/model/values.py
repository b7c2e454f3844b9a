"""Values to JSON and back with their types. spec: decisions 5.

Plain JSON values stay as they are, so the wire is readable; every other type is a tagged object
``{"$": tag, "v": ...}``. A value that would not come back equal and of the same type is refused, with the place named.
"""

from __future__ import annotations

import base64
import dataclasses
import importlib
import math
import os
import sys
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, Flag
from typing import Any
from uuid import UUID

import msgspec

from .errors import UnserializableError
from .text import is_model

__all__ = ["is_plain", "seal", "store_as_dict", "unseal"]

TAG = "$"
_SCALARS = (str, int, bool, type(None))
_MAX_INT = 2**63 - 1
_MAX_DEPTH = 200


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
        return value if -_MAX_INT <= value <= _MAX_INT else {TAG: "int", "v": str(value)}
    if kind is float:
        return value if math.isfinite(value) else {TAG: "float", "v": repr(value)}
    if depth > _MAX_DEPTH:
        raise UnserializableError(f"{where}: nested deeper than {_MAX_DEPTH}, or it contains itself", where=where)
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
    writer = _WRITERS.get(kind)
    if writer is not None:
        tag, write = writer
        return {TAG: tag, "v": write(value, where, depth + 1)}
    return _seal_object(value, where, depth + 1)


def _items(value: Any, where: str, depth: int) -> list[Any]:
    return [seal(item, f"{where}[{i}]", depth) for i, item in enumerate(value)]


def _iso(value: Any, where: str, depth: int) -> str:
    return str(value.isoformat())


def _stamp(value: datetime | time, where: str, depth: int) -> Any:
    zone = getattr(value.tzinfo, "key", None)
    if value.fold or zone:
        return [value.replace(fold=0).isoformat(), value.fold, zone]
    return value.isoformat()


_Writer = tuple[str, Callable[[Any, str, int], Any]]
_WRITERS: dict[type, _Writer] = {
    tuple: ("tuple", _items),
    set: ("set", _items),
    frozenset: ("frozenset", _items),
    bytes: ("bytes", lambda v, w, d: base64.b64encode(v).decode()),
    bytearray: ("bytearray", lambda v, w, d: base64.b64encode(v).decode()),
    datetime: ("datetime", _stamp),
    date: ("date", _iso),
    time: ("time", _stamp),
    timedelta: ("timedelta", lambda v, w, d: [v.days, v.seconds, v.microseconds]),
    Decimal: ("decimal", lambda v, w, d: str(v)),
    UUID: ("uuid", lambda v, w, d: str(v)),
    complex: ("complex", lambda v, w, d: [seal(v.real), seal(v.imag)]),
}


def store_as_dict(kind: type[dict[Any, Any]]) -> None:
    """Let values of this kind of dict be stored; they come back as plain dicts."""
    _WRITERS[kind] = ("dict", lambda v, w, d: [[seal(k, w, d), seal(x, f"{w}[{k!r}]", d)] for k, x in v.items()])


def _read_stamp(value: Any, kind: type[datetime] | type[time]) -> datetime | time:
    if isinstance(value, str):
        return kind.fromisoformat(value)
    text, fold, zone = value
    stamp = kind.fromisoformat(text).replace(fold=fold)
    if zone:
        from zoneinfo import ZoneInfo

        stamp = stamp.replace(tzinfo=ZoneInfo(zone))
    return stamp


_READERS: dict[str, Callable[[Any], Any]] = {
    "int": int,
    "float": float,
    "dict": lambda pairs: {unseal(key): unseal(item) for key, item in pairs},
    "tuple": lambda v: tuple(map(unseal, v)),
    "set": lambda v: set(map(unseal, v)),
    "frozenset": lambda v: frozenset(map(unseal, v)),
    "bytes": base64.b64decode,
    "bytearray": lambda v: bytearray(base64.b64decode(v)),
    "datetime": lambda v: _read_stamp(v, datetime),
    "date": date.fromisoformat,
    "time": lambda v: _read_stamp(v, time),
    "timedelta": lambda v: timedelta(*v),
    "decimal": Decimal,
    "uuid": UUID,
    "complex": lambda v: complex(*map(unseal, v)),
}


def _seal_object(value: Any, where: str, depth: int) -> dict[str, Any]:
    kind = type(value)
    if isinstance(value, type):
        raise UnserializableError(f"{where}: a class ({value!r}) cannot be stored; store its name", where=where)
    if isinstance(value, Flag):  # several together have no name to be found by
        return {TAG: "flag", "t": _name(kind, where), "v": value.value}
    if isinstance(value, Enum):
        return {TAG: "enum", "t": _name(kind, where), "v": value.name}
    if isinstance(value, os.PathLike):
        from pathlib import PurePath  # whoever has one has loaded it

        if isinstance(value, PurePath):
            return {TAG: "path", "t": kind.__name__, "v": str(value)}
    if is_model(value):
        return {TAG: "model", "t": _name(kind, where), "v": _fields(_model_fields(value), where, depth)}
    if isinstance(value, msgspec.Struct):
        fields = {name: getattr(value, name) for name in value.__struct_fields__}
        return {TAG: "struct", "t": _name(kind, where), "v": _fields(fields, where, depth)}
    if dataclasses.is_dataclass(value):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return {TAG: "dataclass", "t": _name(kind, where), "v": _fields(fields, where, depth)}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return {TAG: "namedtuple", "t": _name(kind, where), "v": _items(value, where, depth)}
    raise UnserializableError(
        f"{where}: a {kind.__module__}.{kind.__qualname__} cannot be stored with its type. Return builtins, a dataclass,"
        " a pydantic model or a msgspec.Struct instead, or keep it out of outputs and session_state",
        where=where,
        value=value,
    )


def _model_fields(value: Any) -> dict[str, Any]:
    fields = dict(value.__dict__)
    fields.update(getattr(value, "__pydantic_extra__", None) or {})
    return fields


def _fields(fields: dict[str, Any], where: str, depth: int) -> dict[str, Any]:
    return {name: seal(item, f"{where}.{name}", depth) for name, item in fields.items()}


def _name(kind: type, where: str) -> str:
    if "<locals>" in kind.__qualname__:
        raise UnserializableError(
            f"{where}: {kind.__qualname__} is defined inside a function, so another process cannot find it;"
            " define the class at the top of a module",
            where=where,
        )
    return f"{kind.__module__}:{kind.__qualname__}"


def _find(name: str) -> Any:
    module, _, qualname = name.partition(":")
    try:
        found: Any = sys.modules.get(module) or importlib.import_module(module)
        for part in qualname.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise UnserializableError(
            f"the stored value is a {name}, which this process cannot import ({error}); make its module importable"
        ) from error
    if not isinstance(found, type):
        raise UnserializableError(f"the stored value names {name}, which is not a class")
    return found


def _revive_dataclass(kind: Any, fields: dict[str, Any]) -> Any:
    if not hasattr(kind, "__dataclass_fields__"):
        raise UnserializableError(f"the stored value names {kind!r}, which is no dataclass any more")
    # Past __init__, as pickle does: fields with init=False and __post_init__ must not run twice.
    value: Any = object.__new__(kind)
    for name, item in fields.items():
        object.__setattr__(value, name, item)
    return value


def _revive_model(kind: Any, fields: dict[str, Any]) -> Any:
    if not hasattr(kind, "model_construct"):
        raise UnserializableError(f"the stored value names {kind!r}, which is no pydantic model any more")
    return kind.model_construct(**fields)


def _revive_struct(kind: Any, fields: dict[str, Any]) -> Any:
    if not issubclass(kind, msgspec.Struct):
        raise UnserializableError(f"the stored value names {kind!r}, which is no msgspec.Struct any more")
    return kind(**{name: item for name, item in fields.items() if name in kind.__struct_fields__})


def unseal(value: Any) -> Any:
    """The value that ``seal`` was given."""
    kind = type(value)
    if kind is list:
        return [unseal(item) for item in value]
    if kind is not dict:
        return value
    tag = value.get(TAG)
    if tag is None:
        return {key: unseal(item) for key, item in value.items()}
    body = value["v"]
    reader = _READERS.get(tag)
    if reader is not None:
        return reader(body)
    if tag == "path":
        import pathlib

        return getattr(pathlib, value["t"])(body)
    found = _find(value["t"])
    if tag == "enum":
        return found[body]
    if tag == "flag":
        return found(body)
    if tag == "namedtuple":
        return found(*map(unseal, body))
    fields = {name: unseal(item) for name, item in body.items()}
    revive = {"model": _revive_model, "struct": _revive_struct, "dataclass": _revive_dataclass}.get(tag)
    if revive is None:
        raise UnserializableError(f"the stored value has the unknown tag {tag!r}: a newer version wrote it")
    return revive(found, fields)
