"""Validation of a JSON value against a JSON Schema (2020-12): one sentence per wrong field. Pure.

It supports the keywords that forms and pydantic models use, and its sentences are made for people who fill in forms.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import date, datetime, time
from typing import Any
from uuid import UUID

__all__ = ["problems"]

_TYPES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "string": ("str", lambda value: isinstance(value, str)),
    "integer": ("int", lambda value: _is_number(value) and value == value // 1),
    "number": ("float", lambda value: _is_number(value)),
    "boolean": ("bool", lambda value: isinstance(value, bool)),
    "array": ("list", lambda value: isinstance(value, list)),
    "object": ("dict", lambda value: isinstance(value, dict)),
    "null": ("None", lambda value: value is None),
}
_FORMATS: dict[str, Callable[[str], Any]] = {
    "date": date.fromisoformat,
    "date-time": datetime.fromisoformat,
    "time": time.fromisoformat,
    "uuid": UUID,
}


def _is_multiple(value: Any, bound: Any) -> bool:
    from fractions import Fraction  # rarely used; exact, unlike the remainder of two floats

    return Fraction(str(value)) % Fraction(str(bound)) == 0


_BOUNDS: dict[str, tuple[str, Callable[[Any, Any], bool]]] = {
    "minimum": ("must be at least", lambda value, bound: value >= bound),
    "maximum": ("must be at most", lambda value, bound: value <= bound),
    "exclusiveMinimum": ("must be more than", lambda value, bound: value > bound),
    "exclusiveMaximum": ("must be less than", lambda value, bound: value < bound),
    "multipleOf": ("must be a multiple of", _is_multiple),
}


def problems(value: Any, schema: dict[str, Any]) -> list[str]:
    """One sentence for every place in ``value``, of plain JSON, that does not fit ``schema``; empty if all of it fits.

    A place is named by its path (``address.lines[2]``). ``$ref`` is looked up in ``schema`` itself.
    """
    return list(dict.fromkeys(_Check(schema).at(value, schema, "")))


class _Check:
    def __init__(self, root: dict[str, Any]) -> None:
        self._root = root

    def at(self, value: Any, schema: Any, path: str) -> Iterator[str]:
        if isinstance(schema, bool):
            if not schema:
                yield f"{_name(path)} is not allowed here"
            return
        if "$ref" in schema:
            yield from self.at(value, self._resolved(schema["$ref"]), path)
        kinds = schema.get("type")
        if kinds is not None and not _has_type(value, kinds):
            yield _wrong_type(value, kinds, path)
            return
        if "const" in schema and not _same(value, schema["const"]):
            yield f"{_name(path)} must be {schema['const']!r}"
        if "enum" in schema and not any(_same(value, item) for item in schema["enum"]):
            offered = [item for item in schema["enum"] if item is not None]
            yield f"{_name(path)} value {value!r} is not in allowed values: {offered}"
        if isinstance(value, str):
            yield from _text(value, schema, path)
        elif _is_number(value):
            yield from _number(value, schema, path)
        elif isinstance(value, list):
            yield from self._list(value, schema, path)
        elif isinstance(value, dict):
            yield from self._object(value, schema, path)
        yield from self._combined(value, schema, path)

    def _resolved(self, reference: str) -> Any:
        found: Any = self._root
        for part in reference.removeprefix("#").strip("/").split("/"):
            if part:
                found = found[part.replace("~1", "/").replace("~0", "~")]
        return found

    def _fits(self, value: Any, schema: Any) -> bool:
        return next(self.at(value, schema, ""), None) is None

    def _combined(self, value: Any, schema: dict[str, Any], path: str) -> Iterator[str]:
        for part in schema.get("allOf", ()):
            yield from self.at(value, part, path)
        for keyword in ("anyOf", "oneOf"):
            if keyword in schema:
                yield from self._one_of(value, schema[keyword], path, only_one=keyword == "oneOf")
        if "not" in schema and self._fits(value, schema["not"]):
            yield f"{_name(path)} value {value!r} is not allowed"
        if "if" in schema:
            yield from self.at(value, schema.get("then" if self._fits(value, schema["if"]) else "else", True), path)

    def _one_of(self, value: Any, parts: list[Any], path: str, *, only_one: bool) -> Iterator[str]:
        found = [list(self.at(value, part, path)) for part in parts]
        fitting = found.count([])
        if fitting == 1 or (fitting and not only_one):
            return
        if fitting:
            yield f"{_name(path)} value {value!r} fits more than one of what is offered"
            return
        best = max(range(len(parts)), key=lambda i: (self._likeness(value, parts[i]), -len(found[i]), -i))
        if self._likeness(value, parts[best])[1]:
            yield from found[best]
        else:
            yield f"{_name(path)} is none of what is asked"

    def _likeness(self, value: Any, schema: Any) -> tuple[bool, bool, int]:
        """How much ``value`` looks as if this schema was meant: its type, its constants, its required fields."""
        while isinstance(schema, dict) and "$ref" in schema:
            schema = self._resolved(schema["$ref"])
        if not isinstance(schema, dict) or ("type" in schema and not _has_type(value, schema["type"])):
            return False, True, 0
        if not isinstance(value, dict):
            return True, True, 0
        fixed = {
            name: part["const"]
            for name, part in schema.get("properties", {}).items()
            if isinstance(part, dict) and "const" in part
        }
        told = all(name in value and _same(value[name], constant) for name, constant in fixed.items())
        return True, told, sum(name in value for name in schema.get("required", ()))

    def _list(self, value: list[Any], schema: dict[str, Any], path: str) -> Iterator[str]:
        yield from _length(len(value), schema, "Items", path)
        if schema.get("uniqueItems") and any(_same(item, other) for i, item in enumerate(value) for other in value[:i]):
            yield f"{_name(path)} has an item twice"
        first = schema.get("prefixItems", ())
        for i, item in enumerate(value):
            part = first[i] if i < len(first) else schema.get("items", True)
            yield from self.at(item, part, f"{path}[{i}]")
        if "contains" in schema and not any(self._fits(item, schema["contains"]) for item in value):
            yield f"{_name(path)} lacks an item{_described(schema['contains'])}"

    def _object(self, value: dict[str, Any], schema: dict[str, Any], path: str) -> Iterator[str]:
        yield from _length(len(value), schema, "Properties", path)
        known = schema.get("properties", {})
        patterns = schema.get("patternProperties", {})
        for name in schema.get("required", ()):
            if name not in value:
                yield f"Required field '{_join(path, name)}' is missing or empty"
        for name, item in value.items():
            place = _join(path, name)
            parts = [known[name]] if name in known else []
            parts += [part for pattern, part in patterns.items() if re.search(pattern, name)]
            if not parts and schema.get("additionalProperties", True) is False:
                yield f"Unknown field '{place}'; known: {', '.join(known) or 'none'}"
            for part in parts or [schema.get("additionalProperties", True) or True]:
                yield from self.at(item, part, place)
            if "propertyNames" in schema and not self._fits(name, schema["propertyNames"]):
                yield f"Field name '{place}' is not allowed"


def _text(value: str, schema: dict[str, Any], path: str) -> Iterator[str]:
    least, most = schema.get("minLength", 0), schema.get("maxLength")
    if value == "" and least > 0:
        yield f"Required {_name(path).lower()} is missing or empty" if path else "The answer is empty"
    elif len(value) < least:
        yield f"{_name(path)} must have at least {least} characters"
    if most is not None and len(value) > most:
        yield f"{_name(path)} must have at most {most} characters"
    if "pattern" in schema and not _matches(schema["pattern"], value):
        yield f"{_name(path)} value {value!r} does not match the pattern '{schema['pattern']}'"
    parse = _FORMATS.get(schema.get("format", ""))
    if parse is not None:
        try:
            parse(value)
        except ValueError:
            yield f"{_name(path)} value {value!r} is no {schema['format']}"


def _matches(pattern: str, value: str) -> bool:
    try:
        return re.search(pattern, value) is not None
    except re.error:  # of another dialect, such as that of pydantic; the maker of the schema checks it as well
        return True


def _number(value: Any, schema: dict[str, Any], path: str) -> Iterator[str]:
    for keyword, (said, holds) in _BOUNDS.items():
        if keyword in schema and not holds(value, schema[keyword]):
            yield f"{_name(path)} {said} {schema[keyword]}, got {value!r}"


def _length(length: int, schema: dict[str, Any], what: str, path: str) -> Iterator[str]:
    least, most = schema.get(f"min{what}", 0), schema.get(f"max{what}")
    unit = "item(s)" if what == "Items" else "field(s)"
    if length < least:
        yield f"{_name(path)} must have at least {least} {unit}"
    if most is not None and length > most:
        yield f"{_name(path)} must have at most {most} {unit}"


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _has_type(value: Any, kinds: str | list[str]) -> bool:
    return any(_TYPES[kind][1](value) for kind in ([kinds] if isinstance(kinds, str) else kinds))


def _wrong_type(value: Any, kinds: str | list[str], path: str) -> str:
    if value is None and path:
        return f"Required field '{path}' is missing or empty"
    wanted = [_TYPES[kind][0] for kind in ([kinds] if isinstance(kinds, str) else kinds) if kind != "null"]
    return f"{_name(path)} expected {' or '.join(wanted) or 'None'}, got {type(value).__name__}"


def _same(one: Any, other: Any) -> bool:
    """Equality of JSON: True is not 1, 1.0 is 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    return bool(one == other)


def _name(path: str) -> str:
    return f"Field '{path}'" if path else "The answer"


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _described(schema: Any) -> str:
    named = schema.get("properties", {}) if isinstance(schema, dict) else {}
    fixed = [f"{name} {part['const']!r}" for name, part in named.items() if isinstance(part, dict) and "const" in part]
    return f" with {' and '.join(fixed)}" if fixed else ""
