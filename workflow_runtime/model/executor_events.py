"""Events that an agent or a team streams inside a step, under the names of ``RunEvent`` and ``TeamRunEvent``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from .enums import RunEvent, TeamRunEvent
from .events import CustomEvent, Event, WorkflowEvent

__all__ = ["EXECUTOR_EVENTS", "ExecutorEvent", "RunContentEvent", "executor_event"]


class ExecutorEvent(WorkflowEvent, frozen=True, kw_only=True, omit_defaults=True, tag="ExecutorEvent"):
    """An event that an executor published. ``extra`` holds its fields that this class does not have."""

    step_name: str | None = None
    step_index: int | tuple[int, ...] | None = None
    executor_run_id: str | None = None
    executor_id: str | None = None
    executor_name: str | None = None
    executor_type: str | None = None
    content: Any = None
    content_type: str | None = None
    reasoning_content: str | None = None
    tool: Any = None
    metrics: Any = None
    error: str | None = None
    reason: str | None = None
    extra: dict[str, Any] | None = None


def _kind(name: str) -> type[ExecutorEvent]:
    made: Any = msgspec.defstruct(
        f"{name}Event",
        [],
        bases=(ExecutorEvent,),
        module=__name__,
        frozen=True,
        kw_only=True,
        omit_defaults=True,
        tag=name,
    )
    kind: type[ExecutorEvent] = made
    return kind


class _Kinds(Mapping[str, type[ExecutorEvent]]):
    """The class of each name, created on first use: few workflows need any, and there are seventy."""

    def __init__(self, *names: str) -> None:
        self._names = dict.fromkeys(names)
        self._made: dict[str, type[ExecutorEvent]] = {}

    def __getitem__(self, name: str) -> type[ExecutorEvent]:
        made = self._made.get(name)
        if made is None and name in self._names:
            made = self._made.setdefault(name, _kind(name))  # of two threads the first one's
        if made is None:
            raise KeyError(name)
        return made

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


EXECUTOR_EVENTS = _Kinds(*(name.value for name in (*RunEvent, *TeamRunEvent) if name.value != "CustomEvent"))
RunContentEvent = EXECUTOR_EVENTS["RunContent"]


def __getattr__(name: str) -> Any:
    """A class by its own name, as ``pickle`` and stored values look for it."""
    if name.removesuffix("Event") not in EXECUTOR_EVENTS or not name.endswith("Event"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return EXECUTOR_EVENTS[name.removesuffix("Event")]


_OWN = set(ExecutorEvent.__struct_fields__) - set(WorkflowEvent.__struct_fields__)
_RENAMED = {
    "run_id": "executor_run_id",
    "agent_id": "executor_id",
    "team_id": "executor_id",
    "agent_name": "executor_name",
    "team_name": "executor_name",
}


def executor_event(raw: Any, *, executor_type: str | None = None, executor_name: str | None = None) -> Event | None:
    """``raw`` (an object or mapping with an ``event`` name) as a typed event; None if it is not an event.

    A name that is in no enum becomes a CustomEvent with the same fields.
    """
    if isinstance(raw, (WorkflowEvent, CustomEvent)):
        return raw
    fields = _fields(raw)
    name = fields.pop("event", None)
    if not isinstance(name, str):
        return None
    kind = EXECUTOR_EVENTS.get(str(getattr(name, "value", name)))
    if kind is None:
        return CustomEvent(**{"name": str(name), **{k: v for k, v in fields.items() if v is not None}})
    known: dict[str, Any] = {"executor_type": executor_type, "executor_name": executor_name}
    extra: dict[str, Any] = {}
    for key, value in fields.items():
        if value is None or key in ("created_at", "session_id", "workflow_id", "workflow_run_id"):
            continue
        key = _RENAMED.get(key, key)
        if key in _OWN:
            known[key] = value
        else:
            extra[key] = value
    return kind(**known, extra=extra or None)


def _fields(raw: Any) -> dict[str, Any]:
    if isinstance(raw, dict):
        return dict(raw)
    if isinstance(raw, msgspec.Struct):
        found = {name: getattr(raw, name) for name in raw.__struct_fields__}
    else:
        found = {key: value for key, value in getattr(raw, "__dict__", {}).items() if not key.startswith("_")}
    name = getattr(raw, "event", None)
    if "event" not in found and isinstance(name, str):
        found["event"] = name
    return found
