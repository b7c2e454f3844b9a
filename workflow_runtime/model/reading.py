"""From JSON with tags back to values: the reverse of ``values.seal``.

A ``Reader`` decides what a tag may make. ``STORED`` reads the database's own rows: classes of modules that are loaded, and
an Unreadable in the place of what cannot be made. ``Given`` reads what comes from elsewhere: builtin types, and no class
but those that it was given.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from .classes import Unfit, stored_class
from .making import MAKERS, make_flag, make_member, make_namedtuple
from .unreadable import DAMAGED, Place, Unreadable, unread
from .values import TAG

__all__ = ["PLAIN", "STORED", "Given", "Reader", "Strict"]

_ZONE = re.compile(r"[A-Za-z0-9_+\-]+(/[A-Za-z0-9_+\-]+){0,3}")
_PATHS = ("PurePosixPath", "PureWindowsPath", "PurePath", "PosixPath", "WindowsPath", "Path")


class Reader:
    """``value`` makes what the tags say. Where one cannot be followed, ``_refused`` decides what stands there."""

    def value(self, found: Any, place: Place) -> Any:
        kind = type(found)
        if kind is list:
            return [self.value(item, (place, (number,))) for number, item in enumerate(found)]
        if kind is not dict:
            return found
        if TAG in found:
            return self._tagged(found, place)
        return {key: self.value(item, (place, (key,))) for key, item in found.items()}

    def _tagged(self, found: dict[str, Any], place: Place) -> Any:
        tag, name = found[TAG], found.get("t")
        try:
            if type(tag) is not str or "v" not in found:
                raise Unfit("its tag has no value")
            reader = _BUILTIN.get(tag)
            if reader is not None:
                return reader(self, found["v"], place)
            if tag == "path":
                return _path(name, found["v"])
            if tag not in _CLASSES:
                raise Unfit(f"the tag {tag!r} is unknown: a newer version wrote it")
            if type(name) is not str:
                raise Unfit("its tag names no class")
            return self._object(tag, self.class_of(name), found["v"], place)
        except Exception as error:  # whatever is wrong with it, the rest can be read
            reason = str(error) or type(error).__name__
            return self._refused(found, name if type(name) is str else f"value with the tag {tag!r}", reason, place)

    def _object(self, tag: str, kind: type, body: Any, place: Place) -> Any:
        if tag == "enum":
            return make_member(kind, body)
        if tag == "flag":
            return make_flag(kind, body)
        if tag == "namedtuple":
            return make_namedtuple(kind, self.items(body, place))
        if type(body) is not dict:
            raise Unfit("its fields are damaged")
        return MAKERS[tag](kind, {name: self.value(item, (place, f".{name}")) for name, item in body.items()})

    def items(self, body: Any, place: Place) -> list[Any]:
        if type(body) is not list:
            raise Unfit("its items are damaged")
        return [self.value(item, (place, (number,))) for number, item in enumerate(body)]

    def class_of(self, name: str) -> type:
        """The class that a tag names. Raises Unfit."""
        raise NotImplementedError

    def _refused(self, found: dict[str, Any], name: str, reason: str, place: Place) -> Any:
        raise NotImplementedError


class _Stored(Reader):
    """For the database's own rows."""

    def class_of(self, name: str) -> type:
        return stored_class(name)

    def _tagged(self, found: dict[str, Any], place: Place) -> Any:
        if found[TAG] == "damaged":  # an Unreadable of bytes that are no JSON, stored within something else
            return _damaged(found, place)
        return super()._tagged(found, place)

    def _refused(self, found: dict[str, Any], name: str, reason: str, place: Place) -> Unreadable:
        return unread(name, reason, found, place)


def _damaged(found: dict[str, Any], place: Place) -> Unreadable:
    try:
        data: Any = base64.b64decode(found.get("v", ""), validate=True)
    except (ValueError, TypeError):
        data = found
    return unread(DAMAGED, "what is stored here is no JSON", data, place)


class Given(Reader):
    """For what comes from elsewhere. ``types`` are the only classes that are made; a value of any other becomes the plain
    JSON of its fields, and what is no tag of ours stays the JSON that it is."""

    def __init__(self, types: Iterable[type] = ()) -> None:
        self.types = {f"{kind.__module__}:{kind.__qualname__}": kind for kind in types}

    def class_of(self, name: str) -> type:
        kind = self.types.get(name)
        if kind is None:
            raise Unfit("it was not given")
        return kind

    def _refused(self, found: dict[str, Any], name: str, reason: str, place: Place) -> Any:
        tag = found[TAG]
        if type(tag) is str and tag in _CLASSES and "v" in found:
            return self.value(found["v"], place)
        return {key: self.value(item, (place, (key,))) for key, item in found.items()}


class Strict(Given):
    """As ``Given``, with an Unreadable in the place of what cannot be made."""

    def _refused(self, found: dict[str, Any], name: str, reason: str, place: Place) -> Unreadable:
        return unread(name, reason, found, place)


class _Plain(Given):
    """For plain JSON, in which there are no tags."""

    def value(self, found: Any, place: Place) -> Any:
        return found


PLAIN = _Plain()
STORED = _Stored()


# -- builtin types ----------------------------------------------------------------------------------------------------


def _text(body: Any) -> str:
    if type(body) is not str:
        raise Unfit("its text is damaged")
    return body


def _number(body: Any) -> Any:
    if type(body) not in (int, float):
        raise Unfit("its number is damaged")
    return body


def _bytes(body: Any) -> bytes:
    return base64.b64decode(_text(body), validate=True)


def _pairs(reader: Reader, body: Any, place: Place) -> dict[Any, Any]:
    if type(body) is not list or not all(type(pair) is list and len(pair) == 2 for pair in body):
        raise Unfit("its keys and values are damaged")
    made: dict[Any, Any] = {}
    for pair in body:
        key = reader.value(pair[0], (place, " key"))
        made[key] = reader.value(pair[1], (place, (key,)))
    return made


def _stamp(body: Any, kind: Any) -> Any:
    if type(body) is str:
        return kind.fromisoformat(body)
    if type(body) is not list or len(body) != 3 or body[1] not in (0, 1):
        raise Unfit("its time is damaged")
    made = kind.fromisoformat(_text(body[0])).replace(fold=body[1])
    if body[2] is None:
        return made
    from zoneinfo import ZoneInfo

    if not _ZONE.fullmatch(_text(body[2])) or len(body[2]) > 100:  # it is looked for among the files of the machine
        raise Unfit("its zone has no name of a zone")
    return made.replace(tzinfo=ZoneInfo(body[2]))


def _delta(body: Any) -> timedelta:
    if type(body) is not list or len(body) != 3 or not all(type(part) is int for part in body):
        raise Unfit("its length is damaged")
    return timedelta(*body)


def _path(name: Any, body: Any) -> Any:
    if name not in _PATHS:
        raise Unfit("that is no kind of path")
    import pathlib

    return vars(pathlib)[name](_text(body))


_BUILTIN: dict[str, Callable[[Reader, Any, Place], Any]] = {
    "int": lambda reader, body, place: int(_text(body)),
    "float": lambda reader, body, place: float(_text(body)),
    "dict": _pairs,
    "tuple": lambda reader, body, place: tuple(reader.items(body, place)),
    "set": lambda reader, body, place: set(reader.items(body, place)),
    "frozenset": lambda reader, body, place: frozenset(reader.items(body, place)),
    "bytes": lambda reader, body, place: _bytes(body),
    "bytearray": lambda reader, body, place: bytearray(_bytes(body)),
    "datetime": lambda reader, body, place: _stamp(body, datetime),
    "date": lambda reader, body, place: date.fromisoformat(_text(body)),
    "time": lambda reader, body, place: _stamp(body, time),
    "timedelta": lambda reader, body, place: _delta(body),
    "decimal": lambda reader, body, place: Decimal(_text(body)),
    "uuid": lambda reader, body, place: UUID(_text(body)),
    "complex": lambda reader, body, place: complex(*map(_number, reader.items(body, place))),
}
_CLASSES = frozenset(("enum", "flag", "namedtuple", *MAKERS))
