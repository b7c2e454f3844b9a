"""Failures as people see them: the traceback without this package's frames, the note on the exception, the log record.

Whatever a step raises is a failure of that step and has its policy (fail, skip, pause, retry). Python gives some exceptions
a meaning of their own: StopIteration ends a loop, SystemExit ends an event loop, GeneratorExit closes a coroutine. Where a
step raised one, ``Exited`` stands for it until the run has ended.
"""

from __future__ import annotations

import asyncio
import logging
import math
import opcode
import signal
import threading
import traceback
from collections.abc import Callable, Iterator
from types import CodeType, FrameType, TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

import anyio

from ...model.errors import EngineError, StorageError, UnserializableError
from ...model.text import error_name, error_text, printable
from ...steps.signals import Rejected, Suspended

if TYPE_CHECKING:
    from ...model.compensation import CompensationResult
    from ..run.execution import Execution

__all__ = [
    "Exited",
    "for_caller",
    "in_thread",
    "log_failure",
    "lost",
    "note",
    "note_not_undone",
    "note_others",
    "place_of",
    "shorten",
    "stray",
    "surfaced",
    "traceback_text",
]

_T = TypeVar("_T")
logger = logging.getLogger("workflow_runtime")

OURS = frozenset({"workflow_runtime", "workflow_runtime_sqlite", "workflow_runtime_postgres"})
PLUMBING = frozenset({"anyio", "asyncio", "concurrent", "outcome", "threading", "trio"})
_MOST_FRAMES = 40
_MOST_TEXT = 8_000  # characters of a stored traceback
_MOST_LINKS = 20  # exceptions of a chain of causes that are looked at
_RAISE = opcode.opmap["RAISE_VARARGS"]
_IN_STEP, _ALSO, _NOT_UNDONE = "In step ", "Also failed: ", "Not compensated: "


class Exited(RuntimeError):
    """Stands for an exception that is no ordinary one. ``stands_for`` is that one."""

    def __init__(self, path: str, stands_for: BaseException) -> None:
        super().__init__(f"{path or 'the workflow function'} raised {error_name(stands_for)}: {error_text(stands_for)}")
        self.stands_for = stands_for


def stray(error: BaseException) -> bool:
    """Whether ``error`` says that something was cancelled, but nothing that encloses the task at hand was. To be asked
    where it was caught; trio has no such thing."""
    # A thread is told of a cancelled scope before its task is, so it is the scopes that are asked.
    return isinstance(error, asyncio.CancelledError) and anyio.current_effective_deadline() != -math.inf


def awaited(error: BaseException) -> bool:
    """Whether ``error`` is the cancellation of what the task at hand awaited (a future, another task), not of itself."""
    task = asyncio.current_task() if stray(error) else None
    return task is not None and not task.cancelling()


def lost(path: str, who: str) -> RuntimeError:
    """The failure that stands for the cancellation of what was ``awaited``."""
    return RuntimeError(
        f"{path}: what the {who} awaited was cancelled, not the {who}; to continue without it, catch"
        " asyncio.CancelledError around that await"
    )


def surfaced(error: BaseException, path: str, who: str = "step") -> BaseException | None:
    """What the code at ``path`` failed with, to be raised in the place of ``error``; None: ``error`` itself.

    A task group of the step's own wraps what its tasks raise: a wait for a person, or a person's refusal, is taken out.
    """
    if isinstance(error, BaseExceptionGroup):
        return _of_group(error, path)
    if isinstance(error, (StopIteration, StopAsyncIteration)):
        return Exited(path, error)
    if isinstance(error, (Exception, Suspended, Rejected)):
        return None
    if isinstance(error, anyio.get_cancelled_exc_class()):
        return lost(path, who) if awaited(error) else None
    if isinstance(error, GeneratorExit):
        return Exited(path, error) if _is_explicit(error) else None
    if isinstance(error, KeyboardInterrupt):
        return Exited(path, error) if _is_explicit(error) and not _of_signal(error) else None
    if isinstance(error, SystemExit) and _of_signal(error):
        return None
    return Exited(path, error)


def in_thread(path: str, work: Callable[[], _T]) -> Callable[[], _T]:
    """``work`` for a worker thread. No future can hold a StopIteration; a GeneratorExit would close whoever awaits it."""
    cancelled = anyio.get_cancelled_exc_class()

    def guarded() -> _T:
        try:
            return work()
        except (StopIteration, StopAsyncIteration) as error:
            raise Exited(path, error) from error
        except (Exception, BaseExceptionGroup, Suspended, Rejected, cancelled):
            raise
        except BaseException as error:  # no signal handler runs in a thread, and nothing is closed in it
            raise Exited(path, error) from error

    return guarded


def _of_group(group: BaseExceptionGroup[BaseException], path: str) -> BaseException | None:
    leaves = list(_leaves(group))
    for kind in (Rejected, Suspended):
        found = next((leaf for leaf in leaves if isinstance(leaf, kind)), None)
        failures = [leaf for leaf in leaves if isinstance(leaf, Exception)]
        if found is not None and (kind is Rejected or not failures):
            return found
    if any(isinstance(leaf, Suspended) for leaf in leaves):
        return group.subgroup(lambda leaf: isinstance(leaf, Exception))
    if isinstance(group, Exception) or any(isinstance(leaf, anyio.get_cancelled_exc_class()) for leaf in leaves):
        return None
    return Exited(path, group)


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


def for_caller(error: BaseException) -> BaseException:
    """What a caller gets raised: of an exit the exit itself, but nothing that would end the caller's own loop in silence."""
    if isinstance(error, Exited) and not isinstance(
        error.stands_for, (StopIteration, StopAsyncIteration, GeneratorExit)
    ):
        return error.stands_for
    return error


# -- who raised it -----------------------------------------------------------------------------------------------------


def _last(trace: TracebackType | None) -> TracebackType | None:
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace


def _is_explicit(error: BaseException) -> bool:
    """Whether a ``raise`` statement raised it; not the interpreter, which raises KeyboardInterrupt between two bytecodes
    and GeneratorExit in a coroutine that is closed."""
    last = _last(error.__traceback__)
    return last is not None and last.tb_frame.f_code.co_code[last.tb_lasti] == _RAISE


def _of_signal(error: BaseException) -> bool:
    """Whether a signal handler raised it, in whatever the main thread was doing."""
    if threading.current_thread() is not threading.main_thread():
        return False
    handlers = {_code_of(signal.getsignal(number)) for number in signal.valid_signals()}
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code in handlers:
            return True
        trace = trace.tb_next
    return False


def _code_of(handler: Any) -> CodeType | None:
    while hasattr(handler, "func"):  # a partial
        handler = handler.func
    return getattr(getattr(handler, "__func__", handler), "__code__", None)


# -- what people read --------------------------------------------------------------------------------------------------


def shorten(error: BaseException) -> None:
    """Take this package's frames, and those of the event loop under it, out of the traceback of ``error``, of its causes
    and of what it groups. Where it was raised always stays. What failed in this package itself is left whole."""
    waiting, seen = [error], set[int]()
    while waiting and len(seen) < _MOST_LINKS:
        item = waiting.pop()
        if id(item) in seen or (
            isinstance(item, (StorageError, EngineError)) and not isinstance(item, UnserializableError)
        ):
            continue
        seen.add(id(item))
        item.with_traceback(_users_part(item.__traceback__))
        waiting += [link for link in (item.__cause__, item.__context__) if link is not None]
        if isinstance(item, BaseExceptionGroup):
            waiting += item.exceptions
        if isinstance(item, Exited):
            waiting.append(item.stands_for)


def _users_part(trace: TracebackType | None) -> TracebackType | None:
    kept: list[TracebackType] = []
    inside = True  # of this package, or of what it runs on
    while trace is not None:
        root = _root(trace.tb_frame)
        inside = root in OURS or (inside and root in PLUMBING)
        if not inside or trace.tb_next is None:
            kept.append(trace)
        trace = trace.tb_next
    found: TracebackType | None = None
    for item in reversed(kept):
        found = TracebackType(found, item.tb_frame, item.tb_lasti, item.tb_lineno)
    return found


def _root(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]


def traceback_text(error: BaseException) -> str:
    """The traceback as text, shortened, at most ``_MOST_TEXT`` characters: its middle is left out."""
    shorten(error)
    error = getattr(error, "stands_for", error)
    try:
        lines = traceback.TracebackException.from_exception(error, limit=-_MOST_FRAMES, compact=True).format()
        text = printable("".join(lines))
    except Exception as second:  # an exception of a class that cannot even be looked at
        text = f"{error_name(error)}: {error_text(error)}\n(its traceback cannot be shown: {error_name(second)})\n"
    if len(text) > _MOST_TEXT:
        half = _MOST_TEXT // 2
        text = f"{text[:half]}\n  [{len(text) - 2 * half:,} characters left out]\n{text[-half:]}"
    return text


def note(error: BaseException, run_id: str, name: str, path: str, attempt: int) -> None:
    """Write onto the exception which step of which run it failed, in the place of what was written so before."""
    where = f"{name!r} (path {path}, attempt {attempt})" if path else f"{name!r}"
    _write(error, [f"{_IN_STEP if path else 'In workflow '}{where} of run {run_id}"])


def place_of(error: BaseException, run_id: str) -> str | None:
    """The path of the step of this run that failed with it, as its note says; None without one."""
    end = f") of run {run_id}"
    for line in _notes(error):
        if line.startswith(_IN_STEP) and line.endswith(end):
            return line.rpartition(" (path ")[2].rpartition(", attempt ")[0]
    return None


def note_others(first: BaseException, others: list[Exception]) -> BaseException:
    """``first``, with a note for each of the others."""
    lines = []
    for other in others:
        if other is not first:
            where = "".join(f" ({line})" for line in _notes(other) if line.startswith(_IN_STEP))
            lines.append(f"{_ALSO}{error_name(other)}: {error_text(other)}{where}")
    if lines:
        _write(first, [*(line for line in _notes(first) if line.startswith(_IN_STEP)), *lines])
    return first


def note_not_undone(error: BaseException, left: list[CompensationResult]) -> None:
    """Write onto the exception which steps were not compensated, after what it says of its own step."""
    lines = [f"{_NOT_UNDONE}{item.step_name!r} (path {item.path}): {item.error_type}: {item.error}" for item in left]
    ours = [line for line in _notes(error) if line.startswith((_IN_STEP, "In workflow ", _ALSO))]
    _write(error, [*ours, *lines])


def _notes(error: BaseException) -> list[str]:
    found = getattr(getattr(error, "stands_for", error), "__notes__", None)
    return [line for line in found if isinstance(line, str)] if isinstance(found, list) else []


def _write(error: BaseException, lines: list[str]) -> None:
    """The notes of others stay; ours are replaced, for an exception may be raised many times."""
    error = getattr(error, "stands_for", error)
    kept = [line for line in _notes(error) if not line.startswith((_IN_STEP, "In workflow ", _ALSO, _NOT_UNDONE))]
    try:
        error.__notes__ = [*kept, *lines]
    except Exception:  # of a class that refuses attributes, such as a frozen dataclass: it goes without
        logger.debug("a note could not be put on a %s", error_name(error))


def log_failure(run: Execution, error: BaseException, path: str, message: str, level: int) -> None:
    """One record with the traceback. A foreground run's exception goes to its caller, so nothing is logged for it where
    logging was not set up, and the record would only be printed."""
    if run.request.background or logger.hasHandlers():
        error = getattr(error, "stands_for", error)
        logger.log(
            level,
            "run %s: %s",
            run.id,
            message,
            exc_info=(type(error), error, error.__traceback__),
            extra={"run_id": run.id, "step_path": path},
        )
