"""agno's ``utils.pprint``: the content of a run, or of the events of a stream, written to standard output."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterable, Iterable
from typing import Any

from workflow_runtime.model.events import StepContentEvent, WorkflowCompletedEvent
from workflow_runtime.model.run import WorkflowRunOutput
from workflow_runtime.model.text import as_text

__all__ = ["apprint_run_response", "pprint_run_response"]


class _Printer:
    """Deltas as they come; the final content unless it is just what was streamed."""

    def __init__(self) -> None:
        self.streamed = ""

    def show(self, item: Any) -> None:
        if isinstance(item, StepContentEvent) and isinstance(item.delta, str):
            self.streamed += item.delta
            _write(item.delta)
        elif isinstance(item, (WorkflowCompletedEvent, WorkflowRunOutput)):
            text = as_text(item.content) or ""
            if text != self.streamed:
                _write(("\n" if self.streamed else "") + text)
            _write("\n")


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def pprint_run_response(
    run_response: WorkflowRunOutput | Iterable[Any], markdown: bool = False, show_time: bool = False
) -> None:
    """Print a run's content, or a stream's as it comes. ``markdown`` and ``show_time`` have no effect."""
    printer = _Printer()
    for item in [run_response] if isinstance(run_response, WorkflowRunOutput) else run_response:
        printer.show(item)


async def apprint_run_response(
    run_response: WorkflowRunOutput | AsyncIterable[Any], markdown: bool = False, show_time: bool = False
) -> None:
    """The same for an asynchronous stream."""
    printer = _Printer()
    if isinstance(run_response, WorkflowRunOutput):
        printer.show(run_response)
        return
    async for item in run_response:
        printer.show(item)
