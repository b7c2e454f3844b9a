"""How a command ends: its exit codes, and which error has which."""

from __future__ import annotations

import json
import sys
from collections.abc import Awaitable, Callable
from enum import IntEnum
from typing import Any

import anyio

from .. import (
    AlreadyAnswered,
    BrokerError,
    BuildError,
    InputError,
    MessageConflict,
    NotAwaited,
    PlanChanged,
    RunNotFound,
    RunNotPaused,
    RunStatus,
    SessionNotFound,
    StepNotFound,
    StepNotRunning,
    StorageError,
    UnreadableError,
)
from ..view.clean import clean

__all__ = ["Code", "Stop", "Work", "code_of", "leave", "perform"]


class Code(IntEnum):
    """Exit codes. They are documented in docs/terminal.md and do not change their meaning."""

    ok = 0
    failed = 1  # the run failed
    usage = 2  # the command cannot be understood or names no workflow; an address that cannot be used
    paused = 3  # the run waits for a person
    cancelled = 4  # the run was cancelled
    not_found = 5  # no such run or session
    refused = 6  # answered already, not paused, ended already, the plan changed
    storage = 7  # the database or the broker said no, or is not sound
    interrupted = 130  # Ctrl-C


class Stop(Exception):
    """End the command with this code; ``message`` (if any) is the reason."""

    def __init__(self, code: Code, message: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message


_ERRORS: tuple[tuple[type[Exception], Code], ...] = (
    (RunNotFound, Code.not_found),
    (SessionNotFound, Code.not_found),
    (AlreadyAnswered, Code.refused),
    (RunNotPaused, Code.refused),
    (PlanChanged, Code.refused),
    (MessageConflict, Code.refused),
    (NotAwaited, Code.refused),
    (StepNotRunning, Code.refused),
    (StepNotFound, Code.not_found),
    (UnreadableError, Code.refused),
    (InputError, Code.usage),
    (BuildError, Code.usage),
    (StorageError, Code.storage),
    (BrokerError, Code.storage),
)


def code_of(status: Any) -> Code:
    """The exit code of a command that showed a run with this status."""
    return {
        RunStatus.error: Code.failed,
        RunStatus.paused: Code.paused,
        RunStatus.cancelled: Code.cancelled,
    }.get(RunStatus(status), Code.ok)


Work = Callable[[], Awaitable[Code]]


def perform(prepare: Callable[[], Work], *, as_json: bool) -> None:
    """Do a command and leave with its code; what stops it is one line on stderr.

    ``prepare`` does what may block (importing the user's module, reading files) and gives the async rest.
    """
    leave(lambda: anyio.run(prepare()), as_json=as_json)


def leave(work: Callable[[], Code | None], *, as_json: bool) -> None:
    """Do ``work`` and leave with its code (None: done); what stops it is one line on stderr."""
    code: Code | None
    try:
        code = work()
    except Stop as stop:
        _say(stop.message, "", as_json)
        code = stop.code
    except KeyboardInterrupt:
        code = Code.interrupted
    except BrokenPipeError:  # nobody reads the output any more: not an error of ours
        code = Code.ok
    except tuple(kind for kind, _ in _ERRORS) as error:
        _say(str(error), type(error).__name__, as_json)
        code = next(code for kind, code in _ERRORS if isinstance(error, kind))
    sys.exit(int(code or Code.ok))


def _say(message: str, kind: str, as_json: bool) -> None:
    if not message:
        return
    if as_json:
        sys.stderr.write(json.dumps({"error": message, "error_type": kind or None}) + "\n")
    else:
        sys.stderr.write(f"wfr: {clean(message)}\n")
