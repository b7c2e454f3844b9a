"""Values as text and as plain JSON: the form in which a step, a person or another program reads a value that is not a
string."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from .classes import lookup
from .unreadable import Unreadable, plain

__all__ = [
    "as_text",
    "builtins",
    "error_name",
    "error_text",
    "is_model",
    "is_something",
    "printable",
    "read_json",
    "shown",
    "with_article",
]

_DEEPEST = 200
_FINISHED = (str, int, bool, float, type(None))


def is_model(value: Any) -> bool:
    """True for an instance of a pydantic model. Recognised by its methods, so that pydantic need not be imported."""
    kind = type(value)
    return lookup(kind, "model_dump_json") is not None and lookup(kind, "model_validate") is not None


def builtins(value: Any) -> Any:
    """``value`` as JSON-able builtins; types are not kept (see ``codec`` for that).

    Raises:
        TypeError, ValueError, RecursionError: It has no JSON form: a key that is not text, a value that contains itself.
    """
    found = msgspec.to_builtins(value, enc_hook=_hook, str_keys=True)
    if type(found) in _FINISHED:
        return found
    # Once more: msgspec leaves the value of an enum's member as it is.
    return msgspec.to_builtins(found, enc_hook=_hook, str_keys=True)


def _hook(value: Any) -> Any:
    if type(value) is Unreadable:
        return plain(value)
    if is_model(value):
        return value.model_dump(mode="json")
    if hasattr(value, "to_dict"):
        return value.to_dict()
    return error_text(value) if isinstance(value, BaseException) else str(value)


def printable(text: str) -> str:
    """``text`` as something that UTF-8 can hold: half of a character pair is written as its escape."""
    return text.encode("utf-8", "backslashreplace").decode()


def error_text(error: BaseException) -> str:
    """The message of an exception. It can always be stored, even if its class has no message."""
    error = getattr(error, "stands_for", error)
    try:
        return printable(str(error))
    except Exception as second:
        return f"<no message: {type(error).__name__}.__str__ raised {type(second).__name__}>"


def with_article(name: str) -> str:
    """``a str``, ``an int``."""
    return f"{'an' if name[:1].lower() in tuple('aeiou') else 'a'} {name}"


def error_name(error: BaseException) -> str:
    """The name of an exception's class."""
    return printable(type(getattr(error, "stands_for", error)).__name__)


def read_json(text: str | bytes) -> Any:
    """Untrusted JSON. ValueError for invalid JSON, and for NaN, lone surrogates, and nesting or numbers too large to
    read."""
    try:
        return msgspec.json.decode(str(text) if isinstance(text, str) else text)  # msgspec takes no subclass of str
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except msgspec.DecodeError as error:
        raise ValueError(str(error)) from None
    except UnicodeError as error:
        raise ValueError(f"it is no text: {error}") from None


def is_something(value: Any) -> bool:
    """The truth value; an Unreadable is true, whatever it is."""
    return type(value) is Unreadable or bool(value)


def shown(value: Any) -> Any:
    """As ``builtins``, of any value, for people and pages: a value without a JSON form is its text."""
    try:
        return builtins(value)
    except Exception:  # whatever is in it, the rest is shown
        return _shown(value, ())


def _shown(value: Any, above: tuple[int, ...]) -> Any:
    if id(value) in above or len(above) > _DEEPEST:
        return "..."
    kind, inside = type(value), (*above, id(value))
    if isinstance(value, dict):
        return {_key(key): _shown(item, inside) for key, item in value.items()}
    if kind in (list, tuple, set, frozenset):
        return [_shown(item, inside) for item in value]
    if isinstance(value, msgspec.Struct):
        config, fields = kind.__struct_config__, {name: getattr(value, name) for name in kind.__struct_fields__}
        tag = {config.tag_field: config.tag} if config.tag_field else {}
        return {**tag, **{name: _shown(item, inside) for name, item in fields.items() if item is not None}}
    try:
        return builtins(value)
    except Exception:
        return _described(value)


def _key(key: Any) -> str:
    try:
        (name,) = builtins({key: None})
    except Exception:
        return _described(key)
    return str(name)


def _described(value: Any) -> str:
    try:
        return str(value)
    except Exception as error:
        return f"<{type(value).__name__} whose text fails: {type(error).__name__}>"


def as_text(value: Any) -> str | None:
    """A string as it is; a model and a container as indented JSON; None as None; anything else by ``str``."""
    if value is None or isinstance(value, str):
        return value
    try:
        if is_model(value):
            return str(value.model_dump_json(indent=2, exclude_none=True))
        if isinstance(value, (dict, list)):
            return json.dumps(value, indent=2, default=_json_default, ensure_ascii=False)
        return error_text(value) if isinstance(value, BaseException) else str(value)
    except Exception:  # a key that is not text, a value that contains itself, a model that cannot be dumped
        found = shown(value)
        return found if isinstance(found, str) else json.dumps(found, indent=2, ensure_ascii=False)


def _json_default(value: Any) -> Any:
    if is_model(value) or isinstance(value, msgspec.Struct):
        return builtins(value)
    return error_text(value) if isinstance(value, BaseException) else str(value)
