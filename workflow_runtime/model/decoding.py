"""The database's own rows back to values, events, outputs and questions. Bytes from elsewhere go through ``foreign``.

Nothing here raises because of the stored data: a value that cannot be rebuilt is an Unreadable, and a row that is not JSON,
or has another structure, becomes an object of its kind that reports it.
"""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

import msgspec

from .classes import has, lookup
from .events import CustomEvent, Event, StepContentEvent, UnknownEvent, WorkflowEvent
from .making import instance_dict, refuse_hooks
from .nested_runs import complete
from .payloads import COMMON, PAYLOADS, USER_FIELDS, kind_of
from .reading import STORED, Reader
from .repeated import content_of
from .requirements import ErrorRequirement, StepRequirement, UnreadableRequirement
from .run import WorkflowRunOutput
from .step_io import StepOutput
from .unreadable import DAMAGED, Place, Unreadable, unread
from .values import MAX_DEPTH, TAG, depth_of

__all__ = [
    "decode_event",
    "decode_output",
    "decode_parts",
    "decode_requirement",
    "decode_run",
    "decode_shape",
    "decode_typed",
    "decode_value",
    "fill_event",
    "filled",
    "is_typed",
    "made_custom",
    "read_event",
    "refuse_odd_numbers",
]

_T = TypeVar("_T")
_Shape = TypeVar("_Shape", bound=msgspec.Struct)
_KEY, _ESCAPED = f'"{TAG}"'.encode(), b"\\u0024"
_DECODERS: dict[str, msgspec.json.Decoder[Any]] = {}  # made on first use: building all of them costs an import 10 ms
_LARGEST = 2**63 - 1
_NO_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")
# The errors of damaged bytes; a struct of ours with a __post_init__ may refuse its fields by a ValueError.
_WRONG = (msgspec.DecodeError, ValueError, TypeError, RecursionError)


class EventPlace(Protocol):
    """The columns of a stored event that locate it, if its data does not."""

    run_id: str
    seq: int
    last_seq: int
    epoch: int
    kind: str
    path: str


class RequirementPlace(Protocol):
    """The columns of a stored question."""

    run_id: str
    requirement_id: str
    path: str
    kind: str
    created_at: float
    answered_at: float | None


class RunPlace(Protocol):
    """The columns of a stored run."""

    run_id: str
    session_id: str
    user_id: str | None
    workflow_id: str | None
    workflow_name: str | None
    parent_run_id: str | None
    status: Any
    attempt: int
    seq: int
    created_at: float
    updated_at: float


class _Tag(msgspec.Struct):
    event: str


_TAG_DECODER = msgspec.json.Decoder(_Tag)


def has_tags(data: bytes) -> bool:
    """Whether JSON may contain a tag. Never False if it does: these are the two ways to write the key."""
    return _KEY in data or _ESCAPED in data


def _damaged(data: bytes, error: Exception, place: Place) -> Unreadable:
    return unread(DAMAGED, str(error) or type(error).__name__, data, place, is_damaged=True)


# -- values -----------------------------------------------------------------------------------------------------------


def decode_value(data: bytes, where: str = "value", run_id: str = "") -> Any:
    """The value that ``encode_value`` was given; an Unreadable for it, or inside it, where it cannot be rebuilt."""
    try:
        value = msgspec.json.decode(data)
        refuse_depth(data, value)
        return STORED.value(value, (run_id, where)) if has_tags(data) else value
    except _WRONG as error:
        return _damaged(data, error, (run_id, where))


def refuse_depth(data: bytes, value: Any) -> None:
    """ValueError for JSON that is nested deeper than anything we write."""
    if data.count(b"[") + data.count(b"{") > MAX_DEPTH and _may_be_deep(data) and depth_of(value) > MAX_DEPTH:
        raise ValueError(f"it is nested deeper than {MAX_DEPTH}")


def _may_be_deep(data: bytes) -> bool:
    """Whether the brackets of the JSON are nested deeper than that. Innermost pairs are removed until none is left;
    brackets inside strings may prevent that, and then the answer is True."""
    left = data.translate(None, _NO_BRACKETS)
    for _ in range(MAX_DEPTH):
        outer = left.replace(b"[]", b"").replace(b"{}", b"")
        if not outer:
            return False
        if len(outer) == len(left):
            break
        left = outer
    return True


def decode_parts(data: bytes, where: str = "", run_id: str = "") -> dict[str, bytes | None] | Unreadable:
    """A JSON object's values, still encoded; None for null. An Unreadable if it is damaged."""
    try:
        found = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
    except _WRONG as error:
        return _damaged(data, error, (run_id, where))
    return {key: None if bytes(value) == b"null" else bytes(value) for key, value in found.items()}


def decode_shape(data: bytes, shape: type[_Shape], where: str = "", run_id: str = "") -> _Shape | Unreadable:
    """A struct without payloads; an Unreadable if it is damaged."""
    try:
        return msgspec.json.decode(data, type=shape)
    except _WRONG as error:
        return _damaged(data, error, (run_id, where))


# -- typed payloads ---------------------------------------------------------------------------------------------------


def filled(value: Any, reader: Reader, place: Place) -> Any:
    """A payload in a typed position: our own structs keep their shape, the user's values inside are made."""
    kind = type(value)
    if kind is StepOutput:
        value.content = reader.value(value.content, (place, ".content"))
        for number, inner in enumerate(value.steps or ()):
            filled(inner, reader, (place, f".steps[{number}]"))
        return value
    user_fields = USER_FIELDS.get(kind)
    if user_fields is not None:
        for name in user_fields:
            setattr(value, name, filled(getattr(value, name), reader, (place, f".{name}")))
        return value
    if kind is list and value and is_typed(value[0]):
        return [filled(item, reader, (place, (number,))) for number, item in enumerate(value)]
    if kind is dict and value and is_typed(next(iter(value.values()))):
        return {key: filled(item, reader, (place, (key,))) for key, item in value.items()}
    return reader.value(value, place)


def is_typed(value: Any) -> bool:
    """Whether it is one of our own structs with the user's values, or a list of them."""
    while isinstance(value, list) and value:
        value = value[0]
    return type(value) is StepOutput or type(value) in USER_FIELDS


def decode_typed(data: bytes, kind: type[_T], where: str = "", run_id: str = "") -> _T:
    """A struct of ``kind`` with all of its payload fields decoded. For damaged bytes, the result of ``kind.damaged`` for an
    Unreadable, or the Unreadable itself."""
    try:
        value = msgspec.json.decode(data, type=kind)
        if has_tags(data):
            for name in kind.__struct_fields__:  # type: ignore[attr-defined]  # kind is a Struct
                setattr(
                    value, name, filled(getattr(value, name), STORED, (run_id, f"{where}: {name}" if where else name))
                )
    except _WRONG as error:
        damaged = _damaged(data, error, (run_id, where))
        make: Any = getattr(kind, "damaged", lambda found: found)
        made: _T = make(damaged)
        return made
    return value


def decode_output(data: bytes, where: str = "", run_id: str = "") -> StepOutput:
    """A step's output; for damaged bytes, one whose content reports it."""
    try:
        output = msgspec.json.decode(data, type=StepOutput)
        made: StepOutput = filled(output, STORED, (run_id, where)) if has_tags(data) else output
        return made
    except _WRONG as error:
        return StepOutput(_damaged(data, error, (run_id, where)))


def decode_requirement(data: bytes, row: RequirementPlace | None = None) -> StepRequirement | ErrorRequirement:
    """A question; for damaged bytes, an UnreadableRequirement with the columns of ``row``."""
    try:
        found = msgspec.json.decode(data)
        kind: Any = ErrorRequirement if found.get("kind") == "error" else StepRequirement
        made: StepRequirement | ErrorRequirement = msgspec.json.decode(data, type=kind)
        if has_tags(data):
            made = filled(made, STORED, (row.run_id if row is not None else "", made.path))
        if row is not None and made.id != row.requirement_id:
            raise ValueError(f"it is the question {made.id!r}")
    except (*_WRONG, AttributeError) as error:
        run_id = row.run_id if row is not None else ""
        value = _damaged(
            data,
            error if isinstance(error, _WRONG) else ValueError("it is no object"),
            (run_id, row.path if row else ""),
        )
        if row is None:
            return UnreadableRequirement.of(value)
        return UnreadableRequirement.of(
            value, id=row.requirement_id, path=row.path, created_at=row.created_at, answered_at=row.answered_at
        )
    return made


# -- events -----------------------------------------------------------------------------------------------------------


def decode_event(data: bytes, row: EventPlace | None = None) -> Event:
    """The event with its type; one that this version does not know becomes an UnknownEvent. For damaged bytes, an event
    with the kind, number and path from the columns of ``row``, whose content reports it."""
    return read_event(data, row)[0]


def read_event(data: bytes, row: EventPlace | None = None) -> tuple[Event, Unreadable | None]:
    """``decode_event``, and the damaged part of it: the event itself, if its bytes are damaged."""
    try:
        event = _event(data, STORED)
        if row is not None and (event.seq, event.epoch) != (row.seq, row.epoch):
            raise ValueError(f"it has the number {event.id}")
    except _WRONG as error:
        run_id, path = (row.run_id, row.path) if row is not None else ("", "")
        damaged = _damaged(data, error, (run_id, path or "event"))
        return _damaged_event(row, damaged), damaged
    return event, None


def _damaged_event(row: EventPlace | None, damaged: Unreadable) -> Event:
    if row is None:
        return UnknownEvent(name="UnreadableEvent", data={"content": damaged})
    # It has the last of its numbers, for readers that continue after it.
    place: dict[str, Any] = {"seq": row.last_seq, "epoch": row.epoch, "run_id": row.run_id, "path": row.path}
    kind = kind_of(row.kind)
    if kind is None:
        return UnknownEvent(**place, name=row.kind, data={"content": damaged})
    if kind is StepContentEvent:
        return StepContentEvent(**place, delta=str(damaged))
    content: dict[str, Any] = {"content": damaged} if "content" in kind.__struct_fields__ else {}
    made: WorkflowEvent = kind(**place, **content)
    return made


def _event(data: bytes, reader: Reader) -> Event:
    name: str = _TAG_DECODER.decode(data).event
    kind = kind_of(name)
    if kind is None:
        return made_custom(name, msgspec.json.decode(data), reader)
    decoder = _DECODERS.get(name)
    if decoder is None:
        decoder = _DECODERS[name] = msgspec.json.Decoder(kind)
    event: WorkflowEvent = decoder.decode(data)
    refuse_odd_numbers(event)
    if reader is not STORED or has_tags(data):
        fill_event(event, kind, reader)
    return event


def fill_event(event: WorkflowEvent, kind: type[WorkflowEvent], reader: Reader) -> None:
    """Make the user's values in the event."""
    for field in PAYLOADS[kind]:
        value = getattr(event, field)
        if value is not None:
            place = (event.run_id or "", f"{event.path}: {field}" if event.path else field)
            msgspec.structs.force_setattr(event, field, filled(value, reader, place))
    complete(getattr(event, "step_executor_runs", None), getattr(event, "step_results", None))


def refuse_odd_numbers(event: WorkflowEvent) -> None:
    """ValueError for numbers that no event can have; calculations with them would go wrong."""
    if not (0 <= event.seq <= _LARGEST and 0 <= event.epoch <= _LARGEST):
        raise ValueError(f"no event has the number {event.epoch}-{event.seq}")
    if type(event) is not StepContentEvent or event.lengths is None:
        last = getattr(event, "last_seq", None)
        if last is not None and not event.seq <= last <= _LARGEST:
            raise ValueError(f"no event has the numbers {event.seq} to {last}")
        return
    seqs = event.seqs if event.seqs is not None else range(event.seq, event.seq + len(event.lengths))
    whole = (event.last_seq or event.seq) <= _LARGEST and len(seqs) == len(event.lengths) > 0
    if not whole or (seqs[0], seqs[-1]) != (event.seq, event.last_seq or event.seq) or list(seqs) != sorted(seqs):
        raise ValueError("the numbers of its parts do not fit")
    if not isinstance(event.delta, str) or min(event.lengths) < 0 or sum(event.lengths) != len(event.delta):
        raise ValueError("the lengths of its parts do not fit")


_Common: Any = msgspec.defstruct(
    "_Common",
    [(field.name, field.type, field.default) for field in msgspec.structs.fields(WorkflowEvent)],
    kw_only=True,
)
"""The fields that are read and compared for every event."""


_METHODS = ("to_dict", "to_json", "fields")


def made_custom(name: str, fields: dict[str, Any], reader: Reader) -> Event:
    """An event of the user's own, in its class if the reader makes that; or one of a newer version.

    Raises:
        ValueError: The fields that every event has do not fit.
    """
    common = msgspec.convert({key: fields[key] for key in COMMON if key in fields}, _Common)
    if not (0 <= common.seq <= _LARGEST and 0 <= common.epoch <= _LARGEST):
        raise ValueError(f"no event has the number {common.epoch}-{common.seq}")
    is_custom = name == CustomEvent.event or "type" in fields
    if not is_custom or any(method in fields for method in _METHODS):
        return UnknownEvent(**msgspec.structs.asdict(common), name=name, data=fields)
    place = (common.run_id or "", common.path)
    made = {key: reader.value(value, (place, f": {key}")) for key, value in fields.items()}
    kind: type = CustomEvent
    if isinstance(fields.get("type"), str):
        try:
            found = reader.class_of(fields["type"])
            refuse_hooks(found)
        except Exception:  # it stays a plain one, and keeps the name of its class
            found = CustomEvent
        if has(found, CustomEvent) and found is not CustomEvent:
            kind = found
            del made["type"]
    event: CustomEvent = object.__new__(kind)  # it is one, or a subclass
    if name == lookup(kind, "event"):
        del made["event"]
    instance_dict(event, kind).update(made)
    return event


# -- runs -------------------------------------------------------------------------------------------------------------


def decode_run(data: bytes, row: RunPlace | None = None) -> WorkflowRunOutput:
    """A run; for damaged bytes, one whose input and content report it, with the columns of ``row``."""
    try:
        output = msgspec.json.decode(data, type=WorkflowRunOutput)
        if has_tags(data):
            output.content = content_of(output.content, output.step_results)
            for name in output.__struct_fields__:
                value = getattr(output, name)
                if isinstance(value, (list, dict)):
                    setattr(output, name, filled(value, STORED, (output.run_id or "", name)))
            complete(output.step_executor_runs, output.step_results)
    except _WRONG as error:
        value = _damaged(data, error, (row.run_id if row is not None else "", "the row of the run"))
        if row is None:
            return WorkflowRunOutput(input=value, content=value)
        return WorkflowRunOutput(
            run_id=row.run_id,
            session_id=row.session_id,
            user_id=row.user_id,
            workflow_id=row.workflow_id,
            workflow_name=row.workflow_name,
            parent_run_id=row.parent_run_id,
            status=row.status,
            input=value,
            content=value,
            created_at=int(row.created_at),
            updated_at=int(row.updated_at),
            epoch=row.attempt,
            last_seq=row.seq,
        )
    if row is not None:
        output.run_id = row.run_id  # whatever damaged bytes say
    return output
