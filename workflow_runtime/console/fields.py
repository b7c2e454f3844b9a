"""Typed text as the value of a form's field, and a description of the accepted text. Pure.

A form is a JSON Schema of an object (``requirement.schema()``); each ``Blank`` is one line to fill in. Required objects are
asked for by their parts (``address.street``).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from ..model.json_schema import problems
from ..model.text import read_json
from ..view.clean import one_line
from ..view.tree import as_text

__all__ = ["Blank", "blanks", "choice", "choices", "default_text", "filled", "hint", "offered", "parse"]

_YES = ("y", "yes", "true", "on", "1")
_NO = ("n", "no", "false", "off", "0")
_KINDS = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "yes or no",
    "array": "a, b, c or JSON",
    "object": "JSON object",
}
_FORMATS = {"date": "date, as 2026-01-31", "date-time": "date and time, as 2026-01-31T18:00", "time": "time, as 18:00"}
_BOUNDS = {
    "minimum": "at least {}",
    "exclusiveMinimum": "more than {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "less than {}",
    "multipleOf": "a multiple of {}",
    "maxLength": "at most {} characters",
    "minItems": "at least {} of them",
    "maxItems": "at most {} of them",
    "pattern": "matching {}",
}
_DEEPEST = 4


@dataclass(frozen=True)
class Blank:
    """One line of a form. ``schema`` is that of its value with references looked up; ``defs`` are those of the form."""

    path: tuple[str, ...]
    schema: dict[str, Any]
    required: bool
    defs: dict[str, Any]

    @property
    def name(self) -> str:
        return ".".join(self.path)

    @property
    def kind(self) -> str:
        """The JSON type; "" if any is accepted."""
        found = self.schema.get("type", "")
        kinds = [found] if isinstance(found, str) else [kind for kind in found if kind != "null"]
        return kinds[0] if len(kinds) == 1 else ""

    @property
    def enum(self) -> list[Any] | None:
        """The allowed values; None: any of the type."""
        found = self.schema.get("enum", [self.schema["const"]] if "const" in self.schema else None)
        return None if found is None else [value for value in found if value is not None]

    def problem(self, value: Any) -> str | None:
        found = problems({self.name: value}, {"properties": {self.name: self.schema}, "$defs": self.defs})
        return found[0] if found else None


def blanks(form: dict[str, Any], defs: dict[str, Any]) -> list[Blank]:
    """The lines of a form in order; empty if it names no fields."""
    return list(_blanks(_meant(form, defs), defs, (), True))


def _blanks(form: dict[str, Any], defs: dict[str, Any], above: tuple[str, ...], needed: bool) -> Iterator[Blank]:
    for name, part in form.get("properties", {}).items():
        meant = _meant(part, defs)
        required = needed and name in form.get("required", ())
        path = (*above, name)
        if required and meant.get("type") == "object" and meant.get("properties") and len(path) < _DEEPEST:
            yield from _blanks(meant, defs, path, needed)
        else:
            yield Blank(path, meant, required, defs)


def _meant(part: dict[str, Any], defs: dict[str, Any]) -> dict[str, Any]:
    """The schema of a reference, or of an optional value, with the keywords beside it."""
    beside = {key: value for key, value in part.items() if key not in ("$ref", "anyOf", "allOf")}
    if "$ref" in part:
        return {**_meant(defs.get(part["$ref"].rpartition("/")[2], {}), defs), **beside}
    options = [option for option in part.get("anyOf", ()) if option.get("type") != "null"]
    if len(options) == 1:
        found = _meant(options[0], defs)
        kind = found.get("type")
        return {**found, **beside, **({"type": [kind, "null"]} if isinstance(kind, str) else {})}
    return part


def offered(blank: Blank) -> list[str]:
    """Words to complete."""
    return [_typed(value) for value in blank.enum or ()] or (["yes", "no"] if blank.kind == "boolean" else [])


def hint(blank: Blank) -> str:
    """``whole number, at least 1, at most 5, optional``."""
    schema = blank.schema
    parts = [_FORMATS.get(schema.get("format", "")) or _KINDS.get(blank.kind, "text or JSON")]
    items = _meant(schema.get("items") or {}, blank.defs) if isinstance(schema.get("items"), dict) else {}
    if blank.enum is not None:
        parts = [f"one of {_listed(blank.enum)}"]
    elif items.get("enum"):
        only = schema.get("maxItems") == 1
        parts = [f"{'one' if only else 'some'} of {_listed(items['enum'])}"]
        if only:
            schema = {key: value for key, value in schema.items() if key not in ("minItems", "maxItems")}
    parts += [said.format(one_line(schema[key])) for key, said in _BOUNDS.items() if schema.get(key)]
    if schema.get("minLength", 0) > 1:
        parts.append(f"at least {schema['minLength']} characters")
    if not blank.required:
        parts.append("optional")
    return ", ".join(parts)


def _listed(values: Iterable[Any]) -> str:
    return ", ".join(one_line(_typed(value)) for value in values)


def default_text(blank: Blank) -> str:
    """The field's default as it would be typed; "" if there is none."""
    value = blank.schema.get("default")
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else _typed(value)


def _typed(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=as_text, ensure_ascii=False)


def parse(blank: Blank, text: str) -> Any:
    """The typed text as a value of the field; None for an empty optional one.

    Raises:
        ValueError: It does not fit; the message describes the accepted text.
    """
    text = text.strip()
    if text == "":
        if blank.required:
            raise ValueError(f"Required field '{blank.name}' is missing or empty")
        return None
    value = _allowed(blank, text) if blank.enum is not None else _converted(blank, text)
    problem = blank.problem(value)
    if problem is not None:
        raise ValueError(problem)
    return value


def _allowed(blank: Blank, text: str) -> Any:
    for value in blank.enum or ():
        if text.casefold() == _typed(value).casefold():
            return value
    raise ValueError(f"{text!r} is not offered; {hint(blank)}")


def _converted(blank: Blank, text: str) -> Any:
    kind = blank.kind
    try:
        if kind == "integer":
            return int(text)
        if kind == "number":
            return float(text)
        if kind == "boolean":
            return _boolean(text)
        if kind == "array":
            return read_json(text) if text.startswith("[") else _items(blank, text)
        if kind == "object":
            return read_json(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is no {hint(blank)} ({error})") from None
    return _any(text) if kind == "" else text


def _items(blank: Blank, text: str) -> list[Any]:
    """``a, b, c`` as values of the list's own kind."""
    inner = blank.schema.get("items")
    item = Blank(blank.path, _meant(inner, blank.defs) if isinstance(inner, dict) else {}, True, blank.defs)
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if item.enum is not None:
        return [_allowed(item, part) for part in parts]
    return [_converted(item, part) if item.kind else part for part in parts]


def _any(text: str) -> Any:
    try:
        return read_json(text)
    except ValueError:
        return text


def _boolean(text: str) -> bool:
    if text.casefold() in _YES:
        return True
    if text.casefold() in _NO:
        return False
    raise ValueError("write yes or no")


def filled(values: Iterable[tuple[Blank, Any]]) -> dict[str, Any]:
    """The form's object; lines without a value (None) are left out."""
    form: dict[str, Any] = {}
    for blank, value in values:
        if value is None:
            continue
        place = form
        for name in blank.path[:-1]:
            place = place.setdefault(name, {})
        place[blank.path[-1]] = value
    return form


def choice(text: str, offered: list[str]) -> str:
    """The offered name that is meant by a name or by its number, from 1."""
    text = text.strip()
    if text in offered:
        return text
    if text.isdigit() and 1 <= int(text) <= len(offered):
        return offered[int(text) - 1]
    close = [name for name in offered if name.casefold().startswith(text.casefold())] if text else []
    if len(close) == 1:
        return close[0]
    raise ValueError(f"choose a number from 1 to {len(offered)}, or a name")


def choices(text: str, offered: list[str]) -> list[str]:
    """Several, separated by commas; without duplicates, in the typed order."""
    if text.strip() in offered:  # a name may have a comma in it
        return [text.strip()]
    found = [choice(part, offered) for part in text.split(",") if part.strip()]
    if not found:
        raise ValueError("choose at least one")
    return list(dict.fromkeys(found))
