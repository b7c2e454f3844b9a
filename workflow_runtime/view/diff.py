"""The differences between two values, path by path. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from .. import Unreadable

__all__ = ["GONE", "Change", "differences", "same"]


class _Gone:
    """Marks a missing value; None is a value."""

    def __repr__(self) -> str:
        return "GONE"


GONE: Any = _Gone()


class Change(NamedTuple):
    """``place`` is the path to it, as ``cart.items[2]``; ``before`` or ``after`` is GONE if it did not exist."""

    place: str
    before: Any
    after: Any


def differences(before: Any, after: Any, place: str = "") -> Iterator[Change]:
    """The smallest places that differ, in order. Lists are compared by position; values of two types differ."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in [*before, *(key for key in after if key not in before)]:
            inner = f"{place}.{key}" if place else str(key)
            yield from differences(before.get(key, GONE), after.get(key, GONE), inner)
    elif _is_list(before) and _is_list(after):
        for index in range(max(len(before), len(after))):
            left = before[index] if index < len(before) else GONE
            right = after[index] if index < len(after) else GONE
            yield from differences(left, right, f"{place}[{index}]")
    elif type(before) is not type(after) or not same(before, after):
        yield Change(place, before, after)


def same(before: Any, after: Any) -> bool:
    """Whether two values are equal; values that cannot be compared are equal only if they are the same object."""
    if isinstance(before, Unreadable) and isinstance(after, Unreadable):
        return bool(Unreadable.of(before).data == Unreadable.of(after).data)
    try:
        return bool(before == after)
    except Exception:
        return before is after


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes, bytearray))
