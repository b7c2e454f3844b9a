"""A run as plain lines: for a pipe, a file, a terminal that cannot move its cursor. No control codes.

Every line begins with a word of the runtime; other text is behind a bar, so that it cannot imitate such a line.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import anyio
from rich.console import Console
from rich.text import Text

from .. import (
    Event,
    LoopIterationStartedEvent,
    MapExecutionStartedEvent,
    ParallelExecutionStartedEvent,
    RouterExecutionStartedEvent,
    RouterPausedEvent,
    StepCompletedEvent,
    StepContentEvent,
    StepErrorEvent,
    StepExecutorPausedEvent,
    StepOutputReviewEvent,
    StepPausedEvent,
    StepRetryEvent,
    StepStartedEvent,
    StepSteeredEvent,
    WorkflowCompletedEvent,
    WorkflowResumedEvent,
)
from ..view.clean import clean, one_line
from ..view.node import Node
from ..view.rows import duration, where
from ..view.tree import View, as_text
from .screen import encodable
from .surface import Held, Options, leaf_output, told_of_a_broken_pipe
from .threads import in_thread

__all__ = ["Lines", "bordered", "line"]

_PAUSES = (StepPausedEvent, RouterPausedEvent, StepOutputReviewEvent, StepExecutorPausedEvent)
_CONTAINERS = (ParallelExecutionStartedEvent, MapExecutionStartedEvent, RouterExecutionStartedEvent)
_INDENT = " " * 9


def line(word: str, *parts: str) -> str:
    """``word`` in its column, then the parts, each safe and on this line."""
    return (f"{word:<8} " + "  ".join(one_line(part) for part in parts if part)).rstrip()


def bordered(text: str) -> list[str]:
    """Untrusted text, every line of it behind a bar."""
    return [f"{_INDENT}| {part}" for part in clean(text).split("\n")]


class Lines:
    """The surface of a pipe. With ``stream`` a step's text comes line by line as it is made, else when it is whole."""

    def __init__(self, console: Console, view: View, options: Options) -> None:
        self.console = console
        self.view = view
        self.options = options
        self._held = Held()
        self._partial: dict[str, str] = {}
        self._streamed: set[str] = set()
        self._lock = anyio.Lock()
        self.wants_deltas = options.stream and options.show_step_details

    async def run(self) -> None:
        return

    async def events(self, batch: Sequence[Event]) -> None:
        found: list[str] = []
        for event in batch:
            self._event(event, found)
        await self._write(found)

    async def say(self, *parts: Any) -> None:
        async with self._lock:
            await in_thread(partial(_print, self.console, parts))

    async def close(self) -> None:
        found: list[str] = []
        self._flush(found)
        await self._write(found)

    async def _write(self, found: list[str]) -> None:
        if found:
            await self.say(Text("\n".join(found)))

    # -- one event -----------------------------------------------------------------------------------------------------

    def _event(self, event: Event, found: list[str]) -> None:
        if isinstance(event, StepContentEvent):
            self._chunk(event, found)
            return
        if isinstance(event, WorkflowCompletedEvent) and not event.nested_depth:
            self._held.drop_if(event.content)
        if isinstance(event, StepOutputReviewEvent):
            self._held.drop_at(event.path)
        told = self._told(event)
        if told is not None:
            self._flush(found)
            found.append(told)
        if isinstance(event, StepCompletedEvent) and self.options.show_step_details:
            self._end_of_stream(event.path, found)
            if event.path not in self._streamed:
                self._held.hold(leaf_output(event, self.view))

    def _told(self, event: Event) -> str | None:
        name = _name(self.view.at(event.path))
        if isinstance(event, StepStartedEvent):
            return line("start", name)
        if isinstance(event, StepCompletedEvent):
            node = self.view.at(event.path)
            return line("done" if node.state == "done" else node.state, name, self.options.time(node.elapsed(0.0)))
        if isinstance(event, StepRetryEvent):
            self._partial.pop(event.path, None)
            gone = "; what it had written is discarded" if event.discards_deltas else ""
            why = f"{event.error_type}: {event.error}"
            return line("retry", name, f"attempt {event.attempt} failed: {why}; again in {duration(event.delay)}{gone}")
        if isinstance(event, WorkflowResumedEvent):
            return self._resumed(event)
        if isinstance(event, StepSteeredEvent) and event.action != "retry":
            return line(self.view.at(event.path).state, name, event.reason or f"{event.action}_step")
        if isinstance(event, StepErrorEvent):
            return line("failed", name, f"{event.error_type}: {event.error}")
        if isinstance(event, _PAUSES):
            return line("waiting", name, "for a person")
        if isinstance(event, LoopIterationStartedEvent):
            return line("start", name, f"of {event.max_iterations}" if event.max_iterations else "")
        if isinstance(event, _CONTAINERS):
            return line("start", name, _said(event))
        return None

    def _resumed(self, event: WorkflowResumedEvent) -> str:
        """Printed lines stay; steps that had not ended run, and are printed, again."""
        inside = f"{event.path}/" if event.nested_depth else ""
        self._partial = {path: rest for path, rest in self._partial.items() if not path.startswith(inside)}
        return line("resumed", "by another process; steps that had not ended start again")

    def _chunk(self, event: StepContentEvent, found: list[str]) -> None:
        """Whole lines only: a line of a pipe is never taken back or mixed with another branch's."""
        delta = event.delta if isinstance(event.delta, str) else f"{as_text(event.delta)}\n"
        *whole, rest = (self._partial.get(event.path, "") + delta).split("\n")
        self._partial[event.path] = rest
        self._streamed.add(event.path)
        for text in whole:
            found.append(line("text", f"{_name(self.view.at(event.path))} | {text}"))

    def _end_of_stream(self, path: str, found: list[str]) -> None:
        rest = self._partial.pop(path, "")
        if rest:
            found.insert(max(0, len(found) - 1), line("text", f"{_name(self.view.at(path))} | {rest}"))

    def _flush(self, found: list[str]) -> None:
        held = self._held.take()
        if held is not None:
            found.extend(bordered(as_text(held[1])))


def _name(node: Node) -> str:
    return where(node, ">")


def _said(event: Any) -> str:
    if isinstance(event, ParallelExecutionStartedEvent):
        return f"{event.parallel_step_count} branches"
    if isinstance(event, MapExecutionStartedEvent):
        return f"{event.item_count} items"
    return "chose " + (", ".join(event.selected_steps or ()) or "nothing")


def _print(console: Console, parts: Sequence[Any]) -> None:
    """Without wrapping: a pipe has no width, and its reader needs whole lines."""
    with told_of_a_broken_pipe():
        for part in parts:
            console.print(encodable(console, part), soft_wrap=True, highlight=False, markup=False, emoji=False)
