"""The debug log: what ``debug_mode=True`` shows. An observer sees every event; a failing one never hurts the run."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING

from ...core.lifecycle import TERMINAL_EVENTS
from ...model.events import Event
from ..loop.stalls import watch_loop

if TYPE_CHECKING:
    from ..run.execution import Execution

__all__ = ["debug_log"]

STALL_SECONDS = 0.1  # that a loop of a run with debug_mode may stand still before it is reported

_package = logging.getLogger("workflow_runtime")
_logger = logging.getLogger("workflow_runtime.debug")
_DETAILS = ("error", "reason", "content_type", "iteration", "selected_steps", "condition_result", "attempt")


class _LastResort(logging.StreamHandler):  # type: ignore[type-arg]  # generic in typeshed only
    """Standard error for a program that has configured no logging: what was asked for by name must be seen."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not (_package.handlers or logging.getLogger().handlers) and bool(super().filter(record))


def debug_log(run: Execution) -> Callable[[Event], None]:
    """One line per event with the run's and the step's ids and what went wrong; of a content only its type.

    Written to the logger ``workflow_runtime.debug`` at level DEBUG, which is enabled here unless it was given a level.
    """
    if not _logger.handlers:
        _logger.addHandler(_LastResort())
    if _logger.level == logging.NOTSET:
        _logger.setLevel(logging.DEBUG)

    watching = _Watching(run)

    def write(event: Event) -> None:
        watching.see(event)
        name = getattr(event, "step_name", None)
        detail = _detail(event)
        _logger.debug(
            "%s seq=%d run=%s session=%s%s%s",
            event.event,
            event.seq,
            run.id,
            run.request.session_id,
            f" step={name} path={event.path} step_id={event.step_id}" if name else "",
            f" {detail}" if detail else "",
            extra={"run_id": run.id, "step_path": event.path, "step_id": event.step_id},
        )

    return write


class _Watching:
    """Has the run's event loop watched from its first event to its end, and again when it is continued. (D13)"""

    def __init__(self, run: Execution) -> None:
        self._release: Callable[[], None] | None = None
        weakref.finalize(run, self._end)  # a run that was let go without an end

    def see(self, event: Event) -> None:
        if event.nested_depth == 0 and event.event in TERMINAL_EVENTS:
            self._end()
        elif self._release is None:
            self._release = watch_loop(STALL_SECONDS)

    def _end(self) -> None:
        release, self._release = self._release, None
        if release is not None:
            release()


def _detail(event: Event) -> str:
    for field in _DETAILS:
        value = getattr(event, field, None)
        if value is not None:
            return f"{field}={value!r}"
    return ""
