"""Values as text: what a step or a person reads when a value is not a string."""

from __future__ import annotations

import json
from typing import Any

import msgspec

__all__ = ["as_text", "builtins", "error_name", "error_text", "is_model", "printable"]


def is_model(value: Any) -> bool:
    """True for an instance of a pydantic model. Told by its methods, so that pydantic need not be imported."""
    return hasattr(type(value), "model_dump_json") and hasattr(type(value), "model_validate")


def builtins(value: Any) -> Any:
    """``value`` as JSON-able builtins, for people and dictionaries; types are not kept (see ``codec`` for that)."""
    return msgspec.to_builtins(value, enc_hook=_hook, str_keys=True)


def _hook(value: Any) -> Any:
    if is_model(value):
        return value.model_dump(mode="json")
    if hasattr(value, "to_dict"):
        return value.to_dict()
    return error_text(value) if isinstance(value, BaseException) else str(value)


def printable(text: str) -> str:
    """``text`` as something that UTF-8 can hold: half of a character pair is written as its escape."""
    return text.encode("utf-8", "backslashreplace").decode()


def error_text(error: BaseException) -> str:
    """The message of an exception. It can always be stored, also where its class has no message to give."""
    error = getattr(error, "stands_for", error)
    try:
        return printable(str(error))
    except Exception as second:
        return f"<no message: {type(error).__name__}.__str__ raised {type(second).__name__}>"


def error_name(error: BaseException) -> str:
    """The name of an exception's class."""
    return printable(type(getattr(error, "stands_for", error)).__name__)


def as_text(value: Any) -> str | None:
    """A string as it is; a model and a container as indented JSON; None as None; anything else by ``str``."""
    if value is None or isinstance(value, str):
        return value
    if is_model(value):
        return str(value.model_dump_json(indent=2, exclude_none=True))
    if isinstance(value, (dict, list)):
        return json.dumps(value, indent=2, default=_json_default, ensure_ascii=False)
    return error_text(value) if isinstance(value, BaseException) else str(value)


def _json_default(value: Any) -> Any:
    if is_model(value) or isinstance(value, msgspec.Struct):
        return builtins(value)
    return error_text(value) if isinstance(value, BaseException) else str(value)
