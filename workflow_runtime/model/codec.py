"""Events, step outputs and run outputs to bytes and back. One encoding serves the log and the database.

msgspec encodes the common fields directly from the struct. Only fields with the user's own values go through ``seal``, and
only if such a value is not plain JSON already, so a lifecycle event costs one C call.

Only the database's own rows are decoded here (``decoding``); bytes from elsewhere go through ``foreign``.
"""

from __future__ import annotations

from typing import Any

import msgspec

from .decoding import (
    decode_event,
    decode_output,
    decode_parts,
    decode_requirement,
    decode_run,
    decode_shape,
    decode_typed,
    decode_value,
    is_typed,
    read_event,
)
from .errors import UnserializableError
from .events import CustomEvent, Event, UnknownEvent, WorkflowEvent
from .executor_events import ExecutorEvent
from .foreign import event_from_dict
from .nested_runs import without_results
from .payloads import COMMON, KINDS, PAYLOADS, USER_FIELDS, event_names
from .repeated import without_repeated
from .requirements import ErrorRequirement, StepRequirement, UnreadableRequirement
from .run import WorkflowRunOutput
from .step_io import StepInput, StepOutput
from .unreadable import Unreadable
from .values import is_plain, seal

__all__ = [
    "decode_event",
    "decode_output",
    "decode_parts",
    "decode_shape",
    "decode_requirement",
    "decode_run",
    "decode_typed",
    "decode_value",
    "encode_event",
    "encode_logged",
    "encode_output",
    "encode_plain",
    "encode_requirement",
    "encode_run",
    "encode_value",
    "event_frame",
    "event_from_dict",
    "event_kinds",
    "event_names",
    "raw",
    "read_event",
    "seal",
    "seal_output",
    "without_payload",
]

_ENCODER = msgspec.json.Encoder()


def _encode(value: Any, where: str) -> bytes:
    try:
        return _ENCODER.encode(value)
    except UnserializableError:
        raise
    except UnicodeEncodeError as error:
        hint = "half of a character pair is no text; text.encode('utf-8', 'replace').decode() puts '?' in its place"
        raise UnserializableError(f"{where}: {error}; {hint}", where=where, value=value) from error
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise UnserializableError(f"{where}: {error}", where=where, value=value) from error


# -- values -----------------------------------------------------------------------------------------------------------


def encode_value(value: Any, where: str = "value") -> bytes:
    """Any value with its type, or UnserializableError naming ``where``."""
    if type(value) is Unreadable and isinstance(data := Unreadable.of(value).data, bytes):
        return data  # unchanged, although it is not JSON
    return _encode(value if is_plain(value) else seal(value, where), where)


# -- step outputs -----------------------------------------------------------------------------------------------------


def seal_output(output: StepOutput, where: str) -> StepOutput:
    """``output`` itself when its content is plain JSON all the way down, else a copy with its contents sealed."""
    content = output.content
    sealed = content if is_plain(content) else seal(content, f"{where}: content")
    steps = output.steps
    if steps:
        steps = [seal_output(inner, f"{where}/{inner.step_name}") for inner in steps]
    if sealed is content and not steps:
        return output
    return msgspec.structs.replace(output, content=sealed, steps=steps)


def encode_output(output: StepOutput, where: str) -> bytes:
    return _encode(seal_output(output, where), where)


# -- typed payloads ---------------------------------------------------------------------------------------------------


def _seal_typed(value: Any, where: str) -> Any:
    """A payload in a typed position: our own structs keep their shape, the user's values inside are sealed."""
    if is_plain(value):
        return value
    if isinstance(value, StepOutput):
        return seal_output(value, where)
    user_fields = USER_FIELDS.get(type(value))
    if user_fields is not None:
        changed = {name: _seal_typed(getattr(value, name), f"{where}.{name}") for name in user_fields}
        if isinstance(value, StepInput):
            changed["workflow_session"] = None
        return msgspec.structs.replace(value, **changed)
    if isinstance(value, list) and value and is_typed(value[0]):
        return [_seal_typed(item, where) for item in value]
    if isinstance(value, dict) and value and is_typed(next(iter(value.values()))):
        return {key: _seal_typed(item, where) for key, item in value.items()}
    return seal(value, where)


def encode_plain(value: Any, where: str) -> bytes:
    """A struct whose payloads are sealed already."""
    return _encode(value, where)


def raw(data: bytes) -> msgspec.Raw:
    """Encoded bytes as a part of a larger encoded value."""
    return msgspec.Raw(data)


def encode_requirement(requirement: StepRequirement | ErrorRequirement) -> bytes:
    if isinstance(requirement, UnreadableRequirement):
        return encode_value(requirement.unreadable)
    return _encode(_seal_typed(requirement, requirement.path), requirement.path)


# -- events -----------------------------------------------------------------------------------------------------------


def encode_event(event: Event) -> bytes:
    """The event as one JSON object whose ``event`` field is its name."""
    if isinstance(event, CustomEvent):
        return _encode_custom(event)
    if isinstance(event, UnknownEvent):
        return _encode({**(event.data or {}), "event": event.name, "seq": event.seq}, event.path)
    changed: dict[str, Any] | None = None
    for name in PAYLOADS[type(event)]:
        value = getattr(event, name)
        if name == "step_executor_runs" and value:
            value = without_results(value)
        if not is_plain(value):
            sealed = _seal_typed(value, f"{event.path or 'run'}: {event.event}.{name}")
            if sealed is not value:
                changed = changed or {}
                changed[name] = sealed
    if changed:
        event = msgspec.structs.replace(event, **changed)
    return _encode(event, event.path)


def encode_logged(event: Event) -> bytes:
    """The event for the log of its run. Events of an agent may contain raw objects of its library, which readers in this
    process see: they are left out. Any other event that cannot be stored raises UnserializableError."""
    try:
        return encode_event(event)
    except UnserializableError:
        if not isinstance(event, ExecutorEvent):
            raise
    fields = {name: _storable(getattr(event, name), name) for name in PAYLOADS[type(event)]}
    return encode_event(msgspec.structs.replace(event, **fields))


def _storable(value: Any, name: str) -> Any:
    """The storable part of a field: of a dict the storable entries, of any other value all or nothing."""
    if isinstance(value, dict):
        found = {key: kept for key, item in value.items() if (kept := _storable(item, str(key))) is not None}
        return found or None
    try:
        encode_value(value, name)
    except UnserializableError:
        return None
    return value


def event_frame(event: Event, *, typed: bool = False) -> bytes:
    """The event as clients get it: the JSON of ``to_json``, in which a value that JSON has no form for is its text.

    ``typed``: values keep their types, in the tags that the database uses. A value that those have no form for is its text.
    """
    if typed:
        try:
            return encode_event(event)
        except UnserializableError:
            return event.to_json().encode()
    return _plain_event(event) or event.to_json().encode()


def _plain_event(event: Event) -> bytes | None:
    """The result of ``to_json``, in one call of the encoder; None for an event with values that are not JSON already."""
    if isinstance(event, (CustomEvent, UnknownEvent)):
        return None
    if all(is_plain(getattr(event, name)) for name in PAYLOADS[type(event)]):
        try:
            return _encode(event, event.path)
        except UnserializableError:
            return None
    return None


def without_payload(event: Event, size: int) -> Event:
    """``event`` with a mark of ``size`` bytes instead of the user's values."""
    mark = {"truncated": size}
    if isinstance(event, CustomEvent):
        copy = CustomEvent.__new__(CustomEvent)
        kept = {name: value for name, value in event.fields().items() if name in COMMON or is_plain(value)}
        copy.__dict__.update({k: v for k, v in kept.items() if not isinstance(v, str) or len(v) < 200}, content=mark)
        return copy
    fields: dict[str, Any] = {name: None for name in PAYLOADS[type(event)] if not is_short(getattr(event, name))}
    if "content" in fields:
        fields["content"] = mark
    replaced: WorkflowEvent = msgspec.structs.replace(event, **fields)
    return replaced


def is_short(value: Any) -> bool:
    return is_plain(value) and (not isinstance(value, str) or len(value) < 200)


def event_kinds() -> dict[str, type[WorkflowEvent]]:
    """The classes of a workflow's own events by name."""
    return dict(KINDS)


def _encode_custom(event: CustomEvent) -> bytes:
    kind = type(event)
    fields = {name: seal(value, f"{event.path}: {kind.__name__}.{name}") for name, value in event.fields().items()}
    fields["event"] = event.event
    if kind is not CustomEvent and "<locals>" not in kind.__qualname__:
        fields["type"] = f"{kind.__module__}:{kind.__qualname__}"
    return _encode(fields, event.path)


# -- runs -------------------------------------------------------------------------------------------------------------


def encode_run(output: WorkflowRunOutput) -> bytes:
    """All of a run except its events and its journal, which have their own rows. An empty list of events means that they
    belong to the output; the events of a run without ``store_events`` are only kept for readers, and are deleted later."""
    changed: dict[str, Any] = {"events": None if output.events is None else [], "journal": None}
    for name in ("input", "content", "additional_data", "dependencies", "metadata", "session_state"):
        value = getattr(output, name)
        if value is not None and not is_plain(value):
            changed[name] = seal(value, name)
    if (repeated := without_repeated(output.content, output.step_results)) is not None:
        changed["content"] = repeated
    if any(step.steps or not is_plain(step.content) for step in output.step_results):
        changed["step_results"] = _seal_typed(output.step_results, "step_results")
    for name in ("step_requirements", "error_requirements"):
        value = getattr(output, name)
        if value:
            changed[name] = _seal_typed(value, name)
    for name in ("step_executor_runs", "workflow_agent_run", "response_audio"):
        value = getattr(output, name)
        if value is not None:
            changed[name] = seal(without_results(value) if name == "step_executor_runs" else value, name)
    return _encode(msgspec.structs.replace(output, **changed), f"run {output.run_id}")
