"""Recorded event streams, and a console that records what is drawn on it."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from workflow_runtime import Event
from workflow_runtime.model.codec import event_from_dict
from workflow_runtime.view.tree import View

HERE = Path(__file__).parent
WIDTHS = (60, 80, 200)


def recorded(name: str) -> Iterator[tuple[float, Event]]:
    """(seconds since the start, event), in order."""
    for line in (HERE / "recorded" / f"{name}.jsonl").read_text().splitlines():
        data = json.loads(line)
        yield data["at"], event_from_dict(data["event"])


def folded(name: str, until: float = 1e9, view: View | None = None) -> tuple[View, float]:
    """The view of a recorded run as it was ``until`` seconds after its start, and that time (at most its end)."""
    view = view or View()
    now = 0.0
    for now, event in recorded(name):
        if now > until:
            return view, until
        view.fold(event, now)
    return view, now


def recording(width: int, *, height: int = 40, terminal: bool = True) -> Console:
    """A console of that width that keeps what is printed."""
    return Console(
        width=width,
        height=height,
        record=True,
        file=io.StringIO(),
        force_terminal=terminal,
        color_system="truecolor" if terminal else None,
        legacy_windows=False,
        _environ={},
    )
