"""From JSON with tags back to values: the reverse of ``values.seal``.

A ``Reader`` decides which values tags may produce. ``STORED`` reads the database's own rows: classes of loaded modules, and
an Unreadable for each value that cannot be rebuilt. ``Given`` reads untrusted data: builtin types, and only the classes
that it was given. ``PLAIN`` reads JSON without tags.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from .classes import Damaged, Unfit, stored_class
from .making import MAKERS, make_flag, make_member, make_namedtuple
from .unreadable import DAMAGED, Place, Unreadable, unread
from .values import TAG

__all__ = ["PLAIN", "STORED", "Given", "Reader", "Strict"]

# An opened container: its parts, how each is named in a path (None: by number), and the builder of the container
# of the parts once these are made (None: there is nothing to wait for, and the first is the value itself).
Opened = tuple[Any, Sequence[Any] | None, Callable[[list[Any]], Any] | None]


class Reader:
    """``value`` rebuilds the value: ``quick`` if all tags can be followed, else ``careful``."""

    def value(self, found: Any, place: Place) -> Any:
        if type(found) is not list and type(found) is not dict:
            return found
        try:
            return self.quick(found)
        except Exception:  # whatever is wrong with it: it is reported with its path
            return self.careful(found, place)

    def quick(self, found: Any) -> Any:
        """The value; raises if a part of it cannot be rebuilt, or is nested too deeply."""
        kind = type(found)
        if kind is list:
            return self._each(found)
        if kind is not dict:
            return found
        if TAG not in found:
            return self._each_of(found)
        tag, body = found[TAG], found["v"]
        leaf = _LEAVES.get(tag)
        if leaf is not None:
            return leaf(body)
        container = _CONTAINERS.get(tag)
        if container is not None:
            return container(self._each(_items(body)))
        if tag == "dict":
            parts = self._each(_pairs(body))
            return dict(zip(parts[::2], parts[1::2], strict=True))
        name = found["t"]
        if tag == "path":
            return _path(name, body)
        made = self.class_of(name)
        maker = MAKERS.get(tag)
        if maker is not None:
            return maker(made, self._each_of(body))
        if tag == "namedtuple":
            return make_namedtuple(made, self._each(_items(body)))
        return _MEMBERS[tag](made, body)

    def _each(self, found: list[Any]) -> list[Any]:
        quick = self.quick
        return [quick(item) if type(item) is dict or type(item) is list else item for item in found]

    def _each_of(self, found: dict[str, Any]) -> dict[str, Any]:
        quick = self.quick
        return {key: quick(item) if type(item) is dict or type(item) is list else item for key, item in found.items()}

    def careful(self, found: Any, place: Place) -> Any:
        """The value, even if parts of it are damaged, and however deeply it is nested."""
        top: list[Any] = [None]
        waiting: list[tuple[Any, Place, list[Any], int]] = [(found, place, top, 0)]
        opened: list[tuple[Callable[[list[Any]], Any], list[Any], list[Any], int]] = []
        for item, where, target, index in waiting:  # which grows meanwhile
            parts, names, make = self._open(item, where)
            if make is None:
                target[index] = parts
                continue
            values = list(parts)
            for number, part in enumerate(values):
                if type(part) is list or type(part) is dict:
                    waiting.append((part, (where, (number,) if names is None else names[number]), values, number))
            opened.append((make, values, target, index))
        for make, values, target, index in reversed(opened):  # the inner ones come after the outer ones
            target[index] = make(values)
        return top[0]

    def _open(self, found: Any, place: Place) -> Opened:
        if type(found) is list:
            return found, None, list
        if TAG in found:
            return self._open_tagged(found, place)
        return _plain_dict(found)

    def _open_tagged(self, found: dict[str, Any], place: Place) -> Opened:
        tag, name = found[TAG], found.get("t")
        try:
            parts, names, make = self._tagged(tag, name, found)
        except Exception as error:  # whatever is wrong with it, the rest can be read
            return self._refused(found, _called(tag, name), error, place)
        if make is None:
            return parts, None, None

        def made(values: list[Any]) -> Any:
            try:
                return make(values)
            except Exception as error:
                return self._unmade(found, _called(tag, name), error, place, values)

        return parts, names, made

    def _tagged(self, tag: Any, name: Any, found: dict[str, Any]) -> Opened:
        if type(tag) is not str or "v" not in found:
            raise Damaged("its tag has no value")
        body = found["v"]
        if tag in _LEAVES:
            return _LEAVES[tag](body), None, None
        if tag in _CONTAINERS:
            return _items(body), None, _CONTAINERS[tag]
        if tag == "dict":
            return _pairs(body), None, lambda values: dict(zip(values[::2], values[1::2], strict=True))
        if tag == "path":
            return _path(name, body), None, None
        if tag not in _CLASSES:
            raise Unfit(f"the tag {tag!r} is unknown: a newer version wrote it")
        if type(name) is not str:
            raise Damaged("its tag names no class")
        kind = self.class_of(name)
        if tag in _MEMBERS:
            return _MEMBERS[tag](kind, body), None, None
        if tag == "namedtuple":
            return _items(body), None, lambda values: make_namedtuple(kind, values)
        if type(body) is not dict:
            raise Damaged("its fields are damaged")
        maker = MAKERS[tag]
        names = [f".{field}" for field in body]
        return body.values(), names, lambda values: maker(kind, dict(zip(body, values, strict=True)))

    def class_of(self, name: str) -> type:
        """The class that a tag names. Raises Unfit."""
        raise NotImplementedError

    def _refused(self, found: dict[str, Any], name: str, error: Exception, place: Place) -> Opened:
        """The replacement for a tag that cannot be followed."""
        raise NotImplementedError

    def _unmade(self, found: dict[str, Any], name: str, error: Exception, place: Place, values: list[Any]) -> Any:
        """The replacement for a container that cannot be built from its ``values``."""
        raise NotImplementedError


class _Stored(Reader):
    """For the database's own rows."""

    def class_of(self, name: str) -> type:
        return stored_class(name)

    def _refused(self, found: dict[str, Any], name: str, error: Exception, place: Place) -> Opened:
        if found[TAG] == "damaged":  # an Unreadable of bytes that were no JSON, stored within something else
            return unread(DAMAGED, "what was stored is no JSON", found, place, is_damaged=True), None, None
        return _unread(name, error, found, place), None, None

    def _unmade(self, found: dict[str, Any], name: str, error: Exception, place: Place, values: list[Any]) -> Any:
        return _unread(name, error, found, place)


class Given(Reader):
    """For untrusted data. Only the classes in ``types`` are built; a value of any other becomes the plain JSON of its
    fields, and JSON that is not one of our tags stays as it is."""

    def __init__(self, types: Iterable[type] = ()) -> None:
        self.types = {f"{kind.__module__}:{kind.__qualname__}": kind for kind in types}

    def class_of(self, name: str) -> type:
        kind = self.types.get(name)
        if kind is None:
            raise Unfit("it was not given")
        return kind

    def _refused(self, found: dict[str, Any], name: str, error: Exception, place: Place) -> Opened:
        tag = found[TAG]
        if not (type(tag) is str and tag in _CLASSES and "v" in found):
            return _plain_dict(found)
        body = found["v"]
        return self._open(body, place) if type(body) is list or type(body) is dict else (body, None, None)

    def _unmade(self, found: dict[str, Any], name: str, error: Exception, place: Place, values: list[Any]) -> Any:
        tag, body = found[TAG], found["v"]
        if tag in _CLASSES:
            return dict(zip(body, values, strict=True)) if type(body) is dict else values
        if tag == "dict":
            values = [list(pair) for pair in zip(values[::2], values[1::2], strict=True)]
        return {**found, "v": values}


class Strict(Given):
    """Like ``Given``, with an Unreadable for each value that cannot be rebuilt."""

    _refused: Any = _Stored._refused
    _unmade: Any = _Stored._unmade


class _Plain(Given):
    def value(self, found: Any, place: Place) -> Any:
        return found


PLAIN = _Plain()
STORED = _Stored()


def _plain_dict(found: dict[str, Any]) -> Opened:
    return found.values(), [(key,) for key in found], lambda values: dict(zip(found, values, strict=True))


def _called(tag: Any, name: Any) -> str:
    return name if type(name) is str else f"value with the tag {tag!r}"


def _unread(name: str, error: Exception, found: Any, place: Place) -> Unreadable:
    """An error that is not ours comes from the class, if there is one."""
    is_of_class = type(found[TAG]) is str and found[TAG] in _CLASSES
    is_damaged = isinstance(error, Damaged) or not (is_of_class or isinstance(error, Unfit))
    return unread(name, str(error) or type(error).__name__, found, place, is_damaged=is_damaged)


# -- builtin types ----------------------------------------------------------------------------------------------------


def _items(body: Any) -> list[Any]:
    if type(body) is not list:
        raise Damaged("its items are damaged")
    return body


def _pairs(body: Any) -> list[Any]:
    """Keys and values in turn."""
    if type(body) is not list or not all(type(pair) is list and len(pair) == 2 for pair in body):
        raise Damaged("its keys and values are damaged")
    return [part for pair in body for part in pair]


def _text(body: Any) -> str:
    if type(body) is not str:
        raise Damaged("its text is damaged")
    return body


def _bytes(body: Any) -> bytes:
    return base64.b64decode(_text(body), validate=True)


def _stamp(body: Any, kind: Any) -> Any:
    if type(body) is str:
        return kind.fromisoformat(body)
    if type(body) is not list or len(body) != 3 or body[1] not in (0, 1):
        raise Damaged("its time is damaged")
    made = kind.fromisoformat(_text(body[0])).replace(fold=body[1])
    if body[2] is None:
        return made
    from zoneinfo import ZoneInfo

    if not _ZONE.fullmatch(_text(body[2])) or len(body[2]) > 100:  # it is looked for among the files of the machine
        raise Damaged("its zone has no name of a zone")
    return made.replace(tzinfo=ZoneInfo(body[2]))


def _delta(body: Any) -> timedelta:
    if type(body) is not list or len(body) != 3 or not all(type(part) is int for part in body):
        raise Damaged("its length is damaged")
    return timedelta(*body)


def _complex(values: list[Any]) -> complex:
    if not all(type(part) is float or type(part) is int for part in values):
        raise Damaged("its numbers are damaged")
    return complex(*values)


def _path(name: Any, body: Any) -> Any:
    if name not in _PATHS:
        raise Damaged("that is no kind of path")
    import pathlib

    return vars(pathlib)[name](_text(body))


_ZONE = re.compile(r"[A-Za-z0-9_+\-]+(/[A-Za-z0-9_+\-]+){0,3}")
_PATHS = ("PurePosixPath", "PureWindowsPath", "PurePath", "PosixPath", "WindowsPath", "Path")
_LEAVES: dict[str, Callable[[Any], Any]] = {
    "int": lambda body: int(_text(body)),
    "float": lambda body: float(_text(body)),
    "bytes": _bytes,
    "bytearray": lambda body: bytearray(_bytes(body)),
    "datetime": lambda body: _stamp(body, datetime),
    "date": date.fromisoformat,
    "time": lambda body: _stamp(body, time),
    "timedelta": _delta,
    "decimal": lambda body: Decimal(_text(body)),
    "uuid": lambda body: UUID(_text(body)),
}
_CONTAINERS: dict[str, Callable[[list[Any]], Any]] = {
    "tuple": tuple,
    "set": set,
    "frozenset": frozenset,
    "complex": _complex,
}
_MEMBERS = {"enum": make_member, "flag": make_flag}
_CLASSES = frozenset((*_MEMBERS, *MAKERS, "namedtuple"))
