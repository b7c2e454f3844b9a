"""When runs of a workflow are queued by themselves."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

__all__ = ["Schedule"]


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """A stored schedule of a workflow.

    Attributes:
        name: Its name within the workflow.
        cron: A cron expression of five fields, in the time zone ``tz``. None: it has ``every``.
        every: Seconds between two runs.
        tz: The name of a time zone, as in "Europe/Berlin".
        next_at: When the next run is queued, in UTC.
        input, user_id, session_id, queue, priority: As for ``arun``. Without a session, each run has its own.
    """

    workflow_id: str
    name: str
    next_at: datetime
    cron: str | None = None
    every: float | None = None
    tz: str = "UTC"
    input: Any = None
    user_id: str | None = None
    session_id: str | None = None
    queue: str = "default"
    priority: int = 0
