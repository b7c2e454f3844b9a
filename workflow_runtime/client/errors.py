"""A server's refusals, as the errors that a local ``Workflow`` raises; and the errors that only a remote one has."""

from __future__ import annotations

from typing import Any

from ..model import errors as known
from ..model.errors import WorkflowRuntimeError
from ..model.run import WorkflowRunOutput

__all__ = [
    "ConnectionLost",
    "EventsGone",
    "NoSuchPlace",
    "NotAuthenticated",
    "NotAuthorized",
    "RemoteRunError",
    "RunExists",
    "ServerError",
    "TooManyRequests",
    "WorkflowNotFound",
    "refusal",
    "run_failure",
]


class ServerError(WorkflowRuntimeError):
    """The server refused, for a reason that no local call has. ``status`` is HTTP's, ``code`` the server's own word."""

    def __init__(self, message: str, *, status: int = 0, code: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class NotAuthenticated(ServerError, PermissionError):
    """The caller is not authenticated: give the client its ``token`` or ``headers``."""


class NotAuthorized(ServerError, PermissionError):
    """The caller is authenticated, and may not do this."""


class WorkflowNotFound(ServerError, KeyError):
    """The server has no workflow of this id."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class RunExists(ServerError, known.RunExists):
    """A run of the chosen id exists already. Nothing was started."""


class EventsGone(known.StorageError):
    """The run has ended and its events are not stored any more. Its output is."""


class NoSuchPlace(ServerError, LookupError):
    """The run has no such step, or no stored event of that number."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class TooManyRequests(ServerError):
    """The server has a limit and this went over it."""


class ConnectionLost(WorkflowRuntimeError, ConnectionError):
    """The server could not be reached for as long as the client was told to try (``reconnect`` seconds).

    The run is not touched by it: ask for it again by its id. ``last_event_id`` is the last event that was seen.
    """

    def __init__(self, message: str, *, run_id: str | None = None, last_event_id: str | None = None) -> None:
        super().__init__(message)
        self.run_id = run_id
        self.last_event_id = last_event_id


class RemoteRunError(WorkflowRuntimeError):
    """A step of the remote run failed. ``error_type`` names the class there; ``run_output`` is the failed run."""

    def __init__(self, message: str, *, error_type: str = "", run_output: WorkflowRunOutput | None = None) -> None:
        super().__init__(message)
        self.error_type = error_type
        self.run_output = run_output


_BY_CODE: dict[str, type[WorkflowRuntimeError]] = {
    "run_not_found": known.RunNotFound,
    "session_not_found": known.SessionNotFound,
    "run_not_paused": known.RunNotPaused,
    "already_answered": known.AlreadyAnswered,
    "run_ended": known.RunEnded,
    "step_not_found": known.StepNotFound,
    "step_not_running": known.StepNotRunning,
    "message_conflict": known.MessageConflict,
    "not_awaited": known.NotAwaited,
    "callback_not_found": known.CallbackNotFound,
    "callback_expired": known.CallbackExpired,
    "plan_changed": known.PlanChanged,
    "session_busy": known.SessionBusy,
    "queue_full": known.QueueFull,
    "bad_input": known.InputError,
    "bad_answer": known.InputError,
    "bad_request": known.InputError,
    "bad_media": known.InputError,
    "unanswered": known.InputError,
    "no_database": known.StorageError,
    "unreadable": known.UnreadableError,
    "storage": known.StorageError,
    "events_gone": EventsGone,
}
_BY_STATUS: dict[int, type[ServerError]] = {401: NotAuthenticated, 403: NotAuthorized, 429: TooManyRequests}
_BY_OWN_CODE: dict[str, type[ServerError]] = {
    "workflow_not_found": WorkflowNotFound,
    "run_exists": RunExists,
    "no_such_place": NoSuchPlace,
}


def refusal(status: int, body: Any) -> WorkflowRuntimeError:
    """The error of a response that is not the expected one. ``body`` is its JSON, or its text."""
    found = body if isinstance(body, dict) else {}
    code = str(found.get("code") or "")
    said = found.get("detail")
    message = said if isinstance(said, str) else f"the server answered {status}: {str(said or body)[:500]}"
    kind = _BY_CODE.get(code)
    if kind is not None:
        return kind(message)
    own = _BY_OWN_CODE.get(code) or _BY_STATUS.get(status, ServerError)
    return own(message, status=status, code=code)


def run_failure(output: WorkflowRunOutput) -> WorkflowRuntimeError:
    """The exception of the failed run: our own class if a local run would raise it, else RemoteRunError."""
    message = output.error or f"run {output.run_id} failed"
    name = output.error_type or ""
    kind = getattr(known, name, None) if name in known.__all__ else None
    if kind is None or kind in (known.ConcurrentWrite,):
        return RemoteRunError(f"{name}: {message}" if name else message, error_type=name, run_output=output)
    error: WorkflowRuntimeError = kind(message)
    error.run_output = output  # type: ignore[attr-defined]  # as the engine attaches it to whatever a step raises
    return error
