"""Reading lines from a person at a terminal, without prompt_toolkit: there is no editing, completion or history."""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Callable, Sequence
from functools import partial
from threading import Event
from typing import Any

import anyio

from ..view.clean import clean, one_line
from .editor import chosen_editor, edit
from .person import Left
from .threads import in_thread

__all__ = ["PlainTerminal"]

_LOOK_SECONDS = 0.1
_END = "."


class PlainTerminal:
    """The person at this terminal."""

    async def line(
        self, label: str, *, default: str = "", check: Callable[[str], Any] | None = None, words: Sequence[str] = ()
    ) -> str:
        shown = f"{one_line(label)} [{one_line(default)}] " if default else f"{one_line(label)} "
        while True:
            text = await _read(shown) or default
            try:
                if check is not None:
                    check(text)
            except ValueError as error:
                await _write(f"{one_line(error)}\n")
                continue
            return text

    async def text(self, label: str, default: str, suffix: str) -> str:
        editor = chosen_editor()
        if editor:
            return await in_thread(partial(edit, editor, default, suffix), abandon=False)
        current = f"{clean(default)}\n" if default else ""
        kept = "; nothing keeps it as it is" if default else ""
        await _write(f"{current}{one_line(label)} (a line with only {_END} ends it{kept})\n")
        lines: list[str] = []
        while (line := await _read("")) != _END:
            lines.append(line)
        return "\n".join(lines) or default


async def _write(text: str) -> None:
    def write() -> None:
        sys.stdout.write(text)
        sys.stdout.flush()

    await in_thread(write, abandon=False)


async def _read(prompt: str) -> str:
    """A line without its end. Left at the end of the input."""
    await _write(prompt)
    nobody_waits = Event()
    try:
        line = await in_thread(partial(_line, nobody_waits))
    except anyio.get_cancelled_exc_class():
        nobody_waits.set()  # or the thread would take the next prompt's line
        raise
    if not line:
        raise Left
    return line.rstrip("\r\n")


def _line(nobody_waits: Event) -> str:
    if os.name == "nt":  # there only sockets can be waited for
        return sys.stdin.readline()
    descriptor = sys.stdin.fileno()
    while not nobody_waits.is_set():
        if select.select([descriptor], [], [], _LOOK_SECONDS)[0]:
            # A terminal gives a line at a time, and nothing of it stays in a buffer of ours.
            return os.read(descriptor, 65536).decode(sys.stdin.encoding, "replace")
    return ""
