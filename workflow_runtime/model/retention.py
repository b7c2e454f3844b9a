"""How long stored data is kept."""

from __future__ import annotations

from datetime import timedelta

import msgspec

from . import checks

__all__ = ["Retention"]


class Retention(msgspec.Struct, frozen=True, kw_only=True):
    """Ages in seconds or as a timedelta, counted from the last write; None keeps things for ever. A Runtime
    prunes runs of the workflow that has the retention, and keeps a run as long as one that was forked from it.

    ``deltas``: text and progress events of finished runs; ``events``: all their events; ``runs``: finished runs whole.
    ``max_payload``: bytes; a larger event is stored without its payload (the step's output is kept in the journal).
    """

    deltas: float | timedelta | None = None
    events: float | timedelta | None = None
    runs: float | timedelta | None = None
    max_payload: int | None = None

    def __post_init__(self) -> None:
        for name in ("deltas", "events", "runs"):
            age = getattr(self, name)
            seconds = age.total_seconds() if isinstance(age, timedelta) else age
            checks.number(seconds, name, "Retention: ", least=0, none="for ever")
        checks.number(self.max_payload, "max_payload", "Retention: ", least=0, whole=True, none="no limit")
