"""The protocol of a surface that shows a run, and the code that all surfaces share."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from rich.console import Console

from .. import Event, StepCompletedEvent
from ..view.node import Node
from ..view.rows import duration
from ..view.tree import View
from .panels import step_output

__all__ = ["Held", "Options", "Surface", "clock", "leaf_output", "told_of_a_broken_pipe"]

clock = time.monotonic


@dataclass(frozen=True)
class Options:
    """The choices of ``print_response`` that every surface heeds."""

    stream: bool
    markdown: bool
    show_time: bool
    show_step_details: bool
    ctrl_c: str = "Ctrl-C cancels"  # its text in the last line of the live region
    show_hints: bool = True  # show at the end the next steps for a run that did not complete
    is_stored: bool = False  # the run can be forked and answered from elsewhere

    def time(self, seconds: float | None) -> str:
        return duration(seconds) if self.show_time else ""


class Surface(Protocol):
    """A terminal, a pipe or a notebook. ``events`` may wait for a slow one: that is the run's back-pressure."""

    console: Console
    wants_deltas: bool

    async def run(self) -> None:
        """Redraw until cancelled; a surface that never redraws returns immediately."""

    async def events(self, batch: Sequence[Event]) -> None:
        """These were folded into the view just now."""

    async def say(self, *parts: Any) -> None:
        """Print for good."""

    async def close(self) -> None:
        """The run has stopped here: leave a still picture of the tree."""


@contextmanager
def told_of_a_broken_pipe() -> Iterator[None]:
    """rich exits the program if its output is not read; here the caller decides, and the run ends first."""
    try:
        yield
    except SystemExit:
        raise BrokenPipeError("nobody reads the output any more") from None


class Held:
    """The newest step output, held back until something follows it: the last one is the answer, and is shown once."""

    def __init__(self) -> None:
        self._held: tuple[Node, Any, float | None] | None = None

    def hold(self, new: tuple[Node, Any, float | None] | None) -> None:
        """Hold this one from now on."""
        self._held = new

    def take(self) -> tuple[Node, Any, float | None] | None:
        """The held items, which are removed."""
        old, self._held = self._held, None
        return old

    def release(self, options: Options, console: Console) -> Any:
        """The same as a panel; None when nothing was held."""
        held = self.take()
        if held is None:
            return None
        node, content, seconds = held
        return step_output(node, content, console, options.markdown, options.time(seconds))

    def drop_at(self, path: str) -> None:
        """Forget it when it is of this step: its output is about to be shown for review."""
        if self._held is not None and self._held[0].path == path:
            self._held = None

    def drop_if(self, content: Any) -> None:
        """Forget it when it is the run's content, which is shown at the end."""
        if self._held is not None and self._held[1] == content:
            self._held = None


def leaf_output(event: StepCompletedEvent, view: View) -> tuple[Node, Any, float | None] | None:
    """(node, content, seconds) of a step that has an output of its own to show; None for a nested workflow's step."""
    output = event.step_response
    if event.content is None or (output is not None and output.step_type == "Workflow"):
        return None
    node = view.at(event.path)
    return node, event.content, node.elapsed(0.0)
