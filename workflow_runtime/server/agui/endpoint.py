"""The AG-UI endpoint: a RunAgentInput in, the events of one AG-UI run out.

A thread is a session. A run that answers interrupts goes on with the paused run of the thread that asked; any other one
starts a new run, under the id that the request names.
"""

from __future__ import annotations

import logging
from typing import Any

import ag_ui.core as ag
import msgspec
import pydantic
from starlette.responses import Response
from starlette.types import Send

from ... import Event, ReaderTooSlow, SessionNotFound, StorageError, WorkflowRunOutput
from ...model.text import shown
from ..errors import Refused
from ..http.body import limited
from ..http.call import Call
from ..http.sse import EventStream, run_header
from ..requests import RunId, SessionId, StartRun, refuse_unaddressable
from ..rows import PendingItem
from ..served_run import ServedRun
from .asked import run_input
from .interrupts import answers
from .mapping import RunMapping

__all__ = ["run_agent"]

logger = logging.getLogger("workflow_runtime")

_ENDS = ("WorkflowCompleted", "WorkflowPaused", "WorkflowCancelled", "WorkflowError")
_MARKS = ("StepCompleted", "StepError")  # after them the session's state may be another one


async def run_agent(call: Call) -> Response:
    """Start or resume a run for a front end of AG-UI; its events as server-sent events.

    Raises:
        Refused: The request does not fit (400); a question of the thread is open and not answered (409); the run's id is
            taken (409).
    """
    asked = await _body(call)
    service, user, workflow_id = call.service, call.user, call.path("workflow_id")
    service.workflow(workflow_id)
    service.seats.refuse_full(user)
    waiting = await service.pending(user, workflow_id, session_id=asked.thread_id)
    if asked.resume:
        open_items = _resumed_run(waiting, asked.resume)
        state = await _state(call, asked)
        run = await service.proceed(user, workflow_id, open_items[0].run_id, answers(open_items, asked.resume))
    elif waiting:
        ids = ", ".join(str(item.requirement.id) for item in waiting)
        raise Refused(409, "interrupted", f"this thread waits for an answer: send resume entries for {ids}")
    else:
        start = StartRun(
            run_id=asked.run_id,
            session_id=asked.thread_id,
            session_state=asked.state if isinstance(asked.state, dict) and asked.state else None,
            **run_input(asked, service.workflow(workflow_id).input_schema is not None),
        )
        run = await service.begin(user, workflow_id, start)
        state = await _state(call, asked)
    mapping = RunMapping(asked.thread_id, asked.run_id, asked.messages, state)
    return _AgentStream(call, run, mapping, asked)


async def _body(call: Call) -> ag.RunAgentInput:
    body = await limited(call.request, call.service.limits).body()
    try:
        asked = ag.RunAgentInput.model_validate_json(body)
        msgspec.convert({"threadId": asked.thread_id}, dict[str, SessionId])
        msgspec.convert({"runId": asked.run_id}, dict[str, RunId])
        refuse_unaddressable(("runId", asked.run_id), ("threadId", asked.thread_id))
    except pydantic.ValidationError as error:
        lines = [f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()]
        raise Refused(400, "bad_request", "the body is no RunAgentInput:\n" + "\n".join(lines)) from None
    except msgspec.ValidationError as error:
        raise Refused(400, "bad_request", f"threadId or runId is no identifier: {error}") from None
    except ValueError as error:
        raise Refused(400, "bad_request", str(error)) from None
    return asked


def _resumed_run(waiting: list[PendingItem], entries: list[ag.ResumeEntry]) -> list[PendingItem]:
    """The open questions of the run that ``entries`` answer."""
    named = {entry.interrupt_id for entry in entries}
    run_id = next((item.run_id for item in waiting if item.requirement.id in named), None)
    if run_id is None:
        raise Refused(409, "not_interrupted", "nothing in this thread waits for these answers")
    return [item for item in waiting if item.run_id == run_id]


async def _state(call: Call, asked: ag.RunAgentInput) -> dict[str, Any]:
    """The thread's state as it is stored now; what the request says of it where nothing is."""
    try:
        return _plain(await call.service.session_state(call.user, asked.thread_id))
    except SessionNotFound:
        return asked.state if isinstance(asked.state, dict) else {}


def _plain(state: dict[str, Any] | None) -> dict[str, Any]:
    """JSON, as it goes over the wire: patches are made between such values."""
    found: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(shown(state or {})))
    return found


class _AgentStream(EventStream):
    """The stream of an AG-UI run. Its last event is held back until the run's output is read: the final state goes first."""

    def __init__(self, call: Call, run: ServedRun, mapping: RunMapping, asked: ag.RunAgentInput) -> None:
        service = call.service
        super().__init__(
            run,
            service.limits,
            seat=service.reading(call.user, run.run_id),
            stopping=service.stopping,
            headers=run_header(run.run_id),
        )
        self._call = call
        self._run = run
        self._mapping = mapping
        self._asked = asked

    async def _events(self, send: Send) -> None:
        await self._put(send, _frames(self._mapping.start(self._asked.parent_run_id)))
        try:
            while events := await self._run.take_some():
                if data := _frames([item for event in events for item in await self._mapped(event)]):
                    await self._put(send, data)
        except (ReaderTooSlow, StorageError) as error:  # a stream of this protocol cannot be entered again
            logger.warning("the events of run %s end here: %s", self._run.run_id, error)
            message = "the run's events cannot be read any more; the run continues, see its events"
            await self._put(send, _frames(self._mapping.fail(message, type(error).__name__)))

    async def _mapped(self, event: Event) -> list[ag.BaseEvent]:
        mapping = self._mapping
        if event.nested_depth == 0 and event.event in _ENDS:
            output: WorkflowRunOutput = await self._run.output()
            return [*mapping.state(_plain(output.session_state)), *mapping.take(event)]
        found = mapping.take(event)
        if event.event in _MARKS:
            found += mapping.state(await _state(self._call, self._asked))
        return found


def _frames(events: list[ag.BaseEvent]) -> bytes:
    return b"".join(b"data: %s\n\n" % event.model_dump_json(by_alias=True).encode() for event in events)
