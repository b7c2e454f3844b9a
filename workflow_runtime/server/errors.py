"""What a client is told when something cannot be done: a status, a stable code and a sentence; nothing internal."""

from __future__ import annotations

from typing import Any

from .. import (
    AlreadyAnswered,
    BuildError,
    CallbackExpired,
    CallbackNotFound,
    InputError,
    MessageConflict,
    NotAwaited,
    PlanChanged,
    QueueFull,
    RunEnded,
    RunExists,
    RunNotFound,
    RunNotPaused,
    SessionBusy,
    SessionNotFound,
    SessionOwnerError,
    StepNotFound,
    StepNotRunning,
    StorageError,
    UnreadableError,
    UnserializableError,
)

__all__ = ["Refused", "as_refused"]


class Refused(Exception):
    """A request that is not served. ``status`` is HTTP's, ``code`` names the reason for programs."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.status, self.code, self.message)

    def to_dict(self) -> dict[str, str]:
        return {"detail": self.message, "code": self.code}


# The first that fits. None as text: the error's own message names only what the client itself said.
_KNOWN: tuple[tuple[type[Exception], int, str, str | None], ...] = (
    (RunNotFound, 404, "run_not_found", "no such run"),
    (SessionNotFound, 404, "session_not_found", "no such session"),
    (SessionOwnerError, 404, "session_not_found", "no such session"),
    (AlreadyAnswered, 409, "already_answered", "it was answered before; the first answer stands"),
    (RunEnded, 409, "run_ended", "the run has ended and takes no more messages"),
    (StepNotFound, 404, "step_not_found", "the workflow has no such step"),
    (StepNotRunning, 409, "step_not_running", "the step neither runs nor waits now; nothing was changed"),
    (MessageConflict, 409, "message_conflict", "another message with this id was sent before; it stands"),
    (NotAwaited, 409, "not_awaited", "no step of the run waits for this topic now; nothing was stored"),
    (CallbackNotFound, 404, "callback_not_found", "no run has made this callback"),
    (CallbackExpired, 410, "callback_expired", "this callback has expired; nothing was stored"),
    (
        RunNotPaused,
        409,
        "run_not_paused",
        "the run waits for no answer: it ended, is running, or was continued already",
    ),
    (PlanChanged, 409, "plan_changed", "the workflow's steps no longer fit this run"),
    (QueueFull, 429, "queue_full", None),
    (SessionBusy, 409, "session_busy", "a run of this session is under way"),
    (InputError, 400, "bad_input", None),
    (BuildError, 400, "bad_request", None),
    (UnreadableError, 409, "unreadable", None),
    (UnserializableError, 400, "bad_input", "a value cannot be stored as it is"),
    (RunExists, 409, "run_exists", "a run of this id exists; leave run_id out to get a new one"),
    (StorageError, 503, "storage", "the database cannot be reached now; try again"),
)


def as_refused(error: BaseException) -> Refused | None:
    """How ``error`` is told to a client; None for one that is a defect of ours or of a step."""
    if isinstance(error, Refused):
        return error
    for kind, status, code, text in _KNOWN:
        if isinstance(error, kind):
            return Refused(status, code, str(error) if text is None else text)
    return None
