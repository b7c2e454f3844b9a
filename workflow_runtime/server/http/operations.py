"""The table of routes: one row per operation, from which Starlette's routes, FastAPI's and the OpenAPI document are made."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..requests import (
    AnswerRun,
    ChangeSession,
    ChangeState,
    EventsQuery,
    ForkRun,
    GraphQuery,
    PendingQuery,
    RunQuery,
    RunsQuery,
    SendMessage,
    SessionsQuery,
    StartRun,
    SteerStep,
)
from . import messages, protocols, runs, sessions, workflows
from .call import Endpoint

__all__ = ["OPERATIONS", "Operation"]


@dataclass(frozen=True)
class Operation:
    """One route. ``query`` and ``body`` are msgspec types; ``forms``: agno's form fields are understood too; ``answers``
    maps a status to a media type; ``refusals`` are the statuses of JSON errors beside those that every route has;
    ``is_open``: it asks for no credentials and answers under any host name."""

    method: str
    path: str
    endpoint: Endpoint
    summary: str
    query: type | None = None
    body: type | None = None
    forms: bool = False
    answers: dict[int, str] = field(default_factory=lambda: {200: "application/json"})
    refusals: tuple[int, ...] = ()
    is_open: bool = False

    @property
    def name(self) -> str:
        return self.endpoint.__name__

    @property
    def parameters(self) -> list[str]:
        """The names in the path."""
        return [part[1:-1] for part in self.path.split("/") if part.startswith("{")]


JSON, SSE = "application/json", "text/event-stream"
_RUN = "/workflows/{workflow_id}/runs/{run_id}"
_STARTED: dict[int, str] = {200: JSON, 202: JSON}
_GRAPHS = {200: "text/plain"}

OPERATIONS: tuple[Operation, ...] = (
    Operation("GET", "/health", workflows.health, "Whether the server takes requests", refusals=(503,), is_open=True),
    Operation("GET", "/workflows", workflows.list_workflows, "The workflows of this server"),
    Operation(
        "GET",
        "/workflows/{workflow_id}",
        workflows.read_workflow,
        "A workflow: its input and its steps",
        refusals=(404,),
    ),
    Operation(
        "GET",
        "/workflows/{workflow_id}/graph",
        workflows.read_graph,
        "A picture of a workflow",
        query=GraphQuery,
        answers=_GRAPHS,
        refusals=(404,),
    ),
    Operation(
        "POST",
        "/workflows/{workflow_id}/runs",
        runs.start_run,
        "Start a run, and wait for it, stream its events, or leave it in the background",
        body=StartRun,
        forms=True,
        answers=_STARTED,
        refusals=(403, 404, 409, 413, 415, 429),
    ),
    Operation(
        "GET", "/workflows/{workflow_id}/runs", runs.list_runs, "Runs, newest first", query=RunsQuery, refusals=(404,)
    ),
    Operation("GET", _RUN, runs.read_run, "A run as it is now", query=RunQuery, refusals=(404,)),
    Operation(
        "GET",
        f"{_RUN}/events",
        runs.read_events,
        "Follow a run: its events so far, then live, as server-sent events",
        query=EventsQuery,
        answers={200: SSE, 204: ""},
        refusals=(404, 410, 429),
    ),
    Operation("GET", f"{_RUN}/history", runs.read_history, "The journal of a run, step by step", refusals=(404, 409)),
    Operation("POST", f"{_RUN}/cancel", runs.cancel_run, "Cancel a run, wherever it runs", refusals=(404,)),
    Operation(
        "POST",
        f"{_RUN}/continue",
        runs.answer_run,
        "Answer the questions of a paused run, and continue it",
        body=AnswerRun,
        forms=True,
        answers=_STARTED,
        refusals=(404, 409, 413, 415, 429),
    ),
    Operation(
        "POST",
        f"{_RUN}/messages",
        messages.send_message,
        "Send a message to a run, for a step that waits for its topic now or later",
        body=SendMessage,
        refusals=(404, 409, 413, 415),
    ),
    Operation(
        "POST",
        f"{_RUN}/steps/cancel",
        messages.cancel_step,
        "Cancel one step of a run, which continues without it",
        body=SteerStep,
        refusals=(404, 409, 413, 415),
    ),
    Operation(
        "POST",
        f"{_RUN}/steps/skip",
        messages.skip_step,
        "Skip one step of a run: the next one gets its input",
        body=SteerStep,
        refusals=(404, 409, 413, 415),
    ),
    Operation(
        "POST",
        f"{_RUN}/steps/retry",
        messages.retry_step,
        "End the attempt of one step of a run, and begin another one",
        body=SteerStep,
        refusals=(404, 409, 413, 415),
    ),
    Operation(
        "POST",
        "/callbacks/{token}",
        messages.call_back,
        "Send the one message of a callback that a step has made: JSON, a form or text",
        refusals=(404, 409, 410, 413, 415),
        is_open=True,
    ),
    Operation(
        "POST",
        f"{_RUN}/fork",
        runs.fork_run,
        "Start a new run that shares the beginning of this one",
        body=ForkRun,
        answers=_STARTED,
        refusals=(404, 409, 413, 415),
    ),
    Operation(
        "POST",
        "/workflows/{workflow_id}/agui",
        protocols.run_agent,
        "Run the workflow as an agent of AG-UI: a RunAgentInput in, its events out",
        answers={200: SSE},
        refusals=(404, 409, 413, 429, 501),
    ),
    Operation(
        "GET",
        "/workflows/{workflow_id}/pending",
        runs.list_pending,
        "What waits for a person, oldest first",
        query=PendingQuery,
        refusals=(404,),
    ),
    Operation("GET", "/pending", runs.list_pending, "What waits for a person, of all workflows", query=PendingQuery),
    Operation(
        "GET", "/sessions", sessions.list_sessions, "Sessions, newest first", query=SessionsQuery, refusals=(404,)
    ),
    Operation("GET", "/sessions/{session_id}", sessions.read_session, "A session and its state", refusals=(404,)),
    Operation(
        "PATCH",
        "/sessions/{session_id}",
        sessions.change_session,
        "Name a session",
        body=ChangeSession,
        refusals=(404, 413, 415),
    ),
    Operation(
        "DELETE",
        "/sessions/{session_id}",
        sessions.delete_session,
        "Delete a session with its runs",
        answers={204: ""},
        refusals=(404,),
    ),
    Operation("GET", "/sessions/{session_id}/state", sessions.read_state, "The state of a session", refusals=(404,)),
    Operation(
        "PATCH",
        "/sessions/{session_id}/state",
        sessions.change_state,
        "Set keys of a session's state",
        body=ChangeState,
        refusals=(404, 413, 415),
    ),
)
