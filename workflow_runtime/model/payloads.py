"""Which fields of events and of our own structs hold values of the user's."""

from __future__ import annotations

from . import events as _events
from .events import CustomEvent, WorkflowEvent
from .executor_events import EXECUTOR_EVENTS
from .fields import UserInputField
from .requirements import ErrorRequirement, StepRequirement
from .step_io import StepInput

__all__ = ["COMMON", "KINDS", "PAYLOADS", "USER_FIELDS", "event_names", "kind_of"]

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

# Of our own structs.
USER_FIELDS: dict[type, tuple[str, ...]] = {
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

COMMON = frozenset(WorkflowEvent.__struct_fields__)


def _event_types() -> list[type[WorkflowEvent]]:
    own = [getattr(_events, name) for name in _events.__all__]
    kinds = [item for item in own if isinstance(item, type) and issubclass(item, WorkflowEvent)]
    return [item for item in kinds if item is not WorkflowEvent]


KINDS: dict[str, type[WorkflowEvent]] = {str(kind.__struct_config__.tag): kind for kind in _event_types()}


class _Payloads(dict[type, tuple[str, ...]]):
    """The fields of an event's class that may hold values of the user's."""

    def __missing__(self, kind: type[WorkflowEvent]) -> tuple[str, ...]:
        fields = self[kind] = tuple(name for name in kind.__struct_fields__ if name not in _SCALAR_FIELDS)
        return fields


PAYLOADS = _Payloads()


def kind_of(name: str) -> type[WorkflowEvent] | None:
    """The class of the events of that name; None for custom ones and those of a newer version."""
    return KINDS.get(name) or EXECUTOR_EVENTS.get(name)


def event_names() -> frozenset[str]:
    """The names of all events that can be stored."""
    return frozenset((*KINDS, *EXECUTOR_EVENTS, CustomEvent.event))
