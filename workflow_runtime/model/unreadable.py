"""Unreadable: the placeholder for a stored value that cannot be rebuilt.

It can be passed on, listed, displayed and stored again, which writes the same bytes; any other use raises.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

import msgspec

from .classes import has
from .errors import UnreadableError
from .making import contents

__all__ = [
    "DAMAGED",
    "Place",
    "Unread",
    "Unreadable",
    "plain",
    "problem_of",
    "rendered",
    "told",
    "unread",
    "unreadables",
]

DAMAGED = "damaged bytes"  # instead of the class, for data that is not even JSON

Place = tuple[
    Any, ...
]  # the position of a value: (run id, text) at the top, (the position of its container, its own part of the path) below


class Unread(msgspec.Struct, frozen=True, kw_only=True):
    """The details of an Unreadable: ``type(value).of(value)`` returns them.

    Attributes:
        class_name: ``module:qualname``, or "damaged bytes".
        reason: Why it cannot be rebuilt, and what to do.
        run_id: The run that it was read for; "" if it is a session's.
        path: The position in the run: a step's path or the name of a field, then keys, indexes and attributes.
        data: The stored form: tagged JSON, or bytes that are not JSON.
        is_damaged: The stored data is damaged; False if this process lacks the class, or has another one of that name.
    """

    class_name: str
    reason: str
    run_id: str = ""
    path: str = ""
    data: Any = None
    is_damaged: bool = False


def rendered(place: Place) -> tuple[str, str]:
    """(run id, path) of a place."""
    parts: list[str] = []
    while isinstance(place[0], tuple):
        parts.append(place[1] if isinstance(place[1], str) else f"[{place[1][0]!r}]")
        place = place[0]
    run_id, start = place
    return run_id, start + "".join(reversed(parts))


class Unreadable:
    """A stored value that cannot be made here: its class is gone, changed or not loaded, or its bytes are damaged.

    ``str`` and ``repr`` name the class and the reason. It is compared by identity only. Everything else (attributes,
    items, iteration, calls, arithmetic, truth, comparisons) raises UnreadableError.
    """

    __slots__ = ("__unread__",)

    def __init__(self, unread: Unread) -> None:
        object.__setattr__(self, "__unread__", unread)

    @staticmethod
    def of(value: Unreadable) -> Unread:
        """The details of ``value``."""
        found: Unread = object.__getattribute__(value, "__unread__")
        return found

    def __repr__(self) -> str:
        known = Unreadable.of(self)
        return f"<unreadable {known.class_name}: {known.reason}>"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format(repr(self), spec)

    def __hash__(self) -> int:  # by identity, so that it may be in a set or a key
        return id(self) >> 4

    def __eq__(self, other: object) -> bool:
        return other is self or _refuse(self, "compared")

    def __ne__(self, other: object) -> bool:
        return other is not self and _refuse(self, "compared")

    def __copy__(self) -> Unreadable:
        return self

    def __deepcopy__(self, memo: Any) -> Unreadable:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return Unreadable, (Unreadable.of(self),)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name.startswith(("_repr_", "_ipython_")):
            raise AttributeError(name)  # a library that checks the features of this object
        _refuse(self, f"asked for .{name}")

    def __setattr__(self, name: str, value: Any) -> None:
        _refuse(self, f"given .{name}")

    def __delattr__(self, name: str) -> None:
        _refuse(self, f"told to forget .{name}")


def _refuse(value: Unreadable, what: str) -> NoReturn:
    known = Unreadable.of(value)
    run = f"run {known.run_id}, " if known.run_id else ""
    raise UnreadableError(
        f"{run}{known.path or 'value'} is a stored {known.class_name} that cannot be read, so it cannot be {what}:"
        f" {known.reason}",
        class_name=known.class_name,
        run_id=known.run_id,
        path=known.path,
    )


def _refusing(name: str) -> Any:
    def method(self: Unreadable, *_args: Any, **_kwargs: Any) -> Any:
        _refuse(self, f"used ({name})")

    method.__name__ = method.__qualname__ = name
    return method


# Not __await__ and __aiter__, which mark coroutines and streams: without them Python raises anyway.
_TOUCHES = """
    bool len length_hint iter next reversed contains getitem setitem delitem call enter exit aenter aexit index int float
    complex bytes fspath lt le gt ge neg pos abs invert round trunc floor ceil add sub mul matmul truediv floordiv mod
    divmod pow lshift rshift and xor or radd rsub rmul rmatmul rtruediv rfloordiv rmod rdivmod rpow rlshift rrshift rand
    rxor ror iadd isub imul imatmul itruediv ifloordiv imod ipow ilshift irshift iand ixor ior
"""
for _name in _TOUCHES.split():
    setattr(Unreadable, f"__{_name}__", _refusing(f"__{_name}__"))


def unread(class_name: str, reason: str, data: Any, place: Place, *, is_damaged: bool = False) -> Unreadable:
    """An Unreadable at ``place``."""
    run_id, path = rendered(place)
    return Unreadable(
        Unread(class_name=class_name, reason=reason, run_id=run_id, path=path, data=data, is_damaged=is_damaged)
    )


def plain(value: Unreadable) -> dict[str, Any]:
    """``value`` as people and programs see it in JSON: the class, the reason, and its legible part."""
    known = Unreadable.of(value)
    told: dict[str, Any] = {"unreadable": known.class_name, "reason": known.reason}
    if isinstance(known.data, dict):
        told["data"] = known.data.get("v")
    return told


def unreadables(value: Any) -> list[Unreadable]:
    """Those in ``value``, at any depth of containers and of objects with fields, in their order."""
    found: list[Unreadable] = []
    seen: set[int] = set()
    waiting = [value]
    while waiting:
        item = waiting.pop()
        kind = type(item)
        if kind is Unreadable:
            found.append(item)
        elif id(kind) not in _LEAVES and id(item) not in seen:  # by id: a class may have a hash of its own
            seen.add(id(item))
            waiting.extend(reversed(list(_parts(item, kind))))
    return found


_LEAVES = frozenset(map(id, (str, int, float, bool, bytes, type(None))))


def _parts(item: Any, kind: type) -> Iterable[Any]:
    if kind is dict:
        return (part for pair in item.items() for part in pair)
    if kind is list or kind is set or kind is frozenset:
        return item  # type: ignore[no-any-return]  # a container
    return tuple.__iter__(item) if has(kind, tuple) else contents(item)


def problem_of(value: Any) -> str | None:
    """Which part of ``value`` cannot be read, and why, in a line that names the first; None if all of it can."""
    return told(unreadables(value))


def told(found: Sequence[Unreadable]) -> str | None:
    """As ``problem_of``, of the Unreadables themselves."""
    if not found:
        return None
    known = Unreadable.of(found[0])
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    place = f"{known.path}: " if known.path else ""
    return f"{place}{known.class_name}: {known.reason}{more}"
