"""How long what is stored is kept."""

from __future__ import annotations

from datetime import timedelta

import msgspec

__all__ = ["Retention"]


class Retention(msgspec.Struct, frozen=True, kw_only=True):
    """Ages in seconds or as a timedelta, counted from the last write; None keeps things for ever. A Runtime prunes.

    ``deltas``: text and progress events of finished runs; ``events``: all their events; ``runs``: finished runs whole.
    ``max_payload``: bytes; a larger event is stored without its payload (the step's output is kept in the journal).
    """

    deltas: float | timedelta | None = None
    events: float | timedelta | None = None
    runs: float | timedelta | None = None
    max_payload: int | None = None
