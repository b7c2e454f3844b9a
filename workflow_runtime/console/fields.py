"""What a person types, as the value of a form's field; and what may be typed, in words. Pure."""

from __future__ import annotations

import json
from typing import Any

from .. import UserInputField
from ..view.clean import one_line
from ..view.tree import as_text

__all__ = ["choice", "choices", "default_text", "hint", "parse"]

_YES = ("y", "yes", "true", "on", "1")
_NO = ("n", "no", "false", "off", "0")


def hint(field: UserInputField) -> str:
    """``whole number, one of 1, 2, 3, optional``."""
    kinds = {
        "str": "text",
        "int": "whole number",
        "float": "number",
        "bool": "yes or no",
        "list": "a, b, c or JSON",
        "dict": "JSON object",
    }
    parts = [kinds.get(field.field_type, field.field_type)]
    if field.allowed_values:
        parts = [f"one of {', '.join(one_line(value) for value in field.allowed_values)}"]
    if not field.required:
        parts.append("optional")
    return ", ".join(parts)


def default_text(field: UserInputField) -> str:
    """The field's default as it would be typed; "" where there is none."""
    value = field.value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else json.dumps(value, default=as_text, ensure_ascii=False)


def parse(field: UserInputField, text: str) -> Any:
    """The typed text as a value of the field; None for an empty optional one.

    Raises:
        ValueError: It does not fit; the message says what is wanted.
    """
    text = text.strip()
    value = _allowed(field, text) if field.allowed_values and text else _converted(field, text)
    problem = field.problem(value)
    if problem is not None:
        raise ValueError(problem)
    return value


def _allowed(field: UserInputField, text: str) -> Any:
    for value in field.allowed_values or ():
        if text == value or text.casefold() == default_text_of(value).casefold():
            return value
    raise ValueError(f"{text!r} is not offered; {hint(field)}")


def default_text_of(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=as_text, ensure_ascii=False)


def _converted(field: UserInputField, text: str) -> Any:
    if text == "":
        return None
    kind = field.field_type
    try:
        if kind == "int":
            return int(text)
        if kind == "float":
            return float(text)
        if kind == "bool":
            return _boolean(text)
        if kind == "list":
            return json.loads(text) if text.startswith("[") else [part.strip() for part in text.split(",")]
        if kind == "dict":
            return json.loads(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is no {hint(field)} ({error})") from None
    return text


def _boolean(text: str) -> bool:
    if text.casefold() in _YES:
        return True
    if text.casefold() in _NO:
        return False
    raise ValueError("write yes or no")


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
    """Several, separated by commas; without repeats, in the order given."""
    if text.strip() in offered:  # a name may have a comma in it
        return [text.strip()]
    found = [choice(part, offered) for part in text.split(",") if part.strip()]
    if not found:
        raise ValueError("choose at least one")
    return list(dict.fromkeys(found))
