"""Endpoints of runs."""

from __future__ import annotations

from functools import partial
from typing import Any

from starlette.responses import Response

from ... import HistoryEntry, WorkflowRunOutput
from ..errors import Refused
from ..requests import AnswerRun, EventsQuery, ForkRun, PendingQuery, RunQuery, RunsQuery, StartRun
from ..served_run import ServedRun
from .body import read_body
from .call import Call, as_json, wants_types
from .sse import EventStream, Source, run_header
from .waiting import while_wanted

__all__ = [
    "answer_run",
    "answers_in",
    "cancel_run",
    "fork_run",
    "list_pending",
    "list_runs",
    "read_events",
    "read_history",
    "read_run",
    "start_run",
]

_ANSWER_FIELDS = (
    "confirmed",
    "rejection_feedback",
    "user_input",
    "selected_choices",
    "edited_output",
    "executor_requirements",
    "decision",
)


async def start_run(call: Call) -> Response:
    start = await read_body(call.request, StartRun, call.service.limits)
    workflow_id = call.path("workflow_id")
    if start.background and not start.stream:
        pending = await call.service.start(call.user, workflow_id, start)
        assert isinstance(pending, WorkflowRunOutput)
        return accepted(pending)
    if start.stream:
        call.service.seats.refuse_full(call.user)
    run = await call.service.begin(call.user, workflow_id, start)
    return stream_of(call, run) if start.stream else await output_of(call, run)


async def answer_run(call: Call) -> Response:
    body = await read_body(call.request, AnswerRun, call.service.limits)
    answers = {**answers_in(body.step_requirements), **body.answers}
    workflow_id, run_id = call.path("workflow_id"), call.path("run_id")
    if body.stream:
        call.service.seats.refuse_full(call.user)
    run = await call.service.proceed(call.user, workflow_id, run_id, answers, stream_events=body.stream_events)
    if body.stream:
        return stream_of(call, run)
    if not body.background:
        return await output_of(call, run)
    await run.aclose()
    return accepted(await call.service.run(call.user, workflow_id, run_id, events=False))


def answers_in(requirements: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Of whole requirements that came back, only the answers: what is asked is as the database has it."""
    found: dict[str, dict[str, Any]] = {}
    for item in requirements:
        key = item.get("id")
        if not isinstance(key, str):
            raise Refused(400, "bad_answer", "each of step_requirements needs the id of the question that it answers")
        found[key] = {name: item[name] for name in _ANSWER_FIELDS if item.get(name) is not None}
    return found


async def fork_run(call: Call) -> Response:
    body = await read_body(call.request, ForkRun, call.service.limits)
    fork = partial(call.service.fork, call.user, call.path("workflow_id"), call.path("run_id"), body)
    if body.background:
        return accepted(await fork())
    return as_json((await while_wanted(call.service, call.request, fork, "the fork continues")).to_dict())


async def list_runs(call: Call) -> Response:
    query = call.query(RunsQuery)
    page = await call.service.runs(
        call.user,
        call.path("workflow_id"),
        session_id=query.session_id,
        statuses=[query.status] if query.status is not None else None,
        tags=[tag for tag in (query.tags or "").split(",") if tag],
        since=query.since,
        until=query.until,
        limit=query.limit,
        before=query.before,
    )
    return as_json({"runs": page.items, "next": page.next})


async def read_run(call: Call) -> Response:
    query = call.query(RunQuery)
    output = await call.service.run(call.user, call.path("workflow_id"), call.path("run_id"), events=query.events)
    data = output.to_dict()
    if not query.events:
        data.pop("events", None)
    return as_json(data)


async def read_events(call: Call) -> Response:
    """A reader that has seen everything gets 204, on which an EventSource does not come back."""
    query = call.query(EventsQuery)
    workflow_id, run_id = call.path("workflow_id"), call.path("run_id")
    after = call.request.headers.get("last-event-id") or query.after
    if after and await call.service.has_seen_all(call.user, workflow_id, run_id, after):
        return Response(status_code=204)
    kinds = query.kinds.split(",") if query.kinds else None
    source = await call.service.subscribe(
        call.user, workflow_id, run_id, after=after or 0, kinds=kinds, path=query.path or None
    )
    return event_stream(call, source, run_id)


async def read_history(call: Call) -> Response:
    history = await call.service.history(call.user, call.path("workflow_id"), call.path("run_id"))
    return as_json({"history": [_entry(entry) for entry in history]})


def _entry(entry: HistoryEntry) -> dict[str, Any]:
    data = {name: getattr(entry, name) for name in entry.__struct_fields__ if name != "output"}
    return {**data, "output": entry.output.to_dict() if entry.output is not None else None}


async def cancel_run(call: Call) -> Response:
    cancelled = await call.service.cancel(call.user, call.path("workflow_id"), call.path("run_id"))
    return as_json({"cancelled": cancelled})


async def list_pending(call: Call) -> Response:
    query = call.query(PendingQuery)
    items = await call.service.pending(
        call.user, call.request.path_params.get("workflow_id"), session_id=query.session_id, limit=query.limit
    )
    return as_json({"pending": [_pending(item) for item in items]})


def _pending(item: Any) -> dict[str, Any]:
    data = {name: getattr(item, name) for name in item.__struct_fields__}
    return {**data, "requirement": {"kind": item.requirement.kind, **item.requirement.to_dict()}}


# -- how a run is answered ---------------------------------------------------------------------------------------------


def accepted(output: WorkflowRunOutput) -> Response:
    return as_json({"run_id": output.run_id, "session_id": output.session_id, "status": output.status}, 202)


async def output_of(call: Call, run: ServedRun) -> Response:
    """What the run leaves; it is cancelled if the client that started it does not wait for that."""
    async with run:
        what = f"run {run.run_id} continues in the next process with its database"
        output = await while_wanted(call.service, call.request, run.output, what)
    return as_json(output.to_dict())


def stream_of(call: Call, run: ServedRun) -> Response:
    return event_stream(call, run, run.run_id)


def event_stream(call: Call, source: Source, run_id: str) -> EventStream:
    """The events as they come. Refused (429), and the source left, where the user or the run has too many readers."""
    service = call.service
    return EventStream(
        source,
        service.limits,
        seat=service.reading(call.user, run_id),
        stopping=service.stopping,
        typed=wants_types(call.request.headers),
        headers=run_header(run_id),
    )
