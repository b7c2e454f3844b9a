"""One run's events as AG-UI events: a fold without I/O, clock or ids of its own.

AG-UI has rules that our events need not follow, and this is where they are kept: a message or a step that was opened is
closed before the run ends; no two open steps share a name; text that was sent can only be taken back by a snapshot of all
messages; a run that asks for something has ended, and the run that goes on opens the steps again that it finds inside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import ag_ui.core as ag

from ... import (
    CustomEvent,
    Event,
    ExecutorEvent,
    StepCompensatedEvent,
    StepCompensationFailedEvent,
    StepContentEvent,
    StepRetryEvent,
    WorkflowCancelledEvent,
    WorkflowCompletedEvent,
    WorkflowErrorEvent,
    WorkflowPausedEvent,
    WorkflowResumedEvent,
    WorkflowStartedEvent,
)
from ..rejected import rejected_step, rejection
from .interrupts import interrupt
from .patch import json_patch

__all__ = ["RunMapping"]

_QUIET = ("StepOutput", "WorkflowStarted", "WorkflowCompleted")  # said by other events too
_TEXT = ("RunContent", "TeamRunContent")


class RunMapping:
    """What one AG-UI run has shown so far.

    Args:
        thread_id, run_id: As the request named them; ``run_id`` need not be the workflow run's own.
        messages: The conversation as the request showed it.
        state: The state that the reader starts from.
    """

    def __init__(
        self, thread_id: str, run_id: str, messages: Iterable[ag.Message] = (), state: dict[str, Any] | None = None
    ) -> None:
        self.thread_id = thread_id
        self.run_id = run_id
        self.ended = False
        self._state: dict[str, Any] = state or {}
        self._messages: list[ag.Message] = [item for item in messages if item.role != "activity"]
        self._steps: dict[str, str] = {}  # of an open step: its path, and its name
        self._texts: dict[str, ag.AssistantMessage] = {}  # the open message of a step, by path
        self._tools: set[str] = set()
        self._said: dict[str, str] = {}  # of a message of this run: its id, and the path of the step that said it
        self._ended: dict[str, int] = {}  # of a step that ended: its path, and the number of that event

    # -- the run -------------------------------------------------------------------------------------------------------

    def start(self, parent_run_id: str | None = None) -> list[ag.BaseEvent]:
        """The run has begun, and what state it begins with."""
        return [
            ag.RunStartedEvent(
                thread_id=self.thread_id,
                run_id=self.run_id,
                parent_run_id=parent_run_id,
                protocol_version=ag.PROTOCOL_VERSION,
            ),
            ag.StateSnapshotEvent(snapshot=self._state),
        ]

    def state(self, state: dict[str, Any]) -> list[ag.BaseEvent]:
        """The session's state is this now: what changed of it since it was last shown."""
        operations = json_patch(self._state, state)
        self._state = state
        return [ag.StateDeltaEvent.model_validate({"delta": operations})] if operations else []

    def take(self, event: Event) -> list[ag.BaseEvent]:
        """What ``event`` is in AG-UI: any number of events, also none."""
        if event.nested_depth == 0:
            end = self._ends.get(type(event))
            if end is not None:
                return end(self, event)
        if isinstance(event, StepContentEvent):
            return self._content(event, event.delta)
        if isinstance(event, ExecutorEvent):
            return self._executor(event)
        if isinstance(event, StepRetryEvent):
            return self._retry(event)
        if isinstance(event, WorkflowResumedEvent):
            return self._resumed(event)
        name = event.event
        if name in _QUIET:
            return []
        if (
            isinstance(event, (CustomEvent, StepCompensatedEvent, StepCompensationFailedEvent))
            or not getattr(event, "step_name", None)
            or name.startswith("LoopIteration")
        ):
            return [_custom(event)]
        if name.endswith("Started"):
            return self._open(event)
        if name.endswith(("Completed", "Error")):
            return self._close(event)
        return [*self._open(event), _custom(event)]

    def fail(self, message: str, code: str | None = None) -> list[ag.BaseEvent]:
        """The run cannot go on, for a reason that is no event of it."""
        return self._finish(ag.RunErrorEvent(message=message, code=code))

    # -- its end -------------------------------------------------------------------------------------------------------

    def _completed(self, event: WorkflowCompletedEvent) -> list[ag.BaseEvent]:
        result = event.to_dict().get("content")
        said: list[ag.BaseEvent] = []
        if isinstance(event.content, str) and event.content and not self._has_said(event.content):
            said = [*self._text(event.path, event, event.content), *self._end_text(event.path)]
        outcome: ag.RunFinishedSuccessOutcome | ag.RunFinishedCancelledOutcome = ag.RunFinishedSuccessOutcome()
        rejected = rejected_step(event.step_results or ())
        if rejected is not None:  # what the run was to do last was not done: to a front end, that is no success
            outcome = ag.RunFinishedCancelledOutcome()
            value = {"step_name": rejected.step_name, "reason": rejected.error, "message": rejection(rejected)}
            said.append(ag.CustomEvent(name="StepRejected", value=value, timestamp=_millis(event)))
        return [
            *said,
            *self._finish(
                ag.RunFinishedEvent(
                    thread_id=self.thread_id,
                    run_id=self.run_id,
                    result=result,
                    outcome=outcome,
                    usage=_usage(event),
                )
            ),
        ]

    def _paused(self, event: WorkflowPausedEvent) -> list[ag.BaseEvent]:
        asked = [*(event.step_requirements or ()), *(event.error_requirements or ())]
        waiting = [interrupt(item) for item in asked if item.answered_at is None]
        closed = self._close_all()
        self.ended = True
        return [
            *closed,
            ag.StateSnapshotEvent(snapshot=self._state),
            ag.MessagesSnapshotEvent(messages=list(self._messages)),
            ag.RunFinishedEvent(
                thread_id=self.thread_id,
                run_id=self.run_id,
                outcome=ag.RunFinishedInterruptOutcome(interrupts=waiting),
            ),
        ]

    def _cancelled(self, event: WorkflowCancelledEvent) -> list[ag.BaseEvent]:
        return self._finish(
            ag.RunFinishedEvent(thread_id=self.thread_id, run_id=self.run_id, outcome=ag.RunFinishedCancelledOutcome())
        )

    def _failed(self, event: WorkflowErrorEvent) -> list[ag.BaseEvent]:
        return self.fail(event.error or "the run failed", event.error_type)

    _ends: Mapping[type, Callable[..., list[ag.BaseEvent]]] = {
        WorkflowStartedEvent: lambda *_: [],
        WorkflowCompletedEvent: _completed,
        WorkflowPausedEvent: _paused,
        WorkflowCancelledEvent: _cancelled,
        WorkflowErrorEvent: _failed,
    }

    def _finish(self, last: ag.BaseEvent) -> list[ag.BaseEvent]:
        self.ended = True
        return [*self._close_all(), last]

    def _close_all(self) -> list[ag.BaseEvent]:
        closed = [item for path in list(self._texts) for item in self._end_text(path)]
        names = list(reversed(self._steps.values()))  # the innermost first
        self._steps.clear()
        return [*closed, *(ag.StepFinishedEvent(step_name=name) for name in names)]

    def _resumed(self, event: WorkflowResumedEvent) -> list[ag.BaseEvent]:
        """Another process has taken the run over. Steps whose end it does not know of are begun again, and what they had
        said is taken back: the messages are told anew without it. A nested run numbers by itself: of it, what is open."""
        inside = f"{event.path}/" if event.nested_depth else ""
        known = None if event.nested_depth else event.after_seq

        def stands(path: str) -> bool:
            ended = self._ended.get(path)
            return not path.startswith(inside) or (ended is not None and (known is None or ended <= known))

        found: list[ag.BaseEvent] = [
            item for path in list(self._texts) if not stands(path) for item in self._end_text(path)
        ]
        again = [path for path in self._steps if not stands(path)]
        found += [ag.StepFinishedEvent(step_name=self._steps.pop(path)) for path in reversed(again)]
        self._ended = {path: seq for path, seq in self._ended.items() if stands(path)}
        found.append(_custom(event))
        gone = {name for name, path in self._said.items() if not stands(path)}
        if gone:
            self._messages = [item for item in self._messages if item.id not in gone]
            self._said = {name: path for name, path in self._said.items() if name not in gone}
            self._tools -= {name.removesuffix(":call") for name in gone}
            found.append(ag.MessagesSnapshotEvent(messages=list(self._messages)))
        return found

    # -- steps ---------------------------------------------------------------------------------------------------------

    def _open(self, event: Event) -> list[ag.BaseEvent]:
        """Open the step of ``event``, also late: an earlier run may have seen it start, and then it waited."""
        name = getattr(event, "step_name", None)
        if name is None or event.path in self._steps:
            return []
        if name in self._steps.values():
            name = f"{name} ({event.path})"
        self._steps[event.path] = name
        return [ag.StepStartedEvent(step_name=name, metadata=_origin(event), timestamp=_millis(event))]

    def _close(self, event: Event) -> list[ag.BaseEvent]:
        opened = self._open(event)
        name = self._steps.pop(event.path)
        self._ended[event.path] = event.seq
        said = [_custom(event)] if event.event == "StepError" else []
        closed = ag.StepFinishedEvent(step_name=name, metadata=_origin(event), timestamp=_millis(event))
        return [*opened, *self._end_text(event.path), *said, closed]

    # -- text ----------------------------------------------------------------------------------------------------------

    def _content(self, event: Event, delta: Any) -> list[ag.BaseEvent]:
        if not isinstance(delta, str):
            return [*self._open(event), _custom(event)]
        return [*self._open(event), *self._text(event.path, event, delta)]

    def _text(self, path: str, event: Event, delta: str) -> list[ag.BaseEvent]:
        started: list[ag.BaseEvent] = []
        message = self._texts.get(path)
        if message is None:
            # The number of its first event: the same for whoever reads this run, and never that of another attempt.
            name = getattr(event, "step_name", None)
            message = ag.AssistantMessage(id=f"{event.run_id}:{event.id}", name=name, content="")
            self._texts[path] = message
            self._keep(path, message)
            started = [
                ag.TextMessageStartEvent(
                    message_id=message.id,
                    role="assistant",
                    name=name,
                    metadata=_origin(event),
                    timestamp=_millis(event),
                )
            ]
        message.content = (message.content or "") + delta
        return [*started, ag.TextMessageContentEvent(message_id=message.id, delta=delta)]

    def _keep(self, path: str, message: ag.Message) -> None:
        self._messages.append(message)
        self._said[message.id] = path

    def _end_text(self, path: str) -> list[ag.BaseEvent]:
        message = self._texts.pop(path, None)
        return [ag.TextMessageEndEvent(message_id=message.id)] if message is not None else []

    def _has_said(self, text: str) -> bool:
        """True if a message since the user's last one is this text: a step has streamed it, in this run or before."""
        for message in reversed(self._messages):
            if message.role == "user":
                return False
            if message.role == "assistant" and message.content == text:
                return True
        return False

    def _retry(self, event: StepRetryEvent) -> list[ag.BaseEvent]:
        """The attempt failed. What it had said is taken back: the messages are told anew without it."""
        discarded = self._texts.get(event.path)
        found = [*self._end_text(event.path), _custom(event)]
        if discarded is not None and event.discards_deltas:
            self._messages.remove(discarded)
            found.append(ag.MessagesSnapshotEvent(messages=list(self._messages)))
        return found

    # -- agents inside steps -------------------------------------------------------------------------------------------

    def _executor(self, event: ExecutorEvent) -> list[ag.BaseEvent]:
        if event.event in _TEXT and event.content is not None:
            return self._content(event, event.content)
        tool = event.tool if isinstance(event.tool, dict) else {}
        call, name = tool.get("tool_call_id"), tool.get("tool_name")
        if not (isinstance(call, str) and isinstance(name, str)):
            return [_custom(event)]
        said: list[ag.BaseEvent] = []
        if call not in self._tools:
            self._tools.add(call)
            arguments = _json(tool.get("tool_args") or {})
            said = [
                ag.ToolCallStartEvent(tool_call_id=call, tool_call_name=name, metadata=_origin(event)),
                ag.ToolCallArgsEvent(tool_call_id=call, delta=arguments),
                ag.ToolCallEndEvent(tool_call_id=call),
            ]
            function = ag.FunctionCall(name=name, arguments=arguments)
            calls = [ag.ToolCall(id=call, function=function)]
            self._keep(event.path, ag.AssistantMessage(id=f"{call}:call", tool_calls=calls))
        if not event.event.endswith("Started"):
            result = tool.get("result")
            text = result if isinstance(result, str) else _json(result if result is not None else event.content)
            said.append(ag.ToolCallResultEvent(message_id=f"{call}:result", tool_call_id=call, content=text))
            self._keep(event.path, ag.ToolMessage(id=f"{call}:result", tool_call_id=call, content=text))
        return said


def _json(value: Any) -> str:
    import msgspec

    return msgspec.json.encode(value).decode()


def _custom(event: Event) -> ag.CustomEvent:
    """What AG-UI has no event for, with all of its fields."""
    kind = type(event).__name__ if isinstance(event, CustomEvent) else event.event
    return ag.CustomEvent(name=kind, value=event.to_dict(), timestamp=_millis(event))


def _origin(event: Event) -> dict[str, Any]:
    """Which event of which run this was: what a reader needs to find its place in the workflow."""
    return {"run_id": event.run_id, "event_id": event.id, "path": event.path, "nested_depth": event.nested_depth}


def _millis(event: Event) -> int:
    return event.created_at * 1000


def _usage(event: WorkflowCompletedEvent) -> list[ag.TokenUsage] | None:
    """The tokens of all steps together; which model took them is not told apart here."""
    measured = [step.metrics for step in event.metrics.steps.values() if step.metrics] if event.metrics else []
    total = {
        ours: sum(getattr(metrics, theirs) for metrics in measured)
        for ours, theirs in (
            ("input_tokens", "input_tokens"),
            ("output_tokens", "output_tokens"),
            ("reasoning_tokens", "reasoning_tokens"),
            ("cached_input_tokens", "cache_read_tokens"),
            ("cache_write_input_tokens", "cache_write_tokens"),
        )
    }
    known = {name: count for name, count in total.items() if count}  # a zero would say that a model reported zero
    return [ag.TokenUsage.model_validate(known)] if known else None
