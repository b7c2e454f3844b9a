"""One line of a list of runs."""

from __future__ import annotations

from typing import Any

import msgspec

from .enums import RunStatus

__all__ = ["RunSummary"]


class RunSummary(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One line of a list of runs. Times are unix seconds; ``attempt`` is the epoch, ``last_seq`` the newest event's;
    ``unreadable`` says what of the run cannot be read, and why."""

    run_id: str
    session_id: str
    workflow_id: str | None = None
    workflow_name: str | None = None
    user_id: str | None = None
    status: RunStatus
    created_at: float
    updated_at: float
    attempt: int = 1
    last_seq: int = 0
    parent_run_id: str | None = None
    forked_from: str | None = None
    input: Any = None
    content: Any = None
    error: str | None = None
    tags: list[str] | None = None
    metadata: dict[str, Any] | None = None
    unreadable: str | None = None
