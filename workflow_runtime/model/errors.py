"""Every error this package raises. Each also is the builtin that the user's page promises, so old ``except`` lines work."""

from __future__ import annotations

from typing import Any

__all__ = [
    "AlreadyAnswered",
    "AnswersArrived",
    "AnswerRejected",
    "BrokerError",
    "BuildError",
    "CallbackExpired",
    "CallbackNotFound",
    "CancelRequested",
    "ConcurrentWrite",
    "DuplicateRun",
    "EngineError",
    "InputError",
    "MessageConflict",
    "MessageRefused",
    "MessageTimeout",
    "NeverRetry",
    "NotAwaited",
    "PlanChanged",
    "QuestionWithdrawn",
    "QueueFull",
    "RetryAfter",
    "RunCancelledError",
    "RunEnded",
    "RunExists",
    "RunNotFound",
    "RunNotPaused",
    "RunPutAside",
    "SessionBusy",
    "SessionNotFound",
    "SessionOwnerError",
    "StepChanged",
    "StepNotFound",
    "StepNotRunning",
    "StepTimeoutError",
    "StorageError",
    "Unanswered",
    "Fenced",
    "UnreadableError",
    "UnserializableError",
    "WorkflowRuntimeError",
]


class WorkflowRuntimeError(Exception):
    """The base of all errors of this package. Each can be pickled and copied, subclasses of the user's own included."""

    def __reduce__(self) -> tuple[Any, ...]:
        return again, (type(self), self.args), vars(self)  # what __init__ takes is not what it gives its base class


def again(kind: type[BaseException], args: tuple[Any, ...]) -> BaseException:
    """An exception with these ``args``, without its ``__init__``."""
    made = kind.__new__(kind, *args)
    made.args = args
    return made


class BuildError(WorkflowRuntimeError, ValueError):
    """The workflow cannot be built as written: duplicate names, two executors, a parameter nobody supplies."""


class InputError(WorkflowRuntimeError, ValueError):
    """The input of a run does not fit its schema; nothing was started or stored."""


class EngineError(WorkflowRuntimeError, RuntimeError):
    """An event in an order that no run can have: a defect of this package, never of its user."""


class RunNotFound(WorkflowRuntimeError, ValueError, KeyError):
    """No run with this id in the database. Check the id and that this workflow's ``db`` is the run's."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class StepNotFound(WorkflowRuntimeError, ValueError, KeyError):
    """A step looks up the output of a step that does not exist, or of one of several with that name; or the workflow has no
    step at the path that is to be cancelled, skipped or retried."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class RunNotPaused(WorkflowRuntimeError, ValueError):
    """The run is not waiting for an answer: it ended, it is running, or another caller continued it first."""


class RunEnded(RunNotPaused):
    """A message was sent to a run that has ended. It was not stored."""


class StepNotRunning(WorkflowRuntimeError, ValueError):
    """A step was to be cancelled, skipped or retried that neither runs nor waits now. Nothing was changed. ``path`` is the
    step."""

    def __init__(self, message: str, *, path: str = "") -> None:
        super().__init__(message)
        self.path = path


class NotAwaited(WorkflowRuntimeError, ValueError):
    """A message was to be stored only if the run waits for its topic, and no step does. It was not stored."""


class MessageConflict(WorkflowRuntimeError, ValueError):
    """Another message with this id was sent to the run before. That one stands; choose another ``message_id``."""


class MessageRefused(WorkflowRuntimeError, ValueError):
    """A step received a message that does not fit its schema. It counts as received; ``message_id`` names it, ``value`` is
    what was sent."""

    def __init__(self, message: str, *, message_id: str = "", value: Any = None) -> None:
        super().__init__(message)
        self.message_id = message_id
        self.value = value


class MessageTimeout(WorkflowRuntimeError, TimeoutError):
    """No message came within the ``timeout`` of ``run_context.receive``."""


class CallbackNotFound(WorkflowRuntimeError, LookupError):
    """No run has made a callback with this token."""


class CallbackExpired(WorkflowRuntimeError, ValueError):
    """The callback was used for the first time after it had expired. Nothing was stored."""


class Unanswered(WorkflowRuntimeError, ValueError):
    """A paused run was to be continued, and nothing of what it waits for was answered. Nothing was changed."""


class AlreadyAnswered(WorkflowRuntimeError, ValueError):
    """A requirement was answered before; the first answer stands. ``answered_at`` is unix seconds."""

    def __init__(self, message: str, *, requirement_id: str = "", answered_at: float | None = None) -> None:
        super().__init__(message)
        self.requirement_id = requirement_id
        self.answered_at = answered_at


class QuestionWithdrawn(WorkflowRuntimeError, ValueError):
    """The question needs no answer any more: its branch was given up. Nothing was changed."""

    def __init__(self, message: str, *, requirement_id: str = "") -> None:
        super().__init__(message)
        self.requirement_id = requirement_id


class PlanChanged(WorkflowRuntimeError, ValueError):
    """The workflow's definition no longer fits the stored run; ``path`` is the first step that differs."""

    def __init__(self, message: str, *, path: str = "") -> None:
        super().__init__(message)
        self.path = path


class AnswerRejected(WorkflowRuntimeError):
    """A person declined a question that a step asked in its middle; the step's own error policy decides what follows."""


class BudgetExceeded(WorkflowRuntimeError, RuntimeError):
    """Nothing is left of a budget that the step is in, and it was not raised. ``path`` is the step, ``budget`` the Budget.
    It is not retried."""

    def __init__(self, message: str, *, path: str | None = None, budget: Any = None) -> None:
        super().__init__(message)
        self.path = path
        self.budget = budget


class StepChanged(WorkflowRuntimeError, RuntimeError):
    """A re-entered step asked for its recorded results in another order than the first time."""


class RunPutAside(WorkflowRuntimeError, RuntimeError):
    """The run's process died too often while one of its steps was executing, so the run is not recovered any more.
    ``path`` is that step. ``wfr requeue`` continues the run, a fork starts it from another place."""

    def __init__(self, message: str, *, path: str | None = None) -> None:
        super().__init__(message)
        self.path = path


class RunCancelledError(WorkflowRuntimeError):
    """Raised where the result of a cancelled run is asked for and there is none to give."""


class StepTimeoutError(WorkflowRuntimeError, TimeoutError):
    """A step, a container or a run took longer than its ``timeout`` (seconds). ``path`` says which."""

    def __init__(self, message: str, *, path: str = "", timeout: float = 0.0) -> None:
        super().__init__(message)
        self.path = path
        self.timeout = timeout


class RetryAfter(WorkflowRuntimeError):
    """Raised by a step: try again, in ``seconds`` seconds, as a service that is busy has asked for.

    It replaces the pause of the step's ``Retry``, also where that would be shorter or longer, and counts as an exception
    that is worth another try. The number of attempts stays the policy's; a step without one fails with it.
    """

    def __init__(self, seconds: float, message: str | None = None) -> None:
        if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 <= seconds < float("inf"):
            raise InputError(f"RetryAfter({seconds!r}): write a number of seconds from 0 on")
        super().__init__(message or f"try again in {seconds:g} s")
        self.seconds = float(seconds)


class NeverRetry(WorkflowRuntimeError):
    """Raised by a step: another attempt is no use, whatever its ``Retry`` says. ``on_error`` decides what follows.

    ``NeverRetry(error)`` fails the step with ``error`` itself, ``NeverRetry("reason")`` with this exception.
    """

    def __init__(self, error: Exception | str) -> None:
        if not isinstance(error, (Exception, str)):
            raise InputError(f"NeverRetry({error!r}): give an exception, or a text that says why")
        super().__init__(str(error))
        self.error = error if isinstance(error, Exception) else None


class SessionNotFound(WorkflowRuntimeError, KeyError):
    """No session with this id in the database."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class SessionOwnerError(WorkflowRuntimeError, PermissionError):
    """The session belongs to another user. Nothing was read or written."""


class SessionBusy(WorkflowRuntimeError, RuntimeError):
    """``session_policy="reject"`` and a run of this session is under way."""


class QueueFull(WorkflowRuntimeError, RuntimeError):
    """As many runs wait in queues as a limit's ``max_queued`` allows; nothing was stored. Call again later.

    Attributes:
        key: What the limit counts by, as in "user_id 'ada'".
        max_queued: How many runs may wait.
    """

    def __init__(self, message: str, *, key: str | None = None, max_queued: int | None = None) -> None:
        super().__init__(message)
        self.key = key
        self.max_queued = max_queued


class StorageError(WorkflowRuntimeError):
    """The database could not do what was asked. What was committed before stands."""


class BrokerError(WorkflowRuntimeError):
    """The broker cannot be reached. Nothing is lost by that: queued runs are stored, and taken later."""


class RunExists(StorageError):
    """There is a run of the id that the caller chose, so nothing was started. ``if_exists="join"`` waits for that run."""


class DuplicateRun(StorageError):
    """A run with the same ``deduplication_id`` has not ended, so this one was not stored. ``run_id`` is the other one's."""

    def __init__(self, message: str, *, run_id: str) -> None:
        super().__init__(message)
        self.run_id = run_id


class ConcurrentWrite(StorageError):
    """Somebody wrote the same keys of the session since they were read.

    ``current`` maps each such key to its stored bytes now (None where it was deleted).
    """

    def __init__(self, message: str, *, current: dict[str, bytes | None], version: int) -> None:
        super().__init__(message)
        self.current = current
        self.version = version


class Fenced(StorageError):
    """Another process took the run over; this one's writes are refused. Stop working on it."""


class AnswersArrived(StorageError):
    """The run cannot be stored as PAUSED: ``requirement_ids``, which it would wait for, have been answered meanwhile."""

    def __init__(self, message: str, *, requirement_ids: frozenset[str]) -> None:
        super().__init__(message)
        self.requirement_ids = requirement_ids


class CancelRequested(StorageError):
    """The run cannot be stored as COMPLETED, PAUSED or ERROR: somebody was told that it is cancelled."""


class UnserializableError(StorageError, TypeError):
    """A value cannot be stored without losing its type. ``where`` names it: a step's path, then keys and indexes."""

    def __init__(self, message: str, *, where: str = "", value: Any = None) -> None:
        super().__init__(message)
        self.where = where
        self.value_type = type(value)


class UnreadableError(StorageError):
    """A stored value that cannot be made again here was needed.

    Its class is gone, has changed, or is of a module that is not loaded (``workflow_runtime.allow`` loads it), or its bytes
    are damaged. What is stored is as it was. ``class_name`` is ``module:qualname``; ``path`` is the place in the run
    ``run_id``.
    """

    def __init__(self, message: str, *, class_name: str = "", run_id: str = "", path: str = "") -> None:
        super().__init__(message)
        self.class_name = class_name
        self.run_id = run_id
        self.path = path
