"""A server's views of runs, workflows and journals, as typed values. Contents are plain JSON here."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import msgspec

from ..model.enums import RunStatus

__all__ = ["Page", "RunSummary"]

_T = TypeVar("_T")


class RunSummary(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One line of a list of runs. Times are unix seconds; ``attempt`` is the epoch, ``last_seq`` the newest event's;
    ``unreadable`` names the part of the run that the server cannot read, and the reason."""

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
    unreadable: str | None = None


class Page(msgspec.Struct, Generic[_T], kw_only=True):
    """Newest first. ``next`` goes into ``before`` of the next call; None: this was the last page."""

    items: list[_T]
    next: str | None = None
