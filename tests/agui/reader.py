"""A reader of AG-UI that is as strict as the specification allows, and knows nothing of how our events are made."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import ag_ui.core as ag
import jsonpatch
import pydantic

__all__ = ["Reader", "read"]

_EVENT: pydantic.TypeAdapter[Any] = pydantic.TypeAdapter(ag.Event)


class Reader:
    """What a front end has after a run: ``state``, ``messages`` by id, ``steps`` in order, ``outcome`` or ``error``."""

    def __init__(self, messages: Iterable[ag.Message] = (), state: Any = None) -> None:
        self.messages: dict[str, str | None] = {item.id: getattr(item, "content", None) for item in messages}
        self.state: Any = {} if state is None else state
        self.steps: list[str] = []
        self.custom: list[tuple[str, Any]] = []
        self.calls: dict[str, str] = {}
        self.outcome: Any = None
        self.result: Any = None
        self.usage: list[ag.TokenUsage] = []
        self.error: ag.RunErrorEvent | None = None
        self.run: tuple[str, str] | None = None
        self.ended = False
        self._open_messages: set[str] = set()
        self._open_steps: list[str] = []
        self._open_calls: set[str] = set()

    def take(self, line: str) -> None:
        event = _EVENT.validate_json(line)
        assert event.model_extra == {}, "fields that the protocol does not know"
        assert not self.ended, f"{event.type} after the end"
        if self.run is None:
            assert event.type in (ag.EventType.RUN_STARTED, ag.EventType.RUN_ERROR), f"begins with {event.type}"
        getattr(self, f"_{event.type.value.lower()}")(event)

    def _run_started(self, event: ag.RunStartedEvent) -> None:
        assert self.run is None
        assert event.protocol_version == ag.PROTOCOL_VERSION
        self.run = (event.thread_id, event.run_id)

    def _run_finished(self, event: ag.RunFinishedEvent) -> None:
        assert (event.thread_id, event.run_id) == self.run
        assert not self._open_messages
        assert not self._open_steps
        assert not self._open_calls
        self.outcome, self.result, self.usage, self.ended = event.outcome, event.result, event.usage or [], True
        if isinstance(event.outcome, ag.RunFinishedInterruptOutcome):
            ids = [item.id for item in event.outcome.interrupts]
            assert len(set(ids)) == len(ids)

    def _run_error(self, event: ag.RunErrorEvent) -> None:
        self.error, self.ended = event, True

    def _step_started(self, event: ag.StepStartedEvent) -> None:
        assert event.step_name not in self._open_steps
        self._open_steps.append(event.step_name)
        self.steps.append(event.step_name)

    def _step_finished(self, event: ag.StepFinishedEvent) -> None:
        self._open_steps.remove(event.step_name)

    def _text_message_start(self, event: ag.TextMessageStartEvent) -> None:
        assert event.message_id not in self._open_messages
        self._open_messages.add(event.message_id)
        self.messages.setdefault(event.message_id, "")

    def _text_message_content(self, event: ag.TextMessageContentEvent) -> None:
        assert event.message_id in self._open_messages
        self.messages[event.message_id] = (self.messages[event.message_id] or "") + event.delta

    def _text_message_end(self, event: ag.TextMessageEndEvent) -> None:
        self._open_messages.remove(event.message_id)

    def _tool_call_start(self, event: ag.ToolCallStartEvent) -> None:
        assert event.tool_call_id not in self.calls
        self._open_calls.add(event.tool_call_id)
        self.calls[event.tool_call_id] = ""

    def _tool_call_args(self, event: ag.ToolCallArgsEvent) -> None:
        assert event.tool_call_id in self._open_calls
        self.calls[event.tool_call_id] += event.delta

    def _tool_call_end(self, event: ag.ToolCallEndEvent) -> None:
        self._open_calls.remove(event.tool_call_id)

    def _tool_call_result(self, event: ag.ToolCallResultEvent) -> None:
        assert event.tool_call_id in self.calls
        assert isinstance(event.content, str)
        self.messages[event.message_id] = event.content

    def _state_snapshot(self, event: ag.StateSnapshotEvent) -> None:
        self.state = event.snapshot

    def _state_delta(self, event: ag.StateDeltaEvent) -> None:
        self.state = jsonpatch.apply_patch(self.state, [item.model_dump(by_alias=True) for item in event.delta])

    def _messages_snapshot(self, event: ag.MessagesSnapshotEvent) -> None:
        known = {item.id: getattr(item, "content", None) for item in event.messages}
        self.messages = known
        told = {call.id for item in event.messages for call in getattr(item, "tool_calls", None) or ()}
        self.calls = {name: arguments for name, arguments in self.calls.items() if name in told}

    def _custom(self, event: ag.CustomEvent) -> None:
        self.custom.append((event.name, event.value))

    @property
    def texts(self) -> list[str | None]:
        return list(self.messages.values())


def read(events: Iterable[ag.BaseEvent], **known: Any) -> Reader:
    """The reader after ``events``, each as the JSON that goes over the wire."""
    reader = Reader(**known)
    for event in events:
        reader.take(event.model_dump_json(by_alias=True))
    return reader
