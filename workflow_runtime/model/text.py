"""Values as text: what a step or a person reads when a value is not a string."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from .unreadable import Unreadable, plain

__all__ = ["as_text", "builtins", "is_model"]


def is_model(value: Any) -> bool:
    """True for an instance of a pydantic model. Told by its methods, so that pydantic need not be imported."""
    return hasattr(type(value), "model_dump_json") and hasattr(type(value), "model_validate")


def builtins(value: Any) -> Any:
    """``value`` as JSON-able builtins, for people and dictionaries; types are not kept (see ``codec`` for that)."""
    return msgspec.to_builtins(value, enc_hook=_hook, str_keys=True)


def _hook(value: Any) -> Any:
    if type(value) is Unreadable:
        return plain(value)
    if is_model(value):
        return value.model_dump(mode="json")
    if hasattr(value, "to_dict"):
        return value.to_dict()
    return str(value)


def as_text(value: Any) -> str | None:
    """A string as it is; a model and a container as indented JSON; None as None; anything else by ``str``."""
    if value is None or isinstance(value, str):
        return value
    if is_model(value):
        return str(value.model_dump_json(indent=2, exclude_none=True))
    if isinstance(value, (dict, list)):
        return json.dumps(value, indent=2, default=_json_default, ensure_ascii=False)
    return str(value)


def _json_default(value: Any) -> Any:
    if is_model(value) or isinstance(value, msgspec.Struct):
        return builtins(value)
    return str(value)
