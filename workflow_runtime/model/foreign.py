"""Decoding of untrusted data: from a server, a client, a file, a caller's mapping.

The results are builtin types, and the classes that the caller lists as ``types``. Everything is decided on the decoded
value, because JSON has more than one way to write a key.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import msgspec

from .decoding import fill_event, filled, made_custom, refuse_odd_numbers
from .events import Event
from .payloads import kind_of
from .reading import PLAIN, Given, Reader

__all__ = ["converted", "event_from_dict", "event_of", "fill"]

_T = TypeVar("_T")


def event_of(fields: Mapping[str, Any], reader: Reader) -> Event:
    """The event that these fields describe. Raises ValueError."""
    name = fields.get("event")
    if not isinstance(name, str):
        raise ValueError(
            f"no event: a mapping with a text under 'event' is needed, got keys {sorted(map(str, fields))}"
        )
    try:
        kind = kind_of(name)
        if kind is None:
            return made_custom(name, dict(fields), reader)
        event = msgspec.convert(fields, kind)
        refuse_odd_numbers(event)
        fill_event(event, kind, reader)
    except RecursionError:
        raise ValueError("the event is nested too deeply") from None
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None
    return event


def event_from_dict(data: Mapping[str, Any], types: Iterable[type] | None = ()) -> Event:
    """The event that ``to_dict`` described.

    Tagged values of builtin types become those; ``types`` are the classes of values, and of custom events, that may be
    rebuilt. With ``types=None`` all values are plain JSON.

    Raises:
        ValueError: There is no event name, or a field does not fit.
    """
    if not isinstance(data, Mapping):
        raise ValueError(f"no event: a mapping is needed, got {type(data).__name__}")
    return event_of(data, PLAIN if types is None else Given(types))


def converted(data: Any, kind: type[_T], types: Iterable[type] | None) -> _T:
    """``data`` as one of our own structs. Without ``types`` its values are plain JSON, which has no tags; with them (there
    may be none) tagged values are made, of builtin types and of those.

    Raises:
        ValueError: It does not fit.
    """
    try:
        value = msgspec.convert(data, kind)
        if types is not None:
            fill(value, Given(types))
    except RecursionError:
        raise ValueError(f"that is no {kind.__name__}: it is nested too deeply") from None
    except msgspec.ValidationError as error:
        raise ValueError(f"that is no {kind.__name__}: {error}") from None
    return value


def fill(value: Any, reader: Reader) -> None:
    """Make the tagged values in the fields of one of our own structs."""
    for name in value.__struct_fields__:
        found = getattr(value, name)
        if isinstance(found, (list, dict, msgspec.Struct)):
            setattr(value, name, filled(found, reader, ("", name)))
