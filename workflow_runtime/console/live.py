"""A run drawn in place on a terminal: at most 20 times a second, and without delaying the run.

Drawing and writing happen in a worker thread. A redraw is skipped while the last one is in progress, so a slow terminal
only shows fewer frames; permanent output is awaited, so there the run's own buffer limits the speed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import anyio
from rich.console import Console

from .. import Event, StepCompletedEvent, StepOutputReviewEvent, StepRetryEvent, WorkflowCompletedEvent
from ..view.clean import one_line
from ..view.rows import rows
from ..view.tree import View
from .frame import Painter, Snapshot, snapshot
from .panels import retry_notice
from .render import ASCII, UNICODE, tree_lines
from .screen import Region, lines_of
from .surface import Held, Options, clock, leaf_output, told_of_a_broken_pipe
from .threads import in_thread

__all__ = ["Live", "milestones"]

FASTEST = 0.05  # seconds between two redraws
_SLOWEST = 1.0
_SHARE = 0.05  # of a core at most goes into drawing: a costly picture is drawn less often
_FLOOD = 1000  # events a second: too fast to read, so it is drawn five times a second and with a tenth of the share
_TREE_AT_A_PAUSE, _TREE_AT_THE_END = 12, 60  # rows
_PATIENCE = 5.0  # seconds that a terminal gets which takes nothing
_TURN = 0.1  # seconds per turn of the spinner


class Live:
    """The surface of a terminal."""

    wants_deltas = False  # the view has them

    def __init__(self, console: Console, view: View, options: Options) -> None:
        self.console = console
        self.view = view
        self.options = options
        self.redraws = 0
        self._painter = Painter(console, markdown=options.markdown)
        self._region = Region(console)
        self._held = Held()
        self._version = -1

    async def run(self) -> None:
        region = ExitStack()
        try:
            with anyio.move_on_after(_PATIENCE, shield=True):
                await self._in_thread(lambda: region.enter_context(self._region.opened()))
            await self._redraw()
        finally:
            with anyio.move_on_after(_PATIENCE, shield=True):
                await self._in_thread(region.close)

    async def _redraw(self) -> None:
        last = clock()
        while True:
            started = time.perf_counter()
            chosen = self.options
            shot = snapshot(
                self.view,
                clock(),
                self.console.height,
                streams=chosen.stream,
                times=chosen.show_time,
                hint=chosen.ctrl_c,
            )
            taken = time.perf_counter() - started
            taken += await self._in_thread(partial(self._draw, shot))
            now, version = clock(), self.view.version
            is_flood = version - self._version > _FLOOD * (now - last)
            fastest, share = (4 * FASTEST, _SHARE / 10) if is_flood else (FASTEST, _SHARE)
            pause = min(_SLOWEST, max(fastest, taken / share))
            if version == self._version:
                pause = max(pause, _TURN)
            self._version, last = version, now
            await anyio.sleep(pause)

    def _draw(self, shot: Snapshot) -> float:
        """Seconds of this thread's own work; waiting for the terminal is not work."""
        began = time.thread_time()
        self._region.draw(self._painter.lines(shot, int(clock() / _TURN)))
        self.redraws += 1
        return time.thread_time() - began

    async def events(self, batch: Sequence[Event]) -> None:
        found = milestones(batch, self.view, self.options, self._held, self.console)
        if found:
            await self.say(*found)

    async def say(self, *parts: Any) -> None:
        await self._in_thread(partial(self._region.print, *parts))

    async def close(self) -> None:
        held = self._held.release(self.options, self.console)
        found: list[Any] = [held] if held is not None else []
        glyphs = ASCII if self.console.options.ascii_only else UNICODE
        limit = _TREE_AT_A_PAUSE if self.view.status == "PAUSED" else _TREE_AT_THE_END
        tree = tree_lines(rows(self.view, clock(), limit, times=self.options.show_time), self.console.width, glyphs)
        if tree:
            found.append(lines_of(tree))
        await self.say(*found)

    async def _in_thread(self, work: Callable[[], Any]) -> Any:
        def told() -> Any:
            with told_of_a_broken_pipe():
                return work()

        return await in_thread(told)


def milestones(batch: Sequence[Event], view: View, options: Options, held: Held, console: Console) -> list[Any]:
    """The permanent output of these events: the outputs of steps (the newest one is held back), and retries."""
    found: list[Any] = []
    for event in batch:
        if isinstance(event, StepCompletedEvent):
            if options.show_step_details:
                before = held.release(options, console)
                held.hold(leaf_output(event, view))
                if before is not None:
                    found.append(before)
        elif isinstance(event, WorkflowCompletedEvent) and not event.nested_depth:
            held.drop_if(event.content)
        elif isinstance(event, StepOutputReviewEvent):
            held.drop_at(event.path)
        elif isinstance(event, StepRetryEvent) and options.show_step_details:
            why = one_line(f"{event.error_type}: {event.error}")
            found.append(retry_notice(view.at(event.path), why, event.delay, event.discards_deltas))
    return found
