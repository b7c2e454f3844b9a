"""The input of a run against its schema."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from ...model import checks
from ...model.errors import BuildError, InputError
from ...model.media import Audio, File, Image, Media, Video
from ...model.text import is_model, read_json, with_article

__all__ = ["check_call", "check_ids", "check_schema", "checked_input", "refuse_unknown"]

MOST_TAG = 200
"""The most bytes of a tag."""

_MEDIA: dict[str, type[Media]] = {"images": Image, "videos": Video, "audio": Audio, "files": File}


def _parsed(text: str) -> Any:
    """As ``read_json``; of what is no JSON at all the error is the one of ``json``, as in agno."""
    try:
        return read_json(text)
    except ValueError:
        with suppress(RecursionError):
            json.loads(text)
        raise


def _media(value: Any, name: str, *, error: type[Exception]) -> None:
    kind = _MEDIA[name]
    if not isinstance(value, (list, tuple)):
        raise error(f"{name} must be a list of {kind.__name__}, got {type(value).__name__}")
    for item in value:
        if not isinstance(item, kind):
            raise error(
                f"{name} holds {with_article(type(item).__name__)}; write {kind.__name__}(url=...),"
                f" {kind.__name__}(filepath=...) or {kind.__name__}(content=...)"
            )


def _json_mapping(value: Any, name: str, *, error: type[Exception]) -> None:
    checks.json_keys(checks.mapping(value, name, error=error), name, error=error)


def _tags(value: Any, name: str, *, error: type[Exception]) -> None:
    if isinstance(value, str) or not isinstance(value, Sequence) or not all(isinstance(item, str) for item in value):
        raise error(f"{name}={value!r} must be a list of texts; write {name}=['...']")
    for item in value:
        checks.identifier(item, f"a tag of {name}", most=MOST_TAG, error=error)
        if not item:
            raise error(f"{name}={value!r}: a tag is a text that is not empty")


_ID_CHECKS: dict[str, Callable[..., Any]] = {
    **dict.fromkeys(("run_id", "session_id", "user_id"), checks.identifier),
    **dict.fromkeys(
        ("stream", "stream_events", "stream_executor_events", "background", "allow_plan_change"), checks.flag
    ),
}
_CHECKS: dict[str, Callable[..., Any]] = {
    **_ID_CHECKS,
    "session_state": checks.storable_keys,
    "tags": _tags,
    **dict.fromkeys(("additional_data", "dependencies", "metadata"), _json_mapping),
    **dict.fromkeys(_MEDIA, _media),
}


def check_call(call: dict[str, Any]) -> None:
    """InputError for an argument of ``run`` that is of the wrong kind, before anything starts. None is always right."""
    _check(call, _CHECKS)
    checks.one_of(call["if_exists"], "if_exists", ("error", "join"), error=InputError)
    if call["if_exists"] == "join" and not call["run_id"]:
        raise InputError("if_exists='join' needs the run_id of the run to join")


def check_ids(call: dict[str, Any]) -> None:
    """InputError for an id that is no text and a flag that is no bool, among the arguments that a verb has."""
    _check(call, _ID_CHECKS)


def _check(call: dict[str, Any], known: dict[str, Callable[..., Any]]) -> None:
    for name, value in call.items():
        if value is not None and (check := known.get(name)) is not None:
            check(value, name, error=InputError)


def check_schema(schema: Any) -> None:
    """BuildError unless ``schema`` is None, a pydantic model or a TypedDict."""
    if schema is not None and not _is_model_class(schema) and not hasattr(schema, "__required_keys__"):
        raise BuildError(f"input_schema={schema!r} is neither a pydantic model nor a TypedDict")


def _is_model_class(schema: Any) -> bool:
    return isinstance(schema, type) and hasattr(schema, "model_validate")


def refuse_unknown(call: dict[str, Any], function: Any) -> None:
    """TypeError for a keyword of ``run`` (in ``call["kwargs"]``) that is no parameter of it, and that ``function`` (the
    workflow's own, in its callable form) does not ask for: a misspelt ``session_id`` must not start a conversation of
    its own."""
    kwargs: dict[str, Any] = call["kwargs"]
    if not kwargs:
        return
    known = inspect.signature(function).parameters.values() if function is not None else ()
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in known):
        return
    unknown = sorted(kwargs.keys() - {parameter.name for parameter in known})
    if unknown:
        rule = (
            "; what steps are to see goes into additional_data= or dependencies=, and only a workflow whose steps= is a"
            " function takes arguments of its own"
        )
        hint = checks.nearest(unknown[0], call) or rule
        raise TypeError(f"run() got an unexpected keyword argument {unknown[0]!r}{hint}")


def checked_input(value: Any, schema: Any) -> Any:
    """``value`` as it is without a schema; an instance of the schema (a pydantic model or a TypedDict) with one.

    Raises:
        InputError: None, text that is no JSON, fields that do not fit (pydantic's message), or another kind of value.
    """
    if schema is None:
        return value
    name = getattr(schema, "__name__", repr(schema))
    if value is None:
        raise InputError("Input is required when input_schema is provided")
    if isinstance(value, str):
        try:
            value = _parsed(value)
        except ValueError as error:
            raise InputError(f"Failed to parse input. Is it a valid JSON string?: {error}") from error
    if _is_model_class(schema):
        if isinstance(value, schema):
            return value
        if is_model(value):
            raise InputError(f"Expected {name} but got {type(value).__name__}")
        if not isinstance(value, dict):
            raise InputError(f"Cannot validate {type(value)} against input_schema. Expected dict or {name} instance.")
        try:
            return schema.model_validate(value)
        except ValueError as error:
            raise InputError(f"Failed to parse dict into {name}: {error}") from error
    return _typed_dict(value, schema, name)


def _typed_dict(value: Any, schema: Any, name: str) -> Any:
    if not isinstance(value, dict):
        raise InputError(f"Cannot validate {type(value)} against input_schema. Expected dict or {name} instance.")
    import msgspec

    unknown = [key for key in value if key not in schema.__required_keys__ | schema.__optional_keys__]
    if unknown:  # msgspec would drop them
        raise InputError(f"Failed to parse dict into {name}: unexpected fields {unknown}")
    try:
        return msgspec.convert(value, schema)
    except msgspec.ValidationError as error:
        raise InputError(f"Failed to parse dict into {name}: {error}") from error
