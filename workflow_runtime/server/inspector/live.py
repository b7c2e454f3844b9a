"""A run's page kept up to date: the parts that changed, as server-sent events with HTML.

A connection begins with every part as it is now, so a page that lost its connection is right again when it is back, with
nothing doubled; text that is streamed is then added to, the rest is replaced where it differs.
"""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import anyio
import htpy as h
from markupsafe import Markup, escape

from ... import Event, ReaderTooSlow, Subscription
from ...view.clean import clean
from ...view.node import Node, Tail
from .load import Loaded, Visit, last_of, load_run
from .run import PARTS, live_steps, stream_id, text_of_stream

__all__ = ["LiveRun"]

_TOGETHER = 0.1  # seconds for which changes are gathered
_TICK = 1.0  # seconds between two pictures of a run in which nothing happens but time
_MOST_TEXT = 64_000  # characters that are added to a text before it is put anew, cut
_FINAL = ("COMPLETED", "CANCELLED", "ERROR")


class LiveRun:
    """What one open page is sent. ``changes`` is to be written to the socket as it comes."""

    def __init__(self, visit: Visit, run: Loaded, source: Subscription) -> None:
        self._visit = visit
        self._run = run
        self._source = source
        self._sent: dict[str, str] = {}
        self._texts: dict[str, tuple[Tail, int, int]] = {}  # by element: the text, how much of it was sent, since when
        self._touched: set[str] = set()
        self._seq = run.seq
        self._told = run.seq
        self._news = anyio.Event()
        self._ended = False

    async def run(self, put: Callable[[bytes], Awaitable[None]]) -> None:
        """Send until the run has ended."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._read)
            while True:
                ended, self._news = self._ended, anyio.Event()
                if ended or self._run.view.status in _FINAL:  # the journal has the times to the millisecond
                    self._run = await load_run(self._visit, self._run.run_id)
                await put(b"".join(self._changes()))
                final = self._run.view.status in _FINAL
                if final:
                    await put(b"event: end\ndata: end\n\n")
                if final or ended:  # where it is not over the page connects again
                    group.cancel_scope.cancel()
                    return
                with anyio.move_on_after(_TICK if self._run.view.status == "RUNNING" else None):
                    await self._news.wait()
                    await anyio.sleep(_TOGETHER)

    async def _read(self) -> None:
        view = self._run.view
        try:
            while events := await self._source.take_some():
                now = time.time()
                for event in events:
                    self._fold(event, now)
                self._news.set()
                if view.status in _FINAL:
                    break
        except ReaderTooSlow:
            pass  # the page connects again, and begins with all that is
        self._ended = True
        self._news.set()

    def _fold(self, event: Event, now: float) -> None:
        self._run.view.fold(event, now)
        self._seq = max(self._seq, last_of(event))
        if event.event != "StepContent" and event.path:
            self._touched.add(event.path)

    def _changes(self) -> Iterator[bytes]:
        run = self._run._replace(now=time.time())
        texts, first = self._text_parts(run), not self._sent
        parts = []
        for name, part in PARTS.items():
            html = str(h.fragment[part(self._visit, run)]) if name != "now" else ""
            key = html if name != "now" else ",".join(f"{stream_id(node)}{node.state}" for node in live_steps(run))
            if self._sent.get(name) != key:
                if name == "now":
                    html = str(h.fragment[part(self._visit, run)])
                    self._texts = {stream_id(node): _mark(node) for node in live_steps(run)}
                    texts = []
                self._sent[name] = key
                parts.append(_partial(f"#{name}", "innerMorph", Markup(html)))
        parts += texts
        if parts:
            yield _message("".join(parts))
        if self._touched and not first:
            yield f"event: steps\ndata: {_json(sorted(self._touched)[:50])}\n\n".encode()
        self._touched.clear()
        if self._seq > self._told:
            self._told = self._seq
            yield b"event: log\ndata: %d\n\n" % self._seq

    def _text_parts(self, run: Loaded) -> list[str]:
        """What was streamed since the last time, to be added; or all of it, where a step began anew."""
        parts = []
        for node in live_steps(run):
            ident = stream_id(node)
            known = self._texts.get(ident)
            if known is None or node.tail is None:
                continue
            tail, sent, since = known
            if tail is not node.tail or tail.size - since > _MOST_TEXT:
                parts.append(_partial(f"#{ident}", "innerHTML", escape(text_of_stream(node))))
                self._texts[ident] = _mark(node)
            elif tail.size > sent:
                added = tail.text()[-(tail.size - sent) :]
                parts.append(_partial(f"#{ident}", "beforeend", escape(clean(added))))
                self._texts[ident] = (tail, tail.size, since)
        return parts


def _mark(node: Node) -> tuple[Tail, int, int]:
    assert node.tail is not None
    return node.tail, node.tail.size, node.tail.size


def _partial(target: str, swap: str, html: Markup) -> str:
    return f'<hx-partial hx-target="{target}" hx-swap="{swap}">{html}</hx-partial>'


def _message(html: str) -> bytes:
    lines = html.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return "".join(f"data: {line}\n" for line in lines).encode("utf-8", "replace") + b"\n"


def _json(value: Any) -> str:
    return json.dumps(value)
