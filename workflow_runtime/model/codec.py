"""Events, step outputs and run outputs to bytes and back. One encoding serves the log, the database and the wire.

The common fields are encoded by msgspec straight from the struct. Only the fields that hold the user's own values go
through ``seal``, and only when such a value is not plain already, so a lifecycle event costs one C call.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from . import events as _events
from .errors import UnserializableError
from .events import CustomEvent, Event, UnknownEvent, WorkflowEvent
from .executor_events import EXECUTOR_EVENTS
from .fields import UserInputField
from .nested_runs import complete, without_results
from .requirements import ErrorRequirement, StepRequirement
from .run import WorkflowRunOutput
from .step_io import StepInput, StepOutput
from .values import TAG, _find, is_plain, seal, unseal

__all__ = [
    "decode_event",
    "decode_output",
    "decode_parts",
    "decode_requirement",
    "decode_run",
    "decode_typed",
    "decode_value",
    "encode_event",
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
    "seal",
    "seal_output",
    "without_payload",
]

_T = TypeVar("_T")
_ENCODER = msgspec.json.Encoder()
_MARK = f'"{TAG}":'.encode()
_SCALAR_FIELDS = set(WorkflowEvent.__struct_fields__) | {
    "step_name",
    "step_index",
    "attempt",
    "last_seq",
    "lengths",
    "seqs",
    "metrics",
    "images",
    "videos",
    "audio",
    "files",
    "paused_step_index",
}


def _event_types() -> list[type[WorkflowEvent]]:
    own = [getattr(_events, name) for name in _events.__all__]
    kinds = [item for item in own if isinstance(item, type) and issubclass(item, WorkflowEvent)]
    return [item for item in kinds if item is not WorkflowEvent]


# Which fields of our own structs hold values of the user's.
_USER_FIELDS: dict[type, tuple[str, ...]] = {
    StepRequirement: (
        "user_input_schema",
        "user_input",
        "step_input",
        "step_output",
        "edited_output",
        "executor_requirements",
    ),
    ErrorRequirement: (),
    StepInput: ("input", "previous_step_content", "previous_step_outputs", "additional_data"),
    UserInputField: ("value", "allowed_values"),
}

_COMMON = frozenset(WorkflowEvent.__struct_fields__)
_KINDS: dict[str, type[WorkflowEvent]] = {str(kind.__struct_config__.tag): kind for kind in _event_types()}


class _Payloads(dict[type, tuple[str, ...]]):
    """The fields of an event's class that may hold values of the user's."""

    def __missing__(self, kind: type[WorkflowEvent]) -> tuple[str, ...]:
        fields = self[kind] = tuple(name for name in kind.__struct_fields__ if name not in _SCALAR_FIELDS)
        return fields


_PAYLOADS = _Payloads()
_DECODERS: dict[str, msgspec.json.Decoder[Any]] = {}  # made on first use: building all of them costs an import 10 ms


class _Tag(msgspec.Struct):
    event: str


_TAG_DECODER = msgspec.json.Decoder(_Tag)


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
    return _encode(value if is_plain(value) else seal(value, where), where)


def decode_value(data: bytes) -> Any:
    value = msgspec.json.decode(data)
    return unseal(value) if _MARK in data else value


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


def _unseal_output(output: StepOutput) -> StepOutput:
    output.content = unseal(output.content)
    for inner in output.steps or ():
        _unseal_output(inner)
    return output


def encode_output(output: StepOutput, where: str) -> bytes:
    return _encode(seal_output(output, where), where)


def decode_output(data: bytes) -> StepOutput:
    output = msgspec.json.decode(data, type=StepOutput)
    return _unseal_output(output) if _MARK in data else output


# -- typed payloads ---------------------------------------------------------------------------------------------------


def _seal_typed(value: Any, where: str) -> Any:
    """A payload in a typed position: our own structs keep their shape, the user's values inside are sealed."""
    if is_plain(value):
        return value
    if isinstance(value, StepOutput):
        return seal_output(value, where)
    user_fields = _USER_FIELDS.get(type(value))
    if user_fields is not None:
        changed = {name: _seal_typed(getattr(value, name), f"{where}.{name}") for name in user_fields}
        if isinstance(value, StepInput):
            changed["workflow_session"] = None
        return msgspec.structs.replace(value, **changed)
    if isinstance(value, list) and value and _is_typed(value[0]):
        return [_seal_typed(item, where) for item in value]
    if isinstance(value, dict) and value and _is_typed(next(iter(value.values()))):
        return {key: _seal_typed(item, where) for key, item in value.items()}
    return seal(value, where)


def _is_typed(value: Any) -> bool:
    if isinstance(value, list) and value:
        return _is_typed(value[0])
    return type(value) is StepOutput or type(value) in _USER_FIELDS


def _unseal_typed(value: Any) -> Any:
    if isinstance(value, StepOutput):
        return _unseal_output(value)
    user_fields = _USER_FIELDS.get(type(value))
    if user_fields is not None:
        for name in user_fields:
            setattr(value, name, _unseal_typed(getattr(value, name)))
        return value
    if isinstance(value, list):
        return [_unseal_typed(item) for item in value]
    if isinstance(value, dict) and TAG not in value:
        return {key: _unseal_typed(item) for key, item in value.items()}
    return unseal(value)


def _revive(data: bytes, decoded: Any) -> Any:
    return _unseal_typed(decoded) if _MARK in data else decoded


def encode_plain(value: Any, where: str) -> bytes:
    """A struct whose payloads are sealed already."""
    return _encode(value, where)


def raw(data: bytes) -> msgspec.Raw:
    """Encoded bytes as a part of a larger encoded value."""
    return msgspec.Raw(data)


def decode_parts(data: bytes) -> dict[str, bytes | None]:
    """A JSON object's values, still encoded; None for null."""
    found = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
    return {key: None if bytes(value) == b"null" else bytes(value) for key, value in found.items()}


def decode_typed(data: bytes, kind: type[_T]) -> _T:
    """A struct of ``kind`` with all of its payload fields unsealed."""
    value = msgspec.json.decode(data, type=kind)
    if _MARK in data:
        for name in kind.__struct_fields__:  # type: ignore[attr-defined]  # kind is a Struct
            setattr(value, name, _unseal_typed(getattr(value, name)))
    return value


def encode_requirement(requirement: StepRequirement | ErrorRequirement) -> bytes:
    return _encode(_seal_typed(requirement, requirement.path), requirement.path)


def decode_requirement(data: bytes) -> StepRequirement | ErrorRequirement:
    kind = msgspec.json.decode(data).get("kind")
    if kind == "error":
        return _revive(data, msgspec.json.decode(data, type=ErrorRequirement))  # type: ignore[no-any-return]  # same type back
    return _revive(data, msgspec.json.decode(data, type=StepRequirement))  # type: ignore[no-any-return]  # same type back


# -- events -----------------------------------------------------------------------------------------------------------


def encode_event(event: Event) -> bytes:
    """The event as one JSON object whose ``event`` field is its name."""
    if isinstance(event, CustomEvent):
        return _encode_custom(event)
    if isinstance(event, UnknownEvent):
        return _encode({**(event.data or {}), "event": event.name, "seq": event.seq}, event.path)
    changed: dict[str, Any] | None = None
    for name in _PAYLOADS[type(event)]:
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


def event_frame(event: Event) -> bytes:
    """The event as clients get it: as it is stored, or, where that is refused, with the text of what cannot be."""
    try:
        return encode_event(event)
    except UnserializableError:
        return event.to_json().encode()


def without_payload(event: Event, size: int) -> Event:
    """``event`` with a mark of ``size`` bytes in the place of what the user put into it."""
    mark = {"truncated": size}
    if isinstance(event, CustomEvent):
        copy = CustomEvent.__new__(CustomEvent)
        kept = {name: value for name, value in event.fields().items() if name in _COMMON or is_plain(value)}
        copy.__dict__.update({k: v for k, v in kept.items() if not isinstance(v, str) or len(v) < 200}, content=mark)
        return copy
    fields: dict[str, Any] = {name: None for name in _PAYLOADS[type(event)] if not is_short(getattr(event, name))}
    if "content" in fields:
        fields["content"] = mark
    replaced: WorkflowEvent = msgspec.structs.replace(event, **fields)
    return replaced


def is_short(value: Any) -> bool:
    return is_plain(value) and (not isinstance(value, str) or len(value) < 200)


def event_names() -> frozenset[str]:
    """The names of all events that can be stored."""
    return frozenset((*_KINDS, *EXECUTOR_EVENTS, CustomEvent.event))


def event_kinds() -> dict[str, type[WorkflowEvent]]:
    """The classes of a workflow's own events by name."""
    return dict(_KINDS)


def _encode_custom(event: CustomEvent) -> bytes:
    kind = type(event)
    fields = {name: seal(value, f"{event.path}: {kind.__name__}.{name}") for name, value in event.fields().items()}
    fields["event"] = event.event
    if kind is not CustomEvent and "<locals>" not in kind.__qualname__:
        fields["type"] = f"{kind.__module__}:{kind.__qualname__}"
    return _encode(fields, event.path)


def decode_event(data: bytes) -> Event:
    """The event with its type. One that this version does not know becomes an UnknownEvent."""
    name: str = _TAG_DECODER.decode(data).event
    kind = _KINDS.get(name) or EXECUTOR_EVENTS.get(name)
    if kind is not None:
        decoder = _DECODERS.get(name)
        if decoder is None:
            decoder = _DECODERS[name] = msgspec.json.Decoder(kind)
        event: WorkflowEvent = decoder.decode(data)
        if _MARK in data:
            for field in _PAYLOADS[kind]:
                value = getattr(event, field)
                if value is not None:
                    msgspec.structs.force_setattr(event, field, _unseal_typed(value))
            complete(getattr(event, "step_executor_runs", None), getattr(event, "step_results", None))
        return event
    fields: dict[str, Any] = msgspec.json.decode(data)
    if name == CustomEvent.event or "type" in fields:
        return _custom(fields)
    return UnknownEvent(
        name=name, data=fields, seq=fields.get("seq", 0), epoch=fields.get("epoch", 1), path=fields.get("path", "")
    )


def _custom(fields: dict[str, Any]) -> CustomEvent:
    fields = {key: unseal(value) for key, value in fields.items()}
    kind: Any = CustomEvent
    if "type" in fields:
        try:
            kind = _find(fields["type"])
        except UnserializableError:
            kind = CustomEvent
        else:
            del fields["type"]
    event: CustomEvent = CustomEvent.__new__(kind if issubclass(kind, CustomEvent) else CustomEvent)
    if fields.get("event") == kind.event:
        del fields["event"]
    event.__dict__.update(fields)
    return event


def event_from_dict(data: dict[str, Any]) -> Event:
    """The event that ``to_dict`` described. Raises ValueError where there is no event name."""
    if not isinstance(data.get("event"), str):
        raise ValueError(f"no event: a mapping with a text under 'event' is needed, got keys {sorted(data)}")
    return decode_event(msgspec.json.encode(data))


# -- runs -------------------------------------------------------------------------------------------------------------


def encode_run(output: WorkflowRunOutput) -> bytes:
    """Everything of a run but its events and its journal, which have rows of their own. An empty list of events says
    that they belong to the output; those of a run without ``store_events`` are there for readers and go."""
    changed: dict[str, Any] = {"events": None if output.events is None else [], "journal": None}
    for name in ("input", "content", "additional_data", "dependencies", "metadata", "session_state"):
        value = getattr(output, name)
        if value is not None and not is_plain(value):
            changed[name] = seal(value, name)
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


def decode_run(data: bytes) -> WorkflowRunOutput:
    output = msgspec.json.decode(data, type=WorkflowRunOutput)
    if _MARK in data:
        for name in output.__struct_fields__:
            value = getattr(output, name)
            if isinstance(value, (list, dict)):
                setattr(output, name, _unseal_typed(value))
        complete(output.step_executor_runs, output.step_results)
    return output
