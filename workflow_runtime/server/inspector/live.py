"""A run's page kept up to date: the parts that changed, as server-sent events with HTML.

A connection begins with every part as it is now, so a page that lost its connection is right again when it is back, with
nothing doubled; text that is streamed is then added to, the rest is replaced where it differs.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress

import anyio
import anyio.to_thread
import htpy as h
from markupsafe import Markup, escape

from ... import Event, ReaderTooSlow, StorageError, Subscription
from ...view.clean import clean
from ...view.node import Node, Tail
from .load import Loaded, Visit, last_of, load_run
from .run import PARTS, live_steps, now_part, stream_id, text_of_stream

__all__ = ["LiveRun"]

logger = logging.getLogger("workflow_runtime")

_TOGETHER = 0.1  # seconds for which changes are gathered
_TICK = 1.0  # seconds between two pictures of a run in which nothing happens but time
_SHARE = 0.1  # of the time at most goes into drawing one page
_LARGE = 60  # nodes
_MOST_TEXT = 64_000  # characters that are added to a text before it is put anew, cut
_FINAL = ("COMPLETED", "CANCELLED", "ERROR")


class LiveRun:
    """What one open page is sent."""

    def __init__(self, visit: Visit, run: Loaded, source: Subscription) -> None:
        self._visit = visit
        self._run = run
        self._source = source
        self._sent: dict[str, str] = {}
        self._texts: dict[str, tuple[Tail, int, int]] = {}  # by element: the text, how much of it was sent, since when
        self._touched: set[str] = set()
        self._seq, self._epoch = run.seq, run.view.epoch
        self._told = 0  # the log of a page that was loaded, or lost, before is read again
        self._news = anyio.Event()
        self._ended = False
        self._lock = anyio.Lock()

    async def run(self, put: Callable[[bytes], Awaitable[None]]) -> None:
        """Send until the run has ended, or its events cannot be had any more; then the page connects again."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._read)
            with suppress(TimeoutError):  # a page that takes nothing any more
                await self._send(put)
            group.cancel_scope.cancel()

    async def _send(self, put: Callable[[bytes], Awaitable[None]]) -> None:
        while True:
            ended, self._news = self._ended, anyio.Event()
            if ended or self._run.view.status in _FINAL:  # the journal has the times to the millisecond
                self._run = await load_run(self._visit, self._run.run_id)
            began = time.perf_counter()
            changes = await self._drawn()
            cost = time.perf_counter() - began
            await put(changes)
            if self._run.view.status in _FINAL:
                await put(b"event: end\ndata: end\n\n")
                return
            if ended:
                return
            with anyio.move_on_after(_TICK if self._run.view.status == "RUNNING" else None):
                await self._news.wait()
            await anyio.sleep(max(_TOGETHER, cost * (1 / _SHARE - 1)))

    async def _drawn(self) -> bytes:
        """The parts that changed. A large run is drawn in a thread; what happens to it meanwhile waits so long."""
        async with self._lock:
            if len(self._run.view.nodes) < _LARGE:
                return b"".join(self._changes())
            return await anyio.to_thread.run_sync(lambda: b"".join(self._changes()))

    async def _read(self) -> None:
        view = self._run.view
        try:
            while events := await self._source.take_some():
                async with self._lock:
                    now = time.time()
                    for event in events:
                        self._fold(event, now)
                self._news.set()
                if view.status in _FINAL:
                    break
        except (ReaderTooSlow, StorageError) as error:  # the page connects again, and begins with all that is
            logger.info("a page of run %s connects again: %s", self._run.run_id, error)
        self._ended = True
        self._news.set()

    def _fold(self, event: Event, now: float) -> None:
        self._run.view.fold(event, now)
        if event.epoch > self._epoch:  # after a take-over numbers come a second time, and the log is another one
            self._seq, self._epoch, self._told = 0, event.epoch, 0
        self._seq = max(self._seq, last_of(event))
        if event.event != "StepContent" and event.path:
            self._touched.add(event.path)

    def _changes(self) -> Iterator[bytes]:
        run, is_first = self._run._replace(now=time.time()), not self._sent
        parts = [*self._changed_parts(run), *self._streamed(run)]
        if parts:
            yield _message("".join(parts))
        if self._touched and not is_first:
            yield f"event: steps\ndata: {json.dumps(sorted(self._touched)[:50])}\n\n".encode()
        self._touched.clear()
        if self._seq > self._told:
            self._told = self._seq
            yield b"event: log\ndata: %d\n\n" % self._seq

    def _changed_parts(self, run: Loaded) -> Iterator[str]:
        for name, part in PARTS.items():
            html = str(h.fragment[part(self._visit, run)])
            if self._sent.get(name) != html:
                self._sent[name] = html
                yield _partial(f"#{name}", "innerMorph", Markup(html))

    def _streamed(self, run: Loaded) -> Iterator[str]:
        """The steps that stream, where others do so than before; else what each has streamed since."""
        live = live_steps(run)
        shown = ",".join(f"{stream_id(node)}{node.state}" for node in live)
        if self._sent.get("now") != shown:
            self._sent["now"] = shown
            self._texts = {stream_id(node): _mark(node) for node in live}
            yield _partial("#now", "innerMorph", Markup(h.fragment[now_part(run)]))
            return
        for node in live:
            yield from self._more_text(stream_id(node), node)

    def _more_text(self, ident: str, node: Node) -> Iterator[str]:
        """What is to be added; or all of it, where the step began anew or the page has much of it."""
        tail, sent, since = self._texts[ident]
        if node.tail is not tail or tail.size - since > _MOST_TEXT:
            self._texts[ident] = _mark(node)
            yield _partial(f"#{ident}", "innerHTML", escape(text_of_stream(node)))
        elif tail.size > sent:
            self._texts[ident] = (tail, tail.size, since)
            yield _partial(f"#{ident}", "beforeend", escape(clean(tail.text()[-(tail.size - sent) :])))


def _mark(node: Node) -> tuple[Tail, int, int]:
    assert node.tail is not None
    return node.tail, node.tail.size, node.tail.size


def _partial(target: str, swap: str, html: Markup) -> str:
    return f'<hx-partial hx-target="{target}" hx-swap="{swap}">{html}</hx-partial>'


def _message(html: str) -> bytes:
    lines = html.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return "".join(f"data: {line}\n" for line in lines).encode("utf-8", "replace") + b"\n"
