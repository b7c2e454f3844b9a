"""agno's ``utils.pprint``: the content of a run, or of a stream as it comes, in a box on standard output.

Without rich (extra ``console``) it is plain text.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import AsyncIterable, Iterable
from contextlib import nullcontext
from importlib.util import find_spec
from typing import Any

from workflow_runtime.model.events import StepContentEvent, WorkflowCompletedEvent
from workflow_runtime.model.run import WorkflowRunOutput
from workflow_runtime.model.text import as_text, builtins, is_model

__all__ = ["apprint_run_response", "pprint_run_response"]


class _Printer:
    """What was streamed so far, and the final content unless it is just that. ``live`` shows it while it grows."""

    def __init__(self, markdown: bool, show_time: bool) -> None:
        self.markdown, self.show_time = markdown, show_time
        self.streamed = ""
        self.final: Any = None
        self.began = time.monotonic()
        self.has_rich = find_spec("rich") is not None
        self.live: Any = nullcontext()
        if self.has_rich:
            from rich.live import Live

            self.live = Live(vertical_overflow="visible")

    def take(self, item: Any) -> None:
        if isinstance(item, StepContentEvent) and isinstance(item.delta, str):
            self.streamed += item.delta
        elif isinstance(item, (WorkflowCompletedEvent, WorkflowRunOutput)):
            self.final = item.content
        else:
            return
        if self.has_rich:
            self.live.update(_box(self.content, self.markdown, self._seconds()))

    @property
    def content(self) -> Any:
        if not self.streamed:
            return self.final
        text = as_text(self.final) or ""
        return self.streamed if text in ("", self.streamed) else f"{self.streamed}\n{text}"

    def _seconds(self) -> float | None:
        return time.monotonic() - self.began if self.show_time else None

    def end(self) -> None:
        if not self.has_rich:
            _plain(self.content)
        elif not self.live.console.is_terminal:  # there the last picture ends without a line break
            self.live.console.print()


def _plain(content: Any) -> None:
    sys.stdout.write(f"{as_text(content) or ''}\n")


def _box(content: Any, markdown: bool, seconds: float | None = None) -> Any:
    from rich.box import ROUNDED
    from rich.json import JSON
    from rich.markdown import Markdown
    from rich.table import Table
    from rich.text import Text

    shown: Any = Markdown(content) if markdown and isinstance(content, str) else Text(str(content))
    if is_model(content):
        shown = JSON(json.dumps(builtins(content), ensure_ascii=False), indent=2)
    elif not isinstance(content, str):
        shown = JSON(json.dumps(builtins(content), ensure_ascii=False), indent=4)
    table = Table(box=ROUNDED, border_style="blue", show_header=False)
    table.add_row(*([f"Response\n({seconds:.1f}s)"] if seconds is not None else []), shown)
    return table


def pprint_run_response(
    run_response: WorkflowRunOutput | Iterable[Any], markdown: bool = False, show_time: bool = False
) -> None:
    """Print a run's content, or a stream's as it comes."""
    if isinstance(run_response, WorkflowRunOutput):
        _print(run_response.content, markdown)
        return
    printer = _Printer(markdown, show_time)
    with printer.live:
        for item in run_response:
            printer.take(item)
    printer.end()


def _print(content: Any, markdown: bool) -> None:
    if find_spec("rich") is None:
        _plain(content)
        return
    from rich.console import Console

    Console().print(_box(content, markdown))


async def apprint_run_response(
    run_response: WorkflowRunOutput | AsyncIterable[Any], markdown: bool = False, show_time: bool = False
) -> None:
    """The same for an asynchronous stream."""
    if isinstance(run_response, WorkflowRunOutput):
        _print(run_response.content, markdown)
        return
    printer = _Printer(markdown, show_time)
    with printer.live:
        async for item in run_response:
            printer.take(item)
    printer.end()
